/**
 * A key as a picture: the ring of its state, what it lies wrapped under and what lies wrapped under it, its copies as satellites
 * in the shape of their medium, and its life in columns. Every shape has its word, and all of it stands in tables beside it.
 */
import type { ReactElement } from 'react';
import type { InventoryKey } from '../../ceremonies/inventory.ts';
import { lifeOf, stateWord, type CopyView, type Medium } from '../keys.ts';
import { dateTime, timeOf } from '../reading.ts';
import { t } from '../texts.ts';

// --- shapes, each within -10 … 10 -----------------------------------------------------------------------------------------

const CROSS = <path d="M-4.5 -4.5l9 9M4.5 -4.5l-9 9" className="line" />;

/** SP 800-57 Part 1 section 7, one shape each: a ring, whole while the key exists, and what is in it. A state of a later record is an empty ring. */
const STATES: Readonly<Record<string, { readonly whole: boolean; readonly inside: ReactElement | null }>> = {
  'pre-activation': { whole: false, inside: null },
  active: { whole: true, inside: <circle r="4.6" className="solid" /> },
  suspended: { whole: true, inside: <path d="M-2.4 -3.8v7.6M2.4 -3.8v7.6" className="line" /> },
  deactivated: { whole: true, inside: <path d="M-4 0h8" className="line" /> },
  compromised: { whole: true, inside: <path d="M0 -4.4v5M0 3.2v1.2" className="line" /> },
  destroyed: { whole: false, inside: CROSS },
};

export function Ring({ state }: { readonly state: string }) {
  const { whole, inside } = STATES[state] ?? { whole: false, inside: null };
  return (
    <>
      <circle r="8" className={whole ? 'line' : 'line dashed'} />
      {inside}
    </>
  );
}

export function StateRing({ state, size = 20 }: { readonly state: string; readonly size?: number }) {
  return (
    <svg className={`shape state-${state}`} viewBox="-10 -10 20 20" width={size} height={size} aria-hidden="true">
      <Ring state={state} />
    </svg>
  );
}

const MEDIA: Readonly<Record<Medium, ReactElement>> = {
  // A chip with its legs.
  token: (
    <>
      <rect x="-5.5" y="-5.5" width="11" height="11" rx="1.5" className="line" />
      <path d="M-2.5 -5.5v-3M2.5 -5.5v-3M-2.5 5.5v3M2.5 5.5v3M-5.5 -2.5h-3M-5.5 2.5h-3M5.5 -2.5h3M5.5 2.5h3" className="line" />
      <rect x="-2" y="-2" width="4" height="4" className="solid" />
    </>
  ),
  // The same without anything inside: nothing of it is secret.
  public: (
    <>
      <rect x="-5.5" y="-5.5" width="11" height="11" rx="1.5" className="line" />
      <path d="M-2.5 -5.5v-3M2.5 -5.5v-3M-2.5 5.5v3M2.5 5.5v3M-5.5 -2.5h-3M-5.5 2.5h-3M5.5 -2.5h3M5.5 2.5h3" className="line" />
    </>
  ),
  // Lines of a record.
  record: (
    <>
      <rect x="-7" y="-8" width="14" height="16" rx="1" className="line" />
      <path d="M-4 -4h8M-4 0h8M-4 4h5" className="line" />
    </>
  ),
  // A sheet with a corner turned down.
  file: <path d="M-6 -8h8l4 4v12h-12zM2 -8v4h4" className="line" />,
  // Cards, one before the other.
  shares: (
    <>
      <rect x="-8.5" y="-3.5" width="13" height="9.5" rx="1.5" className="line" />
      <path d="M-4.5 -3.5v-3a1 1 0 0 1 1 -1h11a1 1 0 0 1 1 1v7.5a1 1 0 0 1 -1 1h-3" className="line" />
      <path d="M-5.5 -.5h3" className="line" />
    </>
  ),
  other: <path d="M0 -8l8 8-8 8-8-8z" className="line" />,
};

