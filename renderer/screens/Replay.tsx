/**
 * The same stage under a slider. In place of the action stand three columns: the line of the script, what the record
 * says, what was re-verified just now. Nothing here can change anything.
 */
import { useEffect, useMemo, useState } from 'react';
import { pendingAction, type State } from '../../ceremonies/ceremony.ts';
import type { Verdict } from '../../ceremonies/verify.ts';
import { Mark } from '../parts/Mark.tsx';
import { Details, RecordList } from '../parts/Record.tsx';
import { Seats } from '../parts/Seats.tsx';
import { Actor, Acts } from '../parts/Stage.tsx';
import { store, useShortcut, world } from '../page.ts';
import type { Told } from '../reading.ts';
import { timeline, type Screen, type Timeline } from '../store.ts';
import { t } from '../texts.ts';
import { CeremonyBand } from './Ceremony.tsx';

/** How long an entry stays on the screen while the replay plays. */
const PLAY_MS = 1400;

export function Replay({ screen }: { readonly screen: Extract<Screen, { at: 'replay' }> }) {
  const [line, setLine] = useState<Timeline | null>(null);
  useEffect(() => {
    let wanted = true;
    void timeline(screen.lines, world).then((made) => {
      if (wanted) setLine(made);
    });
    return () => {
      wanted = false;
    };
  }, [screen.lines]);
  if (line === null)
    return (
      <main className="waiting">
        <p>{t.replay.reading}</p>
      </main>
    );
  return <Player line={line} screen={screen} />;
}

function Player({ line, screen }: { readonly line: Timeline; readonly screen: Extract<Screen, { at: 'replay' }> }) {
  const last = line.rows.length;
  const [at, setAt] = useState(Math.min((screen.entry ?? 0) + 1, last));
  const [playing, setPlaying] = useState(false);
  const to = (position: number) => setAt(Math.max(0, Math.min(last, position)));
  useEffect(() => {
    if (!playing) return undefined;
    if (at >= last) {
      setPlaying(false);
      return undefined;
    }
    const timer = setTimeout(() => setAt(at + 1), PLAY_MS);
    return () => clearTimeout(timer);
  }, [playing, at, last]);
  useShortcut('ArrowLeft', () => to(at - 1));
  useShortcut('ArrowRight', () => to(at + 1));
  useShortcut('Home', () => to(0));
  useShortcut('End', () => to(last));
  useShortcut(' ', () => setPlaying(!playing));
  const state = line.states[at] ?? line.states[0];
  const rows = useMemo(() => line.rows.slice(0, at), [line, at]);
  if (!state) return null;
  const row = rows.at(-1);
  return (
    <div className="ceremony replay">
      <CeremonyBand state={state} at={row?.entry.at ?? ''} />
      <main className="stage" data-step={row?.entry.step ?? ''} data-pending={pendingAction(state).kind}>
        <Acts state={state} />
        <div className="scene">
          <div className="instruction" tabIndex={0} role="region" aria-label={t.replay.record}>
            {row ? <Shown row={row} state={state} verdict={screen.verdict} /> : <h1>{t.replay.beforeStart}</h1>}
            {line.broken && at === last ? (
              <p className="broken">
                <Mark name="refused" quiet /> {t.replay.broken(last)} <code>{line.broken.rule}</code>:{' '}
                {line.broken.found}
              </p>
            ) : null}
          </div>
          <div className="beside">
            <Seats state={state} />
          </div>
        </div>
      </main>
      <RecordList ceremony={state.ceremony} rows={rows} head={state.lastHash} broken={null} />
      <footer className="foot player">
        <button
          type="button"
          className="quiet"
          onClick={() => store.getState().go(screen.back.at === 'replay' ? { at: 'home' } : screen.back)}
        >
          {t.back}
        </button>
        <button type="button" onClick={() => setPlaying(!playing)}>
          {playing ? t.replay.pause : t.replay.play}
        </button>
        <button type="button" aria-label={t.replay.back} disabled={at === 0} onClick={() => to(at - 1)}>
          ←
        </button>
        <input
          type="range"
          min={0}
          max={last}
          value={at}
          aria-label={t.replay.position}
          aria-valuetext={t.replay.of(at, last)}
          onChange={(event) => to(event.target.valueAsNumber)}
        />
        <button type="button" aria-label={t.replay.forward} disabled={at === last} onClick={() => to(at + 1)}>
          →
        </button>
        <span className="tabular">{t.replay.of(at, last)}</span>
      </footer>
    </div>
  );
}

/** The step as it stands in the script: from its own line to the one before the next step or act. */
function scriptLines(text: string, line: number): string {
  const rest = text.split('\n').slice(line - 1);
  const end = rest.findIndex((candidate, index) => index > 0 && /^\s*(- (id|act):|$)/.test(candidate));
  const own = rest.slice(0, end < 0 ? rest.length : end);
  const indent = Math.min(...own.map((candidate) => /^ */.exec(candidate)?.[0].length ?? 0));
  return own.map((candidate) => candidate.slice(indent)).join('\n');
}

function Shown({
  row,
  state,
  verdict,
}: {
  readonly row: Told;
  readonly state: State;
  readonly verdict: Verdict | null;
}) {
  const { entry, step } = row;
  const checked = verdict?.reverified[entry.seq] ?? [];
  const findings = verdict?.findings.filter((finding) => finding.seq === entry.seq) ?? [];
  return (
    <>
      {entry.by === undefined ? null : <Actor state={state} seat={entry.by} />}
      <h1>{step?.title ?? row.title}</h1>
      <div className="columns">
        <section>
          <h2>{t.replay.script}</h2>
          {step ? (
            <>
              <p className="note">{step.line > 0 ? t.replay.line(step.line) : t.replay.noLine}</p>
              {step.line > 0 ? <pre tabIndex={0}>{scriptLines(state.script?.text ?? '', step.line)}</pre> : null}
              {step.line > 0 || step.say === '' ? null : <p>“{step.say}”</p>}
            </>
          ) : (
            <p className="note">{t.replay.noLine}</p>
          )}
        </section>
        <section>
          <h2>{t.replay.record}</h2>
          <Details row={row} />
        </section>
        <section className={findings.length > 0 ? 'bad' : ''}>
          <h2>{t.replay.checked}</h2>
          {findings.map((finding, index) => (
            <p key={index} className="finding">
              <Mark name="refused" /> <code>{finding.rule}</code> {finding.found}
            </p>
          ))}
          {verdict === null ? (
            <p className="note">{t.replay.notVerified}</p>
          ) : checked.length > 0 ? (
            <ul className="details">
              {checked.map((words, index) => (
                <li key={index}>
                  <Mark name="verified" />
                  <span>{words}</span>
                </li>
              ))}
            </ul>
          ) : findings.length === 0 ? (
            <p>
              <Mark name="verified" /> {t.replay.nothingChecked}
            </p>
          ) : null}
        </section>
      </div>
    </>
  );
}
