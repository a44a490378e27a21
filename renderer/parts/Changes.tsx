/**
 * One change to a token, in a dialog: what is to happen, told before it does; what is happening; what came of it, line by
 * line with its worth, or the refusal. The order that leaves here is judged again where it is recorded.
 *
 * Enter presses nothing here, and what destroys stays dead until its words are typed. No PIN and no password is ever typed
 * in this window.
 */
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';
import { destroyPhrase, orderText, resultLines } from '../../ceremonies/administration.ts';
import { KEY_KINDS, type ChangeKind, type KeyKind, type ObjectFact, type OrderedAttribute, type OrderedAttributes, type WrapMethod } from '../../ceremonies/evidence.ts';
import type { AttributeWanted, ObjectPlace } from '../../ceremonies/estate.ts';
import { secretFault } from '../../ceremonies/key-record.ts';
import { importFault } from '../../ceremonies/keys/import.ts';
import { attributeName, KINDS, PURPOSE_NAMES, type KeyTemplate } from '../../ceremonies/keys/template.ts';
import { refuse } from '../../ceremonies/refusal.ts';
import type { Answers, ChangeRequest } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import {
  attributesOf, changedAttributes, changesIn, despiteOf, findingsAfter, findingsOf, kindsFor, officerOf, toldAttributes, unanswered, wishFor, wishOf, wrappedFile,
  type Finding, type Made, type Wanted, type Wish,
} from '../changes.ts';
import { isBlank, nameOf, tokenKey } from '../estate.ts';
import { store, useClock, useConclave, world } from '../page.ts';
import { groups } from '../reading.ts';
import { t } from '../texts.ts';
import { Chosen, fileOf, fileReading, useChosen } from './ChosenFile.tsx';
import { Dialog, Field, FINAL_TRY, FinalTry, NumberField } from './Dialogs.tsx';
import { isSound, type Reading } from './InputFile.tsx';
import { Mark } from './Mark.tsx';
import { Warning } from './ObjectFacts.tsx';
import { TroublePanel } from './Trouble.tsx';
import { SavedFile } from './Words.tsx';

interface FormProps {
  readonly wanted: Wanted;
  /** The whole order, or null while something is missing or nobody answers for a danger. */
  readonly order: (request: ChangeRequest | null) => void;
}

/** Changes that the SO makes, or that end every session: a user who is logged in would be in their way. */
const NOBODY_LOGGED_IN: readonly ChangeKind[] = ['init-token', 'set-user-pin', 'change-pin'];
/** What these give is for keeping outside the token. */
const GIVES_FILE: readonly Made['intent']['change'][] = ['wrap-key', 'sign-request', 'self-sign'];

