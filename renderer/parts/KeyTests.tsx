/** The weak-key scan, the comparison with another token and the random test: what was found, among how many, and what was not looked at. */
import { useState } from 'react';
import type { Pair } from '../../ceremonies/keys/compare.ts';
import type { Refusal } from '../../ceremonies/refusal.ts';
import type { Answers, KeyScan } from '../../electron/contract.ts';
import { isBlank, nameOf, tokenKey } from '../estate.ts';
import { store, useConclave } from '../page.ts';
import { groups } from '../reading.ts';
import { t } from '../texts.ts';
import { Mark } from './Mark.tsx';
import { Warning } from './ObjectFacts.tsx';
import type { Spot } from './Objects.tsx';

/** `only` null: all tokens. */
export function Scan({
  only,
  choose,
}: {
  readonly only: { readonly module: string; readonly serial: string } | null;
  readonly choose: (spot: Spot) => void;
}) {
  const busy = useConclave((state) => state.work !== null);
  const [scan, setScan] = useState<KeyScan | null>(null);
  const run = async () => {
    const tokens = only ? [{ module: only.module, token: only.serial }] : [];
    setScan(null);
    const answer = await store.getState().ask({ call: 'scan-keys', tokens });
    if (!answer) return;
    setScan(answer);
    store.getState().say(sentence(answer));
  };
  return (
    <section className="scan">
      <h3>{t.tokens.scan}</h3>
      <p className="note">{t.tokens.scanLead}</p>
      <button type="button" disabled={busy} data-testid="scan" onClick={() => void run()}>
        {only ? t.tokens.scanThis : t.tokens.scanAll}
      </button>
      {scan ? <ScanResult scan={scan} choose={choose} /> : null}
    </section>
  );
}

const keysOf = (scan: KeyScan): number => scan.tokens.reduce((sum, { keys }) => sum + keys, 0);

function sentence(scan: KeyScan): string {
  const keys = keysOf(scan);
  if (scan.findings.length > 0) return t.tokens.scanFindings(scan.findings.length, keys);
  return keys === 0 ? t.tokens.scanNoKeys : t.tokens.scanNone(keys);
}

function ScanResult({ scan, choose }: { readonly scan: KeyScan; readonly choose: (spot: Spot) => void }) {
  const unread = scan.tokens.reduce((sum, token) => sum + token.unread, 0);
  const fine = scan.findings.length === 0;
  const several = scan.tokens.length > 1;
  const unseen = scan.tokens.filter(({ loggedIn }) => !loggedIn).map(({ token, tokenLabel }) => tokenLabel === '' ? groups(token) : tokenLabel);
  return (
    <div className="scanned">
      <p className="origin">
        <Mark name={!fine ? 'refused' : keysOf(scan) === 0 ? 'plain' : 'verified'} quiet /> {sentence(scan)}{' '}
        {unread > 0 ? t.tokens.scanUnread(unread) : null}
      </p>
      <ul className="risks">
        {scan.findings.map(({ rule, expected, found, next, keys }, index) => (
          <Warning key={index} mark="refused" word={t.tokens.finding} rule={rule} next={next}>
            {t.refusal.expected}: {expected}. {t.refusal.found}: {found}.
            <span className="spots">
              {keys.map(({ module, token, position, object, label }, number) => (
                <button key={number} type="button" onClick={() => choose({ module, serial: token, place: { position, object } })}>
                  {object.label === '' ? t.tokens.untitled : object.label}{' '}
                  <span className="note">
                    {label}, {scan.tokens.find((one) => one.module === module && one.token === token)?.tokenLabel ?? groups(token)}
                  </span>
                </button>
              ))}
            </span>
          </Warning>
        ))}
      </ul>
      {unseen.length > 0 ? <p className="note">{t.tokens.scanPublicOnly(unseen)}</p> : null}
      <dl className="facts facts-small">
        {several ? (
          <div>
            <dt>{t.tokens.scanTokens}</dt>
            <dd>{scan.tokens.map(({ tokenLabel, keys }) => `${tokenLabel}: ${keys.toLocaleString('en')}`).join(', ')}</dd>
          </div>
        ) : null}
        <div>
          <dt>{t.tokens.scanTests}</dt>
          <dd>
            <code>{scan.tests.join(', ')}</code>
          </dd>
        </div>
        <div>
          <dt>{t.tokens.blocklist}</dt>
          <dd>{scan.blocklist ? t.tokens.blocklistSays(scan.blocklist.entries, scan.blocklist.file) : t.tokens.blocklistNone}</dd>
        </div>
      </dl>
    </div>
  );
}

