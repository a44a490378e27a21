/** The ceremonies that can be rehearsed, each with what it is for. Loaded after the first screen: to read scripts takes YAML. */
import { useEffect, useMemo } from 'react';
import { readScript, type Script } from '../../ceremonies/script.ts';
import type { ScriptSummary } from '../../electron/contract.ts';
import { store, useConclave } from '../page.ts';
import { t } from '../texts.ts';

/** Administration is no ceremony that can be opened: its records are the volumes of the logbook, begun by logging in. */
export function isLogbook(script: Script): boolean {
  return script.body.acts.some((act) => act.steps.some((step) => 'administer' in step.do));
}

/** Every script that has no faults, by its name. */
export function useScripts(scripts: readonly ScriptSummary[] | null): ReadonlyMap<string, Script> {
  return useMemo(
    () =>
      new Map(
        (scripts ?? []).flatMap(({ name, text }) => {
          const { script } = readScript(text);
          return script ? [[name, script] as const] : [];
        }),
      ),
    [scripts],
  );
}

export function Offer() {
  const scripts = useConclave((state) => state.scripts);
  useEffect(() => {
    if (store.getState().scripts === null) void store.getState().refreshScripts();
  }, []);
  const read = [...useScripts(scripts)].filter(([, script]) => !isLogbook(script));
  if (read.length === 0) return null;
  return (
    <section className="offer">
      <h2>{t.home.offer}</h2>
      <ul>
        {read.map(([name, script]) => (
          <li key={name}>
            <div>
              <h3 id={`offer-${name}`}>{script.title}</h3>
              <p className="note">{script.purpose}</p>
            </div>
            <button
              type="button"
              aria-describedby={`offer-${name}`}
              data-testid={`rehearse-${name}`}
              onClick={() => store.getState().go({ at: 'open', script: name })}
            >
              {t.home.rehearseThis}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
