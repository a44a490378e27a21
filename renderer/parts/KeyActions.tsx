/**
 * What a person can do about a key from the room of keys: sign into which state it passes, until when it may be used
 * and how often its recovery is to be proven, and take away
 * the list by which it is destroyed. Nothing here touches a token: a statement is a line of the logbook, and destruction is a ceremony of its own.
 */
import { useEffect, useId, useState } from 'react';
import { backupsInForce, intervalOf, intervalText } from '../../ceremonies/drills.ts';
import type { CopyList } from '../../ceremonies/destruction.ts';
import type { InventoryKey } from '../../ceremonies/inventory.ts';
import type { KeyState } from '../../ceremonies/keys/lifecycle.ts';
import { instantOf, signable } from '../../ceremonies/statements.ts';
import { stateWord } from '../keys.ts';
import { store, useConclave } from '../page.ts';
import { t } from '../texts.ts';
import { Dialog, Field } from './Dialogs.tsx';
import { LogbookDialog, useVolume } from './Logbook.tsx';
import { TroublePanel } from './Trouble.tsx';
import { SavedFile } from './Words.tsx';

const words = t.keyActions;

export function KeyActions({ of: key }: { readonly of: InventoryKey }) {
  const [dialog, setDialog] = useState<'state' | 'period' | 'drill' | 'destruction' | 'logbook' | null>(null);
  const volume = useVolume();
  const ceremony = volume.at === 'work' ? volume.record.ceremony : null;
  const close = () => {
    store.getState().dismiss();
    setDialog(null);
  };
  if (!key.believed || key.state === null) return null; // of a key that no sound record knows nothing can be signed
  const states = signable(key.state);
  const left = key.state !== 'destroyed';
  const backed = backupsInForce(key.copies).length > 0;
  return (
    <section className="key-actions" aria-label={words.title}>
      <div className="buttons">
        {states.length > 0 ? (
          <button type="button" data-testid="key-state" onClick={() => setDialog(ceremony === null ? 'logbook' : 'state')}>
            {words.state}
          </button>
        ) : null}
        {left ? (
          <button type="button" data-testid="key-period" onClick={() => setDialog(ceremony === null ? 'logbook' : 'period')}>
            {words.period}
          </button>
        ) : null}
        {left && backed ? (
          <button type="button" data-testid="key-drill" onClick={() => setDialog(ceremony === null ? 'logbook' : 'drill')}>
            {words.drill}
          </button>
        ) : null}
        {left ? (
          <button type="button" data-testid="key-destruction" onClick={() => setDialog('destruction')}>
            {words.destruction}
          </button>
        ) : null}
      </div>
      {/* A statement is a line of the logbook: whoever is not logged in does that first. */}
      {dialog === 'logbook' ? <LogbookDialog volume={volume} onClose={() => setDialog(null)} /> : null}
      {dialog === 'state' && ceremony !== null ? <StateDialog of={key} ceremony={ceremony} states={states.map(({ to }) => to)} close={close} /> : null}
      {dialog === 'period' && ceremony !== null ? <PeriodDialog of={key} ceremony={ceremony} close={close} /> : null}
      {dialog === 'drill' && ceremony !== null ? <DrillDialog of={key} ceremony={ceremony} close={close} /> : null}
      {dialog === 'destruction' ? <DestructionDialog of={key} close={close} /> : null}
    </section>
  );
}

