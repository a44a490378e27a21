/** The record, newest first. Every entry is there, checkpoints too: what is hidden in a filtered view is not read. */
import { memo, useEffect, useMemo, useState } from 'react';
import type { Refusal } from '../../ceremonies/refusal.ts';
import { rawFacts, timeOf, type Told } from '../reading.ts';
import { t } from '../texts.ts';
import { Mark } from './Mark.tsx';
import { Facts, wordsOf } from './Words.tsx';

const PAGE = 120;
/** So many of the newest lines show what came of them without being opened. */
const TOLD_IN_FULL = 4;

interface Props {
  readonly ceremony: string;
  readonly rows: readonly Told[];
  readonly head: string;
  readonly broken: Refusal | null;
}

export function RecordList({ ceremony, rows, head, broken }: Props) {
  const [shown, setShown] = useState(PAGE);
  const [opened, setOpened] = useState<number | null>(null);
  useEffect(() => {
    setShown(PAGE);
    setOpened(null);
  }, [ceremony]);
  const from = Math.max(0, rows.length - shown);
  const older = Math.min(PAGE, from);
  return (
    <aside className="record" aria-label={t.record.title}>
      <h2>{t.record.title}</h2>
      {broken ? (
        <p className="broken">
          <Mark name="refused" quiet /> {t.record.broken}: <code>{broken.rule}</code> {broken.found}
        </p>
      ) : null}
      <div className="rows" role="group" aria-label={t.record.title} tabIndex={-1}>
        <ol reversed start={rows.length - 1}>
          {rows
            .slice(from)
            .reverse()
            .map((row, index) => (
              <Row
                key={row.entry.seq}
                row={row}
                open={opened === row.entry.seq}
                newest={index < TOLD_IN_FULL}
                toggle={setOpened}
              />
            ))}
        </ol>
        {rows.length === 0 ? <p className="note">{t.record.empty}</p> : null}
        {older > 0 ? (
          <button type="button" className="quiet" onClick={() => setShown(shown + PAGE)}>
            {t.record.older(older)}
          </button>
        ) : null}
      </div>
      <Head hash={head} />
    </aside>
  );
}

const Head = memo(function Head({ hash }: { readonly hash: string }) {
  const words = useMemo(() => wordsOf(hash), [hash]);
  return (
    <footer className="head">
      <h3>{t.record.head}</h3>
      <p>{words.join(' ')}</p>
    </footer>
  );
});

/** A row changes only when it opens or ages, not with every entry of a growing record. */
const Row = memo(function Row({
  row,
  open,
  newest,
  toggle,
}: {
  readonly row: Told;
  readonly open: boolean;
  readonly newest: boolean;
  readonly toggle: (seq: number | null) => void;
}) {
  const { seq } = row.entry;
  return (
    <li className={`row row-${row.mark}`}>
      <button type="button" aria-expanded={open} onClick={() => toggle(open ? null : seq)}>
        <span className="seq">{seq}</span>
        <Mark name={row.mark} />
        <span className="title">{row.title}</span>
        {newest && !open && row.brief !== '' ? <span className="brief">{row.brief}</span> : null}
      </button>
      {open ? <Opened row={row} /> : null}
    </li>
  );
});

function Opened({ row }: { readonly row: Told }) {
  const { entry } = row;
  return (
    <div className="opened">
      <Details row={row} />
      <dl className="facts facts-small">
        <div>
          <dt>{t.record.at}</dt>
          <dd>
            <time dateTime={entry.at}>
              {entry.at.slice(0, 10)} {timeOf(entry.at)}:{entry.at.slice(17, 23)} {t.utc}
            </time>
          </dd>
        </div>
        {row.who === '' ? null : (
          <div>
            <dt>{t.record.by}</dt>
            <dd>{row.who}</dd>
          </div>
        )}
        {entry.step === undefined ? null : (
          <div>
            <dt>{t.record.step}</dt>
            <dd>
              <code>{entry.step}</code>
            </dd>
          </div>
        )}
      </dl>
      <details>
        <summary>{t.record.raw}</summary>
        <Facts facts={rawFacts(entry)} />
      </details>
    </div>
  );
}

/** The sentence, and every part of it with what it is worth. */
export function Details({ row }: { readonly row: Told }) {
  return (
    <>
      <p className="sentence">
        <Mark name={row.mark} /> {row.sentence}
      </p>
      {row.detail.length === 0 ? null : (
        <ul className="details">
          {row.detail.map((detail, index) => (
            <li key={index}>
              {detail.mark === null ? <span /> : <Mark name={detail.mark} />}
              <span>{detail.text}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
