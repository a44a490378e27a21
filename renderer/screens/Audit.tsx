/** The auditor's screen: a file goes in, the checklist of trust fills from top to bottom, every broken rule by its name. */
import { useEffect, useId, useRef, useState, type DragEvent } from 'react';
import { Hatch } from '../parts/Band.tsx';
import { Frame } from '../parts/Frame.tsx';
import { Mark } from '../parts/Mark.tsx';
import { Report, TroublePanel } from '../parts/Trouble.tsx';
import { Facts, Words } from '../parts/Words.tsx';
import { store, useConclave } from '../page.ts';
import type { Checked, Screen } from '../store.ts';
import { personTitle, t } from '../texts.ts';

/** What the conductor accepts; said here, so that a large file is not sent for nothing. */
const LARGEST = 268_435_456;

export function Audit({ screen }: { readonly screen: Extract<Screen, { at: 'audit' }> }) {
  const { own } = screen;
  const [checked, setChecked] = useState<Checked | null>(screen.checked ?? null);
  const [name, setName] = useState('');
  const [large, setLarge] = useState(false);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  useEffect(() => {
    if (!own) return;
    setName(own.title);
    void store
      .getState()
      .ask({ call: 'verify-own', ceremony: own.ceremony })
      .then((answer) => {
        if (answer) setChecked({ name: own.title, ...answer });
      });
  }, [own]);
  const take = async (file: File | undefined) => {
    if (!file) return;
    setName(file.name);
    setChecked(null);
    setLarge(file.size > LARGEST);
    if (file.size > LARGEST) return;
    const bytes = new Uint8Array(await file.arrayBuffer());
    const answer = await store.getState().ask({ call: 'verify', name: file.name.slice(0, 200), bytes });
    if (answer) setChecked({ name: file.name, ...answer });
  };
  return (
    <Frame busy={work !== null}>
      <h1>{t.audit.title}</h1>
      {checked ? (
        <Result checked={checked} again={() => setChecked(null)} />
      ) : (
        <>
          <p className="lead">{t.audit.lead}</p>
          {work ? (
            <p className="drop" role="status">
              {t.audit.verifying(name)}
            </p>
          ) : (
            <Drop take={(file) => void take(file)} />
          )}
          {large ? <p className="warning">{t.audit.too}</p> : null}
          {trouble ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
        </>
      )}
    </Frame>
  );
}

function Drop({ take }: { readonly take: (file: File | undefined) => void }) {
  const id = useId();
  const [over, setOver] = useState(false);
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  };
  return (
    <div
      className={`drop${over ? ' over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      <p>{t.audit.drop}</p>
      <label htmlFor={id} className="file">
        {t.audit.choose}
      </label>
      <input
        id={id}
        type="file"
        accept=".zip,.jsonl"
        data-testid="audit-file"
        onChange={(event) => {
          take(event.target.files?.[0]);
        }}
      />
    </div>
  );
}

function Result({ checked, again }: { readonly checked: Checked; readonly again: () => void }) {
  const { verdict, lines, name } = checked;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const mark = verdict.verdict === 'valid' ? 'verified' : verdict.verdict === 'refused' ? 'refused' : 'reported';
  return (
    <div className="result">
      {verdict.mode === 'rehearsal' ? <Hatch /> : null}
      <section className={`verdict verdict-${mark}`}>
        <h2 ref={heading} tabIndex={-1}>
          <Mark name={mark} quiet /> {t.audit.verdict[verdict.verdict]}
        </h2>
        <p>
          {verdict.title === '' ? name : verdict.title}
          {verdict.mode ? (
            <>
              {' '}
              · <span className={`tag tag-${verdict.mode}`}>{t.mode[verdict.mode]}</span>
            </>
          ) : null}{' '}
          · {t.home.entries(verdict.entries)}
        </p>
        {verdict.verdict === 'refused' ? null : (
          <p>
            <Mark name={verdict.pinned ? 'verified' : 'reported'} quiet />{' '}
            {verdict.pinned ? t.audit.pinned : t.audit.unpinned}
          </p>
        )}
        <p className="buttons no-print">
          <button type="button" onClick={() => window.print()}>
            {t.audit.print}
          </button>
          <button
            type="button"
            disabled={lines.length === 0}
            onClick={() =>
              store
                .getState()
                .go({ at: 'replay', title: verdict.title, lines, verdict, back: { at: 'audit', checked } })
            }
          >
            {t.audit.replay}
          </button>
          <button type="button" onClick={again}>
            {t.audit.another}
          </button>
        </p>
      </section>
      <section>
        <h2>{t.audit.checks}</h2>
        <ol className="checklist">
          {verdict.checks.map((check) => (
            <li key={check.name} className={`check-${check.verdict}`}>
              <Mark name={check.verdict} quiet /> <strong>{check.name}</strong>{' '}
              <span className="word">{t.audit.clause[check.verdict]}</span>{' '}
              <span className="detail">{check.detail}</span>
            </li>
          ))}
        </ol>
      </section>
      <section>
        <h2>{t.audit.findings}</h2>
        {verdict.findings.length === 0 ? (
          <p>{t.audit.noFindings}</p>
        ) : (
          verdict.findings.map((finding, index) => (
            <div className="finding-row" key={index}>
              <p className="note">{finding.seq === null ? t.audit.whole : t.audit.entry(finding.seq)}</p>
              <Report refusal={finding} />
            </div>
          ))
        )}
      </section>
      <section>
        <h2>{t.audit.remarks}</h2>
        {verdict.remarks.length === 0 ? (
          <p>{t.audit.noRemarks}</p>
        ) : (
          <ul className="remarks">
            {verdict.remarks.map((remark, index) => (
              <li key={index}>
                <Mark name="reported" quiet />{' '}
                <span className="note">{remark.seq === null ? t.audit.whole : t.audit.entry(remark.seq)}</span>{' '}
                {remark.text}
              </li>
            ))}
          </ul>
        )}
      </section>
      <section>
        <h2>{t.audit.signers}</h2>
        <ul className="signers">
          {verdict.signers.map((signer) => (
            <li key={signer.seat}>
              <h3>{personTitle(signer.seat, signer.name)}</h3>
              <Words words={signer.words} label={signer.name} />
              <Facts
                facts={[
                  { label: t.audit.classical, value: signer.classical, form: 'bytes' },
                  { label: t.audit.pq, value: signer.pq, form: 'bytes' },
                ]}
              />
            </li>
          ))}
        </ul>
      </section>
    </div>
  );
}