export function ChangeDialog({
  wanted,
  ceremony,
  close,
  changed,
  unknown,
}: {
  readonly wanted: Wanted;
  /** The volume in which it is written down; the page follows it. */
  readonly ceremony: string;
  readonly close: () => void;
  /** It was made and read back: what is listed is to be read again. */
  readonly changed: (made: Made) => void;
  /** Nobody knows how it ended: somebody must look and decide. */
  readonly unknown: () => void;
}) {
  const [request, setRequest] = useState<ChangeRequest | null>(null);
  const [made, setMade] = useState<Made | null>(null);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  const login = useConclave((state) => state.logins[tokenKey(wanted.module, wanted.token.serial)]);
  const current = useConclave((state) => state.record?.state.current ?? null);
  const officer = useConclave((state) => (state.record ? officerOf(state.record.state) : ''));
  const { change, module, token } = wanted;
  const words = t.change.kinds[change];
  /** No token yet that anything could be lost on. */
  const blank = isBlank(token);
  const busy = work !== null;
  const closing = () => {
    store.getState().dismiss();
    close();
  };

  const go = async (acceptFinalTry: boolean) => {
    if (request === null) return;
    if (NOBODY_LOGGED_IN.includes(change) && login?.loggedIn) {
      await store.getState().ask({ call: 'token-log-out', module, token: token.serial });
      if (store.getState().trouble !== null) return;
      store.getState().noteLogin(module, token.serial, false);
    }
    const answer = await store.getState().ask({ call: 'administer', ceremony, request, acceptFinalTry });
    const after = store.getState().record;
    if (after?.ceremony !== ceremony) return;
    if (answer === null) {
      // Where the record now waits for something other than work, the outcome is not known: that is asked about elsewhere.
      if (after.state.current !== null && after.state.current.phase !== 'ready') unknown();
      return;
    }
    const last = changesIn(after.rows).at(-1);
    if (!last) return;
    setMade(last);
    store.getState().say(t.change.announced(words.done, resultLines(last.intent, last.result).length));
    changed(last);
  };

  if (made) {
    return (
      <Dialog title={words.done} attend="made" onClose={closing}>
        <Outcome ceremony={ceremony} made={made} />
        <footer>
          <button type="button" className="main" data-testid="change-done" disabled={busy} onClick={closing}>
            {t.change.another}
          </button>
        </footer>
      </Dialog>
    );
  }
  const Form = FORMS[change];
  const destroys = change === 'destroy-object' || (change === 'init-token' && !blank);
  const under = work?.call === 'administer';
  return (
    <Dialog title={words.title} attend={under ? 'under' : trouble ? 'trouble' : 'form'} onClose={closing}>
      {under ? <Under words={words.working} officer={officer} standIns={store.getState().standIns.includes(ceremony)} since={work.since} /> : null}
      <div className="change" hidden={under}>
        <p className={destroys ? 'warning' : 'lead'}>{change === 'init-token' && blank ? t.change.blankLead : words.lead}</p>
        <Thing wanted={wanted} />
        {NOBODY_LOGGED_IN.includes(change) && login?.loggedIn ? <p className="note">{t.change.loggedOutFirst}</p> : null}
        <div className="form">
          <Form wanted={wanted} order={setRequest} />
        </div>
        {trouble && !busy ? (
          <TroublePanel
            refusal={trouble.refusal}
            problem={trouble.problem}
            {...(current?.error ? { device: current.phase === 'ready' ? t.refusal.nothingChanged : t.refusal.maybeChanged } : {})}
          >
            {trouble.problem?.code === FINAL_TRY ? <FinalTry decides={t.tokens.finalDecides} accept={() => void go(true)} /> : null}
          </TroublePanel>
        ) : null}
        <footer>
          <button
            type="button"
            className={destroys ? 'destroys' : 'main'}
            data-testid="change-go"
            disabled={busy || request === null}
            onClick={() => void go(false)}
          >
            {change === 'init-token' && blank ? t.change.blankButton : words.button}
          </button>
          <button type="button" className="quiet" disabled={busy} onClick={closing}>
            {t.cancel}
          </button>
        </footer>
      </div>
    </Dialog>
  );
}

/** What is pointed at, said again where it is changed. */
function Thing({ wanted: { token, object } }: { readonly wanted: Wanted }) {
  return (
    <dl className="facts facts-small thing">
      {object ? (
        <div>
          <dt>{t.change.object}</dt>
          <dd>
            <strong>{titleOf(object.place.object)}</strong>, {object.place.object.class} {object.place.object.keyType}
            {object.place.object.id === '' ? null : (
              <>
                , <code className="hex">{groups(object.place.object.id)}</code>
              </>
            )}
          </dd>
        </div>
      ) : null}
      <div>
        <dt>{t.change.token}</dt>
        <dd>
          <strong>{isBlank(token) ? t.tokens.blank : nameOf(token)}</strong>
          {isBlank(token) ? null : (
            <>
              , {t.change.serial.toLowerCase()} <code className="hex">{groups(token.serial)}</code>
            </>
          )}
        </dd>
      </div>
    </dl>
  );
}

function titleOf(object: ObjectFact): string {
  return object.label !== '' ? object.label : object.id !== '' ? groups(object.id) : t.tokens.untitled;
}

function Under({ words, officer, standIns, since }: { readonly words: string; readonly officer: string; readonly standIns: boolean; readonly since: number }) {
  useClock(1000);
  return (
    <section className="work" aria-live="polite">
      <h3>{words}</h3>
      <p>{standIns ? t.work.standIns : t.change.booth(officer)}</p>
      <p aria-live="off" className="tabular note">
        {t.change.since(Math.max(0, Math.round((world.now() - since) / 1000)))}
      </p>
    </section>
  );
}

