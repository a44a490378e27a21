/** What people compare: numbered words, hex in groups of four with the words beneath, and lists of facts. */
import { fromBase64url, toHex } from '../../ceremonies/bytes.ts';
import { fingerprintWords } from '../../ceremonies/words.ts';
import { groups, type Fact } from '../reading.ts';
import { t } from '../texts.ts';
import { ProofMark } from './Mark.tsx';

/** Numbered, so that a person can say "word seven". Always all of them: nobody compares a few. */
export function Words({
  words,
  size = 'small',
  label,
}: {
  readonly words: readonly string[];
  readonly size?: 'small' | 'medium' | 'large';
  readonly label: string;
}) {
  return (
    <ol className={`words words-${size}`} aria-label={label}>
      {words.map((word, index) => (
        <li key={index}>
          <span className="number" aria-hidden="true">
            {index + 1}
          </span>
          {word}
        </li>
      ))}
    </ol>
  );
}

/** Twelve words of a digest, or none where the value is no digest that words could stand for. */
export function wordsOf(base64url: string): string[] {
  if (base64url.length !== 43 && base64url.length !== 86) return [];
  try {
    return fingerprintWords(fromBase64url(base64url));
  } catch {
    return []; // not canonical base64url: shown as it is, without words
  }
}

/** Files of hundreds of kilobytes stand in the record: a page of their hexadecimal helps nobody and would hold up the window. */
const SHOWN_BYTES = 8192;

/** Bytes of the record: as hex; a digest with its words beneath. */
function Bytes({ value }: { readonly value: string }) {
  let hex: string;
  try {
    hex = toHex(fromBase64url(value));
  } catch {
    return <code>{value}</code>;
  }
  const words = wordsOf(value);
  const beyond = hex.length / 2 - SHOWN_BYTES;
  return (
    <>
      <code className="hex" {...(hex.length > 256 ? { tabIndex: 0 } : {})}>
        {groups(hex.slice(0, SHOWN_BYTES * 2))}
      </code>
      {beyond > 0 ? (
        <span className="note">{t.record.moreBytes(beyond)}</span>
      ) : hex.length > 256 ? <span className="note">{(hex.length / 2).toLocaleString('en')} bytes</span> : null}
      {words.length > 0 && value.length === 43 ? <span className="in-words">{words.join(' ')}</span> : null}
    </>
  );
}

function Value({ fact }: { readonly fact: Fact }) {
  switch (fact.form) {
    case 'text':
      return <span>{fact.value}</span>;
    case 'mono':
      return <code>{fact.value}</code>;
    case 'hex':
      return <code className="hex">{groups(fact.value)}</code>;
    case 'bytes':
      return <Bytes value={fact.value} />;
    case 'list':
      return (
        <ul className="plain">
          {fact.value.split('\n').map((line, index) => (
            <li key={index}>{line}</li>
          ))}
        </ul>
      );
  }
}

export function Facts({
  facts,
  size = 'small',
}: {
  readonly facts: readonly Fact[];
  readonly size?: 'small' | 'large';
}) {
  if (facts.length === 0) return null;
  return (
    <dl className={`facts facts-${size}`}>
      {facts.map((fact, index) => (
        <div key={index}>
          <dt>{fact.label}</dt>
          <dd>
            <Value fact={fact} />
            {fact.proof ? (
              <>
                {' '}
                <ProofMark proof={fact.proof} />
              </>
            ) : null}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Where a file was written, and the fingerprint to compare it by. `level`: of the headings, by where it stands. */
export function SavedFile({
  file,
  titles: [where, fingerprint],
  level = 2,
}: {
  readonly file: { readonly path: string; readonly sha256: string };
  readonly titles: readonly [where: string, fingerprint: string];
  readonly level?: 2 | 3 | 4;
}) {
  const Heading = `h${level}` as const;
  return (
    <section className="exported" role="status">
      <Heading>{where}</Heading>
      <p>
        <code className="path">{file.path}</code>
      </p>
      <Heading>{fingerprint}</Heading>
      <p>
        <code className="hex">{groups(file.sha256)}</code>
      </p>
    </section>
  );
}
