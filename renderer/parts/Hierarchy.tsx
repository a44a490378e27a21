/**
 * All keys as one picture: whoever certified or wraps a key above it, its copies hanging on it at the right. The same shapes as around one
 * key (KeyPicture.tsx), one line for each key, of which only those in sight are drawn; and the same as a table behind it.
 */
import { useEffect, useMemo, useRef, useState } from 'react';
import { hierarchyOf, leavesOf, type Bond, type Leaf, type Line, type Ties } from '../hierarchy.ts';
import { stateWord, type KeyRow } from '../keys.ts';
import { store } from '../page.ts';
import { t } from '../texts.ts';
import { MediumShape, Ring, StateRing } from './KeyPicture.tsx';
import { Mark } from './Mark.tsx';
import { Table } from './Table.tsx';
import { Windowed } from './Windowed.tsx';

const words = t.hierarchy;

const ROW = 64;
const STEP = 30;
/** Deeper levels are drawn no further to the right; their number is said all the same. */
const DEEPEST = 9;
/** Shapes beside one key; the table has them all. */
const LEAVES = 3;

export function Hierarchy({ rows, ties, shown, counts, chosen, nameOf, open }: {
  readonly rows: readonly KeyRow[];
  readonly ties: Ties;
  /** What the filter shows. */
  readonly shown: readonly KeyRow[];
  /** Findings of each key, by identity. */
  readonly counts: ReadonlyMap<string, number>;
  readonly chosen: string | null;
  readonly nameOf: (serial: string) => string;
  readonly open: (identity: string) => void;
}) {
  const lines = useMemo(() => hierarchyOf(rows, ties, new Set(shown), ({ key }) => counts.has(key.identity)), [rows, ties, shown, counts]);
  const box = useRef<HTMLElement>(null);
  // Whoever asked for the picture goes on with the arrow keys.
  useEffect(() => box.current?.querySelector<HTMLElement>('[role=listbox]')?.focus({ preventScroll: true }), []);
  const levels = lines.reduce((most, { level }) => Math.max(most, level + 1), 0);
  return (
    <section className="hierarchy" ref={box} data-testid="whole-hierarchy">
      <h2>{words.title}</h2>
      <p className="note">{words.lead}</p>
      <p role="status">
        {words.shown(lines.length, levels)}. <span className="note">{words.keys}</span>
      </p>
      <Windowed
        label={words.title}
        total={lines.length}
        height={ROW}
        rows={Math.min(9, lines.length)}
        startAt={Math.max(0, lines.findIndex(({ row }) => row.key.identity === chosen))}
        className="branches"
        choose={(number) => {
          const { key, state } = lines[number]?.row ?? {};
          if (!key) return;
          open(key.identity);
          store.getState().say(t.inventory.chosen(key.label, stateWord(state ?? 'unknown'), counts.get(key.identity) ?? 0));
        }}
        row={(number) => {
          const line = lines[number];
          return {
            className: `branch${line?.sought === false ? ' outline' : ''}${line?.row.key.identity === chosen ? ' shown' : ''}`,
            content: line ? <Branch of={line} found={counts.get(line.row.key.identity) ?? 0} nameOf={nameOf} /> : null,
          };
        }}
      />
      <Legend lines={lines} />
      <Tabled lines={lines} counts={counts} nameOf={nameOf} open={open} />
    </section>
  );
}

function aboveWords({ above, also }: Line): string {
  const say = (how: (tie: string, label: string) => string) => ({ row, tie }: Bond) => how(words.ties[tie], row.key.label);
  return [...above === null ? [] : [say(words.above)(above)], ...also.map(say(above === null ? words.above : words.also))].join(', ');
}

function Branch({ of: line, found, nameOf }: { readonly of: Line; readonly found: number; readonly nameOf: (serial: string) => string }) {
  const { row: { key, state }, level, sought } = line;
  const leaves = leavesOf(key, nameOf);
  const above = aboveWords(line);
  return (
    <>
      <Ways of={line} />
      <span className="who">
        <span className="hidden">{words.level(level + 1)}, </span>
        <span className="label">{key.label}</span>
        {found > 0 ? (
          <span className="found">
            <Mark name="refused" quiet /> {t.inventory.findings(found)}
          </span>
        ) : null}
        <span className="note">
          {[stateWord(state), key.algorithm, ...key.rehearsal ? [t.inventory.inRehearsal] : [], ...above === '' ? [] : [above], ...sought ? [] : [words.onlyFor]].join(' · ')}
        </span>
      </span>
      <span className="leaves">
        {leaves.slice(0, LEAVES).map((leaf) => (
          <LeafOf key={`${leaf.medium} ${leaf.place}`} leaf={leaf} />
        ))}
        {leaves.length > LEAVES ? <span className="leaf">{words.moreLeaves(leaves.length - LEAVES)}</span> : null}
      </span>
    </>
  );
}

