/**
 * The one file that an escrow agent brings to a release, and a custodian to the own envelope: the own private key, encrypted. It is judged here before it goes anywhere, goes
 * to the process of the token or card as it is, and is forgotten. Its password is typed in the booth, never in this window.
 */
import type { ReactNode } from 'react';
import { importFault } from '../../ceremonies/keys/import.ts';
import { Chosen, fileOf, fileReading, useChosen, type ChosenFile } from './ChosenFile.tsx';
import { isSound } from './InputFile.tsx';

/** `button`: what goes on with the file; with null as long as there is none. */
export function AgentKey({ words, act, button }: { readonly words: { readonly keyFile: string; readonly keyFileHint: string }; readonly act: (file: Pick<ChosenFile, 'file' | 'bytes'>) => void; readonly button: (press: (() => void) | null) => ReactNode }) {
  const [file, choose] = useChosen((bytes) => {
    const refusal = importFault(bytes);
    return refusal ? { ok: false, refusal } : fileReading(bytes, []);
  });
  const ready = file !== null && isSound(file.reading);
  return (
    <>
      <Chosen ask={words.keyFile} file={file} choose={choose} />
      <p className="note">{words.keyFileHint}</p>
      {button(ready ? () => act(fileOf(file)) : null)}
    </>
  );
}