/** A sheet with a seal. */
const CERTIFICATE = (
  <>
    <path d="M-2 7h-5v-14h14v9" className="line" />
    <circle cx="3.5" cy="4.5" r="3.4" className="line" />
    <path d="M2 7.4v2.4M5 7.4v2.4" className="line" />
  </>
);

export function MediumShape({ medium, stands }: { readonly medium: Medium; readonly stands: boolean }) {
  return (
    <svg className={`shape${stands ? '' : ' ended'}`} viewBox="-10 -10 20 20" width="24" height="24" aria-hidden="true">
      {MEDIA[medium]}
      {stands ? null : <path d="M-9 9L9 -9" className="line struck" />}
    </svg>
  );
}

function At({ x, y, scale = 1, className = '', children }: { readonly x: number; readonly y: number; readonly scale?: number; readonly className?: string; readonly children: ReactElement | readonly (ReactElement | null)[] | null }) {
  return (
    <g transform={`translate(${x} ${y}) scale(${scale})`} className={`shape ${className}`}>
      {children}
    </g>
  );
}

/** As many letters as fit; the whole stands in the table. */
function clipped(words: string, letters: number): string {
  return words.length <= letters ? words : `${words.slice(0, letters - 1)}…`;
}

// --- key and copies ----------------------------------------------------------------------------------------------------

const WIDTH = 760;
const SATELLITE = 46;
const BRANCH = 30;
const SHOWN = 8;

export function KeyAndCopies({ label, state, copies, above, below }: {
  readonly label: string;
  readonly state: string;
  readonly copies: readonly CopyView[];
  readonly above: readonly InventoryKey[];
  readonly below: readonly InventoryKey[];
}) {
  const words = t.inventory;
  const satellites = copies.slice(0, SHOWN);
  const parents = above.slice(0, 3);
  const children = below.slice(0, SHOWN);
  const top = parents.length === 0 ? 0 : parents.length * BRANCH + 34;
  const bottom = children.length === 0 ? 0 : children.length * BRANCH + 42 + (below.length > SHOWN ? BRANCH : 0);
  const beside = (satellites.length + (copies.length > SHOWN ? 1 : 0)) * SATELLITE;
  const middle = Math.max(beside, 132);
  const center = { x: 92, y: top + middle / 2 };
  const height = top + middle + bottom;
  const first = center.y - (beside - SATELLITE) / 2;
  return (
    <figure className="picture">
      <figcaption>{words.picture}</figcaption>
      <div className="sheet" tabIndex={0} role="region" aria-label={words.picture}>
        <svg viewBox={`0 0 ${WIDTH} ${height}`} width={WIDTH} height={height} role="img" aria-label={words.pictureSays(label, copies.length, above.length, below.length)}>
          {parents.length === 0 ? null : (
            <>
              <text x="20" y="16" className="quiet">{words.above}</text>
              {parents.map((key, index) => (
                <Branch key={key.identity} other={key} x={center.x} y={38 + index * BRANCH} />
              ))}
              <path d={`M${center.x} ${38 + (parents.length - 1) * BRANCH + 11}V${center.y - 37}`} className="edge" />
            </>
          )}
          {satellites.map((copy, index) => {
            const y = first + index * SATELLITE;
            return (
              <g key={index}>
                <path d={`M${center.x + 40} ${center.y}C${center.x + 110} ${center.y} ${center.x + 90} ${y} 214 ${y}`} className={`edge${copy.stands ? '' : ' cut'}`} />
                <Satellite copy={copy} y={y} />
              </g>
            );
          })}
          {copies.length > SHOWN ? <text x="254" y={first + SHOWN * SATELLITE + 5} className="quiet">{words.copiesMore(copies.length - SHOWN)}</text> : null}
          <At x={center.x} y={center.y} scale={4} className={`big state-${state}`}>
            <Ring state={state} />
          </At>
          <text x={center.x} y={center.y + 56} className="middle strong">{stateWord(state)}</text>
          {children.length === 0 ? null : (
            <>
              <path d={`M${center.x} ${center.y + 66}V${top + middle + 8}M${center.x} ${top + middle + 30}${children.map((_, index) => `V${top + middle + 48 + index * BRANCH}h20m-20 0`).join('')}`} className="edge" />
              <text x="20" y={top + middle + 24} className="quiet">{words.below}</text>
              {children.map((key, index) => (
                <Branch key={key.identity} other={key} x={center.x + 30} y={top + middle + 48 + index * BRANCH} />
              ))}
              {below.length > SHOWN ? <text x={center.x + 52} y={height - 6} className="quiet">{words.belowMore(below.length - SHOWN)}</text> : null}
            </>
          )}
        </svg>
      </div>
      <Legend copies={copies} />
    </figure>
  );
}

