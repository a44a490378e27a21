/**
 * The one thing that a pending step waits for: its button, what is done meanwhile, what did not work, who saw it, what is to
 * become of what was found. The same on the stage of a ceremony and in the dialogs of the logbook.
 *
 * It presses on behalf of the person whose step it is; whether it may be done at all, the conductor decides.
 */
import { lazy, Suspense, useEffect, useMemo, useState } from 'react';
import { awaitsShare, mayBeExcepted, mayWitness, personAt, typedAt, type Pending, type State } from '../../ceremonies/ceremony.ts';
import { waitsUntil } from '../../ceremonies/approvals.ts';
import { nextCopy } from '../../ceremonies/destruction.ts';
import type { ActionName } from '../../ceremonies/evidence.ts';
import { bagAt } from '../../ceremonies/putting-away.ts';
import type { PlanStep } from '../../ceremonies/script.ts';
import { initialises, sameSerial } from '../../ceremonies/zeroise.ts';
import { store, useClock, useConclave, useShortcut } from '../page.ts';
import { lastDuration, objectLine, spanOf, timeOf } from '../reading.ts';
import { canBeStopped, whyNotKept } from '../stage.ts';
import type { Record, Work } from '../store.ts';
import { personTitle, t } from '../texts.ts';
import { Bag } from './Bag.tsx';
import { CardCall } from './CardCall.tsx';
import { Field, FINAL_TRY, FinalTry } from './Dialogs.tsx';
import { Mark } from './Mark.tsx';
import { Instruction } from './Stage.tsx';
import { TroublePanel } from './Trouble.tsx';

/** Reads private keys' files: nothing that the first screen needs. */
const AgentKey = lazy(async () => ({ default: (await import('./AgentKey.tsx')).AgentKey }));

export type StepPending = Extract<Pending, { readonly step: PlanStep }>;

function Doing({
  record,
  pending,
  step,
  writing,
  work,
}: {
  readonly record: Record;
  readonly pending: StepPending;
  readonly step: PlanStep;
  readonly writing: boolean;
  readonly work: Work | null;
}) {
  const { state } = record;
  const action = step.do.action;
  const act = (acceptFinalTry = false) =>
    void store.getState().ask({ call: 'act', ceremony: state.ceremony, step: step.id, acceptFinalTry });
  const slow = useSlow(work);
  if (work !== null && slow && ['act', 'decide', 'resume', 'disagree', 'abort'].includes(work.call))
    return <LongWork record={record} step={step} action={action} work={work} />;
  const busy = writing || work !== null;
  const again = state.current?.error !== null;
  switch (pending.kind) {
    case 'step':
      if (action === 'administer') return <Changing state={state} busy={busy} />;
      if (action === 'wait') return <Waiting state={state} hours={step.do.hours} busy={busy} press={() => act()} />;
      if (action === 'destroy-copies') return <Destroying state={state} step={step.id} again={again} busy={busy} act={act} />;
      if (action === 'release-escrow' || action === 'open-copy' || (action === 'return-share' && step.do.envelope !== undefined)) return <Releasing key={step.id} record={record} step={step} busy={busy} again={again} />;
      if (action === 'retire-share') return <Erasing state={state} again={again} busy={busy} act={act} />;
      if (bagAt(state, step)) return <Bagged key={step.id} state={state} step={step} busy={busy} again={again} />;
      if (action === 'zeroise-token') return <WriteOut key={step.id} record={record} step={step} busy={busy} again={again} />;
      return (
        <>
          <Failure state={state} acceptFinalTry={() => act(true)} />
          <div className="either">
            <Primary
              text={again ? `${t.ceremony.again}: ${t.actions[action].button}` : t.actions[action].button}
              letter={t.actions[action].key}
              busy={busy}
              press={() => act()}
            />
            <NotAsPlanned state={state} step={step} busy={busy} />
          </div>
        </>
      );
    case 'outcome':
      return (
        <>
          <p className="lead">{t.ceremony.outcomeWhy}</p>
          <Failure state={state} />
          <Primary text={t.ceremony.outcome} letter="C" busy={busy} press={() => act()} />
        </>
      );
    case 'look':
      return (
        <>
          <p className="lead">{t.ceremony.lookWhy}</p>
          <Failure state={state} acceptFinalTry={() => act(true)} />
          <Primary text={t.ceremony.look} letter="L" busy={busy} press={() => act()} />
        </>
      );
    case 'clear':
      return (
        <>
          <Failure state={state} acceptFinalTry={() => act(true)} />
          <Primary text={t.ceremony.clearNow} letter="" busy={busy} press={() => act()} destroys />
        </>
      );
    case 'decide':
      return <Decide state={state} pending={pending} busy={busy} />;
    case 'witness':
      return <Witnesses state={state} pending={pending} busy={busy} />;
  }
}

