/** Verdict marks: each has a shape and a word, and a colour only besides. */
import type { ReactElement } from 'react';
import type { Proof } from '../../ceremonies/evidence.ts';
import type { MarkName } from '../reading.ts';
import { t } from '../texts.ts';

const SHAPES: Record<MarkName, ReactElement> = {
  verified: (
    <>
      <circle cx="10" cy="10" r="8.5" className="solid" />
      <path d="M5.8 10.4l2.9 2.9 5.6-6.2" className="cut" />
    </>
  ),
  reported: (
    <>
      <path d="M10 1.6L19 17.6H1z" className="solid" />
      <path d="M10 7v5.2M10 14.4v1.4" className="cut" />
    </>
  ),
  refused: (
    <>
      <path d="M6.2 1.2h7.6l5 5v7.6l-5 5H6.2l-5-5V6.2z" className="solid" />
      <path d="M6.6 6.6l6.8 6.8M13.4 6.6l-6.8 6.8" className="cut" />
    </>
  ),
  said: <path d="M2 3.5h16v10.5H9.5L5.5 17.8V14H2z" className="line" />,
  begun: <circle cx="10" cy="10" r="7" className="line" />,
  signed: (
    <path
      d="M3 17l1.2-4.6L13.6 3a1.9 1.9 0 0 1 2.7 0l.7.7a1.9 1.9 0 0 1 0 2.7L7.6 15.8zM11.6 5l3.4 3.4"
      className="line"
    />
  ),
  checkpoint: (
    <>
      <circle cx="10" cy="10" r="2.6" className="dot" />
      <path d="M10 1.5v5M10 13.5v5" className="line" />
    </>
  ),
  pause: <path d="M6.5 4v12M13.5 4v12" className="line wide" />,
  plain: <circle cx="10" cy="10" r="3.4" className="dot" />,
  'not-reached': <circle cx="10" cy="10" r="7" className="line dashed" />,
};

export function Mark({
  name,
  quiet = false,
}: {
  readonly name: MarkName;
  /** True where the word stands beside it anyway. */ readonly quiet?: boolean;
}) {
  return (
    <svg
      className={`mark mark-${name}`}
      viewBox="0 0 20 20"
      width="20"
      height="20"
      {...(quiet ? { 'aria-hidden': true } : { role: 'img', 'aria-label': t.verdicts[name] })}
    >
      {SHAPES[name]}
    </svg>
  );
}

/** What a fact is worth: shape and word. */
export function ProofMark({ proof }: { readonly proof: Proof }) {
  return (
    <span className={`proof proof-${proof}`} title={t.proofs[proof]}>
      <Mark name={proof === 'reported' ? 'reported' : 'verified'} quiet /> {proof}
    </span>
  );
}