function Branch({ other, x, y }: { readonly other: InventoryKey; readonly x: number; readonly y: number }) {
  const state = other.state ?? 'unknown';
  return (
    <>
      <At x={x} y={y} className={`state-${state}`}>
        <Ring state={state} />
      </At>
      <text x={x + 22} y={y + 5}>
        {clipped(other.label, 48)} <tspan className="quiet">{stateWord(state)}</tspan>
      </text>
    </>
  );
}

function Satellite({ copy: { medium, title, place, stands, shares, copy }, y }: { readonly copy: CopyView; readonly y: number }) {
  const cards = shares.slice(0, 12);
  return (
    <>
      <At x={230} y={y} scale={1.25} className={stands ? '' : 'ended'}>
        {MEDIA[medium]}
      </At>
      {stands ? null : <path d={`M218 ${y + 12}L242 ${y - 12}`} className="strike" />}
      <text x="254" y={y - 2} className={stands ? '' : 'quiet'}>{clipped(cards.length > 0 && copy.end !== null ? `${title}: ${copy.end.level}, ${copy.end.how}` : title, 60)}</text>
      {cards.length > 0 ? null : <text x="254" y={y + 16} className="quiet">{clipped(copy.end === null ? place : `${copy.end.level}, ${copy.end.how}`, 64)}</text>}
      {cards.map((share, index) => (
        <At key={index} x={264 + index * 25} y={y + 12} className={share.stands ? '' : 'ended'}>
          {[
            <rect key="card" x="-9" y="-6.5" width="18" height="13" rx="2" className={`line${share.stands ? '' : ' dashed'}`} />,
            share.stands && share.readBack ? <path key="read" d="M-4 0l3 3 5-6" className="line" /> : null,
          ]}
        </At>
      ))}
    </>
  );
}

/** Only the shapes that are in the picture. */
function Legend({ copies }: { readonly copies: readonly CopyView[] }) {
  const media = [...new Set(copies.map(({ medium }) => medium))];
  return (
    <ul className="shapes" aria-hidden="true">
      {media.map((medium) => (
        <li key={medium}>
          <MediumShape medium={medium} stands /> {t.inventory.media[medium]}
        </li>
      ))}
      {copies.some(({ stands }) => !stands) ? (
        <li>
          <MediumShape medium={copies.find(({ stands }) => !stands)?.medium ?? 'token'} stands={false} /> {t.inventory.legendEnded}
        </li>
      ) : null}
    </ul>
  );
}

// --- a life ------------------------------------------------------------------------------------------------------------

const NAMES = 236;
const LANE = 30;
/** What the picture shall not be wider than, if each step is still told apart. */
const FITS = 770;

