/**
 * A file that people bring: what it says, its fingerprint, what is wrong with it. The same where it is chosen, before a
 * ceremony is opened, and where people compare it with their paper.
 *
 * The page reads nothing out of a file by itself: the other half of the app does. Only the bytes and the name leave here,
 * never a path.
 */
import { useEffect, useId, useMemo, useState, type DragEvent } from 'react';
import { fromBase64url, fromHex } from '../../ceremonies/bytes.ts';
import type { Input } from '../../ceremonies/evidence.ts';
import { inputDigest } from '../../ceremonies/key-record.ts';
import { fingerprintWords } from '../../ceremonies/words.ts';
import type { Answer, Answers } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import { groups, type Fact } from '../reading.ts';
import { t } from '../texts.ts';
import { TroublePanel } from './Trouble.tsx';
import { Facts, Words } from './Words.tsx';

/** What the other half says of a file; null while it reads. */
export type Reading = Answer<'read-input'> | null;

/** May a ceremony be opened with it? */
export function isSound(reading: Reading): boolean {
  return reading?.ok === true && reading.value.findings.length === 0;
}

const HEX = /^[0-9a-f]{12,}$/i;

/** Facts as the files' reader names them, serial numbers in groups; a list of revocations has them as names. */
function factsOf({ facts }: Answers['read-input']): Fact[] {
  return facts.map(({ name, value }) => ({
    label: HEX.test(name)
      ? groups(name)
      : name === 'ml-dsa' || name === 'traditional'
        ? t.keys.part[name]
        : name.charAt(0).toUpperCase() + name.slice(1),
    value,
    form: HEX.test(value) ? 'hex' : 'text',
  }));
}

/** Everything that is wrong, each as its own refusal; nothing where the file is sound. */
function Findings({ reading }: { readonly reading: Reading }) {
  if (reading === null) return null;
  if (!reading.ok)
    return (
      <TroublePanel
        refusal={'refusal' in reading ? reading.refusal : null}
        problem={'problem' in reading ? reading.problem : null}
      />
    );
  return reading.value.findings.map((finding, index) => <TroublePanel key={index} refusal={finding} problem={null} />);
}

interface FieldProps {
  readonly ask: string;
  readonly optional: boolean;
  readonly chosen: { readonly file: string; readonly made: boolean; readonly reading: Reading } | undefined;
  readonly choose: (file: File) => void;
  readonly remove: () => void;
}

/** What is asked for, the chooser, and at once what the chosen file says. */
export function InputField({ ask, optional, chosen, choose, remove }: FieldProps) {
  const id = useId();
  const [over, setOver] = useState(false);
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer.files[0];
    if (file) choose(file);
  };
  const reading = chosen?.reading ?? null;
  return (
    <section
      className={`input-file${over ? ' over' : ''}`}
      aria-labelledby={`${id}-ask`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      <h3 id={`${id}-ask`}>
        {ask} {optional ? <span className="tag">{t.open.optional}</span> : null}
      </h3>
      <div className="buttons">
        <label htmlFor={id} className="file">
          {chosen ? t.open.fileOther : t.audit.choose}
        </label>
        <input
          id={id}
          type="file"
          aria-label={t.open.fileChoose(ask)}
          onChange={(event) => {
            const file = event.target.files?.[0];
            event.target.value = ''; // the same file may be chosen again after it was corrected
            if (file) choose(file);
          }}
        />
        {chosen ? (
          <>
            <strong className="file-name">{chosen.file}</strong>
            {chosen.made ? <span className="tag">{t.open.fileMade}</span> : null}
            <button type="button" className="quiet" onClick={remove}>
              {t.open.fileRemove}
            </button>
          </>
        ) : (
          <span className="note">
            {t.open.fileDrop}. {t.open.fileNone}
          </span>
        )}
      </div>
      <div aria-live="polite">
        {chosen && reading === null ? <p className="note">{t.open.fileReading}</p> : null}
        <Findings reading={reading} />
        {reading?.ok ? (
          <Facts
            facts={[
              ...factsOf(reading.value),
              { label: t.open.fileDigest, value: reading.value.sha256, form: 'hex' },
              { label: t.open.fileWords, value: wordsOfDigest(reading.value.sha256).join(' '), form: 'mono' },
            ]}
          />
        ) : null}
      </div>
    </section>
  );
}

function wordsOfDigest(sha256: string): string[] {
  return fingerprintWords(fromHex(sha256));
}

/** What a recorded file says; asked for again whenever it is shown. */
function useReading(input: Input): Reading {
  const [reading, setReading] = useState<Reading>(null);
  useEffect(() => {
    let wanted = true;
    const file = { file: input.file, bytes: new Uint8Array(fromBase64url(input.bytes)) };
    void bridge.call({ call: 'read-input', kind: input.kind, file }).then((given) => {
      if (wanted) setReading(given);
    });
    return () => {
      wanted = false;
    };
  }, [input]);
  return reading;
}

function Says({ reading }: { readonly reading: Reading }) {
  return (
    <>
      {reading === null ? <p className="note">{t.open.fileReading}</p> : null}
      <Findings reading={reading} />
      {reading?.ok ? <Facts facts={factsOf(reading.value)} size="large" /> : null}
    </>
  );
}

/** What a recorded file says, where something is done on its word. */
export function RecordedFile({ input }: { readonly input: Input }) {
  const reading = useReading(input);
  return (
    <section className="recorded-file">
      <Says reading={reading} />
    </section>
  );
}

/** The recorded file, large: its facts, and the fingerprint of its bytes, which this page computes from the record. */
export function Comparison({ input }: { readonly input: Input }) {
  const reading = useReading(input);
  const sha256 = useMemo(() => inputDigest(input), [input]);
  return (
    <div className="comparison" tabIndex={0} role="region" aria-label={t.open.fileSays}>
      <section>
        <h2>
          {t.open.fileSays}: <strong className="file-name">{input.file}</strong>
        </h2>
        <Says reading={reading} />
      </section>
      <section>
        <h2>{t.open.fileDigest}</h2>
        <p>
          <code className="hex digest">{groups(sha256)}</code>
        </p>
        <h2>{t.open.fileWords}</h2>
        <Words words={wordsOfDigest(sha256)} size="medium" label={t.open.fileWords} />
      </section>
    </div>
  );
}
