/**
 * Who has what and where: findings on top, the map, the latest movements, and the table behind it. Everything is folded from records by
 * the other half; nothing can be changed here. Things change hands in a ceremony.
 */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Source } from '../../ceremonies/inventory.ts';
import type { CustodyReport } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import { latestMovements, layOutMap, worldOf } from '../custody.ts';
import { Hatch } from '../parts/Band.tsx';
import { CustodyMapPicture } from '../parts/CustodyMap.tsx';
import { Frame } from '../parts/Frame.tsx';
import { Mark } from '../parts/Mark.tsx';
import { Table } from '../parts/Table.tsx';
import { Report, TroublePanel } from '../parts/Trouble.tsx';
import { store } from '../page.ts';
import { troubleOf, type Trouble } from '../store.ts';
import { t } from '../texts.ts';

/** The ceremony in which things change hands. */
const MOVEMENT = 'custody-movement';

export function Custody() {
  const [report, setReport] = useState<CustodyReport | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const [chosen, setChosen] = useState<boolean | null>(null);
  const read = useCallback(async () => {
    setReport(null);
    setTrouble(null);
    const answer = await bridge.call({ call: 'custody' });
    if (answer.ok) setReport(answer.value);
    else setTrouble(troubleOf('custody', answer));
  }, []);
  useEffect(() => {
    void read();
  }, [read]);
  const worlds = [false, true].filter((rehearsal) => report?.things.some((thing) => thing.rehearsal === rehearsal));
  const rehearsal = chosen ?? worlds[0] ?? false;
  return (
    <Frame wide busy={report === null && trouble === null}>
      {rehearsal && report ? <Hatch /> : null}
      <div className="title-row">
        <h1>{t.custody.title}</h1>
        {rehearsal && report ? <span className="tag">{t.ceremony.rehearsal}</span> : null}
        <button type="button" onClick={() => store.getState().go({ at: 'open', script: MOVEMENT })}>
          {t.custody.move}
        </button>
        <button type="button" onClick={() => void read()}>
          {t.custody.again}
        </button>
      </div>
      {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      {report === null && trouble === null ? <p role="status">{t.custody.reading}</p> : null}
      {worlds.length > 1 ? (
        <fieldset className="choices">
          <legend className="hidden">{t.custody.worlds}</legend>
          {worlds.map((one) => (
            <label key={String(one)} className={rehearsal === one ? 'chosen' : ''}>
              <input type="radio" name="world" checked={rehearsal === one} onChange={() => setChosen(one)} />
              <span>{one ? t.custody.rehearsals : t.custody.real}</span>
            </label>
          ))}
        </fieldset>
      ) : null}
      {report ? <World report={worldOf(report, rehearsal)} /> : null}
    </Frame>
  );
}

function World({ report }: { readonly report: CustodyReport }) {
  const { things, movements, balance, sets, sitesFault } = report;
  const findings = [...report.findings, ...(sitesFault ? [sitesFault] : []), ...report.placement];
  if (things.length === 0 && findings.length === 0) return <p className="lead">{t.custody.empty}</p>;
  const open = balance.filter(({ unaccounted }) => unaccounted !== 0);
  return (
    <>
      <section className="custody-findings" aria-label={t.custody.findings}>
        <p className="sentence-large">
          <Mark name={findings.length > 0 ? 'refused' : 'verified'} quiet /> {findings.length === 0 ? t.custody.nothingFound : t.custody.found(findings.length)}{' '}
          <Mark name={open.length > 0 ? 'refused' : 'verified'} quiet /> {open.length === 0 ? t.custody.balances : t.custody.doesNotBalance}
        </p>
        {findings.map((finding, i) => (
          <Report key={i} refusal={finding} />
        ))}
      </section>
      <section>
        <h2>{t.custody.mapTitle}</h2>
        {sets.map(({ id, threshold, shares, key }) => (
          <p key={id} className="note">
            {t.custody.set(threshold, shares, key)} <code>{id}</code>
          </p>
        ))}
        <Map report={report} />
      </section>
      <Movements movements={movements} />
      <Things things={things} />
      <Balance balance={balance} />
    </>
  );
}

/** As wide as there is room for: boxes wrap, and their text stays as large as it is. */
function Map({ report }: { readonly report: CustodyReport }) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(1200);
  useEffect(() => {
    const element = frame.current;
    if (!element) return undefined;
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 1200)));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  const map = useMemo(() => layOutMap(report, width), [report, width]);
  return (
    <div ref={frame}>
      <CustodyMapPicture map={map} />
    </div>
  );
}

const source = ({ ceremony, seq }: Source): string => `${ceremony.slice(0, 8)} ${seq}`;

function Movements({ movements }: Pick<CustodyReport, 'movements'>) {
  const latest = latestMovements(movements);
  const rest = movements.length - latest.length;
  if (latest.length === 0) return null;
  return (
    <section>
      <h2>{t.custody.latest}</h2>
      <ol className="custody-moves">
        {latest.map((one) => (
          <li key={source(one)}>
            <Mark name={one.state === 'signed' ? 'verified' : one.state === 'unsigned' ? 'reported' : 'refused'} quiet /> <strong>{one.thing}</strong> {t.custody.fromTo(one.from, one.to)}. {one.reason}.{' '}
            <span className="note">
              {t.custody.states[one.state]}
              {one.happened === null ? '' : `: ${one.happened}`} · {t.custody.entry(source(one))}
            </span>
          </li>
        ))}
      </ol>
      {rest > 0 ? <p className="note">{t.custody.earlier(rest)}</p> : null}
    </section>
  );
}

function Things({ things }: Pick<CustodyReport, 'things'>) {
  return (
    <section>
      <h2>{t.custody.things}</h2>
      <Table label={t.custody.things} columns={t.custody.columns}>
        {things.map((thing) => (
          <tr key={thing.key}>
            <th scope="row">
              {t.custody.kinds[thing.kind]} <code>{thing.identifier}</code>
            </th>
            <td>{thing.shares.length > 0 ? thing.shares.map(({ set, x }) => t.custody.share(x, set)).join(', ') : thing.what === thing.kind ? '' : thing.what}</td>
            <td>{thing.person ?? (thing.place === 'record' ? t.custody.thisMachine : t.custody.nobody)}</td>
            <td>{thing.site ?? (thing.place === 'record' ? t.custody.thisMachine : t.custody.nowhere)}</td>
            <td>
              {thing.unaccounted === null ? '' : `✕ ${t.custody.lost}. `}
              {thing.inside ?? (thing.place === null ? '' : t.custody.places[thing.place])}
            </td>
            <td className="tabular">
              <code>{source(thing.since)}</code>
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function Balance({ balance }: Pick<CustodyReport, 'balance'>) {
  if (balance.length === 0) return null;
  return (
    <section>
      <h2>{t.custody.balance}</h2>
      <Table label={t.custody.balance} columns={t.custody.balanceColumns}>
        {balance.map((row) => (
          <tr key={`${row.kind} ${row.name}`}>
            <th scope="row">{row.name}</th>
            {[row.first, row.in, row.out, row.here].map((count, i) => (
              <td key={i} className="tabular number">
                {count}
              </td>
            ))}
            <td>
              <Mark name={row.unaccounted === 0 ? 'verified' : 'refused'} quiet /> {t.custody.unaccounted(row.unaccounted)}
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
