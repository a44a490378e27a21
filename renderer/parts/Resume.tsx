/** An interrupted record: who is here, who is the officer now, and why it stopped. Nothing is repeated by itself. */
import { useState } from 'react';
import type { State } from '../../ceremonies/ceremony.ts';
import { store, useConclave } from '../page.ts';
import { groups } from '../reading.ts';
import { LOGBOOK } from '../store.ts';
import { personTitle, t } from '../texts.ts';
import { Field } from './Dialogs.tsx';
import { TroublePanel } from './Trouble.tsx';

export function Resume({ state }: { readonly state: State }) {
  const [present, setPresent] = useState<readonly string[]>([]); // nobody is here until somebody says so
  const [other, setOther] = useState(false);
  const [name, setName] = useState('');
  const [card, setCard] = useState('');
  const [reason, setReason] = useState('');
  const [standIns, setStandIns] = useState(() => store.getState().standIns.includes(state.ceremony));
  const estate = useConclave((conclave) => conclave.estate);
  const work = useConclave((conclave) => conclave.work);
  const trouble = useConclave((conclave) => conclave.trouble);
  const officer = state.people.find((person) => person.role === 'officer');
  const taken = new Set(
    [
      ...Object.values(state.opening?.bindings.tokens ?? {}),
      ...Object.values(state.opening?.bindings.cards ?? {}).flatMap((seats) => Object.values(seats)),
    ].map((bound) => bound.serial),
  );
  const free = (estate?.modules ?? []).flatMap((module) =>
    module.slots.flatMap(({ token }) => (token && !taken.has(token.serial) ? [{ module: module.name, token }] : [])),
  );
  const chosen = free.find(({ token, module }) => `${module} ${token.serial}` === card);
  const ready = present.length > 0 && reason.trim() !== '' && (!other || (name.trim() !== '' && chosen !== undefined));
  const go = () =>
    store.getState().ask({
      call: 'resume',
      ceremony: state.ceremony,
      present: state.people.map((person) => person.seat).filter((seat) => present.includes(seat)),
      reason: reason.trim(),
      officer:
        other && chosen ? { name: name.trim(), card: { module: chosen.module, serial: chosen.token.serial } } : null,
      standIns,
    });
  return (
    <div className="instruction resume">
      <div className="body">
        <h1 tabIndex={-1}>{state.script?.name === LOGBOOK ? t.logbook.resumeTitle : t.resume.title}</h1>
        <p className="lead">{t.resume.lead}</p>
        {state.current ? <p>{t.resume.stopped(state.current.step.title)}</p> : null}
        <div className="form">
          <fieldset>
            <legend>{t.resume.present}</legend>
            <div className="checks">
              {state.people.map((person) => (
                <label key={person.seat}>
                  <input
                    type="checkbox"
                    checked={present.includes(person.seat)}
                    onChange={(event) =>
                      setPresent(
                        event.target.checked
                          ? [...present, person.seat]
                          : present.filter((seat) => seat !== person.seat),
                      )
                    }
                  />
                  <span>{personTitle(person.seat, person.name)}</span>
                </label>
              ))}
            </div>
          </fieldset>
          <fieldset>
            <legend>{t.resume.officer}</legend>
            <div className="checks">
              <label>
                <input type="radio" name="officer" checked={!other} onChange={() => setOther(false)} />
                <span>{t.resume.same(officer?.name ?? '')}</span>
              </label>
              <label>
                <input
                  type="radio"
                  name="officer"
                  checked={other}
                  onChange={() => {
                    setOther(true);
                    void store.getState().refreshEstate();
                  }}
                />
                <span>{t.resume.other}</span>
              </label>
            </div>
            {other ? (
              <>
                <Field label={t.resume.name} value={name} set={setName} />
                <div className="field">
                  <label htmlFor="new-card">{t.resume.card}</label>
                  <select id="new-card" value={card} onChange={(event) => setCard(event.target.value)}>
                    <option value="">{t.open.choose}</option>
                    {free.map(({ module, token }) => (
                      <option key={`${module} ${token.serial}`} value={`${module} ${token.serial}`}>
                        {token.label} · {groups(token.serial)} · {module}
                      </option>
                    ))}
                  </select>
                </div>
              </>
            ) : null}
          </fieldset>
          <Field label={t.resume.reason} value={reason} set={setReason} long />
          {state.opening?.mode === 'rehearsal' ? (
            <div className="checks">
              <label>
                <input type="checkbox" checked={standIns} onChange={(event) => setStandIns(event.target.checked)} />
                <span>{t.resume.standIns}</span>
              </label>
            </div>
          ) : null}
        </div>
      </div>
      <div className="doing">
        {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
        <p className="press">
          <button
            type="button"
            className="main large"
            data-testid="primary"
            disabled={!ready || work !== null}
            onClick={() => void go()}
          >
            {work ? t.resume.busy : t.resume.go}
          </button>
        </p>
      </div>
    </div>
  );
}
