/**
 * Opening a ceremony: what is made, who sits where, which token and cards. Everything is checked before anything begins:
 * the script by its own reader, the whole by a walk through a model of the room, and once more by the conductor.
 */
import { useEffect, useId, useMemo, useState } from 'react';
import { Refused, type Refusal } from '../../ceremonies/refusal.ts';
import {
  planOf,
  readScript,
  type Parameters,
  type ParameterValue,
  type Plan,
  type Script,
} from '../../ceremonies/script.ts';
import type { Answer, Bindings, Estate } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import { Frame } from '../parts/Frame.tsx';
import { Mark } from '../parts/Mark.tsx';
import { TroublePanel } from '../parts/Trouble.tsx';
import { Words } from '../parts/Words.tsx';
import { store, useConclave } from '../page.ts';
import { algorithmName, groups } from '../reading.ts';
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
  const [mode, setMode] = useState<'rehearsal' | 'real'>('rehearsal');
  const [standIns, setStandIns] = useState(true);
  const { plan, refusal } = useMemo(() => planned(script, parameters), [script, parameters]);
  const model = useModel(name, parameters, plan !== null);
  const people = (plan?.seats ?? []).map((seat) => ({
    seat: seat.id,
    name: (names[seat.id] ?? (mode === 'rehearsal' ? `${seatTitle(seat.id)} (rehearsal)` : '')).trim(),
  }));
  const wanted = plan ? wantedOf(plan) : [];
  const missing = wanted.filter((want) => boundTo(bindings, want) === undefined).length;
  const ready = plan !== null && missing === 0 && people.every((person) => person.name !== '') && work === null;

  const provision = async () => {
    const made = await store.getState().ask({ call: 'provision', script: name, parameters, module });
    if (made) setBindings(made.bindings);
    await store.getState().refreshEstate();
  };
  const open = async () => {
    // Only what this plan asks for: cards of seats that a changed parameter removed are not bound.
    const exact = wanted.reduce<Bindings>(
      (sum, want) => bind(sum, want, boundTo(bindings, want) ?? { module: '', serial: '' }),
      { tokens: {}, cards: {} },
    );
    const opened = await store
      .getState()
      .ask({
        call: 'open',
        script: name,
        parameters,
        people,
        bindings: exact,
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
            <div className="grid">
              {Object.entries(script.parameters).map(([key, spec]) => (
                <Parameter
                  key={key}
                  name={key}
                  spec={spec}
                  value={parameters[key]}
                  set={(value) => setParameters({ ...parameters, [key]: value })}
                />
              ))}
            </div>
            {refusal ? <TroublePanel refusal={refusal} problem={null} /> : null}
          </fieldset>
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
                className={missing > 0 ? 'main' : ''}
                data-testid="make-cards"
                disabled={work !== null || plan === null}
                onClick={() => void provision()}
              >
                {work?.call === 'provision' ? t.open.making : t.open.make}
              </button>
            </div>
            <p className="note">{t.open.makeHint}</p>
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
                    set={(bound) => setBindings(bind(bindings, want, bound))}
                  />
                ))}
              </tbody>
            </table>
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
          <fieldset>
            <legend>{t.open.mode}</legend>
            <div className="checks">
              <label>
                <input type="radio" name="mode" checked={mode === 'rehearsal'} onChange={() => setMode('rehearsal')} />
                <span>{t.mode.rehearsal}</span>
              </label>
              <label>
                <input
                  type="radio"
                  name="mode"
                  checked={mode === 'real'}
                  disabled={hello?.runtime.development ?? true}
                  onChange={() => setMode('real')}
                />
                <span>
                  {t.mode.real}
                  {hello?.runtime.development ? <span className="note"> {t.open.realRefused}</span> : null}
                </span>
              </label>
              {mode === 'rehearsal' ? (
                <label>
                  <input type="checkbox" checked={standIns} onChange={(event) => setStandIns(event.target.checked)} />
                  <span>
                    {t.open.standIns}
                    <span className="note">{t.open.standInsHint(PUBLISHED_PIN)}</span>
                  </span>
                </label>
              ) : null}
            </div>
          </fieldset>
          {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
          <div className="go">
            {missing > 0 && plan ? <p className="note">{t.open.missing(missing)}</p> : null}
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

interface Want {
  readonly title: string;
  readonly token?: string;
  readonly card?: readonly [card: string, seat: string];
}
type Bound = Bindings['tokens'][string];

function wantedOf(plan: Plan): Want[] {
  return [
    ...plan.tokens.map((token): Want => ({ title: token, token })),
    ...Object.entries(plan.room.cards).flatMap(([card, spec]) =>
      plan.seats
        .filter((seat) => spec.for === 'person' || seat.role === 'custodian')
        .map((seat): Want => ({
          title: `${card.replaceAll('-', ' ')} of ${seatTitle(seat.id)}`,
          card: [card, seat.id],
        })),
    ),
  ];
}

function boundTo(bindings: Bindings, want: Want): Bound | undefined {
  if (want.token !== undefined) return bindings.tokens[want.token];
  return want.card && bindings.cards[want.card[0]]?.[want.card[1]];
}

function bind(bindings: Bindings, want: Want, bound: Bound): Bindings {
  if (want.token !== undefined) return { ...bindings, tokens: { ...bindings.tokens, [want.token]: bound } };
  const [card, seat] = want.card ?? ['', ''];
  return { ...bindings, cards: { ...bindings.cards, [card]: { ...bindings.cards[card], [seat]: bound } } };
}

function Binding({
  want,
  estate,
  value,
  set,
}: {
  readonly want: Want;
  readonly estate: Estate | null;
  readonly value: Bound | undefined;
  readonly set: (bound: Bound) => void;
}) {
  const id = useId();
  const there = (estate?.modules ?? []).flatMap((module) =>
    module.slots.flatMap(({ token }) =>
      token ? [{ module: module.name, serial: token.serial, label: token.label }] : [],
    ),
  );
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
            if (chosen) set({ module: chosen.module, serial: chosen.serial });
          }}
        >
          <option value="">{t.open.choose}</option>
          {value && !known ? (
            <option value={key(value)}>
              {groups(value.serial)} · {value.module} · {t.open.gone}
            </option>
          ) : null}
          {there.map((token) => (
            <option key={key(token)} value={key(token)}>
              {token.label} · {groups(token.serial)} · {token.module}
            </option>
          ))}
        </select>
      </td>
    </tr>
  );
}

// --- fields ----------------------------------------------------------------------------------------------------------

type Spec = Script['parameters'][string];

function Parameter({
  name,
  spec,
  value,
  set,
}: {
  readonly name: string;
  readonly spec: Spec;
  readonly value: ParameterValue | undefined;
  readonly set: (value: ParameterValue) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{spec.ask}</label>
      {'one-of' in spec ? (
        <select id={id} name={name} value={String(value)} onChange={(event) => set(event.target.value)}>
          {spec['one-of'].map((choice) => (
            <option key={choice} value={choice}>
              {algorithmName(choice)}
            </option>
          ))}
        </select>
      ) : 'whole' in spec ? (
        <input
          id={id}
          name={name}
          type="number"
          min={spec.whole[0]}
          max={spec.whole[1]}
          value={typeof value === 'number' && !Number.isNaN(value) ? value : ''}
          onChange={(event) => set(event.target.valueAsNumber)}
        />
      ) : (
        <input
          id={id}
          name={name}
          maxLength={spec.text}
          value={String(value ?? '')}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => set(event.target.value)}
        />
      )}
    </div>
  );
}

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
