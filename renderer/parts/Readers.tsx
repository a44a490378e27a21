/** The card readers of this machine: what is in each, and what to do about a card that no module knows. */
import type { ReaderReport } from '../../electron/contract.ts';
import { nameOf } from '../estate.ts';
import { groups } from '../reading.ts';
import { t } from '../texts.ts';
import { Mark } from './Mark.tsx';

type Reader = ReaderReport['readers'][number];

export function Readers({ report }: { readonly report: ReaderReport }) {
  const { readers, problem } = report;
  return (
    <section className="readers" aria-label={t.readers.title}>
      <h2>{t.readers.title}</h2>
      {problem ? (
        <p className="note">
          <code>{problem.code}</code> {problem.message} {problem.hint}
        </p>
      ) : readers.length === 0 ? (
        <p className="note">{t.readers.none}</p>
      ) : (
        <ul>
          {readers.map((reader) => (
            <li key={reader.name}>
              <span>{reader.name}</span>
              <Content reader={reader} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Content({ reader: { card, atr, tokens } }: { readonly reader: Reader }) {
  if (!card) return <p className="note">{t.readers.empty}</p>;
  if (tokens === null) return <p className="note">{t.readers.asking}</p>;
  if (tokens.length > 0)
    return (
      <>
        {tokens.map(({ module, token }) => (
          <p key={`${module}\n${token.serial}`}>
            <Mark name="verified" quiet /> {t.readers.known(nameOf(token), module)}
          </p>
        ))}
      </>
    );
  return (
    <>
      <p>
        <Mark name="reported" quiet /> {atr === null ? t.readers.mute : t.readers.unknown}
      </p>
      {atr === null ? null : (
        <p className="note">
          {t.readers.unknownNext} {t.readers.atr} <code className="hex">{groups(atr)}</code>
        </p>
      )}
    </>
  );
}
