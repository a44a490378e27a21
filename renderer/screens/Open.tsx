/**
 * Opening a ceremony: what is made, which files people bring, who sits where, which token and cards. Everything is checked
 * before anything begins: the script by its own reader, the whole by a walk through a model of the room, each file when it
 * is chosen, and all of it once more by the conductor.
 */
import { useEffect, useId, useMemo, useState } from 'react';
import { CA_ALGORITHMS } from '../../ceremonies/keys/algorithms.ts';
import { Refused, refuse, type Refusal } from '../../ceremonies/refusal.ts';
import { secretFault } from '../../ceremonies/key-record.ts';
import { planOf, readScript, type Parameters, type Plan, type Script } from '../../ceremonies/script.ts';
import type { Answer, Bindings, Estate, Inputs, Request } from '../../electron/contract.ts';
import { algorithmName, placesFor, placeWords } from '../algorithms.ts';
import { bridge } from '../client.ts';
import { bind, boundTo, keyElsewhere, keyHome, shareHome, tokensAtHand, wantedOf, type Bound, type Want } from '../opening.ts';
import { ModeChoice } from '../parts/Dialogs.tsx';
import { Frame } from '../parts/Frame.tsx';
import { InputField, isSound, type Reading } from '../parts/InputFile.tsx';
import { Mark } from '../parts/Mark.tsx';
import { AlgorithmField, ParameterFields, PlaceField } from '../parts/Parameter.tsx';
import { TroublePanel } from '../parts/Trouble.tsx';
import { Words } from '../parts/Words.tsx';
import { store, useConclave } from '../page.ts';
import { groups } from '../reading.ts';
import { PUBLISHED_PIN, seatTitle, t } from '../texts.ts';

export function Open({ name }: { readonly name: string }) {
  const scripts = useConclave((state) => state.scripts);
  const trouble = useConclave((state) => state.trouble);
  useEffect(() => {
    if (scripts === null) void store.getState().refreshScripts();
    void store.getState().refreshEstate();
  }, [scripts]);
  const text = scripts?.find((script) => script.name === name)?.text ?? scripts?.[0]?.text;
  const read = useMemo(() => (text === undefined ? null : readScript(text)), [text]);
  if (scripts === null || read === null) {
    return (
      <Frame busy={trouble === null}>
        {trouble ? (
          <TroublePanel refusal={trouble.refusal} problem={trouble.problem} />
        ) : (
          <p className="waiting-line">{scripts?.length === 0 ? t.scripts.none : t.loadingScreen}</p>
        )}
      </Frame>
    );
  }
  if (read.script === null)
    return (
      <Frame>
        <h1>{t.open.title}</h1>
        <p>{t.open.noScript}</p>
        {read.faults.map((fault, index) => (
          <TroublePanel key={index} refusal={fault} problem={null} />
        ))}
      </Frame>
    );
  return <Form key={read.script.hash} name={name} script={read.script} />;
}

function planned(
  script: Script,
  parameters: Parameters,
): { plan: Plan; refusal: null } | { plan: null; refusal: Refusal } {
  try {
    return { plan: planOf(script, parameters), refusal: null };
  } catch (error) {
    if (error instanceof Refused) return { plan: null, refusal: error.refusal };
    throw error;
  }
}

