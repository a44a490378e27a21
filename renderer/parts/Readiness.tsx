/** What tokens can do: proven by trying, claimed by a list, or absent. One picture, and every cell explains itself. */
import { useEffect, useRef, useState, type KeyboardEvent } from 'react';
import type { Readiness } from '../../ceremonies/estate.ts';
import type { Answers } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import { matrixOf, READINESS_MARK, type MatrixFamily } from '../estate.ts';
import { store } from '../page.ts';
import { troubleOf, type Trouble } from '../store.ts';
import { t } from '../texts.ts';
import { Mark } from './Mark.tsx';
import { TroublePanel } from './Trouble.tsx';

export interface Column {
  readonly title: string;
  readonly readiness: readonly Readiness[];
}

/** One small table per family; rows are parameter sets, columns the tokens that were tried. */
export function Matrix({ columns }: { readonly columns: readonly Column[] }) {
  const [shown, setShown] = useState<{ readonly title: string; readonly cell: Readiness } | null>(null);
  return (
    <section className="matrix">
      <h3>{t.tokens.matrix}</h3>
      <p className="note">{t.tokens.matrixHint}</p>
      <div className={`families${columns.length > 2 ? ' wide' : ''}`}>
        {matrixOf(columns.map(({ readiness }) => readiness)).map((family) => (
          <Family
            key={family.family}
            family={family}
            titles={columns.map(({ title }) => title)}
            show={(title, cell) => setShown({ title, cell })}
          />
        ))}
      </div>
      <Explained shown={shown} several={columns.length > 1} />
    </section>
  );
}

function wordOf(cell: Readiness): string {
  return cell.can === 'claimed' && cell.code !== null ? t.tokens.canFailed : t.tokens.can[cell.can];
}

function Family({
  family: { family, rows },
  titles,
  show,
}: {
  readonly family: MatrixFamily;
  readonly titles: readonly string[];
  readonly show: (title: string, cell: Readiness) => void;
}) {
  const [at, setAt] = useState<readonly [row: number, column: number]>([0, 0]);
  const table = useRef<HTMLTableElement>(null);
  const onKey = (event: KeyboardEvent) => {
    const by = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], Home: [-rows.length, 0], End: [rows.length, 0] }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const [down = 0, right = 0] = by;
    const row = Math.max(0, Math.min(rows.length - 1, at[0] + down));
    const column = Math.max(0, Math.min(titles.length - 1, at[1] + right));
    setAt([row, column]);
    table.current?.querySelector<HTMLElement>(`[data-cell="${row}-${column}"]`)?.focus();
  };
  return (
    <table ref={table} role="grid" aria-label={t.tokens.families[family]} onKeyDown={onKey}>
      <thead>
        <tr>
          <th scope="col">{t.tokens.families[family]}</th>
          {titles.map((title, column) => (
            <th key={column} scope="col">
              {titles.length > 1 ? title : <span className="hidden">{title}</span>}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, cells }, row) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {cells.map((cell, column) => (
              <td
                key={column}
                className={cell ? `can-${cell.can}` : ''}
                data-cell={`${row}-${column}`}
                tabIndex={at[0] === row && at[1] === column ? 0 : -1}
                aria-label={cell ? [name, wordOf(cell), cell.detail].filter((part) => part !== '').join(', ') : `${name}, ${t.tokens.notAsked}`}
                onFocus={() => {
                  setAt([row, column]);
                  if (cell) show(titles[column] ?? '', cell);
                }}
                onMouseEnter={() => {
                  if (cell) show(titles[column] ?? '', cell);
                }}
              >
                {cell ? (
                  <>
                    <Mark name={READINESS_MARK[cell.can]} quiet /> {wordOf(cell)}
                  </>
                ) : (
                  <span className="note">{t.tokens.notAsked}</span>
                )}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Stays where it is while the frame moves, so that nothing jumps. */
function Explained({ shown, several }: { readonly shown: { readonly title: string; readonly cell: Readiness } | null; readonly several: boolean }) {
  if (shown === null) return <div className="explained" />;
  const { cell, title } = shown;
  return (
    <div className="explained">
      <p>
        <strong>
          <Mark name={READINESS_MARK[cell.can]} quiet /> {cell.name}: {wordOf(cell)}
        </strong>
        {several ? ` (${title})` : ''} {cell.milliseconds === null ? '' : t.tokens.took(cell.milliseconds)}
      </p>
      <p>
        {t.tokens.canMeans[cell.can]} {cell.detail} {cell.code === null ? null : <code>{cell.code}</code>}
      </p>
      <p className="note">
        <code>{cell.mechanisms.join(', ')}</code>
      </p>
    </div>
  );
}

// --- mechanisms --------------------------------------------------------------------------------------------------------

export function Mechanisms({ module, serial }: { readonly module: string; readonly serial: string }) {
  const [mechanisms, setMechanisms] = useState<Answers['mechanisms']['mechanisms'] | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  useEffect(() => {
    let wanted = true;
    void bridge.call({ call: 'mechanisms', module, token: serial }).then((answer) => {
      if (!wanted) return;
      if (answer.ok) setMechanisms(answer.value.mechanisms);
      else setTrouble(troubleOf('mechanisms', answer));
      if (answer.ok) store.getState().say(t.tokens.mechanismCount(answer.value.mechanisms.length));
    });
    return () => {
      wanted = false;
    };
  }, [module, serial]);
  if (trouble) return <TroublePanel refusal={trouble.refusal} problem={trouble.problem} />;
  if (mechanisms === null) return <p className="note">{t.tokens.reading}</p>;
  return (
    <details className="mechanisms">
      <summary>
        {t.tokens.mechanisms} <span className="note">{t.tokens.mechanismCount(mechanisms.length)}</span>
      </summary>
      <p className="note">{t.tokens.mechanismsLead}</p>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.tokens.name}</th>
            <th scope="col">{t.tokens.number}</th>
            <th scope="col">{t.tokens.keys}</th>
            <th scope="col">{t.tokens.uses}</th>
          </tr>
        </thead>
        <tbody>
          {mechanisms.map(({ name, number, min, max, flags }) => (
            <tr key={number}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td>
                <code>0x{number.toString(16).padStart(8, '0')}</code>
              </td>
              <td>{t.tokens.sizes(min, max)}</td>
              <td>{flags.map((flag) => flag.replace(/^CKF_/, '').toLowerCase().replaceAll('_', ' ')).join(', ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
