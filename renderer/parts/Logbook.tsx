/**
 * The logbook in the Tokens room: who may change tokens now, since when, and what has been changed; the log-in with its two
 * steps, the officer's signature at the end, and what is to be done with a volume that was left open.
 *
 * It follows the open volume as any screen follows a record. It decides nothing: every step is the record's pending one.
 */
import { useCallback, useEffect, useId, useRef, useState } from 'react';
import { orderText } from '../../ceremonies/administration.ts';
import { pendingAction, type Pending } from '../../ceremonies/ceremony.ts';
import type { ChangeKind } from '../../ceremonies/evidence.ts';
import type { CeremonySummary } from '../../electron/contract.ts';
import { changesIn, loggedInSince, officerOf } from '../changes.ts';
import { tokensAtHand } from '../opening.ts';
import { store, useConclave, useShortcut } from '../page.ts';
import { groups, timeOf } from '../reading.ts';
import { isVolume, LOGBOOK, type Record } from '../store.ts';
import { PUBLISHED_PIN, t } from '../texts.ts';
import { Dialog, Field, ModeChoice } from './Dialogs.tsx';
import { StepInstruction, type StepPending } from './Doing.tsx';
import { Mark } from './Mark.tsx';
import { Resume } from './Resume.tsx';
import { TroublePanel } from './Trouble.tsx';

export type Volume =
  | { readonly at: 'nobody'; readonly signed: Record | null }
  | { readonly at: 'reading' }
  | { readonly at: 'interrupted'; readonly record: Record }
  /** Something is to be done before a token can be changed, or instead: a step of the log-in, a decision, the signature. */
  | { readonly at: 'step'; readonly record: Record; readonly pending: StepPending }
  | { readonly at: 'work'; readonly record: Record };

/** The open volume, if there is one; its lines are followed while this is drawn. */
export function useVolume(): Volume {
  const open = useConclave(({ ceremonies }) => ceremonies?.find((one) => isVolume(one) && (one.state === 'open' || one.interrupted)));
  const record = useConclave((state) => state.record);
  const busy = useConclave((state) => state.work !== null);
  const known = useConclave((state) => state.ceremonies !== null);
  useEffect(() => {
    void store.getState().refreshCeremonies();
  }, []);
  useEffect(() => {
    if (open) void store.getState().watch(open.ceremony);
  }, [open?.ceremony]);
  return volumeOf(open, known, record, busy);
}

function volumeOf(open: CeremonySummary | undefined, known: boolean, record: Record | null, busy: boolean): Volume {
  if (!known) return { at: 'reading' };
  if (!open) return { at: 'nobody', signed: record?.state.phase === 'closed' && record.state.script?.name === LOGBOOK ? record : null };
  if (record?.ceremony !== open.ceremony) return { at: 'reading' };
  if (open.interrupted && !busy) return { at: 'interrupted', record };
  const pending = waitsFor(record);
  if (!('step' in pending)) return pending.kind === 'over' ? { at: 'nobody', signed: record } : { at: 'reading' };
  // While a change is carried out its outcome is pending; that is no question to anybody.
  const works = pending.step.do.action === 'administer' && (pending.kind === 'step' || busy);
  return works ? { at: 'work', record } : { at: 'step', record, pending };
}

/** A checkpoint is the app's own business and lasts a moment. */
function waitsFor({ state }: Record): Pending {
  const pending = pendingAction(state);
  return pending.kind === 'checkpoint' ? pendingAction({ ...state, checkpointDue: false }) : pending;
}