// --- what came of it -------------------------------------------------------------------------------------------------

function Outcome({ ceremony, made: { entry, intent, result } }: { readonly ceremony: string; readonly made: Made }) {
  const [saved, setSaved] = useState<Answers['save-file'] | null>(null);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  return (
    <div className="outcome">
      <p className="lead">{sentence(orderText(intent))}</p>
      <ul className="lines">
        {resultLines(intent, result).map(({ text, mark }, index) => (
          <li key={index}>
            <Mark name={mark ?? 'plain'} quiet />{' '}
            <span>
              {sentence(text)}
              {mark === null ? null : <span className={`proof proof-${mark}`}>{t.verdicts[mark]}</span>}
            </span>
          </li>
        ))}
      </ul>
      <p className="note">{t.change.written}</p>
      {GIVES_FILE.includes(intent.change) ? (
        saved ? (
          <SavedFile file={saved} titles={[t.change.saved, t.change.savedHash]} level={3} />
        ) : (
          <p className="buttons">
            <button
              type="button"
              data-testid="change-save"
              disabled={work !== null}
              onClick={() => void store.getState().ask({ call: 'save-file', ceremony, entry }).then(setSaved)}
            >
              {work?.call === 'save-file' ? t.change.saving : t.change.save}
            </button>
          </p>
        )
      ) : null}
      {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
    </div>
  );
}

const sentence = (words: string): string => `${words.slice(0, 1).toUpperCase()}${words.slice(1)}${words.endsWith('.') ? '' : '.'}`;

// --- forms: tokens and PINs ------------------------------------------------------------------------------------------

/** Tells the dialog of every order that the form comes to: when it says something else, or holds the bytes of another file. */
function useOrder(order: FormProps['order'], request: ChangeRequest | null): void {
  const said = request === null ? '' : JSON.stringify(request, (_, value: unknown) => (value instanceof Uint8Array ? numberOf(value) : value));
  const latest = useRef(request);
  latest.current = request;
  useEffect(() => order(latest.current), [order, said]);
}

const numbers = new WeakMap<Uint8Array, number>();
let files = 0;
function numberOf(bytes: Uint8Array): number {
  const known = numbers.get(bytes);
  if (known !== undefined) return known;
  files += 1;
  numbers.set(bytes, files);
  return files;
}

function InitToken({ wanted: { module, token }, order }: FormProps) {
  const [label, setLabel] = useState('');
  const [typed, setTyped] = useState('');
  const [total, setTotal] = useState<number | null>(null);
  const blank = isBlank(token);
  const guard = blank ? '' : token.label === '' ? token.serial : token.label;
  useEffect(() => {
    if (blank) return undefined;
    let open = true;
    void bridge.call({ call: 'objects', module, token: token.serial, offset: 0, limit: 1 }).then((answer) => {
      if (open && answer.ok) setTotal(answer.value.total);
    });
    return () => {
      open = false;
    };
  }, [module, token.serial, blank]);
  const ready = label.trim() !== '' && typed === guard;
  useOrder(order, ready ? { change: 'init-token', module, token: token.serial, label: label.trim() } : null);
  return (
    <>
      {blank ? null : (
        <p>
          <strong>{t.change.objects}:</strong> {total === null ? t.change.counting : t.change.objectsSeen(total)}.
        </p>
      )}
      <Field label={t.change.newLabel} value={label} set={setLabel} />
      {blank ? null : (
        <Field label={token.label === '' ? t.change.typeSerial(guard) : t.change.typeLabel(guard)} value={typed} set={setTyped} />
      )}
    </>
  );
}

function SetUserPin({ wanted: { module, token }, order }: FormProps) {
  useOrder(order, { change: 'set-user-pin', module, token: token.serial });
  return null;
}

function ChangePin({ wanted: { module, token }, order }: FormProps) {
  const [whose, setWhose] = useState<'user' | 'so'>('user');
  useOrder(order, { change: 'change-pin', module, token: token.serial, whose });
  return (
    <fieldset>
      <legend>{t.change.whose}</legend>
      <div className="checks">
        {(['user', 'so'] as const).map((one) => (
          <label key={one}>
            <input type="radio" name="whose" checked={whose === one} onChange={() => setWhose(one)} />
            <span>{t.change.whosePin[one]}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

// --- forms: keys -----------------------------------------------------------------------------------------------------

function GenerateKey({ wanted: { module, token }, order }: FormProps) {
  const [label, setLabel] = useState('');
  const [wish, setWish] = useState<Wish>(() => wishFor('signing'));
  const findings = findingsOf(wish);
  const ready = label.trim() !== '' && unanswered(findings, wish.despite).length === 0;
  const key = { label: label.trim(), kind: wish.kind, attributes: wish.attributes, despite: despiteOf(findings, wish.despite) };
  useOrder(order, ready ? { change: 'generate-key', module, token: token.serial, ...key } : null);
  return (
    <>
      <Field label={t.change.label} value={label} set={setLabel} />
      <WishFields wish={wish} set={setWish} />
    </>
  );
}

function ImportKey({ wanted: { module, token }, order }: FormProps) {
  const [label, setLabel] = useState('');
  const [wish, setWish] = useState<Wish>(() => wishFor('signing'));
  const [file, choose] = useChosen((bytes) => {
    const refusal = importFault(bytes);
    return refusal ? { ok: false, refusal } : fileReading(bytes, []);
  });
  const findings = findingsOf(wish);
  const ready = label.trim() !== '' && file !== null && isSound(file.reading) && unanswered(findings, wish.despite).length === 0;
  const key = { label: label.trim(), kind: wish.kind, attributes: wish.attributes, despite: despiteOf(findings, wish.despite) };
  useOrder(order, ready ? { change: 'import-key', module, token: token.serial, ...key, file: fileOf(file) } : null);
  return (
    <>
      <Chosen ask={t.change.keyFile} file={file} choose={choose} />
      <Field label={t.change.label} value={label} set={setLabel} />
      <WishFields wish={wish} set={setWish} />
    </>
  );
}

function UnwrapKey({ wanted: { module, token }, order }: FormProps) {
  const [label, setLabel] = useState('');
  const [chosenUnder, setUnder] = useState<number | null>(null);
  const [despite, setDespite] = useState<readonly string[]>([]);
  /** What is to be other than in the file. */
  const [other, setOther] = useState<OrderedAttributes>({});
  const [file, choose] = useChosen((bytes) => {
    const wrapped = wrappedFile(bytes);
    if (wrapped === null) return { ok: false, refusal: refuse('WRAPPED-KEY-FILE', t.change.wrappedFile, t.change.readFailed, t.open.fileLarge.next) };
    const { wrappedSays } = t.change;
    return fileReading(bytes, [
      { name: wrappedSays.key, value: wrapped.key.label },
      { name: wrappedSays.kind, value: KINDS[wrapped.key.kind].label },
      { name: wrappedSays.method, value: t.change.methods[wrapped.method] },
      { name: wrappedSays.under, value: wrapped.under.label },
    ]);
  });
  const wrapped = file === null ? null : wrappedFile(file.bytes);
  const keys = useKeys(module, token.serial, wrapped?.method === 'hybrid' ? null : 'CKA_UNWRAP', 'private');
  // The key that the file names, where it is here.
  const named = keys?.find(({ object }) => object.id === wrapped?.under.id);
  const under = keys?.find(({ position }) => position === chosenUnder) ?? named;
  const findings = wrapped ? findingsOf({ ...wishFor('signing'), kind: wrapped.key.kind, attributes: { ...wrapped.key.attributes, ...other } }).filter(({ answerable }) => answerable) : [];
  const ready = file !== null && isSound(file.reading) && under !== undefined && unanswered(findings, despite).length === 0;
  const request: ChangeRequest | null = ready
    ? { change: 'unwrap-key', module, token: token.serial, under, file: fileOf(file), label: label.trim() === '' ? null : label.trim(), attributes: other, despite: despiteOf(findings, despite) }
    : null;
  useOrder(order, request);
  return (
    <>
      <Chosen ask={t.change.wrappedFile} file={file} choose={choose} />
      <KeyField label={t.change.under} keys={keys} value={under?.position ?? null} set={setUnder} />
      <Field label={t.change.keyLabel} value={label} set={setLabel} />
      {wrapped ? (
        <div className="wish">
          <AttributeFields
            legend={t.tokens.attributes}
            names={Object.keys(wrapped.key.attributes) as OrderedAttribute[]}
            values={{ ...wrapped.key.attributes, ...other }}
            set={(name, on) => setOther(changedAttributes(wrapped.key.attributes, { ...other, [name]: on }))}
          />
          <Findings findings={findings} despite={despite} set={setDespite} />
        </div>
      ) : null}
    </>
  );
}

/** Purpose or template, kind, attributes, and beside them what speaks against it. */
function WishFields({ wish, set }: { readonly wish: Wish; readonly set: (wish: Wish) => void }) {
  const templates = useTemplates();
  const id = useId();
  const kinds = wish.template === null ? kindsFor(wish.purpose) : [wish.kind];
  const { uses, protection } = attributesOf(wish.kind);
  const choose = (value: string) => {
    const template = templates.find(({ name }) => `template ${name}` === value);
    const purpose = PURPOSE_NAMES.find((name) => name === value);
    if (template) set(wishOf(template));
    else if (purpose) set(wishFor(purpose, wish.kind));
  };
  const tick = (name: OrderedAttribute, on: boolean) => set({ ...wish, attributes: { ...wish.attributes, [name]: on } });
  return (
    <>
      <div className="grid">
        <div className="field">
          <label htmlFor={`${id}-for`}>{t.change.purpose}</label>
          <select id={`${id}-for`} name="purpose" value={wish.template === null ? wish.purpose : `template ${wish.template}`} onChange={(event) => choose(event.target.value)}>
            <optgroup label={t.change.purposeGroup}>
              {PURPOSE_NAMES.map((name) => (
                <option key={name} value={name}>
                  {t.change.purposes[name]}
                </option>
              ))}
            </optgroup>
            {templates.length > 0 ? (
              <optgroup label={t.change.templateGroup}>
                {templates.map(({ name, note }) => (
                  <option key={name} value={`template ${name}`}>
                    {note === undefined ? name : `${name}: ${note}`}
                  </option>
                ))}
              </optgroup>
            ) : null}
          </select>
        </div>
        <div className="field">
          <label htmlFor={`${id}-kind`}>{t.change.kind}</label>
          <select id={`${id}-kind`} name="kind" value={wish.kind} onChange={(event) => set({ ...wish, kind: KEY_KINDS.find((kind) => kind === event.target.value) ?? wish.kind })}>
            {kinds.map((kind: KeyKind) => (
              <option key={kind} value={kind}>
                {KINDS[kind].label}
              </option>
            ))}
          </select>
        </div>
      </div>
      <div className="wish">
        <div>
          <AttributeFields legend={t.change.may} names={uses} values={wish.attributes} set={tick} />
          <AttributeFields legend={t.change.protectedBy} names={protection} values={wish.attributes} set={tick} />
        </div>
        <Findings findings={findingsOf(wish)} despite={wish.despite} set={(despite) => set({ ...wish, despite })} />
      </div>
    </>
  );
}

function AttributeFields({
  legend,
  names,
  values,
  set,
}: {
  readonly legend: string;
  readonly names: readonly OrderedAttribute[];
  readonly values: OrderedAttributes;
  readonly set: (name: OrderedAttribute, on: boolean) => void;
}) {
  return (
    <fieldset className="attribute-fields">
      <legend>{legend}</legend>
      <div className="checks">
        {names.map((name) => (
          <label key={name}>
            <input type="checkbox" name={name} checked={values[name] ?? false} onChange={(event) => set(name, event.target.checked)} />
            <span>
              {t.change.attribute[name]} <code className="note">{attributeName(name)}</code>
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Findings({ findings, despite, set }: { readonly findings: readonly Finding[]; readonly despite: readonly string[]; readonly set: (despite: readonly string[]) => void }) {
  return (
    <section className="wish-findings" aria-live="polite">
      <h3>{t.change.findings}</h3>
      {findings.length === 0 ? (
        <p>
          <Mark name="verified" quiet /> {t.change.findingsNone}
        </p>
      ) : null}
      <ul className="risks">
        {findings.map(({ rule, weight, why, next, answerable }) => (
          <Warning key={rule} mark={weight === 'danger' ? 'refused' : 'reported'} word={answerable || weight === 'caution' ? t.tokens.weight[weight] : t.change.refusedFinding} rule={rule} next={next}>
            {why}
            {answerable ? (
              <label className="answer-for">
                <input
                  type="checkbox"
                  name={`despite-${rule}`}
                  checked={despite.includes(rule)}
                  onChange={(event) => set(event.target.checked ? [...despite, rule] : despite.filter((one) => one !== rule))}
                />
                <span>{t.change.answerFor}</span>
              </label>
            ) : null}
          </Warning>
        ))}
      </ul>
    </section>
  );
}

/** The organisation's templates; none where there is no such file. What is wrong with the file, the administrator's own tool says. */
function useTemplates(): readonly KeyTemplate[] {
  const [templates, setTemplates] = useState<readonly KeyTemplate[]>([]);
  useEffect(() => {
    let wanted = true;
    void bridge.call({ call: 'templates' }).then((answer) => {
      if (wanted && answer.ok) setTemplates(answer.value.templates.map(({ template }) => template));
    });
    return () => {
      wanted = false;
    };
  }, []);
  return templates;
}

// --- forms: an object ------------------------------------------------------------------------------------------------

function ImportCertificate({ wanted: { module, token, object }, order }: FormProps) {
  const [label, setLabel] = useState(object?.place.object.label ?? '');
  const [chosenKey, setKey] = useState<number | null>(object?.place.position ?? null);
  const [file, choose] = useChosen((bytes) => {
    const refusal = secretFault(bytes);
    return refusal ? { ok: false, refusal } : readInput('certificate', bytes);
  });
  const keys = useKeys(module, token.serial, 'CKA_SIGN', 'private');
  const place = keys?.find(({ position }) => position === chosenKey) ?? (object?.place.position === chosenKey ? object.place : null);
  const ready = label.trim() !== '' && file !== null && isSound(file.reading);
  useOrder(order, ready ? { change: 'import-certificate', module, token: token.serial, place, label: label.trim(), file: fileOf(file) } : null);
  return (
    <>
      <Chosen ask={t.change.certificateFile} file={file} choose={choose} />
      <Field label={t.change.label} value={label} set={setLabel} />
      <KeyField label={t.change.belongsTo} keys={object ? [object.place, ...(keys ?? []).filter(({ position }) => position !== object.place.position)] : keys} value={chosenKey} set={setKey} none={t.change.belongsToNone} />
    </>
  );
}

function CopyObject({ wanted: { module, token, object }, order }: FormProps) {
  const before = toldAttributes(object?.reading.attributes ?? []);
  const [label, setLabel] = useState('');
  const [after, setAfter] = useState(before);
  const [despite, setDespite] = useState<readonly string[]>([]);
  const attributes = changedAttributes(before, after);
  const findings = findingsAfter(object?.reading ?? null, attributes);
  const ready = label.trim() !== '' && object !== null && unanswered(findings, despite).length === 0;
  useOrder(order, ready ? { change: 'copy-object', module, token: token.serial, place: object.place, label: label.trim(), attributes, despite: despiteOf(findings, despite) } : null);
  return (
    <>
      <Field label={t.change.label} value={label} set={setLabel} />
      <TheirAttributes before={before} after={after} set={setAfter} />
      {findings.length > 0 ? <Findings findings={findings} despite={despite} set={setDespite} /> : null}
    </>
  );
}

function EditObject({ wanted: { module, token, object }, order }: FormProps) {
  const fact = object?.place.object;
  const before = toldAttributes(object?.reading.attributes ?? []);
  const [label, setLabel] = useState(fact?.label ?? '');
  const [id, setId] = useState(fact?.id ?? '');
  const [after, setAfter] = useState(before);
  const written = id.replace(/[\s:]/g, '').toLowerCase();
  const attributes = changedAttributes(before, after);
  const [despite, setDespite] = useState<readonly string[]>([]);
  // What speaks against it as it is does not speak against the change.
  const had = findingsAfter(object?.reading ?? null, {}).map(({ rule }) => rule);
  const findings = findingsAfter(object?.reading ?? null, attributes).filter(({ rule }) => !had.includes(rule));
  const different = label !== fact?.label || written !== fact.id || Object.keys(attributes).length > 0;
  const ready = object !== null && different && unanswered(findings, despite).length === 0 && /^([0-9a-f]{2}){0,32}$/.test(written);
  const request: ChangeRequest | null = ready
    ? { change: 'edit-object', module, token: token.serial, place: object.place, label: label === fact?.label || label === '' ? null : label, id: written === fact?.id ? null : written, attributes, despite: despiteOf(findings, despite) }
    : null;
  useOrder(order, request);
  return (
    <>
      {before.modifiable === false ? (
        <p>
          <Mark name="reported" quiet /> {t.change.unmodifiable}
        </p>
      ) : null}
      <Field label={t.change.label} value={label} set={setLabel} />
      <Field label={t.change.id} value={id} set={setId} />
      <TheirAttributes before={before} after={after} set={setAfter} />
      {findings.length > 0 ? <Findings findings={findings} despite={despite} set={setDespite} /> : null}
    </>
  );
}

function TheirAttributes({ before, after, set }: { readonly before: OrderedAttributes; readonly after: OrderedAttributes; readonly set: (after: OrderedAttributes) => void }) {
  const names = Object.keys(before) as OrderedAttribute[];
  if (names.length === 0) return null;
  return (
    <>
      <p className="note">{t.change.asItIs}</p>
      <AttributeFields legend={t.tokens.attributes} names={names} values={after} set={(name, on) => set({ ...after, [name]: on })} />
    </>
  );
}

function DestroyObject({ wanted: { module, token, object }, order }: FormProps) {
  const [typed, setTyped] = useState('');
  const phrase = object ? destroyPhrase(object.place.object) : '';
  useOrder(order, object && typed === phrase ? { change: 'destroy-object', module, token: token.serial, place: object.place, typed } : null);
  return <Field label={t.change.destroyType(phrase)} value={typed} set={setTyped} />;
}

const METHODS = ['AES-KWP', 'AES-KW', 'RSA-OAEP', 'hybrid'] as const satisfies readonly WrapMethod[];

function WrapKey({ wanted: { module, token, object }, order }: FormProps) {
  const [method, setMethod] = useState<WrapMethod>('AES-KWP');
  const [chosen, setChosen] = useState<number | null>(null);
  const id = useId();
  // A public key or a certificate: what it is, is read where the order is made; here its fingerprint is compared.
  const [file, choose] = useChosen((bytes) => {
    const secret = secretFault(bytes);
    return secret ? { ok: false, refusal: secret } : fileReading(bytes, []);
  });
  const keys = useKeys(module, token.serial, 'CKA_WRAP', method === 'RSA-OAEP' ? 'public' : 'secret');
  const under = method === 'hybrid' ? null : keys?.find(({ position }) => position === chosen) ?? null;
  const recipient = method === 'hybrid' && file !== null && isSound(file.reading) ? fileOf(file) : null;
  const ready = object !== null && (under !== null || recipient !== null);
  useOrder(order, ready ? { change: 'wrap-key', module, token: token.serial, place: object.place, under, recipient, method } : null);
  return (
    <>
      <div className="field">
        <label htmlFor={id}>{t.change.method}</label>
        <select id={id} name="method" value={method} onChange={(event) => setMethod(METHODS.find((one) => one === event.target.value) ?? method)}>
          {METHODS.map((one) => (
            <option key={one} value={one}>
              {t.change.methods[one]}
            </option>
          ))}
        </select>
      </div>
      {method === 'hybrid' ? (
        <>
          <Chosen ask={t.change.recipientFile} file={file} choose={choose} />
          <p className="note">{t.change.recipientHint}</p>
        </>
      ) : (
        <KeyField label={t.change.under} keys={keys?.filter(({ position }) => position !== object?.place.position) ?? null} value={chosen} set={setChosen} />
      )}
    </>
  );
}

function SignRequest({ wanted: { module, token, object }, order }: FormProps) {
  const [subject, setSubject] = useState('');
  useOrder(order, object && subject.trim() !== '' ? { change: 'sign-request', module, token: token.serial, place: object.place, subject: subject.trim() } : null);
  return <Field label={t.change.subject} value={subject} set={setSubject} hint={t.change.subjectHint} />;
}

function SelfSign({ wanted: { module, token, object }, order }: FormProps) {
  const [subject, setSubject] = useState('');
  const [days, setDays] = useState(365);
  const ready = object !== null && subject.trim() !== '' && Number.isInteger(days) && days >= 1 && days <= 14_610;
  useOrder(order, ready ? { change: 'self-sign', module, token: token.serial, place: object.place, subject: subject.trim(), days } : null);
  return (
    <>
      <Field label={t.change.subject} value={subject} set={setSubject} hint={t.change.subjectHint} />
      <NumberField label={t.change.days} value={days} set={setDays} max={14_610} />
    </>
  );
}

const FORMS: Readonly<Record<ChangeKind, (props: FormProps) => ReactNode>> = {
  'init-token': InitToken,
  'set-user-pin': SetUserPin,
  'change-pin': ChangePin,
  'generate-key': GenerateKey,
  'import-key': ImportKey,
  'import-certificate': ImportCertificate,
  'copy-object': CopyObject,
  'edit-object': EditObject,
  'destroy-object': DestroyObject,
  'wrap-key': WrapKey,
  'unwrap-key': UnwrapKey,
  'sign-request': SignRequest,
  'self-sign': SelfSign,
};

// --- keys to choose from ---------------------------------------------------------------------------------------------

type KeyClass = 'public' | 'private' | 'secret';

/** Keys in sight with this use (null: with any); where private keys are wanted, secret ones do too. Null while the token is asked. */
function useKeys(module: string, serial: string, use: string | null, kind: KeyClass): readonly ObjectPlace[] | null {
  const [keys, setKeys] = useState<readonly ObjectPlace[] | null>(null);
  useEffect(() => {
    let wanted = true;
    setKeys(null);
    const classes = kind === 'private' ? ['CKO_PRIVATE_KEY', 'CKO_SECRET_KEY'] : [kind === 'public' ? 'CKO_PUBLIC_KEY' : 'CKO_SECRET_KEY'];
    void Promise.all(
      classes.map(async (value) => {
        const where: AttributeWanted[] = [{ attribute: 'CKA_CLASS', value }, ...(use === null ? [] : [{ attribute: use, value: 'true' }])];
        const answer = await bridge.call({ call: 'search-objects', module, token: serial, where, offset: 0, limit: 500 });
        return answer.ok ? answer.value.objects.map((object, index) => ({ position: answer.value.positions[index] ?? 0, object })) : [];
      }),
    ).then((found) => {
      if (wanted) setKeys(found.flat());
    });
    return () => {
      wanted = false;
    };
  }, [module, serial, use, kind]);
  return keys;
}

function KeyField({
  label,
  keys,
  value,
  set,
  none,
}: {
  readonly label: string;
  readonly keys: readonly ObjectPlace[] | null;
  readonly value: number | null;
  readonly set: (position: number | null) => void;
  /** What choosing nothing means, where that is allowed. */
  readonly none?: string;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value ?? ''} onChange={(event) => set(event.target.value === '' ? null : Number(event.target.value))}>
        <option value="">{keys === null ? t.tokens.reading : (none ?? t.open.choose)}</option>
        {(keys ?? []).map(({ position, object }) => (
          <option key={position} value={position}>
            {titleOf(object)} · {object.keyType} · {groups(object.id)}
          </option>
        ))}
      </select>
      {keys?.length === 0 && none === undefined ? <p className="note">{t.change.underNone}</p> : null}
    </div>
  );
}

function readInput(kind: 'certificate', bytes: Uint8Array<ArrayBuffer>): Promise<Exclude<Reading, null>> {
  return bridge.call({ call: 'read-input', kind, file: { file: kind, bytes } });
}