function NotAsPlanned({ state, step, busy }: { readonly state: State; readonly step: PlanStep; readonly busy: boolean }) {
  const share = awaitsShare(state) ? 'notRead' : step.do.action === 'retire-share' ? 'notErased' : null;
  const troubled = useConclave((conclave) => conclave.trouble !== null) || state.current?.error !== null;
  // A share is left as it is only once it was tried.
  return mayBeExcepted(state, step.id) && (share === null || troubled) ? (
    <p className="press">
      <button type="button" disabled={busy} data-testid={share === 'notRead' ? 'not-read' : share === 'notErased' ? 'not-erased' : step.do.action === 'put-away' ? 'not-put-away' : 'not-handed-over'} onClick={() => store.getState().show('unexpected')}>
        {t.custody[share ?? (step.do.action === 'put-away' ? 'notPutAway' : 'notHandedOver')]}
      </button>
    </p>
  ) : null;
}

/** With the number of the bag that is opened or closed. */
function Bagged({ state, step, busy, again }: { readonly state: State; readonly step: PlanStep; readonly busy: boolean; readonly again: boolean }) {
  const act = (typed: string) => void store.getState().ask({ call: 'act', ceremony: state.ceremony, step: step.id, acceptFinalTry: false, typed });
  const { button, key } = t.actions[step.do.action];
  return (
    <>
      <Failure state={state} />
      <Bag
        state={state}
        step={step}
        act={act}
        button={(press) => (
          <div className="either">
            <Primary text={again ? `${t.ceremony.again}: ${button}` : button} letter={key} busy={busy || press === null} press={() => press?.()} />
            <NotAsPlanned state={state} step={step} busy={busy} />
          </div>
        )}
      />
    </>
  );
}

/** What destroys is done by whoever has written out what is destroyed: no key of the keyboard does it, and no button before. */
function WriteOut({ record: { state }, step, busy, again }: { readonly record: Record; readonly step: PlanStep; readonly busy: boolean; readonly again: boolean }) {
  const [typed, setTyped] = useState('');
  const act = (acceptFinalTry: boolean) =>
    void store.getState().ask({ call: 'act', ceremony: state.ceremony, step: step.id, acceptFinalTry, typed: typed.trim() });
  const { button } = t.actions[step.do.action];
  return (
    <>
      <Failure state={state} acceptFinalTry={() => act(true)} />
      <Field label={t.ceremony.writeSerial} value={typed} set={setTyped} />
      <Primary text={again ? `${t.ceremony.again}: ${button}` : button} letter="" busy={busy || !sameSerial(typed, typedAt(state) ?? '-')} press={() => act(false)} destroys />
    </>
  );
}

/** A stand-in brings the key file of the rehearsal's agent or custodian from the data folder; a person chooses it. */
function Releasing({ record: { state, ceremony }, step, busy, again }: { readonly record: Record; readonly step: PlanStep; readonly busy: boolean; readonly again: boolean }) {
  const standIns = useConclave((conclave) => conclave.standIns.includes(ceremony));
  const act = (acceptFinalTry: boolean, file?: { readonly file: string; readonly bytes: Uint8Array<ArrayBuffer> }) =>
    void store.getState().ask({ call: 'act', ceremony: state.ceremony, step: step.id, acceptFinalTry, ...(file && { file }) });
  const { action } = step.do;
  const { button, key } = t.actions[action];
  const text = again ? `${t.ceremony.again}: ${button}` : button;
  return (
    <>
      <Failure state={state} acceptFinalTry={() => act(true)} />
      {standIns ? (
        <Primary text={text} letter={key} busy={busy} press={() => act(false)} />
      ) : (
        <Suspense fallback={null}>
          <AgentKey words={action === 'release-escrow' ? t.escrow : t.copies} act={(file) => act(false, file)} button={(press) => <Primary text={text} letter={key} busy={busy || press === null} press={() => press?.()} />} />
        </Suspense>
      )}
    </>
  );
}

