/**
 * The estate: modules, tokens, objects, and what was found out about each. Nothing here changes a token but what an officer
 * who is logged in to the logbook asks for, in a dialog of its own; a login to a token is only for looking.
 */
import { lazy, Suspense, useCallback, useEffect, useRef, useState, type KeyboardEvent } from 'react';
import { goesToToken } from '../../ceremonies/administration.ts';
import type { TokenDetails } from '../../ceremonies/estate.ts';
import type { ChangeKind, ChangeResult, TokenFacts } from '../../ceremonies/evidence.ts';
import { bridge } from '../client.ts';
import type { Made, Wanted } from '../changes.ts';
import { isBlank, nameOf, readinessCount, tokenKey } from '../estate.ts';
import { FINAL_TRY, FinalTry } from '../parts/Dialogs.tsx';
import { Frame } from '../parts/Frame.tsx';
import { Compare, RandomTest, Scan } from '../parts/KeyTests.tsx';
import { Actions, LogbookBar, LogbookDialog, useVolume } from '../parts/Logbook.tsx';
import { Mark } from '../parts/Mark.tsx';
import { Candidates, ModulePage, vettingOf, type Configured, type Module } from '../parts/Modules.tsx';
import { ObjectFacts } from '../parts/ObjectFacts.tsx';
import { Objects, type Spot } from '../parts/Objects.tsx';
import { Readers } from '../parts/Readers.tsx';
import { Matrix, Mechanisms, type Column } from '../parts/Readiness.tsx';
import { TokenFactsPage } from '../parts/TokenFacts.tsx';
import { TroublePanel } from '../parts/Trouble.tsx';
import { store, useClock, useConclave, world } from '../page.ts';
import { groups } from '../reading.ts';
import type { Call } from '../../electron/contract.ts';
import { troubleOf, type Login, type Trouble } from '../store.ts';
import { t } from '../texts.ts';

/** Only who changes something needs the forms for it. */
const ChangeDialog = lazy(async () => ({ default: (await import('../parts/Changes.tsx')).ChangeDialog }));

type Part = keyof typeof t.tokens.parts;
const PARTS = Object.keys(t.tokens.parts) as Part[];

/** `serial` empty: the module itself. */
interface Chosen extends Spot {
  readonly part: Part;
}

/** After this many idle milliseconds the device process logs out by itself; the page asks a little later. */
const IDLE = 10 * 60_000 + 5_000;

/** Calls whose trouble is told where they were asked for. */
const TOLD_ELSEWHERE: readonly Call[] = ['probe', 'token-login', 'self-test', 'log-in', 'log-out', 'administer', 'save-file', 'act', 'decide', 'resume'];

/** Changes after which every object stands where it stood. */
const KEEPS_LISTING: readonly ChangeKind[] = ['set-user-pin', 'change-pin', 'wrap-key', 'sign-request', 'self-sign'];

/** Asks for a change in a dialog; null while nobody is logged in to the logbook. */
type AskChange = ((wanted: Wanted) => void) | null;

