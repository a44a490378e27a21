/**
 * The one file that an escrow agent brings to a release: the own private key, encrypted. It is judged here before it goes anywhere, goes
 * to the process of the token as it is, and is forgotten. Its password is typed in the booth, never in this window.
 */
import { importFault } from '../../ceremonies/keys/import.ts';
import { t } from '../texts.ts';
import { Chosen, fileOf, fileReading, useChosen, type ChosenFile } from './ChosenFile.tsx';
import { Primary } from './Doing.tsx';
import { isSound } from './InputFile.tsx';

export function AgentKey({ text, letter, busy, act }: { readonly text: string; readonly letter: string; readonly busy: boolean; readonly act: (file: Pick<ChosenFile, 'file' | 'bytes'>) => void }) {
  const [file, choose] = useChosen((bytes) => {
    const refusal = importFault(bytes);
    return refusal ? { ok: false, refusal } : fileReading(bytes, []);
  });
  const ready = file !== null && isSound(file.reading);
  return (
    <>
      <Chosen ask={t.escrow.keyFile} file={file} choose={choose} />
      <p className="note">{t.escrow.keyFileHint}</p>
      <Primary text={text} letter={letter} busy={busy || !ready} press={() => { if (ready) act(fileOf(file)); }} />
    </>
  );
}
