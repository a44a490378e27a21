/** One instruction, large: who, what, what to say, what to see, what to compare. The same for the live ceremony and for the replay. */
import { useEffect, useRef, type ReactNode } from 'react';
import { currentAct, personAt, type Pending, type State } from '../../ceremonies/ceremony.ts';
import { thumbprint } from '../../ceremonies/keys/public-key.ts';
import type { PlanStep } from '../../ceremonies/script.ts';
import { certifiedInput, comparedInput, stageFacts } from '../stage.ts';
import { PENDING_TITLES, seatTitle, t, thingTitle } from '../texts.ts';
import { Comparison, RecordedFile } from './InputFile.tsx';
import { Mark } from './Mark.tsx';
import { Facts, Words, wordsOf } from './Words.tsx';

/** The acts in a row: done, now, to come. Nothing here can be pressed. */
export function Acts({ state }: { readonly state: State }) {
  if (!state.plan) return null;
  const now = currentAct(state);
  const over = state.phase === 'closed' || (state.phase === 'open' && state.current === null);
  return (
    <ol className="acts" aria-label={t.ceremony.acts}>
      {state.plan.acts.map((act, index) => {
        const where = over || index < now ? 'done' : index === now ? 'now' : 'later';
        return (
          <li key={index} className={where} {...(where === 'now' ? { 'aria-current': 'step' as const } : {})}>
            <span className="number" aria-hidden="true">
              {where === 'done' ? <Mark name="verified" quiet /> : index + 1}
            </span>
            <span className="act-title">{act.title}</span>
            <span className="hidden">, {t.ceremony.actState[where]}</span>
          </li>
        );
      })}
    </ol>
  );
}

/** Whose step it is, in capitals as in the paper script. */
export function Actor({ state, seat }: { readonly state: State; readonly seat: string }) {
  return (
    <p className="actor">
      <strong>{seatTitle(seat)}</strong> <span>{nameBeside(seat, personAt(state, seat)?.name ?? '')}</span>
    </p>
  );
}

/** A rehearsal's name repeats the seat; beside the seat's own title only the rest of it is news. */
function nameBeside(seat: string, name: string): string {
  const title = seatTitle(seat);
  return name.startsWith(`${title} `) ? name.slice(title.length + 1) : name;
}

/** `terse`: only whose step it is and its title, where something else needs the room. */
export function Instruction({
  state,
  step,
  pending,
  labels,
  terse,
  children,
}: {
  readonly state: State;
  readonly step: PlanStep;
  readonly pending: Pending;
  readonly labels: ReadonlyMap<string, string> | null;
  readonly terse: boolean;
  readonly children?: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  // A new step is read to those who hear the screen; what had the focus is gone with the old one.
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
  }, [step.id]);
  const saying = pending.kind === 'step' || pending.kind === 'outcome';
  const compared = comparedInput(state, step);
  const certified = certifiedInput(state, step);
  const asks = pending.kind === 'step' || pending.kind === 'witness' ? '' : PENDING_TITLES[pending.kind];
  return (
    <div className="instruction">
      <div className={terse ? 'body terse' : 'body'}>
        <Actor state={state} seat={step.who} />
        <h1 ref={heading} tabIndex={-1}>
          {step.title}
        </h1>
        {asks !== '' && pending.kind !== 'outcome' ? <h2 className="asks">{asks}</h2> : null}
        {terse ? null : (
          <>
            {saying && step.moves.length > 0 ? (
              <ul className="moves">
                {step.moves.map((move) => (
                  <li key={move.what}>{t.ceremony.move(thingTitle(move.what), move.from, move.to)}</li>
                ))}
              </ul>
            ) : null}
            <SpokenWords state={state} step={step} />
            {saying || pending.kind === 'witness' ? (
              <dl className="speech">
                {step.say === '' || !saying ? null : (
                  <div className="say">
                    <dt>{t.ceremony.say}</dt>
                    <dd>“{step.say}”</dd>
                  </div>
                )}
                {step.see === '' ? null : (
                  <div className="see">
                    <dt>{t.ceremony.see}</dt>
                    <dd>{step.see}</dd>
                  </div>
                )}
              </dl>
            ) : null}
            {compared ? <Comparison input={compared} /> : null}
            {certified ? <RecordedFile input={certified} /> : null}
            <Facts facts={stageFacts(state, step, labels)} size="large" />
          </>
        )}
      </div>
      <div className="doing">{children}</div>
    </div>
  );
}

/** Words to be read aloud: the recorder key's before the script's, and again whenever a new recorder key begins. */
function SpokenWords({ state, step }: { readonly state: State; readonly step: PlanStep }) {
  const { action } = step.do;
  const again = step.id.startsWith('resume-');
  if (!state.recorder || !(action === 'confirm-script' || again)) return null;
  const recorder = wordsOf(thumbprint(state.recorder));
  const first = again || state.cursor === 0;
  return (
    <div className="spoken">
      {first ? (
        <>
          <p>{again ? t.ceremony.recorderAgain : t.ceremony.recorderFirst}</p>
          <Words words={recorder} size="medium" label={t.ceremony.recorderFirst} />
        </>
      ) : null}
      {action === 'confirm-script' && state.script ? (
        <>
          {first ? <p>{t.ceremony.scriptWords}</p> : null}
          <Words words={state.script.words} size="large" label={t.ceremony.scriptWords} />
        </>
      ) : null}
    </div>
  );
}

/** What comes after this step: an outline, never a button. */
export function Next({ state }: { readonly state: State }) {
  const upcoming =
    state.queue[1] ??
    (state.queue.length === 1 ? state.parked?.step : undefined) ??
    state.plan?.steps[state.queue.length > 0 ? state.cursor : state.cursor + 1];
  if (!state.current) return null;
  return (
    <>
      <strong>{t.ceremony.next}</strong>{' '}
      {upcoming ? (
        <>
          {seatTitle(upcoming.who)}: {upcoming.title}
        </>
      ) : (
        t.ceremony.nothingNext
      )}
    </>
  );
}
