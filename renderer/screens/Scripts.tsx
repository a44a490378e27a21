/** The scripts on this machine, as their reviewers saw them, with the lint's marks in the margin. */
import { useEffect, useRef, useState } from 'react';
import type { Fault, Parameters, Script } from '../../ceremonies/script.ts';
import type { Answer, ScriptSummary } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import { Frame } from '../parts/Frame.tsx';
import { Mark } from '../parts/Mark.tsx';
import { isLogbook, useScripts } from '../parts/Offer.tsx';
import { ParameterFields } from '../parts/Parameter.tsx';
import { TroublePanel } from '../parts/Trouble.tsx';
import { Words } from '../parts/Words.tsx';
import { store, useConclave } from '../page.ts';
import { t } from '../texts.ts';
import { Model } from './Open.tsx';

export function Scripts() {
  const scripts = useConclave((state) => state.scripts);
  const trouble = useConclave((state) => state.trouble);
  const [name, setName] = useState<string | null>(null);
  useEffect(() => {
    void store.getState().refreshScripts();
  }, []);
  const read = useScripts(scripts);
  const chosen = scripts?.find((script) => script.name === name) ?? scripts?.[0];
  return (
    <Frame wide busy={scripts === null && trouble === null}>
      <div className="title-row">
        <h1>{t.scripts.title}</h1>
      </div>
      {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      {scripts?.length === 0 ? <p>{t.scripts.none}</p> : null}
      {chosen ? (
        <div className="scripts">
          <nav aria-label={t.scripts.list}>
            <h2>{t.scripts.list}</h2>
            <ul>
              {scripts?.map((script) => (
                <li key={script.name}>
                  <button
                    type="button"
                    className="node"
                    {...(script === chosen ? { 'aria-current': 'true' as const } : {})}
                    onClick={() => setName(script.name)}
                  >
                    <Mark name={script.faults.length === 0 ? 'verified' : 'refused'} />{' '}
                    {read.get(script.name)?.title ?? script.name} <span className="note">{script.name}</span>
                  </button>
                </li>
              ))}
            </ul>
          </nav>
          <Text key={chosen.name} summary={chosen} script={read.get(chosen.name) ?? null} />
        </div>
      ) : null}
    </Frame>
  );
}

function Text({ summary, script }: { readonly summary: ScriptSummary; readonly script: Script | null }) {
  const [copy, setCopy] = useState<string | null>(null);
  const [linted, setLinted] = useState<{ faults: readonly Fault[]; words: readonly string[] } | null>(null);
  useEffect(() => {
    setLinted(null);
    if (copy === null) return undefined;
    let wanted = true;
    const timer = setTimeout(
      () =>
        void bridge.call({ call: 'lint', text: copy }).then((answer) => {
          if (wanted && answer.ok) setLinted(answer.value);
        }),
      250,
    );
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [copy]);
  const faults = copy === null ? summary.faults : (linted?.faults ?? []);
  const words = copy === null ? (script?.words ?? []) : (linted?.words ?? []);
  return (
    <>
      <section className="text">
        {script ? <p className="lead">{script.purpose}</p> : null}
        <header>
          <h2>{copy === null ? t.scripts.text : t.scripts.editing}</h2>
          {copy === null ? (
            <button type="button" onClick={() => setCopy(summary.text)}>
              {t.scripts.edit}
            </button>
          ) : (
            <button type="button" onClick={() => setCopy(null)}>
              {t.scripts.discard}
            </button>
          )}
        </header>
        <Lines text={copy ?? summary.text} faults={faults} edit={copy === null ? null : setCopy} />
        <div aria-live="polite">
          {copy !== null && linted === null ? null : faults.length === 0 ? (
            <p>
              <Mark name="verified" quiet /> {t.scripts.fine}
            </p>
          ) : (
            <>
              <h3>{t.scripts.faults(faults.length)}</h3>
              <ul className="faults">
                {faults.map((fault, index) => (
                  <li key={index}>
                    <Mark name="refused" /> <strong>{t.scripts.line(fault.line)}</strong> <code>{fault.rule}</code>{' '}
                    {t.refusal.expected.toLowerCase()}: {fault.expected}; {t.refusal.found.toLowerCase()}: {fault.found}
                    . {fault.next}
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
      </section>
      <aside>
        {words.length > 0 ? (
          <section>
            <h2>{t.scripts.words}</h2>
            <Words words={words} label={t.scripts.words} />
          </section>
        ) : null}
        {script && copy === null ? isLogbook(script) ? <ByLogIn /> : <Rehearsal key={script.hash} name={summary.name} script={script} /> : null}
      </aside>
    </>
  );
}

/** Numbered lines with a mark where the lint found something; the copy that is edited scrolls with its numbers. */
function Lines({
  text,
  faults,
  edit,
}: {
  readonly text: string;
  readonly faults: readonly Fault[];
  readonly edit: ((text: string) => void) | null;
}) {
  const lines = text.split('\n');
  const marked = new Set(faults.map((fault) => fault.line));
  const gutter = useRef<HTMLOListElement>(null);
  const numbers = (
    <ol ref={gutter} className="gutter" aria-hidden="true">
      {lines.map((_, index) => (
        <li key={index} className={marked.has(index + 1) ? 'marked' : ''}>
          {marked.has(index + 1) ? <Mark name="refused" quiet /> : null}
          {index + 1}
        </li>
      ))}
    </ol>
  );
  if (edit) {
    return (
      <div className="editor">
        {numbers}
        <textarea
          aria-label={t.scripts.text}
          value={text}
          spellCheck={false}
          wrap="off"
          onChange={(event) => edit(event.target.value)}
          onScroll={(event) => {
            if (gutter.current) gutter.current.scrollTop = event.currentTarget.scrollTop;
          }}
        />
      </div>
    );
  }
  return (
    <div className="editor" tabIndex={0} role="region" aria-label={t.scripts.text}>
      {numbers}
      <pre>
        {lines.map((line, index) => (
          <span key={index} className={marked.has(index + 1) ? 'marked' : ''}>
            {line}
            {'\n'}
          </span>
        ))}
      </pre>
    </div>
  );
}

function ByLogIn() {
  return (
    <section>
      <h2>{t.logbook.title}</h2>
      <p className="note">{t.logbook.byLogIn}</p>
      <p className="buttons">
        <button type="button" onClick={() => store.getState().go({ at: 'tokens' })}>
          {t.logbook.toTokens}
        </button>
      </p>
    </section>
  );
}

function Rehearsal({ name, script }: { readonly name: string; readonly script: Script }) {
  const [parameters, setParameters] = useState<Parameters>(script.defaults);
  const [model, setModel] = useState<Answer<'rehearse-model'> | null>(null);
  const [busy, setBusy] = useState(false);
  const walk = async () => {
    setBusy(true);
    setModel(await bridge.call({ call: 'rehearse-model', script: name, parameters }));
    setBusy(false);
  };
  const set = (changed: Parameters) => {
    setParameters(changed);
    setModel(null);
  };
  return (
    <>
      <section className="form">
        <h2>{t.scripts.parameters}</h2>
        <ParameterFields script={script} parameters={parameters} set={set} />
      </section>
      <p className="buttons">
        <button type="button" disabled={busy} onClick={() => void walk()}>
          {busy ? t.scripts.modelBusy : t.scripts.model}
        </button>
        <button
          type="button"
          className="main"
          data-testid="primary"
          onClick={() => store.getState().go({ at: 'open', script: name })}
        >
          {t.scripts.start}
        </button>
      </p>
      <div aria-live="polite">{model ? <Model model={model} /> : null}</div>
    </>
  );
}