/** The work of a logbook is chosen in the Tokens room, thing by thing; here it can only be ended. */
function Changing({ state, busy }: { readonly state: State; readonly busy: boolean }) {
  return (
    <>
      <Failure state={state} />
      <p className="press">
        <button type="button" className="main large" data-testid="primary" disabled={busy} onClick={() => store.getState().go({ at: 'tokens' })}>
          {t.logbook.toTokens}
        </button>
        <button type="button" disabled={busy} data-testid="end-work" onClick={() => void store.getState().ask({ call: 'log-out', ceremony: state.ceremony })}>
          {t.logbook.logOut}
        </button>
      </p>
    </>
  );
}

/** Nothing happens before a moment that stands on the screen; until then there is nothing to press. */
function Waiting({ state, hours, busy, press }: { readonly state: State; readonly hours: number; readonly busy: boolean; readonly press: () => void }) {
  const now = useClock(1000);
  const left = Date.parse(waitsUntil(state, hours) ?? '') - now.getTime();
  const { button, key } = t.actions.wait;
  return (
    <>
      <Failure state={state} />
      {left > 0 ? <p className="lead tabular" role="timer" aria-live="off">{t.destruction.waiting(spanOf(left))}</p> : null}
      <Primary text={button} letter={key} busy={busy || left > 0} press={press} />
    </>
  );
}

/** Like every button that destroys: no key of the keyboard presses it. */
function Erasing({ state, again, busy, act }: { readonly state: State; readonly again: boolean; readonly busy: boolean; readonly act: (acceptFinalTry?: boolean) => void }) {
  const { button } = t.actions['retire-share'];
  return (
    <>
      <Failure state={state} acceptFinalTry={() => act(true)} />
      <Primary text={again ? `${t.ceremony.again}: ${button}` : button} letter="" busy={busy} press={() => act()} destroys />
    </>
  );
}

/** One copy after another. What cannot be destroyed now is left with its reason: a second way, never the first one offered. */
function Destroying({ state, step, again, busy, act }: { readonly state: State; readonly step: string; readonly again: boolean; readonly busy: boolean; readonly act: (acceptFinalTry?: boolean) => void }) {
  const [why, setWhy] = useState('');
  const next = nextCopy(state.destruction);
  const button = next?.copy.by.means === 'people' ? t.destruction.byHand : next?.copy.by.means === 'retention' ? t.destruction.later : t.actions['destroy-copies'].button;
  return (
    <>
      <Failure state={state} acceptFinalTry={() => act(true)} />
      <Primary text={again ? `${t.ceremony.again}: ${button}` : button} letter="" busy={busy} press={() => act()} destroys={next?.copy.by.means === 'token'} />
      <details key={next?.number ?? 0}>
        <summary>{t.destruction.leave}</summary>
        <Field label={t.destruction.leaveWhy} value={why} set={setWhy} long />
        <p className="press">
          <button
            type="button"
            data-testid="leave-copy"
            disabled={busy || why.trim() === ''}
            onClick={() => {
              setWhy('');
              void store.getState().ask({ call: 'leave-copy', ceremony: state.ceremony, step, reason: why.trim().slice(0, 300) });
            }}
          >
            {t.destruction.leaveNow}
          </button>
        </p>
      </details>
    </>
  );
}

/** The one thing to press. The letter is on the button; Enter and Space work where it has the focus. */
export function Primary({
  text,
  letter,
  busy,
  press,
  destroys = false,
}: {
  readonly text: string;
  readonly letter: string;
  readonly busy: boolean;
  readonly press: () => void;
  readonly destroys?: boolean;
}) {
  const dialog = useConclave((conclave) => conclave.dialog);
  const last = useConclave((conclave) => conclave.trouble?.problem?.code === FINAL_TRY);
  useShortcut(letter === '' ? 'no key' : letter, press, letter !== '' && !busy && dialog === null && !last);
  if (last) return null; // the typed sentence stands in its place
  return (
    <p className="press">
      <button
        type="button"
        className={`${destroys ? 'destroys' : 'main'} large`}
        data-testid="primary"
        disabled={busy}
        onClick={press}
      >
        {text}
        {letter === '' ? null : <kbd aria-hidden="true">{letter}</kbd>}
      </button>
    </p>
  );
}

