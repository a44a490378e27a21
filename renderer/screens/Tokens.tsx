/** Modules, tokens and their objects: read-only. Ten thousand objects are asked for and drawn a page at a time. */
import { useCallback, useEffect, useRef, useState, type KeyboardEvent } from 'react';
import type { ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import type { Answer, Answers, Estate } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import { Frame } from '../parts/Frame.tsx';
import { Mark } from '../parts/Mark.tsx';
import { TroublePanel } from '../parts/Trouble.tsx';
import { store, useConclave } from '../page.ts';
import { groups } from '../reading.ts';
import { FLAGS, t } from '../texts.ts';

type Module = Estate['modules'][number];
interface Chosen {
  readonly module: string;
  readonly serial: string;
}

export function Tokens() {
  const estate = useConclave((state) => state.estate);
  const trouble = useConclave((state) => state.trouble);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  useEffect(() => {
    void store.getState().refreshEstate();
  }, []);
  const module = estate?.modules.find((candidate) => candidate.name === chosen?.module);
  const token = module?.slots.find((slot) => slot.token?.serial === chosen?.serial)?.token;
  return (
    <Frame wide busy={estate === null && trouble === null}>
      <div className="title-row">
        <h1>{t.tokens.title}</h1>
        <span className="note">{t.tokens.readOnly}</span>
        <button type="button" onClick={() => void store.getState().refreshEstate()}>
          {t.tokens.refresh}
        </button>
      </div>
      {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <div className="estate">
        <nav className="tree" aria-label={t.tokens.modules}>
          <h2>{t.tokens.modules}</h2>
          {estate === null ? (
            <p className="note">{t.tokens.reading}</p>
          ) : estate.modules.length === 0 ? (
            <p>{t.tokens.none}</p>
          ) : (
            estate.modules.map((entry) => (
              <ModuleBranch key={entry.name} module={entry} chosen={chosen} choose={setChosen} />
            ))
          )}
        </nav>
        <div className="facts-side">
          {module && token ? (
            <Token key={token.serial} module={module} token={token} />
          ) : module && chosen?.serial === '' ? (
            <ModulePage module={module} />
          ) : (
            <p className="lead">{t.tokens.choose}</p>
          )}
        </div>
      </div>
    </Frame>
  );
}

function ModuleBranch({
  module,
  chosen,
  choose,
}: {
  readonly module: Module;
  readonly chosen: Chosen | null;
  readonly choose: (chosen: Chosen) => void;
}) {
  const here = chosen?.module === module.name;
  return (
    <section>
      <button
        type="button"
        className="node"
        {...(here && chosen.serial === '' ? { 'aria-current': 'true' as const } : {})}
        onClick={() => choose({ module: module.name, serial: '' })}
      >
        <Mark name={module.problem ? 'refused' : 'verified'} /> <strong>{module.name}</strong>
      </button>
      {module.problem ? (
        <p className="problem">
          <code>{module.problem.code}</code> {module.problem.message}
        </p>
      ) : null}
      <ul>
        {module.slots.map(({ slot, token, description }) => (
          <li key={slot}>
            {token ? (
              <button
                type="button"
                className="node"
                {...(here && chosen.serial === token.serial ? { 'aria-current': 'true' as const } : {})}
                onClick={() => choose({ module: module.name, serial: token.serial })}
              >
                {token.label === '' ? groups(token.serial) : token.label}{' '}
                <span className="note">{groups(token.serial)}</span>
              </button>
            ) : (
              <span className="node empty">
                {t.tokens.slot(slot)}: {t.tokens.emptySlot} <span className="note">{description}</span>
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function ModulePage({ module }: { readonly module: Module }) {
  const { facts, problem } = module;
  return (
    <>
      <h2>{module.name}</h2>
      {problem ? <TroublePanel refusal={null} problem={problem} /> : null}
      {facts ? (
        <dl className="facts facts-small">
          <div>
            <dt>{t.tokens.kind}</dt>
            <dd>{facts.kind === 'software' ? t.tokens.software : t.tokens.pkcs11}</dd>
          </div>
          <div>
            <dt>{t.tokens.library}</dt>
            <dd>
              {facts.library} {facts.version}
            </dd>
          </div>
          <div>
            <dt>{t.tokens.path}</dt>
            <dd>
              <code>{facts.path}</code>
            </dd>
          </div>
          <div>
            <dt>{t.tokens.sha256}</dt>
            <dd>
              <code className="hex">{groups(facts.sha256)}</code>
            </dd>
          </div>
        </dl>
      ) : null}
    </>
  );
}

function Token({ module, token }: { readonly module: Module; readonly token: TokenFacts }) {
  return (
    <>
      <h2>{token.label === '' ? groups(token.serial) : token.label}</h2>
      <dl className="facts facts-small">
        <div>
          <dt>{t.tokens.serial}</dt>
          <dd>
            <code className="hex">{groups(token.serial)}</code>
          </dd>
        </div>
        <div>
          <dt>{t.tokens.model}</dt>
          <dd>{token.model}</dd>
        </div>
        <div>
          <dt>{t.tokens.maker}</dt>
          <dd>{token.manufacturer}</dd>
        </div>
        <div>
          <dt>{t.tokens.firmware}</dt>
          <dd>{token.firmware}</dd>
        </div>
        <div>
          <dt>{t.tokens.hardware}</dt>
          <dd>{token.hardware}</dd>
        </div>
      </dl>
      <h3>{t.tokens.flags}</h3>
      <ul className="flags">
        {token.flags.map((flag) => {
          const meaning = FLAGS[flag];
          return (
            <li key={flag}>
              {meaning && meaning.mark !== 'plain' ? <Mark name={meaning.mark} /> : <Mark name="plain" quiet />}{' '}
              <span>{meaning?.words ?? flag}</span> <code className="note">{flag}</code>
            </li>
          );
        })}
      </ul>
      <Objects module={module.name} serial={token.serial} />
      <Mechanisms module={module.name} serial={token.serial} />
    </>
  );
}

// --- objects, windowed -----------------------------------------------------------------------------------------------

const PAGE = 200;
const ROW = 36;
const AROUND = 8;

function Objects({ module, serial }: { readonly module: string; readonly serial: string }) {
  const [total, setTotal] = useState<number | null>(null);
  const [loggedIn, setLoggedIn] = useState(false);
  const [problem, setProblem] = useState<Extract<Answer<'objects'>, { ok: false }> | null>(null);
  const [pages, setPages] = useState<ReadonlyMap<number, readonly ObjectFact[]>>(new Map());
  const asked = useRef(new Set<number>());
  const [top, setTop] = useState(0);
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const height = 12 * ROW;

  const ask = useCallback(
    async (page: number) => {
      if (asked.current.has(page)) return;
      asked.current.add(page);
      const answer = await bridge.call({ call: 'objects', module, token: serial, offset: page * PAGE, limit: PAGE });
      if (!answer.ok) {
        setProblem(answer);
        return;
      }
      setTotal(answer.value.total);
      setLoggedIn(answer.value.loggedIn);
      setPages((before) => new Map(before).set(page, answer.value.objects));
    },
    [module, serial],
  );

  const first = Math.max(0, Math.floor(top / ROW) - AROUND);
  const end = Math.min(total ?? 0, Math.ceil((top + height) / ROW) + AROUND);
  useEffect(() => {
    void ask(Math.floor(first / PAGE));
    if (end > 0) void ask(Math.floor((end - 1) / PAGE));
  }, [ask, first, end]);

  const onKey = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || total === null || total === 0) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(total - 1, at + by));
    setAt(next);
    const box = list.current;
    if (!box) return;
    if (next * ROW < box.scrollTop) box.scrollTop = next * ROW;
    if ((next + 1) * ROW > box.scrollTop + height) box.scrollTop = (next + 1) * ROW - height;
  };

  if (problem)
    return (
      <TroublePanel
        refusal={'refusal' in problem ? problem.refusal : null}
        problem={'problem' in problem ? problem.problem : null}
      />
    );
  return (
    <section className="objects">
      <h3>
        {t.tokens.objects}
        {total === null ? null : (
          <span className="note">
            {' '}
            {t.tokens.objectCount(total)}. {loggedIn ? t.tokens.loggedIn : t.tokens.publicOnly}
          </span>
        )}
      </h3>
      {total === null ? (
        <p className="note">{t.tokens.reading}</p>
      ) : total === 0 ? null : (
        <div
          className="window"
          ref={list}
          role="listbox"
          aria-label={t.tokens.objects}
          tabIndex={0}
          aria-activedescendant={`object-${at}`}
          onKeyDown={onKey}
          onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        >
          <svg className="tall" width="1" height={total * ROW} aria-hidden="true" />
          <div
            className="slice"
            role="presentation"
            ref={(element) => {
              if (element) element.style.transform = `translateY(${first * ROW}px)`;
            }}
          >
            {Array.from({ length: Math.max(0, end - first) }, (_, index) => {
              const number = first + index;
              const object = pages.get(Math.floor(number / PAGE))?.[number % PAGE];
              return (
                <div
                  key={number}
                  id={`object-${number}`}
                  role="option"
                  aria-selected={number === at}
                  aria-setsize={total}
                  aria-posinset={number + 1}
                  className={`object${object?.class === 'unreadable' ? ' unreadable' : ''}`}
                  onClick={() => setAt(number)}
                >
                  <span className="seq">{number + 1}</span>
                  {object ? (
                    <>
                      <span>{object.class}</span>
                      <span>{object.keyType}</span>
                      <span>{object.label}</span>
                      <code>{groups(object.id)}</code>
                    </>
                  ) : (
                    <span className="note">{t.tokens.reading}</span>
                  )}
                </div>
              );
            })}
          </div>
        </div>
      )}
    </section>
  );
}

function Mechanisms({ module, serial }: { readonly module: string; readonly serial: string }) {
  const [answer, setAnswer] = useState<Answer<'mechanisms'> | null>(null);
  useEffect(() => {
    let wanted = true;
    void bridge.call({ call: 'mechanisms', module, token: serial }).then((given) => {
      if (wanted) setAnswer(given);
    });
    return () => {
      wanted = false;
    };
  }, [module, serial]);
  if (answer === null) return <p className="note">{t.tokens.reading}</p>;
  if (!answer.ok)
    return (
      <TroublePanel
        refusal={'refusal' in answer ? answer.refusal : null}
        problem={'problem' in answer ? answer.problem : null}
      />
    );
  return <MechanismTable mechanisms={answer.value.mechanisms} />;
}

function MechanismTable({ mechanisms }: { readonly mechanisms: Answers['mechanisms']['mechanisms'] }) {
  return (
    <details className="mechanisms">
      <summary>
        {t.tokens.mechanisms} <span className="note">{t.tokens.mechanismCount(mechanisms.length)}</span>
      </summary>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.tokens.name}</th>
            <th scope="col">{t.tokens.number}</th>
            <th scope="col">{t.tokens.keys}</th>
            <th scope="col">{t.tokens.uses}</th>
          </tr>
        </thead>
        <tbody>
          {mechanisms.map((mechanism) => (
            <tr key={mechanism.number}>
              <th scope="row">
                <code>{mechanism.name}</code>
              </th>
              <td>
                <code>0x{mechanism.number.toString(16).padStart(8, '0')}</code>
              </td>
              <td>
                {mechanism.min === 0 && mechanism.max === 0
                  ? ''
                  : mechanism.min === mechanism.max
                    ? mechanism.min
                    : `${mechanism.min} to ${mechanism.max}`}
              </td>
              <td>
                {mechanism.flags.map((flag) => flag.replace(/^CKF_/, '').toLowerCase().replaceAll('_', ' ')).join(', ')}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