/** Findings that are drawn: two tokens of thousands of keys may have nothing in common. */
const MOST_DRAWN = 100;
const STATES = Object.entries(t.tokens.compareCounts) as readonly (readonly [Pair['state'], string])[];
const VERDICT_MARKS = { alike: 'verified', different: 'refused', undecided: 'reported' } as const;

/** It logs in to neither token: what only a login would show is told as not seen. */
export function Compare({ module, serial }: { readonly module: string; readonly serial: string }) {
  const busy = useConclave((state) => state.work !== null);
  const estate = useConclave((state) => state.estate);
  const [wanted, setWanted] = useState('');
  const [result, setResult] = useState<Answers['compare-tokens'] | null>(null);
  const others = (estate?.modules ?? []).flatMap(({ name, slots }) =>
    slots.flatMap(({ token }) =>
      token === null || isBlank(token) || (name === module && token.serial === serial)
        ? []
        : [{ key: tokenKey(name, token.serial), module: name, token }],
    ),
  );
  // A token that was taken out is no longer chosen.
  const other = others.find(({ key }) => key === wanted);
  const run = async () => {
    if (!other) return;
    setResult(null);
    const answer = await store.getState().ask({
      call: 'compare-tokens',
      one: { module, token: serial },
      other: { module: other.module, token: other.token.serial },
    });
    if (!answer) return;
    setResult(answer);
    store.getState().say(t.tokens.compareVerdict[answer.verdict]);
  };
  return (
    <section className="compare">
      <h3>{t.tokens.compare}</h3>
      <p className="note">{t.tokens.compareLead}</p>
      {others.length === 0 ? (
        <p>{t.tokens.compareNone}</p>
      ) : (
        <div className="buttons">
          <label className="field">
            {t.tokens.compareWith}
            <select
              value={other?.key ?? ''}
              disabled={busy}
              data-testid="compare-with"
              onChange={(event) => {
                setWanted(event.target.value);
                setResult(null);
              }}
            >
              <option value="">{t.tokens.compareChoose}</option>
              {others.map(({ key, module: on, token }) => (
                <option key={key} value={key}>
                  {nameOf(token)} ({on}, {groups(token.serial)})
                </option>
              ))}
            </select>
          </label>
          <button type="button" disabled={busy || !other} data-testid="compare" onClick={() => void run()}>
            {t.tokens.compareGo}
          </button>
        </div>
      )}
      {result && other ? (
        <Compared result={result} sides={[`${module}:${serial}`, `${other.module}:${other.token.serial}`]} />
      ) : null}
    </section>
  );
}

