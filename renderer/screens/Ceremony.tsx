/**
 * The stage: one instruction, one thing to press, the ring of seats, and the record growing beside them.
 *
 * What is pending comes from the same `pendingAction` that the conductor asks. This screen decides nothing; it presses a
 * button on behalf of the person whose step it is, and shows what the record then says.
 */
import { useEffect, useMemo, useState } from 'react';
import { currentAct, pendingAction, type Pending, type State } from '../../ceremonies/ceremony.ts';
import { Band } from '../parts/Band.tsx';
import { NumberField } from '../parts/Dialogs.tsx';
import { Failure, StepInstruction } from '../parts/Doing.tsx';
import { Mark } from '../parts/Mark.tsx';
import { RecordList } from '../parts/Record.tsx';
import { Resume } from '../parts/Resume.tsx';
import { Seats } from '../parts/Seats.tsx';
import { Actor, Acts, Next } from '../parts/Stage.tsx';
import { TroublePanel } from '../parts/Trouble.tsx';
import { Facts, SavedFile } from '../parts/Words.tsx';
import { store, useClock, useConclave, useShortcut } from '../page.ts';
import { elapsed, groups, timeOf } from '../reading.ts';
import { resultFacts } from '../stage.ts';
import { presentSerials, summaryOf, type Record, type Work } from '../store.ts';
import { t } from '../texts.ts';

/** How often the foot asks which tokens are there, while somebody can see it. */
const ESTATE_MS = 3000;

