/** The ring: one seat per participant, filled by proven presence. Every mark has a shape, and a sentence for those who hear. */
import type { ReactElement } from 'react';
import type { State } from '../../ceremonies/ceremony.ts';
import { ringCount, seatSentence, seatViews, type SeatView } from '../reading.ts';
import { t } from '../texts.ts';

const WIDTH = 320;
const HEIGHT = 318;
/** More seats than this: smaller, and without a label under each; their names are in the list beside the picture. */
const LABELLED = 10;
/** In smaller seats a letter would be under 14 pixels: the instruction names who acts, the hidden list names everybody. */
const READABLE = 18.5;

export function Seats({ state }: { readonly state: State }) {
  const seats = seatViews(state);
  const { count, of, what } = ringCount(state);
  const labelled = seats.length <= LABELLED;
  const where = places(seats.length);
  return (
    <section className="seats" aria-label={t.ceremony.seats}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
        <text x={WIDTH / 2} y={146} className="ring-count">
          {count}/{of}
        </text>
        <text x={WIDTH / 2} y={172} className="ring-what">
          {what}
        </text>
        {seats.map((seat, index) => {
          const place = where[index];
          return place ? <Seat key={seat.seat} seat={seat} labelled={labelled} {...place} /> : null;
        })}
      </svg>
      <ul className="hidden">
        {seats.map((seat) => (
          <li key={seat.seat}>{seatSentence(seat)}</li>
        ))}
      </ul>
      <Legend seats={seats} />
    </section>
  );
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly r: number;
}

/** Few seats share one circle, with room for their labels; a crowd sits on several, as large as fits around the count. */
function places(total: number): Place[] {
  const at = (radius: number, r: number, index: number, of: number): Place => {
    const angle = (2 * Math.PI * index) / of - Math.PI / 2;
    return { x: WIDTH / 2 + radius * Math.cos(angle), y: 146 + radius * Math.sin(angle), r };
  };
  if (total <= LABELLED)
    return Array.from({ length: total }, (_, index) => at(108, Math.min(25, 210 / total), index, total));
  for (let r = 22; ; r -= 0.5) {
    const apart = r * 2.3;
    const rings: number[] = [];
    for (let radius = 136 - r, left = total; left > 0 && radius - r >= 54; radius -= apart) {
      const fits = Math.min(left, Math.floor((2 * Math.PI * radius) / apart));
      rings.push(fits);
      left -= fits;
    }
    if (r <= 3 || rings.reduce((sum, fits) => sum + fits, 0) >= total) {
      return rings.flatMap((fits, ring) =>
        Array.from({ length: fits }, (_, index) => at(136 - r - ring * apart, r, index, fits)),
      );
    }
  }
}

function Seat({ seat, x, y, r, labelled }: Place & { readonly seat: SeatView; readonly labelled: boolean }) {
  const scale = r / 25;
  return (
    <g
      transform={`translate(${x} ${y}) scale(${scale})`}
      className={`seat${seat.present ? ' present' : ''}${seat.acting ? ' acting' : ''}`}
    >
      {seat.acting ? <circle r="32" className="halo" /> : null}
      <circle r="25" className="body" />
      {r < READABLE ? null : (
        <text y="8" className="letter">
          {seat.letter}
        </text>
      )}
      {seat.share === 'none' ? null : (
        <g transform="translate(21 17)">
          <ShareMark share={seat.share} />
        </g>
      )}
      {seat.signed ? (
        <g transform="translate(21 -19)">
          <SignedMark />
        </g>
      ) : null}
      {seat.saw ? (
        <g transform="translate(-22 -19)">
          <SawMark />
        </g>
      ) : null}
      {labelled ? (
        <text y="49" className="label">
          {seat.title}
        </text>
      ) : null}
    </g>
  );
}

function ShareMark({ share }: { readonly share: Exclude<SeatView['share'], 'none'> }) {
  return (
    <>
      <rect x="-13" y="-9" width="26" height="18" rx="3" className={`card card-${share === 'unread' ? 'void' : share}`} />
      {share === 'proven' ? (
        <path d="M-6 0l4 4 8-8" className="card-check" />
      ) : share === 'void' ? null : share === 'unread' ? (
        <path d="M-4 -4l8 8m0 -8l-8 8" className="card-chip" />
      ) : (
        <path d="M-8 -3h7" className="card-chip" />
      )}
    </>
  );
}

function SignedMark() {
  return (
    <>
      <circle r="11" className="badge" />
      <path d="M-5 6l1-4 7-7 3 3-7 7z" className="badge-line" />
    </>
  );
}

function SawMark() {
  return (
    <>
      <circle r="11" className="badge" />
      <path d="M-7 0q7-8 14 0q-7 8-14 0z" className="badge-line" />
      <circle r="2" className="badge-dot" />
    </>
  );
}

/** Only the marks that are on the ring now. */
function Legend({ seats }: { readonly seats: readonly SeatView[] }) {
  const marks = t.ceremony.seatMarks;
  const rows: readonly (readonly [boolean, string, ReactElement])[] = [
    [seats.some((seat) => !seat.present), marks.empty, <circle r="8" className="body" />],
    [seats.some((seat) => seat.present), marks.present, <circle r="8" className="body filled" />],
    [
      seats.some((seat) => seat.share === 'given'),
      marks.given,
      <g transform="scale(0.8)">
        <ShareMark share="given" />
      </g>,
    ],
    [
      seats.some((seat) => seat.share === 'proven'),
      marks.proven,
      <g transform="scale(0.8)">
        <ShareMark share="proven" />
      </g>,
    ],
    [
      seats.some((seat) => seat.share === 'void'),
      marks.voidShare,
      <g transform="scale(0.8)">
        <ShareMark share="void" />
      </g>,
    ],
    [
      seats.some((seat) => seat.share === 'unread'),
      marks.unread,
      <g transform="scale(0.8)">
        <ShareMark share="unread" />
      </g>,
    ],
    [
      seats.some((seat) => seat.signed),
      marks.signed,
      <g transform="scale(0.85)">
        <SignedMark />
      </g>,
    ],
    [
      seats.some((seat) => seat.saw),
      marks.saw,
      <g transform="scale(0.85)">
        <SawMark />
      </g>,
    ],
    [
      seats.some((seat) => seat.acting),
      marks.acting,
      <g>
        <circle r="9" className="halo" />
      </g>,
    ],
  ];
  return (
    <ul className="legend" aria-hidden="true">
      {rows
        .filter(([on]) => on)
        .map(([, words, shape]) => (
          <li key={words}>
            <svg viewBox="-12 -12 24 24" width="24" height="24">
              {shape}
            </svg>
            {words}
          </li>
        ))}
    </ul>
  );
}