/** True once the work has lasted long enough to deserve words: a panel that flashes is read by nobody. */
function useSlow(work: Work | null): boolean {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    setSlow(false);
    if (work === null) return undefined;
    const timer = setTimeout(() => setSlow(true), 300);
    return () => clearTimeout(timer);
  }, [work]);
  return slow;
}

function LongWork({
  record,
  step,
  action,
  work,
}: {
  readonly record: Record;
  readonly step: PlanStep;
  readonly action: ActionName;
  readonly work: Work;
}) {
  const now = useClock(1000);
  const { state } = record;
  const standIns = useConclave((conclave) => conclave.standIns.includes(record.ceremony));
  const awaits = useConclave((conclave) => conclave.awaits !== null);
  const { pin, working } = t.actions[action];
  const last = useMemo(() => lastDuration(record.rows, action), [record, action]);
  const seconds = Math.max(0, Math.round((performance.now() - work.since) / 1000));
  const since = new Date(now.getTime() - seconds * 1000).toISOString();
  const who = personTitle(step.who, personAt(state, step.who)?.name ?? '');
  const sure = work.call === 'act' && (pin === 'doer' || pin === 'quorum' || pin === 'component');
  const booth =
    work.call === 'disagree'
      ? t.work.boothMaybe(t.unexpected.by)
      : pin === 'doer'
        ? t.work.boothWho(who)
        : pin === 'quorum'
          ? t.work.boothQuorum
          : pin === 'component'
            ? t.work.boothComponent(who)
            : t.work.boothMaybe(who);
  return (
    <section className="work" aria-live="polite">
      <h2>{working}</h2>
      {pin === 'none' || standIns ? null : (
        <p className="booth">
          {sure ? <strong>{t.work.booth}. </strong> : null}
          {booth}
        </p>
      )}
      {standIns && pin !== 'none' ? <p>{pin === 'component' ? t.work.standInComponents : t.work.standIns}</p> : null}
      <p aria-live="off" className="tabular">
        {t.work.since(`${timeOf(since)}:${since.slice(17, 19)}`, seconds)}{' '}
        {last === null ? t.work.first : t.work.last(String(last))}
      </p>
      {work.call === 'act' && (awaits || canBeStopped(state, step)) ? (
        <div className="stop">
          <button
            type="button"
            data-testid="stop"
            disabled={work.stopping === 'asked'}
            onClick={() => void store.getState().stop(state.ceremony)}
          >
            {work.stopping === 'asked' ? t.work.stopping : t.work.stop}
          </button>
          <p role="status">{work.stopping === 'late' ? t.work.tooLate : t.work.stopMeans}</p>
        </div>
      ) : (
        <p className="note">{t.work.unstoppable}</p>
      )}
    </section>
  );
}

const hasWitness = (state: State): boolean => state.people.some(({ role }) => role === 'witness');

/** What did not work, from the answer or, after a restart, from the record itself. */
export function Failure({ state, acceptFinalTry }: { readonly state: State; readonly acceptFinalTry?: () => void }) {
  const trouble = useConclave((conclave) => conclave.trouble);
  const work = useConclave((conclave) => conclave.work);
  const recorded = state.current?.error ?? null;
  if (work !== null || (trouble === null && recorded === null)) return null;
  const problem = trouble ? trouble.problem : recorded;
  const device =
    recorded === null
      ? undefined
      : state.current?.phase === 'ready'
        ? t.refusal.nothingChanged
        : t.refusal.maybeChanged;
  return (
    <TroublePanel refusal={trouble?.refusal ?? null} problem={problem} {...(device === undefined ? {} : { device })}>
      {problem?.code === FINAL_TRY && acceptFinalTry ? (
        <FinalTry decides={hasWitness(state) ? t.refusal.whoDecides : t.refusal.whoDecidesAlone} accept={acceptFinalTry} />
      ) : null}
    </TroublePanel>
  );
}