export function Lifecycle({ of: key, copies }: { readonly of: InventoryKey; readonly copies: readonly CopyView[] }) {
  const words = t.inventory;
  const { columns, copies: lanes, certificates } = lifeOf(key, copies);
  const [begin, last] = [columns[0], columns.at(-1)];
  if (!begin || !last) return null;
  const step = Math.max(26, Math.min(56, (FITS - NAMES - 140) / (columns.length + 0.5)));
  const x = (column: number) => NAMES + column * step + step / 2;
  const end = NAMES + columns.length * step + step / 2;
  const width = end + 140;
  const head = 54;
  const shown = lanes.slice(0, 12);
  const y = (lane: number) => head + lane * LANE + LANE / 2;
  const certified = certificates.slice(0, 4);
  const height = head + (shown.length + certified.length + 1) * LANE + 6;
  // The date stands where it changes, and never over another.
  const dated = columns.reduce<number[]>((drawn, { at }, column) => {
    const before = drawn.at(-1);
    const changes = before === undefined || columns[before]?.at.slice(0, 10) !== at.slice(0, 10);
    return changes && (before === undefined || column - before >= 3) ? [...drawn, column] : drawn;
  }, []);
  return (
    <figure className="picture">
      <figcaption>
        {words.lifecycle} <span className="note">{words.lifecycleHint}</span>
      </figcaption>
      <div className="sheet" tabIndex={0} role="region" aria-label={words.lifecycle}>
        <svg viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={words.lifecycleSays(key.events.length, dateTime(begin.at), dateTime(key.events.at(-1)?.at ?? last.at))}>
          {columns.map(({ at, first, events }, column) => (
            <g key={first}>
              <path d={`M${x(column)} ${head - 6}V${height - 6}`} className="column" />
              {dated.includes(column) ? <text x={x(column) - 14} y="16" className="quiet">{`${at.slice(0, 10)} ${timeOf(at)}`}</text> : null}
              <text x={x(column)} y="40" className="middle number">{events === 1 ? first + 1 : `${first + 1}–${first + events}`}</text>
            </g>
          ))}
          <text x={end} y="40" className="quiet">{words.now}</text>
          <text x="0" y={y(0) + 5} className="strong">{words.itself}</text>
          <path d={`M${x(0)} ${y(0)}H${end - 8}`} className="bar whole" />
          {columns.map(({ first, events }, column) => (
            <circle key={first} cx={x(column)} cy={y(0)} r={events === 1 ? 5 : 8} className="beat" />
          ))}
          <At x={end + 6} y={y(0)} className={`state-${key.state ?? 'unknown'}`}>
            <Ring state={key.state ?? 'unknown'} />
          </At>
          <text x={end + 24} y={y(0) + 5}>{stateWord(key.state ?? 'unknown')}</text>
          {shown.map(({ view, from, to }, index) => {
            const line = y(index + 1);
            return (
              <g key={index}>
                <At x={10} y={line} className={view.stands ? '' : 'ended'}>{MEDIA[view.medium]}</At>
                <text x="28" y={line + 5} className={view.stands ? '' : 'quiet'}>{clipped(view.title, 26)}</text>
                <path d={`M${x(from)} ${line}H${to === null ? end - 8 : x(to)}`} className={`bar${view.stands ? '' : ' over'}`} />
                <circle cx={x(from)} cy={line} r="4" className="beat" />
                {to === null ? (
                  <path d={`M${end - 14} ${line - 5}l6 5-6 5`} className="tip" />
                ) : (
                  <>
                    <path d={`M${x(to) - 5} ${line - 5}l10 10M${x(to) + 5} ${line - 5}l-10 10`} className="tip" />
                    <text x={x(to) + 12} y={line + 5} className="quiet">{view.copy.end?.level ?? ''}</text>
                  </>
                )}
              </g>
            );
          })}
          {certified.map(({ subject, notAfter, from }, index) => {
            const line = y(shown.length + index + 1);
            return (
              <g key={index}>
                <At x={10} y={line}>{CERTIFICATE}</At>
                <text x="28" y={line + 5}>{clipped(/CN=[^,]+/.exec(subject)?.[0] ?? subject, 26)}</text>
                <path d={`M${x(from)} ${line}H${end - 8}`} className={`bar${Date.parse(notAfter) < Date.now() ? ' over' : ''}`} />
                <circle cx={x(from)} cy={line} r="4" className="beat" />
                <path d={`M${end - 14} ${line - 5}l6 5-6 5`} className="tip" />
                <text x={end} y={line + 5} className="quiet">{words.certificateUntil(notAfter.slice(0, 10))}</text>
              </g>
            );
          })}
        </svg>
      </div>
      {lanes.length > shown.length ? <p className="note">{words.copiesMore(lanes.length - shown.length)}</p> : null}
    </figure>
  );
}
