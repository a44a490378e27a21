/** Libraries: which run, out of which file and with which variables, and which were found and do not run. */
import type { Estate, Library, ModuleReport } from '../../electron/contract.ts';
import { dateTime, groups, type MarkName } from '../reading.ts';
import { t } from '../texts.ts';
import { Mark } from './Mark.tsx';
import { TroublePanel } from './Trouble.tsx';

export type Module = Estate['modules'][number];
export type Configured = ModuleReport['configured'][number];

/** What became of vetting a module's file; null where nothing is known, and for the embedded one, which has none. */
export function vettingOf(configured: Configured | undefined): { readonly mark: MarkName; readonly words: string } | null {
  if (!configured?.library) return null;
  if (configured.library.refusal) return { mark: 'refused', words: configured.library.refusal.rule };
  return configured.pinned
    ? { mark: 'verified', words: t.tokens.vetted.same }
    : { mark: 'reported', words: t.tokens.vetted.first };
}

export function ModulePage({ module, configured }: { readonly module: Module; readonly configured: Configured | undefined }) {
  const { facts, problem } = module;
  const refusal = configured?.library?.refusal ?? null;
  const vetting = vettingOf(configured);
  return (
    <>
      <h2>{module.name}</h2>
      {refusal ? (
        <TroublePanel refusal={refusal} problem={null} />
      ) : problem ? (
        <TroublePanel refusal={null} problem={problem} />
      ) : null}
      <dl className="facts facts-small">
        {facts ? (
          <>
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
          </>
        ) : null}
        <LibraryFacts
          library={configured?.library ?? (facts ? { path: facts.path, file: null, sha256: facts.sha256, refusal: null } : null)}
        />
        {configured?.library ? (
          <div>
            <dt>{t.tokens.pinned}</dt>
            <dd>
              {vetting ? <Mark name={vetting.mark} quiet /> : null} <Pinned configured={configured} />
            </dd>
          </div>
        ) : null}
        <div>
          <dt>{t.tokens.modules}</dt>
          <dd>{t.tokens.tokensHere(module.slots.filter(({ token }) => token !== null).length)}</dd>
        </div>
      </dl>
      {configured ? <Environment environment={configured.environment} /> : null}
    </>
  );
}

function Pinned({ configured: { pinned, library } }: { readonly configured: Configured }) {
  if (pinned === null) return t.tokens.pinnedNever;
  return pinned.sha256 === library?.sha256 ? (
    t.tokens.pinnedSince(dateTime(pinned.since))
  ) : (
    <code className="hex">{t.tokens.pinnedTo(groups(pinned.sha256), dateTime(pinned.since))}</code>
  );
}

function LibraryFacts({ library }: { readonly library: Library | null }) {
  if (library === null) return null;
  return (
    <>
      <div>
        <dt>{t.tokens.path}</dt>
        <dd>
          <code>{library.path}</code>
        </dd>
      </div>
      {library.file === null || library.file === library.path ? null : (
        <div>
          <dt>{t.tokens.leadsTo}</dt>
          <dd>
            <code>{library.file}</code>
          </dd>
        </div>
      )}
      {library.sha256 === null ? null : (
        <div>
          <dt>{t.tokens.sha256}</dt>
          <dd>
            <code className="hex">{groups(library.sha256)}</code>
          </dd>
        </div>
      )}
    </>
  );
}

function Environment({ environment }: { readonly environment: Configured['environment'] }) {
  return (
    <section>
      <h3>{t.tokens.environment}</h3>
      {environment.length === 0 ? (
        <p className="note">{t.tokens.environmentNone}</p>
      ) : (
        <dl className="facts facts-small">
          {environment.map(({ name, value, from }) => (
            <div key={name}>
              <dt>
                <code>{name}</code>
              </dt>
              <dd>
                <code>{value}</code> <span className="note">{t.tokens.environmentFrom[from]}</span>
              </dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

/** Libraries that nobody asked to run: each with the reason. There is no button; only modules.json makes one run. */
export function Candidates({ report }: { readonly report: ModuleReport | null }) {
  if (report === null) return <p className="note">{t.tokens.reading}</p>;
  return (
    <section className="candidates">
      <h3>{t.tokens.candidates}</h3>
      <p className="note">{t.tokens.machineLead}</p>
      {report.candidates.length === 0 ? (
        <p>{t.tokens.candidatesNone}</p>
      ) : (
        <ul>
          {report.candidates.map((candidate, index) => (
            <li key={index}>
              <h4>
                <Mark name={candidate.library.refusal ? 'refused' : 'plain'} quiet /> {candidate.name}
              </h4>
              <dl className="facts facts-small">
                <LibraryFacts library={candidate.library} />
                <div>
                  <dt>{t.tokens.candidateFrom}</dt>
                  <dd>{candidate.from}</dd>
                </div>
                <div>
                  <dt>{t.tokens.candidateWhy}</dt>
                  <dd>
                    <WhyNot candidate={candidate} />
                  </dd>
                </div>
              </dl>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function WhyNot({ candidate: { library, skipped, configuredAs } }: { readonly candidate: ModuleReport['candidates'][number] }) {
  if (configuredAs !== null) return t.tokens.candidateConfigured(configuredAs);
  if (library.refusal)
    return (
      <>
        {t.tokens.candidateRefused}: <code>{library.refusal.rule}</code> {t.refusal.expected.toLowerCase()}{' '}
        {library.refusal.expected}; {t.refusal.found.toLowerCase()} {library.refusal.found}. {library.refusal.next}
      </>
    );
  return skipped ?? t.tokens.candidateCould;
}