export function Tokens() {
  const estate = useConclave((state) => state.estate);
  const report = useConclave((state) => state.modules);
  const readers = useConclave((state) => state.readers);
  const trouble = useConclave((state) => state.trouble);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  useEffect(() => {
    void store.getState().refreshEstate();
  }, []);
  const module = estate?.modules.find((candidate) => candidate.name === chosen?.module);
  // A blank token has no serial number, and so no page: the empty one stands for the module.
  const token = chosen?.serial === '' ? null : module?.slots.find((slot) => slot.token?.serial === chosen?.serial)?.token;
  const configured = report?.configured.find(({ name }) => name === module?.name);
  const volume = useVolume();
  const [dialog, setDialog] = useState<'logbook' | { readonly wanted: Wanted; readonly ceremony: string } | null>(null);
  /** Counts the changes: what was read before one is read again. */
  const [changes, setChanges] = useState(0);
  const closeDialog = useCallback(() => setDialog(null), []);
  const ceremony = volume.at === 'work' ? volume.record.ceremony : null;
  const ask: AskChange = ceremony === null ? null : (wanted) => setDialog({ wanted, ceremony });
  const changed = ({ intent, result }: Made) => {
    if (!goesToToken(intent)) return;
    setChanges((before) => before + 1);
    void store.getState().refreshEstate();
    // Objects stand in other places now: the one that is shown would be looked for in the wrong one.
    if (!KEEPS_LISTING.includes(intent.change) && chosen?.place) choose({ module: intent.module, serial: intent.token, place: null });
    // A token that is initialised may have got another serial number, and a blank one has got its first.
    if (intent.change === 'init-token') choose({ module: intent.module, serial: (result as ChangeResult<'init-token'>).after.serial, place: null });
  };
  const choose = useCallback((spot: Spot) => {
    store.getState().dismiss();
    setChosen((before) => ({ ...spot, part: spot.place ? 'objects' : (before?.part ?? 'objects') }));
  }, []);
  const side = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (side.current && side.current.getBoundingClientRect().top < 0) side.current.scrollIntoView();
  }, [chosen?.module, chosen?.serial]);
  return (
    <Frame wide busy={estate === null && trouble === null}>
      <div className="title-row">
        <h1>{t.tokens.title}</h1>
        
        <button type="button" onClick={() => void store.getState().refreshEstate()}>
          {t.tokens.refresh}
        </button>
      </div>
      <LogbookBar volume={volume} quiet={dialog !== null} open={() => setDialog('logbook')} />
      {dialog === 'logbook' ? <LogbookDialog volume={volume} onClose={closeDialog} /> : null}
      {dialog !== null && dialog !== 'logbook' ? (
        <Suspense fallback={null}>
          <ChangeDialog
            {...dialog}
            close={closeDialog}
            changed={changed}
            unknown={() => setDialog('logbook')}
          />
        </Suspense>
      ) : null}
      <Logins />
      {trouble && !TOLD_ELSEWHERE.includes(trouble.call) ? (
        <TroublePanel refusal={trouble.refusal} problem={trouble.problem} />
      ) : null}
      <div className="estate">
        <div className="tree">
          <nav aria-label={t.tokens.modules}>
            <h2>{t.tokens.modules}</h2>
            <button
              type="button"
              className="node"
              {...(chosen === null ? { 'aria-current': 'true' as const } : {})}
              onClick={() => setChosen(null)}
            >
              {t.tokens.machine}
            </button>
            {estate === null ? (
              <p className="note">{t.tokens.reading}</p>
            ) : estate.modules.length === 0 ? (
              <p>{t.tokens.none}</p>
            ) : (
              estate.modules.map((entry) => (
                <ModuleBranch
                  key={entry.name}
                  module={entry}
                  configured={report?.configured.find(({ name }) => name === entry.name)}
                  chosen={chosen}
                  choose={choose}
                  ask={ask}
                />
              ))
            )}
          </nav>
          {readers ? <Readers report={readers} /> : null}
        </div>
        <div className="facts-side" ref={side}>
          {chosen && module && token ? (
            <Token
              key={tokenKey(module.name, token.serial)}
              module={module}
              token={token}
              chosen={chosen}
              choose={choose}
              ask={ask}
              changes={changes}
              turn={(part) => setChosen({ ...chosen, part })}
            />
          ) : module && chosen?.serial === '' ? (
            <ModulePage module={module} configured={configured} />
          ) : module && chosen ? (
            <section>
              <h2 className="tabular">{groups(chosen.serial)}</h2>
              <p>{t.tokens.notThere}</p>
            </section>
          ) : (
            <>
              <h2>{t.tokens.machine}</h2>
              <Working />
              <Scan only={null} choose={choose} />
              <Candidates report={report} />
            </>
          )}
        </div>
      </div>
    </Frame>
  );
}

// --- the tree ----------------------------------------------------------------------------------------------------------

