/**
 * What keys there are, where each and every copy of it lives, who can use it, and who did: folded from the signed records, and on
 * demand beside what tokens hold. It shows, and changes nothing; findings stand on top whatever is filtered.
 */
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { intervalText, standingOf } from '../../ceremonies/drills.ts';
import { inEarnest } from '../../ceremonies/findings.ts';
import type { InventoryKey, Source } from '../../ceremonies/inventory.ts';
import type { Answers, Request } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import {
  ANY, copyView, endWords, expiry, filtered, findingCounts, findingFacet, hiddenFindings, isFiltered, NO_FILTER, progressWords, standingWords, stateWord,
  type CopyView, type Facets, type Filter, type Finding, type Kept, type KeyRow,
} from '../keys.ts';
import { relations, tiesOf, type Ties } from '../hierarchy.ts';
import { Frame } from '../parts/Frame.tsx';
import { Hierarchy } from '../parts/Hierarchy.tsx';
import { KeyActions } from '../parts/KeyActions.tsx';
import { KeyAndCopies, Lifecycle, MediumShape, StateRing } from '../parts/KeyPicture.tsx';
import { Mark, ProofMark } from '../parts/Mark.tsx';
import { Report, TroublePanel } from '../parts/Trouble.tsx';
import { Windowed } from '../parts/Windowed.tsx';
import { store, useClock, useConclave, useShortcut, world } from '../page.ts';
import { dateTime, groups, timeOf } from '../reading.ts';
import { presentSerials } from '../store.ts';
import { t } from '../texts.ts';

const words = t.inventory;

/** By which a drill is carried out, and the findings that lead to it. */
const DRILL = 'recovery-rehearsal';
const DRILL_RULES = ['DRILL-DUE', 'DRILL-OVERDUE', 'DRILL-CLOCK'];

const go = (key: string | null, hierarchy = false) => store.getState().go({ at: 'keys', ...(key !== null && { key }), ...(hierarchy && { hierarchy }) });