/** `sides`: what the findings call this token and the other. */
function Compared({ result: { verdict, pairs, findings }, sides: [here, there] }: { readonly result: Answers['compare-tokens']; readonly sides: readonly [string, string] }) {
  const differing = findings.filter(({ rule }) => rule !== 'COMPARE-NOT-SEEN');
  const notSeen = findings.filter(({ rule }) => rule === 'COMPARE-NOT-SEEN');
  const otherWays = pairs.filter(({ differences }) => differences.some(({ history }) => history)).length;
  return (
    <div className="scanned">
      <p className="origin">
        <Mark name={VERDICT_MARKS[verdict]} quiet /> {t.tokens.compareVerdict[verdict]}
      </p>
      <dl className="facts facts-small">
        <div>
          <dt>{t.tokens.thisToken}</dt>
          <dd>
            <code>{here}</code>
          </dd>
        </div>
        <div>
          <dt>{t.tokens.otherToken}</dt>
          <dd>
            <code>{there}</code>
          </dd>
        </div>
        {STATES.map(([state, words]) => [words, pairs.filter((pair) => pair.state === state).length] as const)
          .filter(([, count]) => count > 0)
          .map(([words, count]) => (
            <div key={words}>
              <dt>{words}</dt>
              <dd className="tabular">{count.toLocaleString('en')}</dd>
            </div>
          ))}
      </dl>
      {otherWays > 0 ? <p className="note">{t.tokens.compareHistory(otherWays)}</p> : null}
      {differing.length > 0 ? <Findings findings={differing.slice(0, MOST_DRAWN)} /> : null}
      {differing.length > MOST_DRAWN ? <p>{t.tokens.compareMore(MOST_DRAWN, differing.length)}</p> : null}
      {notSeen.length > 0 ? (
        <>
          <h4>{t.tokens.compareNotSeen}</h4>
          <Findings findings={notSeen} />
        </>
      ) : null}
      <p className="note">{t.tokens.wordOnly}</p>
    </div>
  );
}

const OPEN: Readonly<Record<string, string>> = { 'COMPARE-UNPROVEN': t.tokens.compareUnproven, 'COMPARE-NOT-SEEN': t.tokens.compareNotSeen };

function Findings({ findings }: { readonly findings: readonly Refusal[] }) {
  return (
    <ul className="risks">
      {findings.map(({ rule, expected, found, next }, index) => (
        <Warning key={index} mark={rule in OPEN ? 'reported' : 'refused'} word={OPEN[rule] ?? t.tokens.finding} rule={rule} next={next}>
          {t.refusal.expected}: {expected}. {t.refusal.found}: {found}.
        </Warning>
      ))}
    </ul>
  );
}

type Size = keyof typeof t.tokens.randomSizes;
const SIZES = Object.entries(t.tokens.randomSizes).map(([bytes, words]) => [Number(bytes) as Size, words] as const);

export function RandomTest({ module, serial }: { readonly module: string; readonly serial: string }) {
  const busy = useConclave((state) => state.work !== null);
  const [bytes, setBytes] = useState<number>(65_536);
  const [result, setResult] = useState<Answers['random-test'] | null>(null);
  const run = async () => {
    setResult(null);
    const answer = await store.getState().ask({ call: 'random-test', module, token: serial, bytes });
    if (!answer) return;
    setResult(answer);
    store.getState().say(counted(answer));
  };
  return (
    <section className="random">
      <h3>{t.tokens.random}</h3>
      <div className="buttons">
        <label className="field">
          {t.tokens.randomSize}
          <select value={bytes} onChange={(event) => setBytes(Number(event.target.value))}>
            {SIZES.map(([size, words]) => (
              <option key={size} value={size}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <button type="button" disabled={busy} data-testid="random" onClick={() => void run()}>
          {t.tokens.randomGo}
        </button>
      </div>
      {result ? (
        <>
          <p className="origin">
            <Mark name={result.tests.every(({ passed }) => passed) ? 'plain' : 'refused'} quiet /> {counted(result)}
          </p>
          <p>{result.claim}</p>
          <table>
            <thead>
              <tr>
                <th scope="col">{t.tokens.name}</th>
                <th scope="col">{t.tokens.statistic}</th>
                <th scope="col">{t.tokens.limitOf}</th>
                <th scope="col">{t.tokens.verdict}</th>
              </tr>
            </thead>
            <tbody>
              {result.tests.map(({ name, statistic, limit, passed }) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td className="tabular">{statistic}</td>
                  <td className="tabular">{limit}</td>
                  <td>
                    <Mark name={passed ? 'verified' : 'refused'} quiet /> {passed ? t.tokens.passed : t.tokens.failed}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      ) : null}
    </section>
  );
}

function counted({ tests, bytes }: Answers['random-test']): string {
  return t.tokens.randomDone(tests.filter(({ passed }) => passed).length, tests.length, bytes);
}