function ModuleBranch({
  module,
  configured,
  chosen,
  choose,
  ask,
}: {
  readonly module: Module;
  readonly configured: Configured | undefined;
  readonly chosen: Chosen | null;
  readonly choose: (spot: Spot) => void;
  readonly ask: AskChange;
}) {
  const here = chosen?.module === module.name;
  const vetting = vettingOf(configured);
  return (
    <section>
      <button
        type="button"
        className="node"
        {...(here && chosen.serial === '' ? { 'aria-current': 'true' as const } : {})}
        onClick={() => choose({ module: module.name, serial: '', place: null })}
      >
        {/* What runs is said by the mark; what its file was found to be, by the words. */}
        <Mark name={module.problem ? 'refused' : 'verified'} /> <strong>{module.name}</strong>
        {vetting ? <span className="vetted">{vetting.words}</span> : null}
        {configured?.environment.map(({ name }) => (
          <span key={name} className="note">
            {name}
          </span>
        ))}
      </button>
      {module.problem ? (
        <p className="problem">
          <code>{module.problem.code}</code> {module.problem.message}
        </p>
      ) : null}
      <ul>
        {module.slots.map(({ slot, token, description }) => (
          <li key={slot}>
            {token && !isBlank(token) ? (
              <TokenNode
                module={module.name}
                token={token}
                current={here && chosen.serial === token.serial}
                choose={choose}
              />
            ) : (
              <span className="node empty">
                {t.tokens.slot(slot)}: {token ? t.tokens.blank : t.tokens.emptySlot} <span className="note">{description}</span>
                {token && ask ? (
                  <button type="button" data-testid="init-blank" onClick={() => ask({ change: 'init-token', module: module.name, token, object: null })}>
                    {t.change.kinds['init-token'].open}
                  </button>
                ) : null}
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function TokenNode({
  module,
  token,
  current,
  choose,
}: {
  readonly module: string;
  readonly token: TokenFacts;
  readonly current: boolean;
  readonly choose: (spot: Spot) => void;
}) {
  const login = useConclave((state) => state.logins[tokenKey(module, token.serial)]);
  return (
    <button
      type="button"
      className="node"
      {...(current ? { 'aria-current': 'true' as const } : {})}
      onClick={() => choose({ module, serial: token.serial, place: null })}
    >
      {nameOf(token)} <span className="note">{groups(token.serial)}</span>
      {login?.loggedIn ? <span className="vetted">{t.tokens.somebody}</span> : null}
    </button>
  );
}

// --- who is logged in --------------------------------------------------------------------------------------------------

/** Draws nothing: asks again once a login should have ended by itself, because nothing announces that. */
function Logins() {
  const logins = useConclave((state) => state.logins);
  return Object.entries(logins).map(([key, login]) => (login?.loggedIn ? <Ending key={key} token={key} login={login} /> : null));
}

function Ending({ token, login }: { readonly token: string; readonly login: Login }) {
  useEffect(() => {
    const [module = '', serial = ''] = token.split('\n');
    const timer = setTimeout(
      () =>
        void bridge.call({ call: 'token-details', module, token: serial }).then((answer) => {
          store.getState().noteLogin(module, serial, answer.ok && answer.value.loggedIn);
        }),
      Math.max(0, login.at + IDLE - world.now()),
    );
    return () => clearTimeout(timer);
  }, [token, login]);
  return null;
}

/** Who is logged in, always in sight; and what a login that did not work says. */
function LoginLine({
  login,
  standIn,
  setStandIn,
  logIn,
  logOut,
}: {
  readonly login: Login | undefined;
  readonly standIn: boolean;
  readonly setStandIn: (on: boolean) => void;
  readonly logIn: () => void;
  readonly logOut: () => void;
}) {
  const busy = useConclave((state) => state.work !== null);
  return (
    <div className="login">
      <p>
        {login === undefined ? (
          t.tokens.loginUnknown
        ) : login.loggedIn ? (
          <>
            <Mark name="signed" quiet /> <strong>{t.tokens.somebody}.</strong> <span className="note">{t.tokens.somebodyMeans}</span>
          </>
        ) : (
          <>
            <Mark name="not-reached" quiet /> <strong>{t.tokens.nobody}.</strong> <span className="note">{t.tokens.nobodyMeans}</span>
          </>
        )}
      </p>
      {login?.loggedIn ? (
        <button type="button" disabled={busy} data-testid="log-out" onClick={logOut}>
          {t.tokens.logOut}
        </button>
      ) : (
        <>
          <label className="stand-in">
            <input type="checkbox" name="stand-in" checked={standIn} onChange={(event) => setStandIn(event.target.checked)} />
            <span>{t.tokens.standIn}</span>
          </label>
          <button type="button" disabled={busy} data-testid="log-in" onClick={logIn}>
            {t.tokens.logIn}
          </button>
        </>
      )}
    </div>
  );
}

function PinTrouble({ acceptFinalTry }: { readonly acceptFinalTry: (trouble: Trouble) => void }) {
  const trouble = useConclave((state) => state.trouble);
  if (trouble === null || (trouble.call !== 'token-login' && trouble.call !== 'probe')) return null;
  return (
    <TroublePanel refusal={trouble.refusal} problem={trouble.problem}>
      {trouble.problem?.code === FINAL_TRY ? (
        <FinalTry decides={t.tokens.finalDecides} accept={() => acceptFinalTry(trouble)} />
      ) : null}
    </TroublePanel>
  );
}

/** What is under way, since when, how long it took last time, and that it cannot be stopped. */
function Working() {
  const work = useConclave((state) => state.work);
  const last = useConclave((state) => (state.work ? state.took[state.work.call] : undefined));
  useClock(1000);
  if (work === null || !(work.call in t.tokens.working)) return null;
  const call = work.call as keyof typeof t.tokens.working;
  const seconds = (ms: number) => Math.max(0, Math.round(ms / 1000));
  return (
    <section className="work" aria-live="polite">
      <h3>{t.tokens.working[call]}</h3>
      {call === 'probe' || call === 'token-login' ? <p>{t.tokens.workingBooth}</p> : null}
      <p aria-live="off" className="tabular note">
        {t.tokens.workingSince(seconds(world.now() - work.since))}{' '}
        {last === undefined ? null : t.tokens.workingLast(seconds(last))} {t.tokens.workingStop}
      </p>
    </section>
  );
}

// --- a token -----------------------------------------------------------------------------------------------------------

function Token({
  module,
  token,
  chosen,
  choose,
  ask,
  changes,
  turn,
}: {
  readonly module: Module;
  readonly token: TokenFacts;
  readonly chosen: Chosen;
  readonly choose: (spot: Spot) => void;
  readonly ask: AskChange;
  /** How many changes were made here: what was read before the last one is old. */
  readonly changes: number;
  readonly turn: (part: Part) => void;
}) {
  const here = { module: module.name, serial: token.serial };
  const [standIn, setStandIn] = useState(false);
  const [details, setDetails] = useState<TokenDetails | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  /** Counts the looks at this token: flags and objects are others after a login. */
  const [looks, setLook] = useState(0);
  const look = looks + changes;
  const login = useConclave((state) => state.logins[tokenKey(module.name, token.serial)]);

  // Before the objects: the device process lists them while it answers this, for a token that nobody has looked at yet.
  useEffect(() => {
    let wanted = true;
    void bridge.call({ call: 'token-details', module: module.name, token: token.serial }).then((answer) => {
      if (!wanted) return;
      setTrouble(answer.ok ? null : troubleOf('token-details', answer));
      if (!answer.ok) return;
      setDetails(answer.value);
      store.getState().noteLogin(module.name, token.serial, answer.value.loggedIn);
    });
    return () => {
      wanted = false;
    };
  }, [module.name, token.serial, look]);

  const logIn = async (acceptFinalTry: boolean) => {
    await store.getState().ask({ call: 'token-login', module: module.name, token: token.serial, standIn, acceptFinalTry });
    // The answer holds nothing; a refusal is known by its trouble.
    if (store.getState().trouble === null) entered(true);
    setLook((before) => before + 1);
  };
  const logOut = async () => {
    await store.getState().ask({ call: 'token-log-out', module: module.name, token: token.serial });
    if (store.getState().trouble === null) entered(false);
    setLook((before) => before + 1);
  };
  const entered = (loggedIn: boolean) => {
    store.getState().noteLogin(module.name, token.serial, loggedIn);
    store.getState().say(loggedIn ? t.tokens.loggedInNow(nameOf(token)) : t.tokens.loggedOutNow(nameOf(token)));
    choose({ ...here, place: null });
  };
  const probe = async (acceptFinalTry: boolean) => {
    if (!(await store.getState().probe(module.name, token.serial, standIn, acceptFinalTry))) return;
    const { proven, claimed, absent } = readinessCount(store.getState().probed[tokenKey(module.name, token.serial)] ?? []);
    store.getState().say(t.tokens.tried(proven, claimed, absent));
  };

  return (
    <>
      <header className="token-head">
        <h2>
          {nameOf(token)} <span className="note tabular">{groups(token.serial)}</span>
        </h2>
        <LoginLine
          login={login}
          standIn={standIn}
          setStandIn={setStandIn}
          logIn={() => void logIn(false)}
          logOut={() => void logOut()}
        />
        <Tabs part={chosen.part} turn={turn} />
      </header>
      <PinTrouble acceptFinalTry={({ call }) => void (call === 'probe' ? probe(true) : logIn(true))} />
      {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <Working />
      <div className="part" role="tabpanel" aria-labelledby={`part-${chosen.part}`}>
        {details === null && trouble === null ? (
          <p className="note">{t.tokens.reading}</p>
        ) : (
          <>
            {chosen.part === 'objects' ? (
              <ObjectsPart
                here={here}
                chosen={chosen}
                choose={choose}
                login={login}
                look={look}
                again={() => setLook(looks + 1)}
                change={ask === null ? null : (change, object) => ask({ change, module: module.name, token, object })}
                standIn={standIn}
              />
            ) : null}
            {chosen.part === 'token' && ask ? (
              <Actions label={t.change.onToken} changes={['set-user-pin', 'change-pin', 'init-token']} ask={(change) => ask({ change, module: module.name, token, object: null })} />
            ) : null}
            {chosen.part === 'token' && details ? <TokenFactsPage details={details} /> : null}
            {chosen.part === 'ready' ? <Ready here={here} probe={() => void probe(false)} /> : null}
            {chosen.part === 'tests' ? (
              <>
                <Scan only={here} choose={choose} />
                <Compare {...here} />
                <RandomTest {...here} />
              </>
            ) : null}
          </>
        )}
      </div>
    </>
  );
}

interface Here {
  readonly module: string;
  readonly serial: string;
}

function Tabs({ part, turn }: { readonly part: Part; readonly turn: (part: Part) => void }) {
  const list = useRef<HTMLDivElement>(null);
  const onKey = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const next = PARTS.at((PARTS.indexOf(part) + by) % PARTS.length) ?? part;
    turn(next);
    list.current?.querySelector<HTMLElement>(`#part-${next}`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={t.tokens.partsLabel} ref={list} onKeyDown={onKey}>
      {PARTS.map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`part-${name}`}
          className="tab"
          aria-selected={name === part}
          tabIndex={name === part ? 0 : -1}
          onClick={() => turn(name)}
        >
          {t.tokens.parts[name]}
        </button>
      ))}
    </div>
  );
}

function ObjectsPart({
  here,
  chosen,
  choose,
  login,
  look,
  again,
  change,
  standIn,
}: {
  readonly here: Here;
  readonly chosen: Chosen;
  readonly choose: (spot: Spot) => void;
  readonly login: Login | undefined;
  readonly look: number;
  readonly again: () => void;
  readonly change: ((change: ChangeKind, object: Wanted['object']) => void) | null;
  readonly standIn: boolean;
}) {
  const { place } = chosen;
  const close = () => choose({ ...here, place: null });
  const part = useRef<HTMLDivElement>(null);
  // On a small screen the object would stand below the window: the list goes up and makes room.
  useEffect(() => {
    if (place) part.current?.firstElementChild?.scrollIntoView({ block: 'start' });
  }, [place]);
  return (
    <div className="part" ref={part}>
      {change ? (
        <Actions
          label={t.change.newObject}
          changes={['generate-key', 'import-key', 'import-certificate', 'unwrap-key']}
          ask={(asked) => change(asked, null)}
        />
      ) : null}
      <Objects key={`${look} ${login?.loggedIn === true}`} {...here} chosen={place} choose={choose} />
      {place ? (
        <ObjectFacts
          key={`${place.position} ${look}`}
          {...here}
          place={place}
          close={close}
          change={change}
          standIn={standIn}
          listAgain={() => {
            close();
            again();
          }}
        />
      ) : null}
    </div>
  );
}

function Ready({ here, probe }: { readonly here: Here; readonly probe: () => void }) {
  const busy = useConclave((state) => state.work !== null);
  const probed = useConclave((state) => state.probed);
  const estate = useConclave((state) => state.estate);
  const own = tokenKey(here.module, here.serial);
  // This token first; beside it the others that were tried, so that they can be compared.
  const columns = Object.entries(probed)
    .flatMap(([key, readiness]): (Column & { readonly key: string })[] => {
      const [name = '', serial = ''] = key.split('\n');
      const token = estate?.modules.find((module) => module.name === name)?.slots.find((slot) => slot.token?.serial === serial)?.token;
      return token && readiness ? [{ key, title: nameOf(token), readiness }] : [];
    })
    .sort((a, b) => Number(b.key === own) - Number(a.key === own));
  const tried = probed[own];
  return (
    <>
      <section className="try">
        <p className="note">{t.tokens.tryLead}</p>
        <div className="buttons">
          <button type="button" disabled={busy} data-testid="probe" onClick={probe}>
            {tried ? t.tokens.tryAgain : t.tokens.tryIt}
          </button>
          {tried ? <Tried readiness={tried} /> : null}
        </div>
      </section>
      {columns.length > 0 ? <Matrix columns={columns} /> : null}
      <Mechanisms {...here} />
    </>
  );
}

function Tried({ readiness }: { readonly readiness: Column['readiness'] }) {
  const { proven, claimed, absent } = readinessCount(readiness);
  return <p>{t.tokens.tried(proven, claimed, absent)}</p>;
}