function Witnesses({
  state,
  pending,
  busy,
}: {
  readonly state: State;
  readonly pending: Extract<Pending, { kind: 'witness' }>;
  readonly busy: boolean;
}) {
  const { missing, step } = pending;
  const seen = state.current?.witnesses ?? [];
  const eligible = state.people.filter(
    (person) => (missing[person.role] ?? 0) > 0 && state.current !== null && mayWitness(state.current, person) && !seen.includes(person.seat),
  );
  const wanted = Object.entries(missing)
    .map(([role, count]) => t.plural(count, t.roles[role as keyof typeof t.roles].toLowerCase()))
    .join(', ');
  return (
    <section className="witnesses">
      <h2>
        {t.ceremony.witnessTitle} <span className="note">{t.ceremony.witnessHint(wanted)}</span>
      </h2>
      <Failure state={state} />
      <ul>
        {eligible.map((person, index) => (
          <Witness
            key={person.seat}
            seat={person.seat}
            name={person.name}
            number={index + 1}
            busy={busy}
            press={() =>
              void store.getState().ask({ call: 'witness', ceremony: state.ceremony, step: step.id, seat: person.seat })
            }
          />
        ))}
      </ul>
      <NotAsPlanned state={state} step={step} busy={busy} />
    </section>
  );
}

function Witness({
  seat,
  name,
  number,
  busy,
  press,
}: {
  readonly seat: string;
  readonly name: string;
  readonly number: number;
  readonly busy: boolean;
  readonly press: () => void;
}) {
  const dialog = useConclave((conclave) => conclave.dialog);
  useShortcut(String(number), press, number <= 9 && !busy && dialog === null);
  return (
    <li>
      <button type="button" className="main saw" data-testid={`witness-${seat}`} disabled={busy} onClick={press}>
        <span>
          <strong>{t.ceremony.saw}</strong>
          <br />
          {personTitle(seat, name)}
        </span>
        {number <= 9 ? <kbd aria-hidden="true">{number}</kbd> : null}
      </button>
    </li>
  );
}

function Decide({
  state,
  pending,
  busy,
}: {
  readonly state: State;
  readonly pending: Extract<Pending, { kind: 'decide' }>;
  readonly busy: boolean;
}) {
  const [why, setWhy] = useState('');
  const { observation } = pending;
  const decide = (decision: 'keep' | 'clear') =>
    void store.getState().ask({ call: 'decide', ceremony: state.ceremony, decision, why: why.trim() });
  const lost = whyNotKept(state);
  /** There is nothing to clear on a token that is blank. */
  const blank = initialises(pending.step.do.action, state.current?.intent ?? null);
  return (
    <section className="decide">
      <p className="lead">
        <Mark name="reported" quiet /> {blank ? '' : t.ceremony.found[observation.state]} {observation.detail}
      </p>
      <ul className="plain mono">
        {observation.objects.map((object, index) => (
          <li key={index}>{objectLine(object)}</li>
        ))}
      </ul>
      <Failure state={state} />
      <Field label={t.ceremony.decideWhy} value={why} set={setWhy} long />
      <p className="press">
        <button
          type="button"
          className="main"
          disabled={busy || lost !== null || why.trim() === ''}
          onClick={() => decide('keep')}
        >
          {blank ? t.ceremony.keepBlank : t.ceremony.keep}
        </button>
        {blank ? null : (
          <button type="button" className="destroys" disabled={busy || why.trim() === ''} onClick={() => decide('clear')}>
            {t.ceremony.clear}
          </button>
        )}
      </p>
      <p className="note">
        {lost === null ? '' : `${t.ceremony.notKept[lost]} `}
        {blank ? '' : hasWitness(state) ? t.ceremony.clearHint : t.ceremony.clearHintAlone}
      </p>
    </section>
  );
}

/** The step as it is read aloud, with what it waits for. `failed`: the room has something else to read first. */
export function StepInstruction({
  record,
  pending,
  labels,
  failed,
  writing,
  work,
}: {
  readonly record: Record;
  readonly pending: StepPending;
  readonly labels: ReadonlyMap<string, string> | null;
  readonly failed: boolean;
  readonly writing: boolean;
  readonly work: Work | null;
}) {
  const { step, kind } = pending;
  return (
    <Instruction
      key={step.id}
      state={record.state}
      step={step}
      pending={pending}
      labels={labels}
      terse={failed || kind === 'decide' || kind === 'look' || kind === 'clear'}
    >
      <CardCall state={record.state} />
      <Doing record={record} pending={pending} step={step} writing={writing} work={work} />
    </Instruction>
  );
}