/** `quiet`: another dialog is open, and letters are not for this bar. */
export function LogbookBar({ volume, quiet, open }: { readonly volume: Volume; readonly quiet: boolean; readonly open: () => void }) {
  const busy = useConclave((state) => state.work !== null);
  const trouble = useConclave((state) => state.trouble);
  const dialog = useConclave((state) => state.dialog);
  const idle = !quiet && !busy && dialog === null;
  useShortcut('l', open, idle && volume.at === 'nobody');
  useShortcut('g', open, idle && (volume.at === 'step' || volume.at === 'interrupted'));
  const logOut = async (ceremony: string) => {
    await store.getState().ask({ call: 'log-out', ceremony });
    if (store.getState().trouble === null) open();
  };
  return (
    <section className={`logbook logbook-${volume.at}`} aria-label={t.logbook.label}>
      {volume.at === 'reading' ? <p className="note">{t.logbook.reading}</p> : null}
      {volume.at === 'nobody' ? (
        <>
          {volume.signed ? (
            <p>
              <Mark name="signed" quiet /> <strong>{t.logbook.signed(changesIn(volume.signed.rows).length)}</strong>{' '}
              <span className="note">{t.logbook.signedMeans}</span>
            </p>
          ) : (
            <p>
              <Mark name="not-reached" quiet /> <strong>{t.logbook.nobody}</strong> <span className="note">{t.logbook.nobodyMeans}</span>
            </p>
          )}
          <div className="buttons">
            {volume.signed ? <Look record={volume.signed} /> : null}
            <button type="button" data-testid="logbook-log-in" disabled={busy} onClick={open}>
              {t.logbook.logIn} <kbd aria-hidden="true">L</kbd>
            </button>
          </div>
        </>
      ) : null}
      {volume.at === 'interrupted' ? (
        <>
          <p>
            <Mark name="reported" quiet /> <strong>{t.logbook.interrupted(officerOf(volume.record.state))}</strong>{' '}
            <span className="note">{t.logbook.interruptedMeans}</span>
          </p>
          <button type="button" className="main" data-testid="logbook-go-on" disabled={busy} onClick={open}>
            {t.logbook.resume} <kbd aria-hidden="true">G</kbd>
          </button>
        </>
      ) : null}
      {volume.at === 'step' ? (
        <>
          <p>
            <Mode record={volume.record} />
            <Mark name="begun" quiet /> <strong>{t.logbook.waits(officerOf(volume.record.state))}</strong>{' '}
            <span className="note">{t.logbook.waitsFor(volume.pending.step.title)}</span>
          </p>
          <button type="button" className="main" data-testid="logbook-go-on" disabled={busy} onClick={open}>
            {t.logbook.goOn} <kbd aria-hidden="true">G</kbd>
          </button>
        </>
      ) : null}
      {volume.at === 'work' ? (
        <>
          <p>
            <Mode record={volume.record} />
            <Mark name="signed" quiet /> <strong>{t.logbook.somebody(officerOf(volume.record.state))}</strong>{' '}
            <span className="note">{t.logbook.since(timeOf(loggedInSince(volume.record.rows)), changesIn(volume.record.rows).length)}</span>
          </p>
          <div className="buttons">
            <Look record={volume.record} />
            <button type="button" data-testid="logbook-log-out" disabled={busy} onClick={() => void logOut(volume.record.ceremony)}>
              {t.logbook.logOut}
            </button>
          </div>
        </>
      ) : null}
      {trouble?.call === 'log-out' ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
    </section>
  );
}

function Mode({ record }: { readonly record: Record }) {
  return record.state.opening?.mode === 'rehearsal' ? <strong className="rehearsed">{t.ceremony.rehearsal}</strong> : null;
}

function Look({ record }: { readonly record: Record }) {
  const busy = useConclave((state) => state.work !== null);
  const closed = record.state.phase === 'closed';
  const look = () =>
    closed
      ? void store.getState().openReplay(record.ceremony, record.state.plan?.title ?? '')
      : store.getState().go({ at: 'ceremony', ceremony: record.ceremony });
  return (
    <button type="button" className="quiet" data-testid="logbook-look" disabled={busy} onClick={look}>
      {t.logbook.look}
    </button>
  );
}

/** Buttons that open a dialog; none of them changes anything by itself. */
export function Actions({ label, changes, ask }: { readonly label: string; readonly changes: readonly ChangeKind[]; readonly ask: (change: ChangeKind) => void }) {
  const busy = useConclave((state) => state.work !== null);
  return (
    <div className="actions" role="group" aria-label={label}>
      {changes.map((change) => (
        <button key={change} type="button" disabled={busy} data-testid={`ask-${change}`} onClick={() => ask(change)}>
          {t.change.kinds[change].open}
        </button>
      ))}
    </div>
  );
}

// --- the dialog ------------------------------------------------------------------------------------------------------

/** One thing at a time, until a token can be changed or the volume is signed; then it closes by itself. */
export function LogbookDialog({ volume, onClose }: { readonly volume: Volume; readonly onClose: () => void }) {
  const work = useConclave((state) => state.work);
  const close = useCallback(() => {
    store.getState().dismiss();
    onClose();
  }, [onClose]);
  const begun = useRef(volume.at !== 'nobody');
  if (volume.at === 'step') begun.current = true;
  const officer = volume.at === 'work' ? officerOf(volume.record.state) : '';
  const done = volume.at === 'work' || (volume.at === 'nobody' && begun.current);
  const signed = volume.at === 'nobody' && volume.signed ? changesIn(volume.signed.rows).length : 0;
  useEffect(() => {
    if (!done || work !== null) return;
    store.getState().say(officer === '' ? t.logbook.signed(signed) : t.logbook.loggedInNow(officer));
    onClose();
  }, [done, work, officer, signed, onClose]);
  return (
    <Dialog title={volume.at === 'nobody' ? t.logbook.open : t.logbook.title} onClose={close}>
      <div className="logbook-dialog">
        {volume.at === 'nobody' && !begun.current ? <LogIn /> : null}
        {volume.at === 'interrupted' ? <Resume key={volume.record.ceremony} state={volume.record.state} /> : null}
        {volume.at === 'step' ? <Step record={volume.record} pending={volume.pending} /> : null}
        {volume.at === 'reading' ? <p className="note">{t.logbook.reading}</p> : null}
      </div>
    </Dialog>
  );
}

function Step({ record, pending }: { readonly record: Record; readonly pending: StepPending }) {
  const { state } = record;
  const work = useConclave((conclave) => conclave.work);
  const failed = useConclave((conclave) => conclave.trouble !== null) || (state.current?.error ?? null) !== null;
  const signs = pending.step.do.action === 'sign-seal' ? changesIn(record.rows) : [];
  return (
    <>
    {signs.length > 0 ? (
      <section className="signs">
        <h3>{t.logbook.signs}</h3>
        <ol>
          {signs.map(({ entry, intent }) => (
            <li key={entry}>{orderText(intent)}</li>
          ))}
        </ol>
      </section>
    ) : null}
    <StepInstruction record={record} pending={pending} labels={null} failed={failed} writing={pendingAction(state).kind === 'checkpoint'} work={work} />
    </>
  );
}

function LogIn() {
  const hello = useConclave((state) => state.hello);
  const estate = useConclave((state) => state.estate);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  const [mode, setMode] = useState<'rehearsal' | 'real'>('rehearsal');
  const [named, setNamed] = useState<string | null>(null);
  const [own, setOwn] = useState(false);
  const [module, setModule] = useState(hello?.modules[0] ?? '');
  const [card, setCard] = useState('');
  const [standIns, setStandIns] = useState(true);
  const id = useId();
  const name = (named ?? (mode === 'rehearsal' ? t.logbook.officer : '')).trim();
  const ownCard = own || mode === 'real';
  const there = tokensAtHand(estate).filter(({ label }) => label !== '');
  const bound = there.find((token) => `${token.module} ${token.serial}` === card);
  const logIn = async () => {
    const typedBy = standIns && mode === 'rehearsal';
    const answer = await store.getState().ask({
      call: 'log-in',
      name,
      module: ownCard ? (bound?.module ?? module) : module,
      card: ownCard && bound ? { module: bound.module, serial: bound.serial } : null,
      mode,
      standIns: typedBy,
    });
    if (!answer) return;
    if (typedBy) store.setState({ standIns: [...store.getState().standIns, answer.ceremony] });
    await store.getState().refreshCeremonies();
    await store.getState().watch(answer.ceremony);
    void store.getState().refreshEstate(); // a rehearsal card may have been made
  };
  return (
    <>
      <p className="lead">{t.logbook.openLead}</p>
      <div className="form">
        <ModeChoice name="logbook-mode" legend={t.logbook.mode} words={t.logbook} mode={mode} set={setMode} />
        <Field label={t.logbook.name} value={named ?? name} set={setNamed} />
        <fieldset>
          <legend>{t.logbook.card}</legend>
          {mode === 'rehearsal' ? (
            <div className="checks">
              <label>
                <input type="radio" name="logbook-card" checked={!own} onChange={() => setOwn(false)} />
                <span>{t.logbook.rehearsalCard}</span>
              </label>
              <label>
                <input type="radio" name="logbook-card" checked={own} onChange={() => setOwn(true)} />
                <span>{t.logbook.ownCard}</span>
              </label>
            </div>
          ) : null}
          <div className="field">
            {ownCard ? (
              <>
                <label htmlFor={id}>{t.logbook.choose}</label>
                <select id={id} name="logbook-bound" value={card} onChange={(event) => setCard(event.target.value)}>
                  <option value="">{t.open.choose}</option>
                  {there.map((token) => (
                    <option key={`${token.module} ${token.serial}`} value={`${token.module} ${token.serial}`}>
                      {token.label} · {groups(token.serial)} · {token.module}
                    </option>
                  ))}
                </select>
              </>
            ) : (
              <>
                <label htmlFor={id}>{t.logbook.onModule}</label>
                <select id={id} name="logbook-module" value={module} onChange={(event) => setModule(event.target.value)}>
                  {hello?.modules.map((one) => <option key={one}>{one}</option>)}
                </select>
              </>
            )}
          </div>
        </fieldset>
        {mode === 'rehearsal' ? (
          <div className="checks">
            <label>
              <input type="checkbox" name="logbook-stand-ins" checked={standIns} onChange={(event) => setStandIns(event.target.checked)} />
              <span>
                {t.open.standIns}
                <span className="note">{t.open.standInsHint(PUBLISHED_PIN)}</span>
              </span>
            </label>
          </div>
        ) : null}
      </div>
      {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <footer>
        <button
          type="button"
          className="main"
          data-testid="logbook-open"
          disabled={work !== null || name === '' || (ownCard && bound === undefined)}
          onClick={() => void logIn()}
        >
          {work?.call === 'log-in' ? t.logbook.going : t.logbook.go}
        </button>
        <p className="note">{t.logbook.then}</p>
      </footer>
    </>
  );
}