function LeafOf({ leaf: { medium, place, count, stands } }: { readonly leaf: Leaf }) {
  return (
    <span className={`leaf${stands ? '' : ' ended'}`}>
      <MediumShape medium={medium} stands={stands} />
      <span>{words.leaf(count, place)}</span>
    </span>
  );
}

/** The lines that come from above and go on below, and the ring of the key's state at its level. */
function Ways({ of: { row: { state }, level, above, goesOn, below } }: { readonly of: Line }) {
  const at = Math.min(level, DEEPEST);
  const x = (column: number) => 22 + column * STEP;
  const middle = ROW / 2;
  const own = goesOn.at(-1) ?? false;
  return (
    <svg width={x(at) + 16} height={ROW} aria-hidden="true">
      {goesOn.slice(0, -1).map((on, column) => (on && column < DEEPEST ? <path key={column} d={`M${x(column)} 0V${ROW}`} className="edge" /> : null))}
      {level === 0 || level > DEEPEST ? null : (
        <>
          <path d={`M${x(at - 1)} 0V${own ? ROW : middle}`} className="edge" />
          <path d={`M${x(at - 1)} ${middle}H${x(at) - 12}`} className={`edge${above?.tie === 'wraps' ? ' loose' : ''}`} />
        </>
      )}
      {below === 0 || level >= DEEPEST ? null : <path d={`M${x(at)} ${middle + 12}V${ROW}`} className="edge" />}
      <g transform={`translate(${x(at)} ${middle}) scale(1.3)`} className={`shape state-${state}`}>
        <Ring state={state} />
      </g>
    </svg>
  );
}

/** Only the ties that are in the picture. */
function Legend({ lines }: { readonly lines: readonly Line[] }) {
  const ties = (['issued', 'wraps'] as const).filter((tie) => lines.some(({ above }) => above !== null && (above.tie === 'wraps') === (tie === 'wraps')));
  if (ties.length === 0) return null;
  return (
    <ul className="shapes branch-ties" aria-hidden="true">
      {ties.map((tie) => (
        <li key={tie}>
          <svg width="34" height="20">
            <path d="M0 10H34" className={`edge${tie === 'wraps' ? ' loose' : ''}`} />
          </svg>
          {words.legend[tie]}
        </li>
      ))}
    </ul>
  );
}

const TABLED = 50;

/** Opened only on demand, and then so many at a time: thousands of rows at once would hold up the page. */
function Tabled({ lines, counts, nameOf, open }: { readonly lines: readonly Line[]; readonly counts: ReadonlyMap<string, number>; readonly nameOf: (serial: string) => string; readonly open: (identity: string) => void }) {
  const [opened, setOpened] = useState(false);
  const [most, setMost] = useState(TABLED);
  return (
    <details onToggle={(event) => setOpened(event.currentTarget.open)}>
      <summary>{words.table}</summary>
      {opened ? (
        <>
          <Table label={words.table} columns={words.columns}>
            {lines.slice(0, most).map((line) => {
              const { key, state } = line.row;
              const found = counts.get(key.identity) ?? 0;
              return (
                <tr key={key.identity}>
                  <td className="tabular">{line.level + 1}</td>
                  <th scope="row">
                    <button type="button" onClick={() => open(key.identity)}>
                      {key.label}
                    </button>
                  </th>
                  <td>
                    <StateRing state={state} /> {stateWord(state)}
                  </td>
                  <td>{aboveWords(line) || words.top}</td>
                  <td>{leavesOf(key, nameOf).map(({ count, place }) => words.leaf(count, place)).join(', ') || words.noLeaf}</td>
                  <td>{found === 0 ? '' : <><Mark name="refused" quiet /> {t.inventory.findings(found)}</>}</td>
                </tr>
              );
            })}
          </Table>
          {lines.length > most ? (
            <button type="button" onClick={() => setMost(most + TABLED)}>
              {t.inventory.more(Math.min(TABLED, lines.length - most))}
            </button>
          ) : null}
        </>
      ) : null}
    </details>
  );
}
