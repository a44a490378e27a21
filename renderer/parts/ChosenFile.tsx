/**
 * One file that a person chooses for one act and that is kept nowhere: read at once by whoever asks for it, and forgotten where it is refused.
 *
 * Only its bytes and its name leave here, never a path.
 */
import { useState } from 'react';
import { toBase64url } from '../../ceremonies/bytes.ts';
import { inputDigest } from '../../ceremonies/key-record.ts';
import { refuse } from '../../ceremonies/refusal.ts';
import type { Answers } from '../../electron/contract.ts';
import { t } from '../texts.ts';
import { InputField, type Reading } from './InputFile.tsx';

/** What the contract takes; said here, so that a large file is not read for nothing. */
const LARGEST_FILE = 750_000;

export interface ChosenFile {
  readonly file: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly reading: Reading;
}
type Read = (bytes: Uint8Array<ArrayBuffer>) => Exclude<Reading, null> | Promise<Exclude<Reading, null>>;

/** One chosen file, read at once. What is refused is not kept. */
export function useChosen(read: Read): [ChosenFile | null, (file: File | null) => void] {
  const [chosen, setChosen] = useState<ChosenFile | null>(null);
  const choose = async (file: File) => {
    const name = file.name.slice(0, 200);
    const { rule, expected, found, next } = t.open.fileLarge;
    if (file.size > LARGEST_FILE) {
      setChosen({ file: name, bytes: new Uint8Array(0), reading: { ok: false, refusal: refuse(rule, expected, found(file.size), next) } });
      return;
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    const reading = await read(bytes);
    if (!reading.ok) bytes.fill(0);
    setChosen({ file: name, bytes: reading.ok ? bytes : new Uint8Array(0), reading });
  };
  return [chosen, (file) => (file === null ? setChosen(null) : void choose(file))];
}

export const fileOf = ({ file, bytes }: ChosenFile) => ({ file, bytes });

/** What this page says of a file by itself: its fingerprint, and what the caller found in it. */
export function fileReading(bytes: Uint8Array, facts: Answers['read-input']['facts']): Exclude<Reading, null> {
  return { ok: true, value: { sha256: inputDigest({ bytes: toBase64url(bytes) }), facts, findings: [] } };
}

export function Chosen({ ask, file, choose }: { readonly ask: string; readonly file: ChosenFile | null; readonly choose: (file: File | null) => void }) {
  return (
    <InputField
      ask={ask}
      optional={false}
      chosen={file ? { file: file.file, made: false, reading: file.reading } : undefined}
      choose={choose}
      remove={() => choose(null)}
    />
  );
}
