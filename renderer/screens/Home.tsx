/**
 * The first screen: three sentences and one button, or the list of ceremonies with what needs somebody on top, the volumes
 * of the logbook apart from them and, at its foot, what else can be rehearsed.
 */
import { lazy, Suspense, useMemo } from 'react';
import { inEarnest } from '../../ceremonies/findings.ts';
import type { CeremonySummary } from '../../electron/contract.ts';
import { DevelopmentWarning, Frame } from '../parts/Frame.tsx';
import { Mark } from '../parts/Mark.tsx';
import { TroublePanel } from '../parts/Trouble.tsx';
import { store, useConclave } from '../page.ts';
import { dateTime } from '../reading.ts';
import { isVolume } from '../store.ts';
import { t } from '../texts.ts';

/** At the foot of the list, so that nothing moves when it comes. */
const Offer = lazy(async () => {
  await import('../jitless.ts');
  return { default: (await import('../parts/Offer.tsx')).Offer };
});

/** The rehearsal that the first button opens. */
const FIRST_SCRIPT = 'root-ca';

export function Home() {
  const hello = useConclave((state) => state.hello);
  const ceremonies = useConclave((state) => state.ceremonies);
  const trouble = useConclave((state) => state.trouble);
  const panel = trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null;
  if (hello === null || ceremonies === null)
    return <Frame busy={trouble === null}>{panel ?? <p className="waiting-line">{t.loadingScreen}</p>}</Frame>;
  if (ceremonies.length === 0) {
    return (
      <Frame>
        <section className="first">
          <h1>{t.app}</h1>
          {t.home.first.map((sentence) => (
            <p key={sentence}>{sentence}</p>
          ))}
          <p>
            <button type="button" className="main large" data-testid="primary" onClick={openNew}>
              {t.home.rehearse}
            </button>
          </p>
          {panel}
          <DevelopmentWarning />
          <MachineWarnings warnings={hello.warnings} />
        </section>
      </Frame>
    );
  }
  const order = (summary: CeremonySummary) => (summary.interrupted ? 0 : summary.state === 'open' ? 1 : 2);
  const sorted = [...ceremonies].sort((a, b) => order(a) - order(b) || (a.lastAt < b.lastAt ? 1 : -1));
  const volumes = sorted.filter(isVolume);
  const open = sorted.filter((summary) => !isVolume(summary) && order(summary) < 2);
  const over = sorted.filter((summary) => !isVolume(summary) && order(summary) === 2);
  return (
    <Frame>
      <div className="title-row">
        <h1>{t.home.title}</h1>
        <button type="button" className="main" data-testid="primary" onClick={openNew}>
          {t.home.new}
        </button>
      </div>
      <DevelopmentWarning />
      <InventoryFindings />
      {panel}
      {open.length + over.length === 0 ? <p>{t.home.none}</p> : null}
      {open.length > 0 ? (
        <>
          <h2>{t.home.open}</h2>
          <ul className="ceremonies">
            {open.map((summary) => (
              <Summary key={summary.ceremony} summary={summary} />
            ))}
          </ul>
        </>
      ) : null}
      {over.length > 0 ? (
        <>
          <h2>{t.home.over}</h2>
          <ul className="ceremonies">
            {over.map((summary) => (
              <Summary key={summary.ceremony} summary={summary} />
            ))}
          </ul>
        </>
      ) : null}
      {volumes.length > 0 ? (
        <>
          <h2>{t.logbook.title}</h2>
          <p className="note">{t.logbook.lead}</p>
          <ul className="ceremonies">
            {volumes.map((summary) => (
              <Summary key={summary.ceremony} summary={summary} />
            ))}
          </ul>
        </>
      ) : null}
      <MachineWarnings warnings={hello.warnings} />
      <Suspense fallback={null}>
        <Offer />
      </Suspense>
    </Frame>
  );
}

/** Only once the room of keys has been entered: folding every record would hold up the first screen. Those of rehearsals wait there. */
function InventoryFindings() {
  const inventory = useConclave((state) => state.inventory);
  const comparison = useConclave((state) => state.comparison);
  const found = useMemo(() => (inventory === null ? 0 : inEarnest([...inventory.rest.findings, ...comparison?.compared.findings ?? []], { keys: inventory.rows.map(({ key }) => key), rehearsals: inventory.rest.rehearsals }).real.length), [inventory, comparison]);
  if (found === 0) return null;
  return (
    <p className="home-findings">
      <Mark name="refused" quiet /> <strong>{t.home.findings(found)}</strong>{' '}
      <button type="button" onClick={() => store.getState().go({ at: 'keys' })}>
        {t.home.toFindings}
      </button>
    </p>
  );
}

function openNew() {
  store.getState().go({ at: 'open', script: FIRST_SCRIPT });
}

function Summary({ summary }: { readonly summary: CeremonySummary }) {
  const { ceremony, interrupted, state, mode, title } = summary;
  const work = useConclave((conclave) => conclave.work);
  // What is done in an open volume is chosen among the tokens.
  const inTokens = isVolume(summary) && state === 'open' && !interrupted;
  const watch = () => store.getState().go(inTokens ? { at: 'tokens' } : { at: 'ceremony', ceremony });
  const mark = interrupted ? 'reported' : state === 'open' ? 'begun' : state === 'closed' ? 'verified' : 'refused';
  return (
    <li className={interrupted ? 'interrupted' : ''}>
      <Mark name={mark} quiet />
      <div>
        <h3>
          {title} <span className={`tag tag-${mode}`}>{t.mode[mode]}</span>
        </h3>
        <p>
          <strong>{interrupted ? t.home.interrupted : t.home.state[state]}</strong>
          {interrupted ? <>. {t.home.interruptedWhy}</> : null}
        </p>
        <p className="note">
          {t.home.began} {dateTime(summary.openedAt)} · {t.home.last} {dateTime(summary.lastAt)} ·{' '}
          {t.home.entries(summary.entries)} · <code>{ceremony.slice(0, 8)}</code>
        </p>
      </div>
      <div className="buttons">
        <button type="button" className={state === 'open' || interrupted ? 'main' : ''} onClick={watch}>
          {interrupted ? t.home.resume : state === 'open' ? t.home.continue : t.home.watch}
        </button>
        {state === 'open' ? null : (
          <button
            type="button"
            disabled={work !== null}
            onClick={() => void store.getState().openReplay(ceremony, title)}
          >
            {t.home.replay}
          </button>
        )}
      </div>
    </li>
  );
}

function MachineWarnings({ warnings }: { readonly warnings: readonly string[] }) {
  if (warnings.length === 0) return null;
  return (
    <section className="machine">
      <h2>{t.home.warnings}</h2>
      <ul>
        {warnings.map((warning) => (
          <li key={warning}>
            <Mark name="reported" quiet /> {warning}
          </li>
        ))}
      </ul>
    </section>
  );
}
