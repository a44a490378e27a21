/**
 * Native dialogs: something unexpected, and the list of keys. Enter never presses anything here, and the button that
 * ends a ceremony stays dead until its word is typed.
 */
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';
import { awaitsShare, mayBeExcepted, type Person } from '../../ceremonies/ceremony.ts';
import type { Request } from '../../electron/contract.ts';
import { store, useConclave } from '../page.ts';
import { personTitle, t } from '../texts.ts';
import { TroublePanel } from './Trouble.tsx';

export function Dialog({
  title,
  children,
  attend,
  onClose,
}: {
  readonly title: string;
  readonly children: ReactNode;
  /** When this changes, so did what the dialog is about: the keyboard, and who hears the screen, begin at its title again. */
  readonly attend?: string;
  readonly onClose: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const heading = useRef<HTMLHeadingElement>(null);
  const attended = useRef(attend);
  useEffect(() => {
    if (attended.current === attend) return;
    attended.current = attend;
    heading.current?.focus();
  }, [attend]);
  // What the page says aloud is outside, and an open dialog silences everything outside.
  const said = useConclave((state) => state.said);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      <header>
        <h2 id={id} ref={heading} tabIndex={-1}>
          {title}
        </h2>
        <button type="button" className="quiet" onClick={() => dialog.current?.close()}>
          {t.close}
        </button>
      </header>
      {children}
      <p className="hidden" role="status" aria-live="polite">
        {said}
      </p>
    </dialog>
  );
}

