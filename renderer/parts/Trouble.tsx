/** A refusal or a failure: the rule or the code, what was expected and found, what to do now. And that nothing was lost. */
import { useEffect, useRef, type ReactNode } from 'react';
import type { Refusal } from '../../ceremonies/refusal.ts';
import type { Problem } from '../store.ts';
import { t } from '../texts.ts';
import { Mark } from './Mark.tsx';

/** What a person asked for is no failure. */
const STOPPED = 'WORK_CANCELLED';

interface Props {
  readonly refusal: Refusal | null;
  readonly problem: Problem | null;
  /** What is known about the device: only after a step on one. */
  readonly device?: string;
  readonly children?: ReactNode;
}

export function TroublePanel({ refusal, problem, device, children }: Props) {
  const panel = useRef<HTMLElement>(null);
  const name = refusal?.rule ?? problem?.code ?? '';
  const stopped = problem?.code === STOPPED;
  useEffect(() => {
    panel.current?.scrollIntoView({ block: 'nearest' });
  }, [name]);
  return (
    <section className={`trouble${stopped ? ' trouble-stopped' : ''}`} role="alert" ref={panel}>
      <h2>
        <Mark name={stopped ? 'pause' : 'refused'} quiet />{' '}
        {refusal ? t.refusal.refused : stopped ? t.refusal.stopped : t.refusal.failed} <code>{name}</code>
      </h2>
      {refusal ? (
        <dl>
          <div>
            <dt>{t.refusal.expected}</dt>
            <dd>{refusal.expected}</dd>
          </div>
          <div>
            <dt>{t.refusal.found}</dt>
            <dd>{refusal.found}</dd>
          </div>
          <div className="do">
            <dt>{t.refusal.next}</dt>
            <dd>{refusal.next}</dd>
          </div>
        </dl>
      ) : (
        <dl>
          <div>
            <dt>{t.refusal.found}</dt>
            <dd>{problem?.message}</dd>
          </div>
          <div className="do">
            <dt>{t.refusal.next}</dt>
            <dd>{problem?.hint}</dd>
          </div>
        </dl>
      )}
      <p className="calm">
        {t.refusal.nothingLost}
        {device === undefined ? '' : ` ${device}`}
      </p>
      {children}
    </section>
  );
}

/** A finding: a refusal that is not news to be announced, but a line of a report. */
export function Report({ refusal: { rule, expected, found, next }, children }: { readonly refusal: Refusal; readonly children?: ReactNode }) {
  return (
    <div className="trouble">
      <h3>
        <Mark name="refused" quiet /> <code>{rule}</code>
      </h3>
      <dl>
        <div>
          <dt>{t.refusal.expected}</dt>
          <dd>{expected}</dd>
        </div>
        <div>
          <dt>{t.refusal.found}</dt>
          <dd>{found}</dd>
        </div>
        <div className="do">
          <dt>{t.refusal.next}</dt>
          <dd>{next}</dd>
        </div>
      </dl>
      {children}
    </div>
  );
}
