/** The record, newest first. Every entry is there, checkpoints too: what is hidden in a filtered view is not read. */
import { memo, useEffect, useMemo, useState } from 'react';
import type { Entry, State } from '../../ceremonies/ceremony.ts';
import type { Refusal } from '../../ceremonies/refusal.ts';
import { read, timeOf, type Names, type Reading } from '../reading.ts';
import { seatTitle, t } from '../texts.ts';
import { Mark } from './Mark.tsx';
import { Facts, wordsOf } from './Words.tsx';

const PAGE = 120;

interface Props {
  readonly entries: readonly Entry[];
  readonly state: State;
  readonly names: Names;
  readonly broken: Refusal | null;
}

export function RecordList({ entries, state, names, broken }: Props) {
  const [shown, setShown] = useState(PAGE);
  const [opened, setOpened] = useState<number | null>(null);
  const ceremony = state.ceremony;
  useEffect(() => { setShown(PAGE); setOpened(null); }, [ceremony]);
  const from = Math.max(0, entries.length - shown);
  const rows = entries.slice(from).reverse();
  const older = Math.min(PAGE, from);
  return (
    <aside className="record" aria-label={t.record.title}>
      <h2>{t.record.title}</h2>
      {broken ? <p className="broken"><Mark name="refused" quiet /> {t.record.broken}: <code>{broken.rule}</code> {broken.found}</p> : null}
      <div className="rows" tabIndex={-1}>
        <ol reversed start={entries.length - 1}>
          {rows.map((entry, index) => (
            <Row key={entry.seq} entry={entry} state={state} names={names} open={opened === entry.seq} newest={index < 4} toggle={setOpened} />
          ))}
        </ol>
        {entries.length === 0 ? <p className="note">{t.record.empty}</p> : null}
        {older > 0 ? <button type="button" className="quiet" onClick={() => setShown(shown + PAGE)}>{t.record.older(older)}</button> : null}
      </div>
      <Head hash={state.lastHash} />
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

interface RowProps {
  readonly entry: Entry;
  readonly state: State;
  readonly names: Names;
  readonly open: boolean;
  readonly newest: boolean;
  readonly toggle: (seq: number | null) => void;
}

const Row = memo(function Row({ entry, state, names, open, newest, toggle }: RowProps) {
  const reading = read(entry, state, names);
  return (
    <li className={`row row-${reading.mark}`}>
      <button type="button" aria-expanded={open} onClick={() => toggle(open ? null : entry.seq)}>
        <span className="seq">{entry.seq}</span>
        <Mark name={reading.mark} />
        <span className="title">{reading.title}</span>
        {(newest || open) && reading.brief !== '' ? <span className="brief">{reading.brief}</span> : null}
      </button>
      {open ? <Opened entry={entry} reading={reading} names={names} /> : null}
    </li>
  );
  // A row changes only when it opens, ages, or its plan arrives: not with every state of a growing record.
}, (before, after) => before.entry === after.entry && before.open === after.open && before.newest === after.newest && before.state.plan === after.state.plan
  && before.names === after.names);

function Opened({ entry, reading, names }: { readonly entry: Entry; readonly reading: Reading; readonly names: Names }) {
  return (
    <div className="opened">
      <dl className="facts facts-small">
        <div><dt>{t.record.at}</dt><dd><time dateTime={entry.at}>{entry.at.slice(0, 10)} {timeOf(entry.at)}:{entry.at.slice(17, 23)} {t.utc}</time></dd></div>
        {entry.by === undefined ? null : <div><dt>{t.record.by}</dt><dd>{seatTitle(entry.by)}, {names.at(entry.by, entry.seq)}</dd></div>}
        {entry.step === undefined ? null : <div><dt>{t.record.step}</dt><dd><code>{entry.step}</code></dd></div>}
      </dl>
      <Facts facts={reading.facts} />
      <details>
        <summary>{t.record.raw}</summary>
        <pre tabIndex={0}>{JSON.stringify(entry, null, 1)}</pre>
      </details>
    </div>
  );
}