export function Help({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title={t.help.title} onClose={onClose}>
      <p>{t.help.lead}</p>
      <table className="keys">
        <tbody>
          {t.help.keys.map(([key, does]) => (
            <tr key={key}>
              <th scope="row">
                <kbd>{key}</kbd>
              </th>
              <td>{does}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}

/** The code of a login that needs a person's word first. */
export const FINAL_TRY = 'PIN_FINAL_TRY';

/** One wrong PIN more locks the token: whoever decides says so in a typed sentence. `decides`: who that is. */
export function FinalTry({ decides, accept }: { readonly decides: string; readonly accept: () => void }) {
  const [typed, setTyped] = useState('');
  return (
    <div className="final-try">
      <p>
        <strong>{t.refusal.finalTry}</strong> {decides}
      </p>
      <Field label={t.refusal.finalTryType(t.refusal.finalTrySentence)} value={typed} set={setTyped} />
      <button
        type="button"
        className="destroys"
        disabled={typed.trim() !== t.refusal.finalTrySentence}
        onClick={() => {
          setTyped('');
          accept();
        }}
      >
        {t.refusal.finalTryGo}
      </button>
    </div>
  );
}

export function Field({
  label,
  value,
  set,
  long = false,
  hint,
}: {
  readonly label: string;
  readonly value: string;
  readonly set: (value: string) => void;
  readonly long?: boolean;
  readonly hint?: string;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {long ? (
        <textarea id={id} rows={2} maxLength={1000} value={value} onChange={(event) => set(event.target.value)} />
      ) : (
        <input
          id={id}
          maxLength={200}
          value={value}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => set(event.target.value)}
        />
      )}
      {hint === undefined ? null : <p className="note">{hint}</p>}
    </div>
  );
}

function SeatField({
  people,
  value,
  set,
}: {
  readonly people: readonly Person[];
  readonly value: string;
  readonly set: (seat: string) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{t.unexpected.by}</label>
      <select id={id} value={value} onChange={(event) => set(event.target.value)}>
        {people.map((person) => (
          <option key={person.seat} value={person.seat}>
            {personTitle(person.seat, person.name)}
          </option>
        ))}
      </select>
    </div>
  );
}

/** Null where nothing is to be handed over or read now. The step is only there while its thing waits: nothing else has to be asked. */
function exceptedStep(): string | null {
  const state = store.getState().record?.state;
  const step = state?.phase === 'open' ? state.current?.step.id : undefined;
  return state !== undefined && step !== undefined && mayBeExcepted(state, step) ? step : null;
}

const KINDS = ['exception', 'pause', 'disagree', 'note', 'abort'] as const;
type UnexpectedKind = (typeof KINDS)[number];

export function Unexpected({
  ceremony,
  people,
  onClose,
}: {
  readonly ceremony: string;
  readonly people: readonly Person[];
  readonly onClose: () => void;
}) {
  const [kind, setKind] = useState<UnexpectedKind>('exception');
  const [seat, setSeat] = useState(people[0]?.seat ?? 'officer');
  const [texts, setTexts] = useState<Partial<Record<string, string>>>({});
  const [present, setPresent] = useState(people.length);
  /** The step whose thing is to be handed over now, or whose share is to be read: an exception may end it. */
  const [excepted] = useState(() => exceptedStep());
  const outcome = useConclave(({ record }) => (record !== null && awaitsShare(record.state) ? 'endsReading' : record?.state.current?.step.do.action === 'retire-share' ? 'endsErasing' : record?.state.current?.step.do.action === 'put-away' ? 'endsPuttingAway' : 'endsMovement'));
  const [ends, setEnds] = useState(true);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  /** What brought people here is on the screen behind: it is not what became of what they record. */
  const [before] = useState(trouble);
  const field = (name: string, label: string, hint?: string) => (
    <Field
      key={name}
      label={label}
      value={texts[name] ?? ''}
      set={(value) => setTexts({ ...texts, [name]: value })}
      long
      {...(hint === undefined ? {} : { hint })}
    />
  );
  const filled = (...names: string[]) => names.every((name) => (texts[name] ?? '').trim() !== '');
  const text = (name: string) => (texts[name] ?? '').trim();
  const [request, ready, button] = ((): [Request, boolean, string] => {
    const { unexpected: u } = t;
    switch (kind) {
      case 'exception':
        return [
          {
            call: 'exception',
            ceremony,
            seat,
            expected: text('expected'),
            happened: text('happened'),
            decided: text('decided'),
            ...(excepted && ends ? { step: excepted } : {}),
          },
          filled('expected', 'happened', 'decided'),
          u.writeException,
        ];
      case 'pause':
        return [
          { call: 'break', ceremony, present, reason: text('reason') },
          filled('reason') && present > 0,
          u.writePause,
        ];
      case 'disagree':
        return [{ call: 'disagree', ceremony, seat, words: text('words') }, filled('words'), u.writeDisagree];
      case 'note':
        return [{ call: 'note', ceremony, seat, text: text('text') }, filled('text'), u.writeNote];
      case 'abort':
        return [
          { call: 'abort', ceremony, seat, reason: text('reason') },
          filled('reason') && text('word') === u.abortWord,
          u.writeAbort,
        ];
    }
  })();
  const send = async () => {
    store.getState().dismiss();
    const done = await store.getState().ask(request);
    if (done !== null || store.getState().trouble === null) onClose();
  };
  const signer = personTitle(seat, people.find((person) => person.seat === seat)?.name ?? '');
  const hint = {
    exception: t.unexpected.exceptionHint,
    pause: t.unexpected.pauseHint,
    disagree: t.unexpected.disagreeHint,
    note: t.unexpected.noteHint,
    abort: t.unexpected.abortHint,
  };
  return (
    <Dialog title={t.unexpected.title} onClose={onClose}>
      <p>{t.unexpected.lead}</p>
      <fieldset className="choices">
        <legend className="hidden">{t.unexpected.title}</legend>
        {KINDS.map((name) => (
          <label key={name} className={kind === name ? 'chosen' : ''}>
            <input type="radio" name="kind" checked={kind === name} onChange={() => setKind(name)} />
            <span>{t.unexpected[name]}</span>
          </label>
        ))}
      </fieldset>
      <p className="note" aria-live="polite">
        {hint[kind]}
      </p>
      <div className="form">
        {kind === 'pause' ? null : <SeatField people={people} value={seat} set={setSeat} />}
        {kind === 'exception' && excepted ? (
          <div className="checks">
            <label>
              <input type="checkbox" name="ends-movement" checked={ends} onChange={(event) => setEnds(event.target.checked)} />
              <span>
                {t.custody[outcome]}
                <span className="note">{t.custody[`${outcome}Hint`]}</span>
              </span>
            </label>
          </div>
        ) : null}
        {kind === 'exception'
          ? [
              field('expected', t.unexpected.expected),
              field('happened', t.unexpected.happened),
              field('decided', t.unexpected.decided),
            ]
          : null}
        {kind === 'pause' ? <NumberField label={t.unexpected.present} value={present} set={setPresent} /> : null}
        {kind === 'pause' || kind === 'abort' ? field('reason', t.unexpected.reason) : null}
        {kind === 'disagree' ? field('words', t.unexpected.words) : null}
        {kind === 'note' ? field('text', t.unexpected.text) : null}
        {kind === 'abort' ? (
          <>
            <p className="warning">{t.unexpected.abortWarn}</p>
            <Field
              label={t.unexpected.abortType(t.unexpected.abortWord)}
              value={texts['word'] ?? ''}
              set={(word) => setTexts({ ...texts, word })}
            />
          </>
        ) : null}
      </div>
      {trouble && trouble !== before ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <p role="status">
        {work === null
          ? ''
          : work.call === 'disagree'
            ? `${t.work.booth}. ${t.work.boothMaybe(signer)}`
            : t.ceremony.writing}
      </p>
      <footer>
        <button
          type="button"
          className={kind === 'abort' ? 'destroys' : 'main'}
          disabled={!ready || work !== null}
          onClick={() => void send()}
        >
          {button}
        </button>
      </footer>
    </Dialog>
  );
}

export function NumberField({
  label,
  value,
  set,
  min = 1,
  max = 1000,
}: {
  readonly label: string;
  readonly value: number;
  readonly set: (value: number) => void;
  readonly min?: number;
  readonly max?: number;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="number"
        min={min}
        max={max}
        value={Number.isNaN(value) ? '' : value}
        onChange={(event) => set(event.target.valueAsNumber)}
      />
    </div>
  );
}

type Mode = 'rehearsal' | 'real';

/** Rehearsal or real, the latter with why it cannot be chosen on a development runtime. `children` belong to the choice. */
export function ModeChoice({
  name,
  legend,
  words,
  mode,
  set,
  children,
}: {
  readonly name: string;
  readonly legend: string;
  readonly words: Readonly<Record<Mode, string>>;
  readonly mode: Mode;
  readonly set: (mode: Mode) => void;
  readonly children?: ReactNode;
}) {
  const development = useConclave((state) => state.hello?.runtime.development ?? true);
  return (
    <fieldset>
      <legend>{legend}</legend>
      <div className="checks">
        <label>
          <input type="radio" name={name} checked={mode === 'rehearsal'} onChange={() => set('rehearsal')} />
          <span>{words.rehearsal}</span>
        </label>
        <label>
          <input type="radio" name={name} checked={mode === 'real'} disabled={development} onChange={() => set('real')} />
          <span>
            {words.real}
            {development ? <span className="note"> {t.open.realRefused}</span> : null}
          </span>
        </label>
        {children}
      </div>
    </fieldset>
  );
}