export function Ceremony({ ceremony }: { readonly ceremony: string }) {
  const record = useConclave((state) => state.record);
  const trouble = useConclave((state) => state.trouble);
  if (record?.ceremony !== ceremony) {
    return (
      <main className="waiting">
        <p>{t.loading}</p>
        {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      </main>
    );
  }
  return <Room record={record} />;
}

function Room({ record }: { readonly record: Record }) {
  const { state } = record;
  const interrupted = useConclave((conclave) => summaryOf(conclave, record.ceremony)?.interrupted ?? false);
  const work = useConclave((conclave) => conclave.work);
  useEstate(work === null);
  useShortcut('x', () => store.getState().show('unexpected'), state.phase === 'open');
  const pending = pendingAction(state);
  // A checkpoint is the app's own business and lasts a moment: the room goes on seeing what it waits for.
  const seen = pending.kind === 'checkpoint' ? pendingAction({ ...state, checkpointDue: false }) : pending;
  const step = 'step' in pending ? pending.step.id : (state.current?.step.id ?? '');
  return (
    <div className="ceremony">
      <CeremonyBand state={state} />
      <main
        className="stage"
        data-step={step}
        data-pending={pending.kind}
        data-busy={work !== null || pending.kind === 'checkpoint'}
      >
        <Acts state={state} />
        <div className="scene">
          {interrupted && !work ? (
            <Resume key={record.ceremony} state={state} />
          ) : (
            <Scene record={record} pending={seen} writing={pending.kind === 'checkpoint'} work={work} />
          )}
          <div className="beside">
            <Seats state={state} />
          </div>
        </div>
        {state.phase === 'open' && !interrupted ? (
          <p className="next">
            <span>
              <Next state={state} />
            </span>
            <UnexpectedButton />
          </p>
        ) : null}
      </main>
      <RecordList ceremony={record.ceremony} rows={record.rows} head={state.lastHash} broken={record.broken} />
      <Foot state={state} />
    </div>
  );
}

export function CeremonyBand({ state, at }: { readonly state: State; readonly at?: string }) {
  const now = useClock(5000);
  const time = at ?? now.toISOString();
  const { plan, opening } = state;
  const act = currentAct(state);
  const first = useConclave((conclave) => conclave.record?.rows[0]?.entry.at);
  return (
    <Band
      mode={opening?.mode ?? 'rehearsal'}
      title={plan?.title ?? ''}
      act={plan && state.phase === 'open' ? t.ceremony.act(act + 1, plan.acts.length, plan.acts[act]?.title ?? '') : ''}
      right={
        <>
          <span>{t.ceremony.clock(timeOf(time))}</span>
          {first === undefined || at !== undefined ? null : (
            <span>{t.ceremony.opened(elapsed(first, state.phase === 'open' ? time : state.lastAt))}</span>
          )}
        </>
      }
    />
  );
}

/** Asks for the estate while the page is visible and no step is under way: a busy token is not to be asked twice. */
function useEstate(idle: boolean): void {
  useEffect(() => {
    if (!idle) return undefined;
    const look = () => {
      if (document.visibilityState === 'visible') void store.getState().refreshEstate();
    };
    look();
    const timer = setInterval(look, ESTATE_MS);
    return () => clearInterval(timer);
  }, [idle]);
}

function Scene({
  record,
  pending,
  writing,
  work,
}: {
  readonly record: Record;
  readonly pending: Pending;
  readonly writing: boolean;
  readonly work: Work | null;
}) {
  const { state } = record;
  const estate = useConclave((conclave) => conclave.estate);
  const labels = useMemo(() => presentSerials(estate), [estate]);
  const failed = useConclave((conclave) => conclave.trouble !== null) || (state.current?.error ?? null) !== null;
  switch (pending.kind) {
    case 'opening':
    case 'checkpoint':
      return <p className="instruction">{t.ceremony.writing}</p>;
    case 'over':
      return <Over record={record} how={pending.how} />;
    case 'close':
      return (
        <div className="instruction">
          <h1 tabIndex={-1}>{t.ceremony.closing}</h1>
          <Failure state={state} />
        </div>
      );
    case 'back':
      return <Back key={state.count} state={state} present={pending.present} busy={work !== null || writing} />;
    case 'step':
    case 'outcome':
    case 'look':
    case 'clear':
    case 'decide':
    case 'witness':
      return <StepInstruction record={record} pending={pending} labels={labels} failed={failed} writing={writing} work={work} />;
  }
}

function UnexpectedButton() {
  return (
    <button type="button" className="quiet" onClick={() => store.getState().show('unexpected')}>
      {t.ceremony.unexpected}
      <kbd aria-hidden="true">X</kbd>
    </button>
  );
}

function Back({ state, present, busy }: { readonly state: State; readonly present: number; readonly busy: boolean }) {
  const [count, setCount] = useState(Number.NaN);
  return (
    <div className="instruction">
      <Actor state={state} seat="officer" />
      <h1 tabIndex={-1}>{t.ceremony.backTitle}</h1>
      <p className="lead">{t.ceremony.backWhy(present)}</p>
      <NumberField label={t.ceremony.backCount} value={count} set={setCount} />
      <Failure state={state} />
      <p className="press">
        <button
          type="button"
          className="main large"
          data-testid="primary"
          disabled={busy || Number.isNaN(count)}
          onClick={() => void store.getState().ask({ call: 'back', ceremony: state.ceremony, present: count })}
        >
          {t.ceremony.back}
        </button>
      </p>
    </div>
  );
}

function Over({ record, how }: { readonly record: Record; readonly how: 'aborted' | 'closed' }) {
  const { state, rows } = record;
  const left = useMemo(() => resultFacts(state, rows), [state, rows]);
  const work = useConclave((conclave) => conclave.work);
  const [exported, setExported] = useState<{ path: string; sha256: string } | null>(null);
  const [printed, setPrinted] = useState<{ path: string; sha256: string } | null>(null);
  const busy = work !== null;
  const exportBundle = async () =>
    setExported(await store.getState().ask({ call: 'export', ceremony: state.ceremony }));
  const print = async () =>
    setPrinted(await store.getState().ask({ call: 'print-certificate', ceremony: state.ceremony }));
  const replay = () => store.getState().openReplay(state.ceremony, state.plan?.title ?? '');
  return (
    <div className="instruction over">
      <p className="actor">
        <Mark name={how === 'closed' ? 'verified' : 'refused'} quiet />{' '}
        <strong>{how === 'closed' ? t.home.state.closed : t.home.state.aborted}</strong>
      </p>
      <h1 tabIndex={-1}>{how === 'closed' ? t.ceremony.closed : t.ceremony.aborted}</h1>
      <p className="lead">{how === 'closed' ? t.ceremony.closedWhy : t.ceremony.abortedWhy}</p>
      <Failure state={state} />
      {left.length > 0 && !exported ? (
        <section className="leaves" aria-label={t.ceremony.made}>
          <Facts facts={left} size="large" />
        </section>
      ) : null}
      {exported ? (
        <SavedFile file={exported} titles={[t.ceremony.exported, t.ceremony.exportedHash]} />
      ) : null}
      {printed ? <SavedFile file={printed} titles={[t.ceremony.printed, t.ceremony.printedHash]} /> : null}
      <p className="press">
        <button
          type="button"
          className="main large"
          data-testid="primary"
          disabled={busy}
          onClick={() => void exportBundle()}
        >
          {busy && work.call === 'export' ? t.ceremony.exporting : t.ceremony.export}
        </button>
        {how === 'closed' && state.destruction.confirmed ? (
          <button type="button" data-testid="print-certificate" disabled={busy} onClick={() => void print()}>
            {busy && work.call === 'print-certificate' ? t.ceremony.printing : t.ceremony.print}
          </button>
        ) : null}
        <button type="button" data-testid="replay" disabled={busy} onClick={() => void replay()}>
          {busy && work.call === 'verify-own' ? t.ceremony.verifying : t.ceremony.replay}
        </button>
        <button
          type="button"
          data-testid="verify-own"
          disabled={busy}
          onClick={() =>
            store.getState().go({ at: 'audit', own: { ceremony: state.ceremony, title: state.plan?.title ?? '' } })
          }
        >
          {t.ceremony.verify}
        </button>
      </p>
    </div>
  );
}

/** Which bound things are there, the clock, and the way out. Nothing else on the page moves by itself. */
function Foot({ state }: { readonly state: State }) {
  const estate = useConclave((conclave) => conclave.estate);
  const present = useMemo(() => presentSerials(estate), [estate]);
  const { opening } = state;
  if (!opening) return null;
  const cards = Object.entries(opening.bindings.cards);
  const there = (serial: string) => present?.has(serial) ?? false;
  return (
    <footer className="foot">
      {Object.entries(opening.bindings.tokens).map(([name, bound]) => (
        <span key={name}>
          {present === null ? null : <Mark name={there(bound.serial) ? 'verified' : 'refused'} quiet />} {name}{' '}
          <code>{groups(bound.serial)}</code>{' '}
          {present === null ? '' : there(bound.serial) ? t.foot.connected : t.foot.gone}
        </span>
      ))}
      {cards.map(([card, seats]) => {
        const serials = Object.values(seats).map((bound) => bound.serial);
        const count = serials.filter(there).length;
        return (
          <span key={card}>
            {present === null ? null : <Mark name={count === serials.length ? 'verified' : 'reported'} quiet />}{' '}
            {t.foot.cards(card.replaceAll('-', ' '), present === null ? null : count, serials.length)}
          </span>
        );
      })}
      <span className="grow">
        <span className="clock">{t.foot.clock(opening.clock)}</span>
      </span>
      <button type="button" className="quiet" onClick={() => store.getState().go({ at: 'home' })}>
        {t.ceremony.leave}
      </button>
      <button type="button" className="quiet" onClick={() => store.getState().show('help')}>
        {t.nav.help}
        <kbd aria-hidden="true">?</kbd>
      </button>
    </footer>
  );
}