function StateDialog({ of: { identity, label, state }, ceremony, states, close }: { readonly of: InventoryKey; readonly ceremony: string; readonly states: readonly KeyState[]; readonly close: () => void }) {
  const [to, setTo] = useState<KeyState>(states[0] ?? 'deactivated');
  const [reason, setReason] = useState('');
  const [since, setSince] = useState('');
  const id = useId();
  const busy = useConclave((conclave) => conclave.work !== null);
  const trouble = useConclave((conclave) => conclave.trouble);
  const moment = to === 'compromised' ? instantOf(since.trim()) : null;
  const ready = reason.trim() !== '' && (to !== 'compromised' || moment !== null);
  const sign = async () => {
    const answer = await store.getState().ask({ call: 'administer', ceremony, request: { change: 'set-state', key: identity, reason: reason.trim().slice(0, 500), to, since: moment }, acceptFinalTry: false });
    if (answer === null) return;
    store.getState().say(words.signed(label, stateWord(to)));
    await store.getState().readInventory();
    close();
  };
  return (
    <Dialog title={words.stateTitle(label)} attend={trouble ? 'trouble' : 'form'} onClose={close}>
      <p className="lead">{words.stateLead(stateWord(state ?? 'unknown'))}</p>
      <div className="form">
        <div className="field">
          <label htmlFor={id}>{words.to}</label>
          <select id={id} name="key-state-to" value={to} onChange={(event) => setTo(event.target.value as KeyState)}>
            {states.map((one) => (
              <option key={one} value={one}>
                {stateWord(one)}
              </option>
            ))}
          </select>
        </div>
        {to === 'compromised' ? <Field label={words.since} value={since} set={setSince} hint={words.sinceHint} /> : null}
        <Field label={words.reason} value={reason} set={setReason} long hint={words.reasonHint} />
      </div>
      {trouble && !busy ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <footer>
        <button type="button" className="main" data-testid="key-state-go" disabled={busy || !ready} onClick={() => void sign()}>
          {words.stateGo}
        </button>
      </footer>
    </Dialog>
  );
}

function PeriodDialog({ of: { identity, label, period }, ceremony, close }: { readonly of: InventoryKey; readonly ceremony: string; readonly close: () => void }) {
  const [from, setFrom] = useState(period?.notBefore?.slice(0, 10) ?? '');
  const [until, setUntil] = useState('');
  const [reason, setReason] = useState('');
  const busy = useConclave((conclave) => conclave.work !== null);
  const trouble = useConclave((conclave) => conclave.trouble);
  const begins = from.trim() === '' ? null : instantOf(from.trim());
  const ends = instantOf(until.trim());
  // What is no time at all is said beside its field; whether the times go together, a rule says.
  const unread = (text: string, moment: string | null) => text.trim() !== '' && moment === null;
  const ready = reason.trim() !== '' && ends !== null && !unread(from, begins);
  const sign = async () => {
    if (ends === null) return;
    const answer = await store.getState().ask({ call: 'administer', ceremony, request: { change: 'set-period', key: identity, reason: reason.trim().slice(0, 500), notBefore: begins, notAfter: ends }, acceptFinalTry: false });
    if (answer === null) return;
    store.getState().say(words.periodSigned(label, ends.slice(0, 10)));
    await store.getState().readInventory();
    close();
  };
  return (
    <Dialog title={words.periodTitle(label)} attend={trouble ? 'trouble' : 'form'} onClose={close}>
      <p className="lead">{period === null ? words.periodNone : words.periodNow(t.inventory.periodUntil(period.notBefore?.slice(0, 10) ?? null, period.notAfter.slice(0, 10), period.by))}</p>
      <p className="note">{words.periodLead}</p>
      <div className="form">
        <Field label={words.periodUntil} value={until} set={setUntil} hint={unread(until, ends) ? words.periodUnread : words.periodUntilHint} />
        <Field label={words.periodFrom} value={from} set={setFrom} hint={unread(from, begins) ? words.periodUnread : words.periodFromHint} />
        <Field label={words.reason} value={reason} set={setReason} long hint={words.reasonHint} />
      </div>
      {trouble && !busy ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <footer>
        <button type="button" className="main" data-testid="key-period-go" disabled={busy || !ready} onClick={() => void sign()}>
          {words.stateGo}
        </button>
      </footer>
    </Dialog>
  );
}

function DrillDialog({ of: { identity, label, drill }, ceremony, close }: { readonly of: InventoryKey; readonly ceremony: string; readonly close: () => void }) {
  const [every, setEvery] = useState('');
  const [first, setFirst] = useState('');
  const [reason, setReason] = useState('');
  const busy = useConclave((conclave) => conclave.work !== null);
  const trouble = useConclave((conclave) => conclave.trouble);
  const interval = intervalOf(every);
  const firstBy = instantOf(first.trim());
  const sign = async () => {
    if (interval === null || firstBy === null) return;
    const answer = await store.getState().ask({ call: 'administer', ceremony, request: { change: 'set-drill', key: identity, reason: reason.trim().slice(0, 500), every: interval, firstBy }, acceptFinalTry: false });
    if (answer === null) return;
    store.getState().say(words.drillSigned(label, intervalText(interval)));
    await store.getState().readInventory();
    close();
  };
  return (
    <Dialog title={words.drillTitle(label)} attend={trouble ? 'trouble' : 'form'} onClose={close}>
      <p className="lead">{drill === null ? words.drillNone : words.drillNow(t.inventory.drillEvery(intervalText(drill.every), drill.by))}</p>
      <p className="note">{words.drillLead}</p>
      <div className="form">
        <Field label={words.drillEvery} value={every} set={setEvery} hint={every.trim() !== '' && interval === null ? words.drillEveryUnread : words.drillEveryHint} />
        <Field label={words.drillFirst} value={first} set={setFirst} hint={first.trim() !== '' && firstBy === null ? words.periodUnread : words.drillFirstHint} />
        <Field label={words.reason} value={reason} set={setReason} long hint={words.reasonHint} />
      </div>
      {trouble && !busy ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <footer>
        <button type="button" className="main" data-testid="key-drill-go" disabled={busy || interval === null || firstBy === null || reason.trim() === ''} onClick={() => void sign()}>
          {words.stateGo}
        </button>
      </footer>
    </Dialog>
  );
}

function DestructionDialog({ of: { identity, label }, close }: { readonly of: InventoryKey; readonly close: () => void }) {
  const [list, setList] = useState<CopyList | null>(null);
  const [file, setFile] = useState<{ readonly path: string; readonly sha256: string } | null>(null);
  const [paper, setPaper] = useState('');
  const [despite, setDespite] = useState('');
  const busy = useConclave((conclave) => conclave.work !== null);
  const trouble = useConclave((conclave) => conclave.trouble);
  const people = paper.split('\n').map((line) => line.trim()).filter((line) => line !== '').map((what) => ({ what, how: words.howPaper }));
  const tooMuch = people.length > 50 || people.some(({ what }) => what.length > 300);
  const plan = async (save: boolean) => {
    const answer = await store.getState().ask({ call: 'plan-destruction', key: identity, despite: despite.trim().slice(0, 300), people, save });
    if (answer === null) return;
    setList(answer.list);
    setFile(answer.file);
  };
  useEffect(() => {
    void plan(false);
  }, []);
  return (
    <Dialog title={words.destructionTitle(label)} attend={file ? 'saved' : trouble ? 'trouble' : 'form'} onClose={close}>
      {file ? (
        <>
          <SavedFile file={file} titles={[words.savedWhere, words.savedFingerprint]} level={3} />
          <p>{words.savedNext}</p>
        </>
      ) : (
        <>
          <p className="lead">{words.destructionLead}</p>
          {list === null ? null : (
            <>
              <ol className="numbered">
                {list.copies.map(({ what, secret }, index) => (
                  <li key={index}>
                    {what} {secret ? null : <span className="note">{words.noSecret}</span>}
                  </li>
                ))}
              </ol>
              {list.unknown.map((line) => (
                <p key={line} className="note">
                  {words.unknown(line)}
                </p>
              ))}
              <div className="form">
                <Field label={words.paper} value={paper} set={setPaper} long hint={tooMuch ? words.paperTooMuch : words.paperHint} />
                {list.dependants.length > 0 ? (
                  <>
                    <p className="warning">{words.dependants(list.dependants)}</p>
                    <Field label={words.despite} value={despite} set={setDespite} long />
                  </>
                ) : null}
              </div>
            </>
          )}
        </>
      )}
      {trouble && !busy ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <footer>
        {file ? (
          <button type="button" className="main" onClick={close}>
            {t.close}
          </button>
        ) : (
          <button type="button" className="main" data-testid="save-copies" disabled={busy || tooMuch || list === null || (list.dependants.length > 0 && despite.trim() === '')} onClick={() => void plan(true)}>
            {words.save}
          </button>
        )}
      </footer>
    </Dialog>
  );
}
