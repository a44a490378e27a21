/**
 * REHEARSAL cannot be cropped away: a hatch on all four edges, the word above and below, and faintly behind everything.
 * A real ceremony has the same band without hatch.
 */
import type { ReactNode } from 'react';
import { t } from '../texts.ts';

export function Band({
  mode,
  title,
  act,
  right,
}: {
  readonly mode: 'rehearsal' | 'real';
  readonly title: string;
  readonly act: string;
  readonly right: ReactNode;
}) {
  return (
    <header className={`band band-${mode}`}>
      <strong>{t.ceremony[mode]}</strong>
      <span className="band-title">{title}</span>
      {act === '' ? null : <span className="band-act">{act}</span>}
      <span className="band-right">{right}</span>
    </header>
  );
}

/** Drawn once per page: the frame is fixed to the window, above everything but dialogs, and lets every click through. */
export function Hatch() {
  return (
    <div className="hatch" aria-hidden="true">
      <i className="above" />
      <i className="right" />
      <i className="below" />
      <i className="left" />
      <b>{t.ceremony.rehearsal}</b>
    </div>
  );
}