function Form({ name, script }: { readonly name: string; readonly script: Script }) {
  const hello = useConclave((state) => state.hello);
  const estate = useConclave((state) => state.estate);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  const [parameters, setParameters] = useState<Parameters>(script.defaults);
  const [names, setNames] = useState<Readonly<Partial<Record<string, string>>>>({});
  const [module, setModule] = useState(hello?.modules[0] ?? '');
  const [bindings, setBindings] = useState<Bindings>({ tokens: {}, cards: {} });
  /** Tokens that a person chose: no blank one is made in their place. */
  const [own, setOwn] = useState<readonly string[]>([]);
  const [ca, setCa] = useState<Ca>({ algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' });
  const [mode, setMode] = useState<'rehearsal' | 'real'>('rehearsal');
  const [standIns, setStandIns] = useState(true);
  const { files, put, remove } = useFiles(script);
  const { plan, refusal } = useMemo(() => planned(script, parameters), [script, parameters]);
  const model = useModel(name, parameters, plan !== null);
  const people = (plan?.seats ?? []).map((seat) => ({
    seat: seat.id,
    name: (names[seat.id] ?? (mode === 'rehearsal' ? `${seatTitle(seat.id)} (rehearsal)` : '')).trim(),
  }));
  const wanted = plan ? wantedOf(plan) : [];
  const missing = wanted.filter((want) => want.optional !== true && boundTo(bindings, want) === undefined).length;
  const asked = Object.entries(script.body.inputs);
  const filesMissing = asked.filter(([key, spec]) => spec.optional !== true && files[key] === undefined).length;
  const filesSound = Object.values(files).every((chosen) => isSound(chosen?.reading ?? null));
  const elsewhere = plan ? keyElsewhere(plan, files, bindings) : null;
  const makesCa = mode === 'rehearsal' && asked.some(([key, { kind }]) => (kind === 'key' || kind === 'backup') && files[key]?.made !== false);
  const ready =
    plan !== null &&
    missing === 0 &&
    filesMissing === 0 &&
    filesSound &&
    elsewhere === null &&
    people.every((person) => person.name !== '') &&
    work === null;

  const namesShares = (key: string) => ['backup', 'activation'].includes(script.body.inputs[key]?.kind ?? '');
  /** Cards may have come since the page was drawn. */
  const estateNow = async () => {
    await store.getState().refreshEstate();
    return store.getState().estate;
  };
  /** A key's record names its token: where that is at hand, it is the one to bind. */
  const choose = async (key: string, file: File) => {
    const bytes = file.size > LARGEST_FILE ? new Uint8Array(0) : new Uint8Array(await file.arrayBuffer());
    void put(key, file.name.slice(0, 200), bytes, false, file.size);
    const shares = plan && namesShares(key) ? shareHome(plan, bytes, await estateNow(), store.getState().met) : null;
    if (shares) setBindings((before) => ({ ...before, cards: { ...before.cards, 'share-card': { ...shares } } }));
    const on = plan && keyHome(plan, key, bytes, estate);
    if (!on) return;
    setBindings((before) => bind(before, { title: on.token, token: on.token }, on.bound));
    setOwn((before) => [...before, on.token]);
  };
  const provision = async () => {
    const brought = asked.map(([key]) => key).filter((key) => files[key]?.made === false);
    const tokens = Object.fromEntries(Object.entries(bindings.tokens).filter(([token]) => own.includes(token)));
    const backup = brought.map((key) => (namesShares(key) ? files[key] : undefined)).find((file) => file !== undefined);
    const shares = plan && backup ? shareHome(plan, backup.bytes, await estateNow(), store.getState().met) : null;
    const made = await store.getState().ask({
      call: 'provision', script: name, parameters, module, brought, tokens,
      ...(shares ? { cards: { 'share-card': { ...shares } } } : {}),
      ...(makesCa ? { ca } : {}),
    });
    if (made) {
      setBindings(made.bindings);
      for (const [key, { file, bytes }] of Object.entries(made.inputs)) void put(key, file, bytes, true);
    }
    await store.getState().refreshEstate();
  };
  const open = async () => {
    // Only what this plan asks for: cards of seats that a changed parameter removed are not bound.
    const exact = wanted.filter((want) => want.optional !== true || boundTo(bindings, want) !== undefined).reduce<Bindings>(
      (sum, want) => bind(sum, want, boundTo(bindings, want) ?? { module: '', serial: '' }),
      { tokens: {}, cards: {} },
    );
    const inputs: Inputs = {};
    for (const [key, chosen] of Object.entries(files)) if (chosen) inputs[key] = { file: chosen.file, bytes: chosen.bytes };
    const opened = await store.getState().ask({
      call: 'open',
      script: name,
      parameters,
      people,
      bindings: exact,
      inputs,
      mode,
      standIns: standIns && mode === 'rehearsal',
    });
    if (!opened) return;
    if (standIns) store.setState({ standIns: [...store.getState().standIns, opened.ceremony] });
    store.getState().go({ at: 'ceremony', ceremony: opened.ceremony });
  };

  return (
    <Frame wide busy={work !== null}>
      <div className="title-row">
        <h1>{script.title}</h1>
        <span className={`tag tag-${mode}`}>{t.mode[mode]}</span>
      </div>
      <p className="lead">{script.purpose}</p>
      <div className="open">
        <div className="form">
          <fieldset>
            <legend>{t.open.parameters}</legend>
            <ParameterFields script={script} parameters={parameters} set={setParameters} />
            {refusal ? <TroublePanel refusal={refusal} problem={null} /> : null}
          </fieldset>
          {asked.length === 0 ? null : (
            <section className="input-files">
              <h2>{t.open.files}</h2>
              <p className="note">
                {t.open.filesHint} {mode === 'rehearsal' ? t.open.filesMade : ''}
              </p>
              {asked.map(([key, spec]) => (
                <InputField
                  key={key}
                  ask={spec.ask}
                  optional={spec.optional === true}
                  chosen={files[key]}
                  choose={(file) => void choose(key, file)}
                  remove={() => remove(key)}
                />
              ))}
              {makesCa ? <RehearsalCa ca={ca} set={setCa} /> : null}
            </section>
          )}
          <fieldset>
            <legend>{t.open.people}</legend>
            <p className="note">{t.open.peopleHint}</p>
            <div className="grid">
              {people.map((person) => (
                <PersonField
                  key={person.seat}
                  seat={person.seat}
                  value={names[person.seat] ?? person.name}
                  set={(value) => setNames({ ...names, [person.seat]: value })}
                />
              ))}
            </div>
          </fieldset>
          <fieldset>
            <legend>{t.open.tokens}</legend>
            <div className="make">
              <ModuleField modules={hello?.modules ?? []} value={module} set={setModule} />
              <button
                type="button"
                className={missing > 0 || filesMissing > 0 ? 'main' : ''}
                data-testid="make-cards"
                disabled={work !== null || plan === null}
                onClick={() => void provision()}
              >
                {work?.call === 'provision' ? t.open.making : asked.length > 0 ? t.open.makeWithFiles : t.open.make}
              </button>
            </div>
            <p className="note">{t.open.makeHint}</p>
            {estate?.modules.some(({ moves }) => moves) ? <p className="note">{t.open.cardsHint}</p> : null}
            <table className="bindings">
              <thead>
                <tr>
                  <th scope="col">{t.open.purpose}</th>
                  <th scope="col">{t.tokens.serial}</th>
                </tr>
              </thead>
              <tbody>
                {wanted.map((want) => (
                  <Binding
                    key={want.title}
                    want={want}
                    estate={estate}
                    value={boundTo(bindings, want)}
                    set={(bound) => {
                      setBindings(bind(bindings, want, bound));
                      if (want.token !== undefined)
                        setOwn([...own.filter((token) => token !== want.token), ...(bound ? [want.token] : [])]);
                    }}
                  />
                ))}
              </tbody>
            </table>
            {elsewhere ? <TroublePanel refusal={elsewhere} problem={null} /> : null}
          </fieldset>
        </div>
        <aside>
          <section>
            <h2>{t.open.words}</h2>
            <Words words={script.words} label={t.open.words} />
            <p className="note">{t.open.wordsHint}</p>
          </section>
          <section aria-live="polite">
            <h2>{t.open.model}</h2>
            {plan === null ? null : <Model model={model} />}
          </section>
          <ModeChoice name="mode" legend={t.open.mode} words={t.mode} mode={mode} set={setMode}>
            {mode === 'rehearsal' ? (
              <label>
                <input type="checkbox" checked={standIns} onChange={(event) => setStandIns(event.target.checked)} />
                <span>
                  {t.open.standIns}
                  <span className="note">{t.open.standInsHint(PUBLISHED_PIN)}</span>
                </span>
              </label>
            ) : null}
          </ModeChoice>
          {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
          <div className="go">
            {missing + filesMissing > 0 && plan ? <p className="note">{t.open.missing(missing, filesMissing)}</p> : null}
            {filesSound ? null : <p className="note">{t.open.fileRefused}</p>}
            <button
              type="button"
              className="main large"
              data-testid="primary"
              disabled={!ready}
              onClick={() => void open()}
            >
              {work?.call === 'open' ? t.open.opening : mode === 'real' ? t.open.goReal : t.open.go}
            </button>
          </div>
        </aside>
      </div>
    </Frame>
  );
}

// --- what is to be bound ---------------------------------------------------------------------------------------------

function Binding({
  want,
  estate,
  value,
  set,
}: {
  readonly want: Want;
  readonly estate: Estate | null;
  readonly value: Bound | undefined;
  readonly set: (bound: Bound | undefined) => void;
}) {
  const id = useId();
  const met = useConclave((state) => state.met);
  const here = tokensAtHand(estate);
  const there = [...here, ...met.filter((one) => !here.some(({ module, serial }) => module === one.module && serial === one.serial)).map((one) => ({ ...one, label: `${one.label} (${t.open.notIn})` }))];
  const modules = [...new Set(there.map((token) => token.module))];
  const key = (bound: Bound) => `${bound.module} ${bound.serial}`;
  const known = value === undefined || there.some((token) => key(token) === key(value));
  return (
    <tr>
      <th scope="row">
        <label htmlFor={id}>{want.title}</label>
      </th>
      <td>
        <select
          id={id}
          value={value ? key(value) : ''}
          onChange={(event) => {
            const chosen = there.find((token) => key(token) === event.target.value);
            set(chosen && { module: chosen.module, serial: chosen.serial });
          }}
        >
          <option value="">{want.optional === true ? t.open.noCard : t.open.choose}</option>
          {value && !known ? (
            <option value={key(value)}>
              {groups(value.serial)} · {value.module} · {t.open.gone}
            </option>
          ) : null}
          {modules.map((module) => (
            <optgroup key={module} label={module}>
              {there
                .filter((token) => token.module === module)
                .map((token) => (
                  <option key={key(token)} value={key(token)}>
                    {token.label} · {groups(token.serial)} · {module}
                  </option>
                ))}
            </optgroup>
          ))}
        </select>
      </td>
    </tr>
  );
}

// --- files -----------------------------------------------------------------------------------------------------------

/** What the conductor accepts; said here, so that a large file is not read for nothing. */
const LARGEST_FILE = 750_000;

type Ca = NonNullable<Extract<Request, { call: 'provision' }>['ca']>;

interface ChosenFile {
  readonly file: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Made for the rehearsal; else a person brought it. */
  readonly made: boolean;
  readonly reading: Reading;
}
type Files = Readonly<Partial<Record<string, ChosenFile>>>;

/** The files by the script's names. Each is read at once; what is said of one that was replaced meanwhile is dropped. */
function useFiles(script: Script) {
  const [files, setFiles] = useState<Files>({});
  const put = async (name: string, file: string, bytes: Uint8Array<ArrayBuffer>, made: boolean, size = bytes.length) => {
    const kind = script.body.inputs[name]?.kind;
    if (kind === undefined) return;
    // What the page must never hold is not kept here, and goes nowhere.
    const secret = secretFault(bytes);
    const chosen: ChosenFile = { file, bytes: secret ? new Uint8Array(0) : bytes, made, reading: null };
    if (secret) bytes.fill(0);
    setFiles((before) => ({ ...before, [name]: chosen }));
    const { rule, expected, found, next } = t.open.fileLarge;
    const reading: Reading = secret
      ? { ok: false, refusal: secret }
      : size > LARGEST_FILE
        ? { ok: false, refusal: refuse(rule, expected, found(size), next) }
        : await bridge.call({ call: 'read-input', kind, file: { file, bytes } });
    setFiles((before) => (before[name] === chosen ? { ...before, [name]: { ...chosen, reading } } : before));
  };
  const remove = (name: string) =>
    setFiles((before) => {
      const { [name]: _gone, ...others } = before;
      return others;
    });
  return { files, put, remove };
}

/** What kind of CA a rehearsal gets that brings none. */
function RehearsalCa({ ca, set }: { readonly ca: Ca; readonly set: (ca: Ca) => void }) {
  const places = placesFor(ca.algorithm);
  return (
    <details className="rehearsal-ca">
      <summary>
        {t.open.ca}: {algorithmName(ca.algorithm)} · {placeWords(ca.place, ca.algorithm).name}
      </summary>
      <p className="note">{t.open.caWhy}</p>
      <AlgorithmField
        name="ca-algorithm"
        label={t.open.caAlgorithm}
        names={CA_ALGORITHMS}
        value={ca.algorithm}
        set={(value) => set({ algorithm: String(value), place: placesFor(String(value))[0] ?? 'token' })}
      />
      <PlaceField
        name="ca-place"
        value={ca.place}
        set={(value) => {
          const place = places.find((one) => one === value);
          if (place) set({ ...ca, place });
        }}
        algorithm={ca.algorithm}
        places={places}
      />
    </details>
  );
}

// --- fields ----------------------------------------------------------------------------------------------------------

function PersonField({
  seat,
  value,
  set,
}: {
  readonly seat: string;
  readonly value: string;
  readonly set: (value: string) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{seatTitle(seat)}</label>
      <input
        id={id}
        name={seat}
        maxLength={80}
        value={value}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => set(event.target.value)}
      />
    </div>
  );
}

function ModuleField({
  modules,
  value,
  set,
}: {
  readonly modules: readonly string[];
  readonly value: string;
  readonly set: (value: string) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{t.open.module}</label>
      <select id={id} value={value} onChange={(event) => set(event.target.value)}>
        {modules.map((module) => (
          <option key={module}>{module}</option>
        ))}
      </select>
    </div>
  );
}

// --- the model of the room -------------------------------------------------------------------------------------------

/** Walks the script through the model a moment after the last change; an answer that comes too late is not shown. */
function useModel(script: string, parameters: Parameters, on: boolean): Answer<'rehearse-model'> | null {
  const [answer, setAnswer] = useState<Answer<'rehearse-model'> | null>(null);
  useEffect(() => {
    setAnswer(null);
    if (!on) return undefined;
    let wanted = true;
    const timer = setTimeout(
      () =>
        void bridge.call({ call: 'rehearse-model', script, parameters }).then((given) => {
          if (wanted) setAnswer(given);
        }),
      250,
    );
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [script, parameters, on]);
  return answer;
}

export function Model({ model }: { readonly model: Answer<'rehearse-model'> | null }) {
  if (model === null) return <p className="note">{t.open.modelWaits}</p>;
  if (!model.ok)
    return (
      <TroublePanel
        refusal={'refusal' in model ? model.refusal : null}
        problem={'problem' in model ? model.problem : null}
      />
    );
  const { faults, steps, minutes } = model.value;
  if (faults.length === 0)
    return (
      <p>
        <Mark name="verified" quiet /> {t.open.modelFine(steps, minutes)}
      </p>
    );
  return (
    <>
      {faults.map((fault, index) => (
        <TroublePanel key={index} refusal={fault} problem={null} />
      ))}
    </>
  );
}