export function Keys({ chosen, hierarchy }: { readonly chosen: string | null; readonly hierarchy: boolean }) {
  const kept = useConclave((state) => state.inventory);
  const trouble = useConclave((state) => state.trouble);
  const comparison = useConclave((state) => state.comparison);
  useEffect(() => {
    void store.getState().readInventory();
    void store.getState().refreshEstate();
  }, []);
  const findings = useMemo((): readonly Finding[] => [...(kept?.rest.findings ?? []), ...(comparison?.compared.findings ?? [])], [kept, comparison]);
  const empty = kept !== null && kept.rows.length === 0 && findings.length === 0 && kept.rest.others.length === 0;
  return (
    <Frame wide busy={kept === null && trouble === null}>
      <div className="title-row">
        <h1>{words.title}</h1>
        {kept === null || empty ? null : <From kept={kept} />}
        <button type="button" onClick={() => void store.getState().readInventory()}>
          {words.again}
        </button>
      </div>
      {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      <Reading />
      {kept === null ? null : empty ? (
        <div className="facts-side">
          <p className="lead">{words.empty}</p>
          <Comparison look={kept.look} nameOf={groups} />
        </div>
      ) : (
        <Room kept={kept} findings={findings} chosen={chosen} hierarchy={hierarchy} />
      )}
    </Frame>
  );
}

function From({ kept: { rows, rest } }: { readonly kept: Kept }) {
  const { believed, refused } = rest.records;
  const onlyRehearsals = rows.length > 0 && rows.every(({ key }) => key.rehearsal);
  return (
    <p className="note from">
      <Mark name="verified" quiet /> {words.from(rows.filter(({ key }) => key.believed).length, believed)}
      {refused > 0 ? (
        <>
          <br />
          <Mark name="refused" quiet /> {words.refused(refused)}
        </>
      ) : null}
      {onlyRehearsals ? (
        <>
          <br />
          <Mark name="reported" quiet /> {words.onlyRehearsals}
        </>
      ) : null}
    </p>
  );
}

/** How far the other half is; asked for while something is under way. */
function useProgress(on: boolean): Answers['inventory-progress'] {
  const [progress, setProgress] = useState<Answers['inventory-progress']>(null);
  useEffect(() => {
    if (!on) return undefined;
    let wanted = true;
    const ask = async () => {
      const answer = await bridge.call({ call: 'inventory-progress', stop: false });
      if (wanted && answer.ok) setProgress(answer.value);
    };
    const timer = setInterval(() => void ask(), 400);
    return () => {
      wanted = false;
      clearInterval(timer);
      setProgress(null);
    };
  }, [on]);
  return progress;
}

function Reading() {
  const counting = useConclave((state) => state.counting);
  const progress = useProgress(counting?.of === 0);
  if (counting === null) return null;
  const [line = words.reading] = counting.of > 0 ? [words.readingKeys(counting.at, counting.of)] : progressWords(progress);
  return (
    <p className="note" role="status">
      {line}
    </p>
  );
}

// --- findings, list, and the chosen key --------------------------------------------------------------------------------------

function Room({ kept, findings, chosen, hierarchy }: { readonly kept: Kept; readonly findings: readonly Finding[]; readonly chosen: string | null; readonly hierarchy: boolean }) {
  const { rows, byIdentity, facets } = kept;
  const [filter, setFilter] = useState<Filter>(NO_FILTER);
  // What is typed is drawn at once; ten thousand keys follow when there is time.
  const later = useDeferredValue(filter);
  const shown = useMemo(() => filtered(rows, findings, later), [rows, findings, later]);
  const finding = useMemo(() => findingFacet(findings), [findings]);
  const { real, rehearsed } = useMemo(() => inEarnest(findings, { keys: rows.map(({ key }) => key), rehearsals: kept.rest.rehearsals }), [findings, rows, kept]);
  const counts = useMemo(() => findingCounts(findings), [findings]);
  const estate = useConclave((state) => state.estate);
  const names = useMemo(() => presentSerials(estate), [estate]);
  const nameOf = useCallback((serial: string) => {
    const label = names?.get(serial) ?? '';
    return label === '' ? groups(serial) : `${label} (${groups(serial)})`;
  }, [names]);
  const ties = useMemo(() => tiesOf(rows), [rows]);
  const row = hierarchy ? undefined : byIdentity.get(chosen ?? '');
  const dialog = useConclave((state) => state.dialog);
  const all = () => go(chosen, true);
  useShortcut('h', all, dialog === null && !hierarchy);
  return (
    <>
      <Findings findings={real} hidden={hiddenFindings(rows, shown, real)} byIdentity={byIdentity} nameOf={nameOf} />
      {rehearsed.length > 0 ? (
        <details className="rehearsed-findings">
          <summary>
            <Mark name="reported" quiet /> {words.rehearsedFindings(rehearsed.length)}
          </summary>
          <FindingList findings={rehearsed} byIdentity={byIdentity} nameOf={nameOf} />
        </details>
      ) : null}
      <div className="filter-bar">
        <Filters filter={filter} set={setFilter} facets={{ ...facets, finding }} nameOf={nameOf} />
        {isFiltered(filter) ? (
          <button type="button" onClick={() => setFilter(NO_FILTER)}>
            {words.unfilter}
          </button>
        ) : null}
      </div>
      <div className="estate keys-room">
        <section className="tree" aria-label={words.list}>
          <button type="button" className="node" {...(row || hierarchy ? {} : { 'aria-current': 'true' as const })} onClick={() => go(null)}>
            {words.estate}
          </button>
          <button type="button" className="node" data-testid="hierarchy" aria-keyshortcuts="H" {...(hierarchy ? { 'aria-current': 'true' as const } : {})} onClick={all}>
            {t.hierarchy.title}
            <kbd aria-hidden="true">H</kbd>
          </button>
          <p className="count note" role="status">
            {words.count(shown.length, rows.length)}
          </p>
          <List shown={shown} counts={counts} chosen={chosen} />
        </section>
        <div className="facts-side">
          {hierarchy ? (
            <Hierarchy rows={rows} ties={ties} shown={shown} counts={counts} chosen={chosen} nameOf={nameOf} open={go} />
          ) : row ? (
            <KeyPage key={row.key.identity} of={row} ties={ties} findings={findings.filter(({ keys }) => keys.includes(row.key.identity))} nameOf={nameOf} />
          ) : (
            <Overview kept={kept} nameOf={nameOf} />
          )}
        </div>
      </div>
    </>
  );
}

const FINDINGS_SHOWN = 20;

function Findings({ findings, hidden, byIdentity, nameOf }: {
  readonly findings: readonly Finding[];
  readonly hidden: number;
  readonly byIdentity: Kept['byIdentity'];
  readonly nameOf: (serial: string) => string;
}) {
  if (findings.length === 0) return null;
  return (
    <section className="estate-findings" aria-label={words.findings(findings.length)}>
      <h2>
        <Mark name="refused" quiet /> {words.findings(findings.length)}
      </h2>
      {hidden > 0 ? (
        <p className="note" role="status" data-testid="hidden-findings">
          {words.hidden(hidden)}
        </p>
      ) : null}
      <FindingList findings={findings} byIdentity={byIdentity} nameOf={nameOf} />
    </section>
  );
}

function FindingList({ findings, byIdentity, nameOf }: { readonly findings: readonly Finding[]; readonly byIdentity: Kept['byIdentity']; readonly nameOf: (serial: string) => string }) {
  const [most, setMost] = useState(FINDINGS_SHOWN);
  return (
    <>
      <ul>
        {findings.slice(0, most).map((finding, index) => (
          <li key={index}>
            <details>
              <summary>
                <code>{finding.rule}</code> <strong>{finding.keys.flatMap((identity) => byIdentity.get(identity)?.key.label ?? []).join(', ')}</strong> {words.expectedFound(finding.expected, finding.found)}{' '}
                <span className="note">{finding.on === undefined ? words.fromRecords : words.fromTokens(nameOf(finding.on.token))}</span>
              </summary>
              <Report refusal={finding}>
                <FindingLinks finding={finding} byIdentity={byIdentity} />
              </Report>
            </details>
          </li>
        ))}
      </ul>
      {findings.length > most ? (
        <button type="button" onClick={() => setMost(most + 100)}>
          {words.more(Math.min(100, findings.length - most))}
        </button>
      ) : null}
    </>
  );
}

function FindingLinks({ finding, byIdentity }: { readonly finding: Finding; readonly byIdentity?: Kept['byIdentity'] }) {
  const keys = finding.keys.flatMap((identity) => byIdentity?.get(identity)?.key ?? []);
  if (keys.length === 0 && finding.source === null) return null;
  return (
    <div className="buttons">
      {keys.map(({ identity, label }) => (
        <button key={identity} type="button" onClick={() => go(identity)}>
          {label}
        </button>
      ))}
      {DRILL_RULES.includes(finding.rule) ? (
        <button type="button" data-testid="open-drill" onClick={() => store.getState().go({ at: 'open', script: DRILL })}>
          {words.rehearseRecovery}
        </button>
      ) : null}
      {finding.source ? <EntryLink source={finding.source} what={finding.rule} /> : null}
    </div>
  );
}

/** Opens the record at this entry, verified afresh. */
function EntryLink({ source: { ceremony, seq }, what }: { readonly source: Source; readonly what: string }) {
  const busy = useConclave((state) => state.work !== null);
  const title = useConclave((state) => state.ceremonies?.find((one) => one.ceremony === ceremony)?.title ?? '');
  return (
    <button
      type="button"
      className="entry-link"
      disabled={busy}
      aria-label={words.opensEntry(seq, what)}
      title={title === '' ? ceremony : words.inRecord(title)}
      onClick={() => void store.getState().openReplay(ceremony, title, seq)}
    >
      {words.entry(seq)}
    </button>
  );
}

function Filters({ filter, set, facets, nameOf }: {
  readonly filter: Filter;
  readonly set: (filter: Filter) => void;
  readonly facets: Facets & { readonly finding: ReadonlyMap<string, number> };
  readonly nameOf: (serial: string) => string;
}) {
  const standing = (name: string) => (words.standings as Readonly<Record<string, string>>)[name] ?? name;
  const choices: readonly (readonly [name: Exclude<keyof Filter, 'typed'>, options: ReadonlyMap<string, number>, say: (option: string) => string])[] = [
    ['state', facets.state, stateWord],
    ['finding', facets.finding, (rule) => rule],
    ['token', facets.token, nameOf],
    ['standing', facets.standing, standing],
  ];
  return (
    <div className="filters" role="search">
      <label className="field">
        {words.search}
        <input name="find-keys" value={filter.typed} autoComplete="off" spellCheck={false} maxLength={200} placeholder={words.searchHint} onChange={(event) => set({ ...filter, typed: event.target.value })} />
      </label>
      {choices.map(([name, options, say]) => (
        <label className="field" key={name}>
          {words.filters[name]}
          <select name={`filter-${name}`} value={filter[name]} onChange={(event) => set({ ...filter, [name]: event.target.value })}>
            <option value="">{words.all}</option>
            {name === 'finding' && options.size > 0 ? <option value={ANY}>{words.withFinding}</option> : null}
            {[...options].map(([option, count]) => (
              <option key={option} value={option}>
                {say(option)} · {count.toLocaleString('en')}
              </option>
            ))}
          </select>
        </label>
      ))}
    </div>
  );
}

const ROW = 58;

function List({ shown, counts, chosen }: { readonly shown: readonly KeyRow[]; readonly counts: ReadonlyMap<string, number>; readonly chosen: string | null }) {
  const startAt = Math.max(0, shown.findIndex(({ key }) => key.identity === chosen));
  return (
    <Windowed
      label={words.list}
      total={shown.length}
      height={ROW}
      rows={8}
      startAt={startAt}
      className="keys"
      choose={(number) => {
        const row = shown[number];
        if (!row) return;
        go(row.key.identity);
        store.getState().say(words.chosen(row.key.label, stateWord(row.state), counts.get(row.key.identity) ?? 0));
      }}
      row={(number) => {
        const row = shown[number];
        const found = counts.get(row?.key.identity ?? '') ?? 0;
        return {
          className: `key-row${row?.key.identity === chosen ? ' shown' : ''}`,
          content: row ? (
            <>
              <StateRing state={row.state} />
              <span className="label">{row.key.label}</span>
              <span className="found">{found > 0 ? <><Mark name="refused" quiet /> {words.findings(found)}</> : null}</span>
              <span className="note">
                {stateWord(row.state)} · {row.key.algorithm}
                {row.key.rehearsal ? ` · ${words.inRehearsal}` : ''}
              </span>
            </>
          ) : null,
        };
      }}
    />
  );
}

// --- the estate as a whole ---------------------------------------------------------------------------------------------------

function Overview({ kept: { look, facets, rest }, nameOf }: { readonly kept: Kept; readonly nameOf: (serial: string) => string }) {
  return (
    <>
      <h2>{words.estate}</h2>
      <p className="note">{words.lead}</p>
      <Comparison look={look} nameOf={nameOf} />
      <section>
        <h3>{words.census}</h3>
        <ul className="census">
          {[...facets.state].map(([state, count]) => (
            <li key={state}>
              <StateRing state={state} size={28} /> <strong className="tabular">{count.toLocaleString('en')}</strong> {stateWord(state)}
            </li>
          ))}
        </ul>
      </section>
      <section>
        <h3>{words.standing}</h3>
        <ul className="census">
          {[...facets.standing].map(([standing, count]) => (
            <li key={standing}>
              <Mark name={STANDING_MARKS[standing] ?? 'not-reached'} quiet /> <strong className="tabular">{count.toLocaleString('en')}</strong>{' '}
              {(words.standings as Readonly<Record<string, string>>)[standing] ?? standing}
            </li>
          ))}
        </ul>
      </section>
      {rest.others.length > 0 ? <p className="note">{words.others(rest.others.length)}</p> : null}
    </>
  );
}

const STANDING_MARKS: Readonly<Record<string, 'verified' | 'reported' | 'refused'>> = { approved: 'verified', draft: 'reported', deprecated: 'reported', disallowed: 'refused' };

type Login = Extract<Request, { call: 'reconcile' }>['login'];

function Comparison({ look, nameOf }: { readonly look: number; readonly nameOf: (serial: string) => string }) {
  const estate = useConclave((state) => state.estate);
  const work = useConclave((state) => state.work);
  const comparison = useConclave((state) => state.comparison);
  const [which, setWhich] = useState('');
  const [login, setLogin] = useState<Login>('none');
  const tokens = (estate?.modules ?? []).flatMap(({ name, slots }) => slots.flatMap(({ token }) => (token?.flags.includes('CKF_TOKEN_INITIALIZED') === true ? [{ module: name, token: token.serial }] : [])));
  const start = async () => {
    const only = tokens.filter(({ module, token }) => which === `${module}\n${token}`);
    const compared = await store.getState().compareWithTokens(only, login);
    if (compared) store.getState().say(words.doneComparing(compared.tokens.length, compared.findings.length));
  };
  return (
    <section className="comparison-room">
      <h3>{words.compare}</h3>
      <p className="note">{words.compareLead}</p>
      <div className="filters">
        <label className="field">
          {words.which}
          <select name="compare-which" value={which} disabled={work !== null} onChange={(event) => setWhich(event.target.value)}>
            <option value="">{words.everyToken}</option>
            {tokens.map(({ module, token }) => (
              <option key={`${module}\n${token}`} value={`${module}\n${token}`}>
                {nameOf(token)} · {module}
              </option>
            ))}
          </select>
        </label>
        <label className="field">
          {words.whoLogsIn}
          <select name="compare-login" value={login} disabled={work !== null} onChange={(event) => setLogin(event.target.value as Login)}>
            {(Object.keys(words.logins) as Login[]).map((option) => (
              <option key={option} value={option}>
                {words.logins[option]}
              </option>
            ))}
          </select>
        </label>
        <button type="button" className="main" data-testid="compare-tokens" disabled={work !== null} onClick={() => void start()}>
          {words.compare}
        </button>
      </div>
      {work?.call === 'reconcile' ? <Comparing since={work.since} asks={login === 'ask'} /> : null}
      {comparison ? <Compared of={comparison} look={look} nameOf={nameOf} /> : null}
    </section>
  );
}

function Comparing({ since, asks }: { readonly since: number; readonly asks: boolean }) {
  const progress = useProgress(true);
  const last = useConclave((state) => state.took.reconcile);
  useClock(1000);
  const seconds = (ms: number) => Math.max(0, Math.round(ms / 1000));
  return (
    <section className="work">
      <h3 role="status">{words.comparing}</h3>
      {asks ? <p>{words.comparingBooth}</p> : null}
      {(progress === null ? [words.comparingStart] : progressWords(progress)).map((line) => (
        <p key={line} className="tabular">
          {line}
        </p>
      ))}
      <p className="tabular note">
        {words.comparingSince(seconds(world.now() - since))} {last === undefined ? null : words.comparingLast(seconds(last))}
      </p>
      <div className="stop">
        <button type="button" data-testid="stop-comparing" onClick={() => void bridge.call({ call: 'inventory-progress', stop: true })}>
          {words.stop}
        </button>
        <p>{words.stopMeans}</p>
      </div>
    </section>
  );
}

function Compared({ of: { at, look: comparedAt, compared }, look, nameOf }: {
  readonly of: NonNullable<ReturnType<typeof store.getState>['comparison']>;
  readonly look: number;
  readonly nameOf: (serial: string) => string;
}) {
  const { tokens, findings, notSeen, failed } = compared;
  const fine = findings.length === 0 && failed.length === 0;
  return (
    <div className="compared" data-testid="compared">
      <p className="origin">
        {tokens.length === 0 ? (
          words.none
        ) : (
          <>
            <Mark name={findings.length > 0 ? 'refused' : fine ? 'verified' : 'reported'} quiet /> {findings.length > 0 ? words.notExplained(findings.length) : words.allExplained}
          </>
        )}{' '}
        <span className="note">
          {words.compared(`${timeOf(at)} ${t.utc}`)}
          {comparedAt === look ? null : ` ${words.older}`}
        </span>
      </p>
      {tokens.length === 0 ? null : (
        <table>
          <thead>
            <tr>
              <th scope="col">{words.token}</th>
              <th scope="col">{words.objects}</th>
              <th scope="col">{words.filters.finding}</th>
            </tr>
          </thead>
          <tbody>
            {tokens.map(({ module, token, label, objects, explained, loggedIn }) => {
              const found = findings.filter(({ on }) => on.module === module && on.token === token);
              return (
                <tr key={`${module} ${token}`}>
                  <th scope="row">
                    {label} <span className="note">{groups(token)} · {module}</span>
                  </th>
                  <td>
                    <Mark name={objects === explained ? 'verified' : 'refused'} quiet /> {words.explained(explained, objects)} <span className="note">{loggedIn ? words.loggedIn : words.publicOnly}</span>
                  </td>
                  <td>
                    {found.length === 0 ? words.findings(0) : [...new Set(found.map(({ rule }) => rule))].map((rule) => <code key={rule}>{rule} </code>)}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {failed.length > 0 ? (
        <>
          <h4>{words.failed}</h4>
          <ul className="lines">
            {failed.map(({ module, token, code, message, hint }, index) => (
              <li key={index}>
                <Mark name="refused" quiet />
                <span>
                  <strong>{nameOf(token)}</strong> <span className="note">{module}</span> <code>{code}</code> {message} {hint}
                </span>
              </li>
            ))}
          </ul>
        </>
      ) : null}
      {notSeen.length > 0 ? (
        <>
          <h4>{words.notSeen}</h4>
          <ul className="lines">
            {notSeen.map((line, index) => (
              <li key={index}>
                <Mark name="reported" quiet />
                <span>{line}</span>
              </li>
            ))}
          </ul>
        </>
      ) : null}
    </div>
  );
}

// --- one key: four questions -------------------------------------------------------------------------------------------------

function KeyPage({ of: row, ties, findings, nameOf }: {
  readonly of: KeyRow;
  readonly ties: Ties;
  readonly findings: readonly Finding[];
  readonly nameOf: (serial: string) => string;
}) {
  const { key } = row;
  const copies = useMemo(() => key.copies.map((copy) => copyView(copy, nameOf)), [key, nameOf]);
  const { above, below } = useMemo(() => relations(ties, row), [ties, row]);
  const state = key.state ?? 'unknown';
  const page = useRef<HTMLElement>(null);
  // Where the list stands above it, or somebody had scrolled down.
  useEffect(() => {
    const top = page.current?.getBoundingClientRect().top ?? 0;
    if (top < 0 || top > window.innerHeight * 0.75) page.current?.scrollIntoView();
  }, []);
  return (
    <article className="one-key" data-testid="one-key" ref={page}>
      <header>
        {key.rehearsal ? <strong className="rehearsed">{words.rehearsal}</strong> : null}
        <h2>{key.label}</h2>
        <p className="state">
          <StateRing state={state} size={28} /> {stateWord(state)}
        </p>
        {key.believed ? null : (
          <p>
            <Mark name="refused" quiet /> {words.notBelieved}
          </p>
        )}
      </header>
      {findings.map((finding, index) => (
        <Report key={index} refusal={finding}>
          <FindingLinks finding={finding} />
        </Report>
      ))}
      <KeyActions of={key} />
      <KeyAndCopies label={key.label} state={state} copies={copies} above={above} below={below} />
      <Question title={words.what}>
        <What of={key} />
      </Question>
      <Question title={words.where}>
        <Where of={key} copies={copies} above={above} below={below} />
      </Question>
      <Question title={words.whoCan}>
        <ul className="lines">
          {key.whoCan.length === 0 ? <li><Mark name="not-reached" quiet /><span>{words.nobody}</span></li> : key.whoCan.map((line) => (
            <li key={line}>
              <Mark name="plain" quiet />
              <span>{line}</span>
            </li>
          ))}
        </ul>
      </Question>
      <Question title={words.whoDid}>
        <Lifecycle of={key} copies={copies} />
        <Events of={key} />
      </Question>
    </article>
  );
}

function Question({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <section className="question">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function What({ of: key }: { readonly of: InventoryKey }) {
  const signed = key.passages.at(-1);
  const [method, value] = /^(.*?)\s([0-9a-f]{6,})(.*)$/.test(key.identity) ? [key.identity.replace(/\s[0-9a-f]{6,}.*$/, ''), /\s([0-9a-f]{6,}.*)$/.exec(key.identity)?.[1] ?? ''] : ['', key.identity];
  return (
    <dl className="facts facts-small">
      <div>
        <dt>{words.identity}</dt>
        <dd>
          {method === '' ? null : <span className="note">{method} </span>}
          <code className="hex">{groups(value)}</code>
        </dd>
      </div>
      <div>
        <dt>{words.algorithm}</dt>
        <dd>
          {key.algorithm} <Mark name={STANDING_MARKS[key.standing?.state ?? ''] ?? 'not-reached'} quiet /> {standingWords(key)} {key.standing === null ? null : <span className="note">{key.standing.clause}</span>}
        </dd>
      </div>
      <div>
        <dt>{words.origin}</dt>
        <dd>
          {words.origins[key.origin]} <ProofMark proof={key.proof} />
        </dd>
      </div>
      <div>
        <dt>{words.state}</dt>
        <dd>
          {stateWord(key.state ?? 'unknown')} <span className="note">{signed?.signed ? words.stateSigned(signed.signed.by, signed.signed.reason) : words.stateFrom}</span> {signed ? <EntryLink source={signed} what={words.state} /> : null}
        </dd>
      </div>
      {key.period === null ? null : (
        <div>
          <dt>{words.period}</dt>
          <dd>
            {words.periodUntil(key.period.notBefore?.slice(0, 10) ?? null, key.period.notAfter.slice(0, 10), key.period.by)} <EntryLink source={key.period} what={words.period} />
          </dd>
        </div>
      )}
      {key.copies.some((copy) => copy.kind === 'share-set') ? (
        <div>
          <dt>{words.lastRecovery}</dt>
          <dd>
            <Mark name={key.lastRecovery === null ? 'reported' : 'verified'} quiet /> {key.lastRecovery === null ? words.neverRecovered : key.lastRecovery.at.slice(0, 10)} {key.lastRecovery === null ? null : <EntryLink source={key.lastRecovery} what={words.lastRecovery} />}
          </dd>
        </div>
      ) : null}
      <Drills of={key} />
      <div>
        <dt>{words.certificates}</dt>
        <dd>
          {key.certificates.length === 0 ? words.noCertificate : (
            <ul className="certificates">
              {key.certificates.map(({ subject, sha256, notAfter, believed, ceremony, seq, at }) => {
                const { words: left, mark } = expiry(notAfter, Date.now());
                return (
                  <li key={sha256}>
                    {subject}
                    <br />
                    <Mark name={mark} quiet /> {words.certificateUntil(notAfter.slice(0, 10))}, {left} <EntryLink source={{ ceremony, seq, at }} what={subject} />
                    <br />
                    <span className="note">SHA-256</span> <code className="hex">{groups(sha256)}</code>
                    {believed ? null : (
                      <>
                        <br />
                        <Mark name="refused" quiet /> {words.notBelieved}
                      </>
                    )}
                  </li>
                );
              })}
            </ul>
          )}
        </dd>
      </div>
    </dl>
  );
}

const DRILL_MARKS = { never: 'reported', moot: 'refused', doubtful: 'refused', ahead: 'verified', soon: 'reported', overdue: 'refused' } as const;

/** How often its recovery is to be proven, and when the next proof is due, on this machine's clock. */
function Drills({ of: key }: { readonly of: InventoryKey }) {
  const found = standingOf(key, new Date());
  if (found === null || key.state === 'destroyed') return null;
  const { standing, due, days } = found;
  return (
    <div>
      <dt>{words.drill}</dt>
      <dd>
        <Mark name={DRILL_MARKS[standing]} quiet /> {words.drillStanding[standing](due?.at.slice(0, 10) ?? '', days)}
        {key.drill === null ? null : (
          <>
            ; {words.drillEvery(intervalText(key.drill.every), key.drill.by)} <EntryLink source={key.drill} what={words.drill} />
          </>
        )}
      </dd>
    </div>
  );
}

const KEYS_LISTED = 50;

function Where({ of: key, copies, above, below }: { readonly of: InventoryKey; readonly copies: readonly CopyView[]; readonly above: readonly InventoryKey[]; readonly below: readonly InventoryKey[] }) {
  return (
    <>
      <p className="destruction">
        <strong>{key.destruction.words}</strong>
      </p>
      <table className="copies">
        <thead>
          <tr>
            <th scope="col">{words.medium}</th>
            <th scope="col">{words.copy}</th>
            <th scope="col">{words.since}</th>
            <th scope="col">{words.end}</th>
          </tr>
        </thead>
        <tbody>
          {copies.map((view, index) => (
            <tr key={index}>
              <td>
                <span className="medium">
                  <MediumShape medium={view.medium} stands={view.stands} /> {words.media[view.medium]}
                </span>
              </td>
              <td>
                <strong>{view.title}</strong> {view.place}
                {view.shares.length === 0 ? null : (
                  <ul className="plain">
                    {view.shares.map((share) => (
                      <li key={share.words}>
                        {share.words}{' '}
                        <span className="together">
                          <Mark name={share.readBack ? 'verified' : 'reported'} quiet /> {share.readBack ? words.readBack : words.notReadBack}
                        </span>
                        {share.stands ? null : `, ${words.legendEnded}`}
                      </li>
                    ))}
                  </ul>
                )}
                {view.details.length === 0 ? null : <span className="note">{view.details.join(' · ')}</span>}
                {view.copy.believed ? null : (
                  <span>
                    <Mark name="refused" quiet /> {words.notBelieved}
                  </span>
                )}
              </td>
              <td>
                <span className="tabular">{view.copy.since.at.slice(0, 10)}</span> <EntryLink source={view.copy.since} what={view.title} />
              </td>
              <td>
                {view.copy.end === null ? words.stands : (
                  <>
                    {view.stands ? <Mark name="reported" quiet /> : <strong>{words.legendEnded}: </strong>} {endWords(view.copy.end)} <EntryLink source={view.copy.end} what={view.copy.end.how} />
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <Related title={words.above} keys={above} />
      <Related title={words.below} keys={below} />
      <h4>{words.notKnown}</h4>
      <ul className="lines">
        {key.unknown.length === 0 ? <li><Mark name="plain" quiet /><span>{words.nothingUnknown}</span></li> : key.unknown.map((line) => (
          <li key={line}>
            <Mark name="reported" quiet />
            <span>{line}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

function Related({ title, keys }: { readonly title: string; readonly keys: readonly InventoryKey[] }) {
  const [most, setMost] = useState(KEYS_LISTED);
  if (keys.length === 0) return null;
  return (
    <>
      <h4>{title}</h4>
      <div className="spots">
        {keys.slice(0, most).map((other) => (
          <button key={other.identity} type="button" onClick={() => go(other.identity)}>
            <StateRing state={other.state ?? 'unknown'} /> {other.label} <span className="note">{stateWord(other.state ?? 'unknown')}, {other.algorithm}</span>
          </button>
        ))}
        {keys.length > most ? (
          <button type="button" onClick={() => setMost(most + KEYS_LISTED)}>
            {words.more(Math.min(KEYS_LISTED, keys.length - most))}
          </button>
        ) : null}
      </div>
    </>
  );
}

const EVENTS_SHOWN = 60;

function Events({ of: { events } }: { readonly of: InventoryKey }) {
  const [most, setMost] = useState(EVENTS_SHOWN);
  return (
    <>
      <ol className="events">
        {events.slice(0, most).map((event, index) => (
          <li key={index}>
            <span className="number tabular">{index + 1}</span>
            <span className="tabular note">{dateTime(event.at)}</span>
            <span className="did">
              <strong>{event.by}</strong> {event.what}
              {event.believed ? null : (
                <>
                  {' '}
                  <Mark name="refused" quiet /> {words.notBelieved}
                </>
              )}
            </span>
            <EntryLink source={event} what={event.what} />
          </li>
        ))}
      </ol>
      {events.length > most ? (
        <button type="button" onClick={() => setMost(most + EVENTS_SHOWN)}>
          {words.more(Math.min(EVENTS_SHOWN, events.length - most))}
        </button>
      ) : null}
    </>
  );
}
