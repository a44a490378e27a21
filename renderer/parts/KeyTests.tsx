/** The weak-key scan and the random test: what was found, among how many, and what was not looked at. */
import { useState } from 'react';
import type { Answers, KeyScan } from '../../electron/contract.ts';
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
