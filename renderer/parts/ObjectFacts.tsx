/**
 * One object in full: first what its attributes conclude to and what that is worth, then what they allow that they should
 * not, then every attribute as it was read.
 */
import { useEffect, useMemo, useState, type ReactNode } from 'react';
import { fromBase64url, fromHex } from '../../ceremonies/bytes.ts';
import type { AttributeReading, ObjectPlace } from '../../ceremonies/estate.ts';
import type { ChangeKind, ObjectFact } from '../../ceremonies/evidence.ts';
import { asn1Lines } from '../../ceremonies/keys/asn1-text.ts';
import { inForm, TEXT_FORMS } from '../../ceremonies/keys/public-forms.ts';
import { readSubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import type { Answers } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import type { Wanted } from '../changes.ts';
import { store, useConclave } from '../page.ts';
import { groups, type Fact } from '../reading.ts';
import { troubleOf, type Trouble } from '../store.ts';
import { t } from '../texts.ts';
import { FINAL_TRY, FinalTry } from './Dialogs.tsx';
import { Actions } from './Logbook.tsx';
import { Mark, ProofMark } from './Mark.tsx';
import { TroublePanel } from './Trouble.tsx';
import { Facts, SavedFile } from './Words.tsx';

type Reading = Answers['object'];

interface Props {
  readonly module: string;
  readonly serial: string;
  readonly place: ObjectPlace;
  readonly close: () => void;
  /** The listing changed under it: list anew. */
  readonly listAgain: () => void;
  /** Asks for a change; null while nobody is logged in to the logbook. */
  readonly change: ((change: ChangeKind, object: Wanted['object']) => void) | null;
  /** Whether the published rehearsal PIN types itself where the token wants one. */
  readonly standIn: boolean;
}

/** What can be changed about an object of each class. */
const CHANGES: Readonly<Record<ObjectFact['class'], readonly ChangeKind[]>> = {
  'private-key': ['sign-request', 'self-sign', 'import-certificate', 'wrap-key', 'copy-object', 'edit-object', 'destroy-object'],
  'secret-key': ['wrap-key', 'copy-object', 'edit-object', 'destroy-object'],
  'public-key': ['copy-object', 'edit-object', 'destroy-object'],
  certificate: ['edit-object', 'destroy-object'],
  data: ['edit-object', 'destroy-object'],
  other: ['edit-object', 'destroy-object'],
  unreadable: [],
};

export function ObjectFacts({ module, serial, place, close, listAgain, change, standIn }: Props) {
  const [reading, setReading] = useState<Reading | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  useEffect(() => {
    let wanted = true;
    void bridge.call({ call: 'object', module, token: serial, place }).then((answer) => {
      if (!wanted) return;
      if (!answer.ok) {
        setTrouble(troubleOf('object', answer));
        return;
      }
      setReading(answer.value);
      const { provenance } = answer.value;
      store.getState().say(t.tokens.opened(titleOf(place), provenance ? t.tokens.origin[provenance.origin] : ''));
    });
    return () => {
      wanted = false;
    };
  }, [module, serial, place]);
  return (
    <section className="one-object" aria-label={titleOf(place)}>
      <header>
        <h3>{titleOf(place)}</h3>
        <span className="note">
          {place.object.class} {place.object.keyType}, {t.tokens.position(place.position + 1)}
        </span>
        <button type="button" className="quiet" onClick={close}>
          {t.tokens.closeObject}
        </button>
      </header>
      {trouble ? (
        <TroublePanel refusal={trouble.refusal} problem={trouble.problem}>
          <div className="buttons">
            <button type="button" onClick={listAgain}>
              {t.tokens.listAgain}
            </button>
          </div>
        </TroublePanel>
      ) : reading === null ? (
        <p className="note">{t.tokens.reading}</p>
      ) : (
        <>
          {change && CHANGES[place.object.class].length > 0 ? (
            <Actions label={t.change.onObject} changes={CHANGES[place.object.class]} ask={(asked) => change(asked, { place, reading })} />
          ) : null}
          {reading.key ? <SelfTest module={module} serial={serial} place={place} standIn={standIn} /> : null}
          {place.object.class === 'private-key' || place.object.class === 'public-key' ? <SaveKeyRecord module={module} serial={serial} place={place} /> : null}
          <Whole reading={reading} />
        </>
      )}
    </section>
  );
}

/** Whether the key works: each use tried with session objects and compared with software. It changes nothing on the token. */
function SelfTest({ module, serial, place, standIn }: Pick<Props, 'module' | 'serial' | 'place' | 'standIn'>) {
  const [tried, setTried] = useState<Answers['self-test']['tried'] | null>(null);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  const test = async (acceptFinalTry: boolean) => {
    const answer = await store.getState().ask({ call: 'self-test', module, token: serial, place, standIn, acceptFinalTry });
    setTried(answer?.tried ?? null);
    if (answer) store.getState().say(t.change.tested(answer.tried.filter(({ passed }) => passed).length, answer.tried.length));
  };
  return (
    <section className="self-test">
      <div className="buttons">
        <button type="button" data-testid="self-test" disabled={work !== null} onClick={() => void test(false)}>
          {t.change.test}
        </button>
        <span className="note">{work?.call === 'self-test' ? `${t.change.testing} ${t.tokens.workingBooth}` : tried === null ? t.change.testing : tried.length === 0 ? t.change.testNone : t.change.tested(tried.filter(({ passed }) => passed).length, tried.length)}</span>
      </div>
      {trouble?.call === 'self-test' ? (
        <TroublePanel refusal={trouble.refusal} problem={trouble.problem}>
          {trouble.problem?.code === FINAL_TRY ? <FinalTry decides={t.tokens.finalDecides} accept={() => void test(true)} /> : null}
        </TroublePanel>
      ) : null}
      {tried && tried.length > 0 ? (
        <ul className="lines">
          {tried.map(({ name, passed, detail }) => (
            <li key={name}>
              <Mark name={passed ? 'verified' : 'refused'} quiet />{' '}
              <span>
                <strong>{name}</strong>: {detail} <span className={`proof proof-${passed ? 'verified' : 'refused'}`}>{passed ? t.verdicts.verified : t.change.testFailed}</span>
              </span>
            </li>
          ))}
        </ul>
      ) : null}
    </section>
  );
}

/** What ceremonies bring this key by, for one that no ceremony made. It only reads. */
function SaveKeyRecord({ module, serial, place }: Pick<Props, 'module' | 'serial' | 'place'>) {
  const [file, setFile] = useState<Answers['key-record']['file']>(null);
  const work = useConclave((state) => state.work);
  const trouble = useConclave((state) => state.trouble);
  const save = async () => {
    const answer = await store.getState().ask({ call: 'key-record', module, token: serial, place, save: true });
    setFile(answer?.file ?? null);
    if (answer?.file) store.getState().say(t.tokens.recordSaved);
  };
  return (
    <section className="self-test">
      <div className="buttons">
        <button type="button" data-testid="save-key-record" disabled={work !== null} onClick={() => void save()}>
          {t.tokens.saveRecord}
        </button>
        <span className="note">{t.tokens.recordHint}</span>
      </div>
      {trouble?.call === 'key-record' ? <TroublePanel refusal={trouble.refusal} problem={trouble.problem} /> : null}
      {file ? <SavedFile file={file} titles={[t.tokens.recordSaved, t.tokens.recordHash]} level={4} /> : null}
    </section>
  );
}

function titleOf({ object }: ObjectPlace): string {
  return object.label !== '' ? object.label : object.id !== '' ? groups(object.id) : t.tokens.untitled;
}

function Whole({ reading }: { readonly reading: Reading }) {
  const { key, certificate } = reading;
  return (
    <>
      {reading.provenance ? <Provenance provenance={reading.provenance} /> : null}
      {key && key.class !== 'public-key' ? <Risks risks={reading.risks} /> : null}
      {reading.letters.length > 0 ? (
        <section>
          <h4>{t.tokens.letters}</h4>
          <ul className="letters">
            {reading.letters.map(({ letter, meaning, risk }) => (
              <li key={letter} className={risk ? 'risk' : ''}>
                <code>{letter}</code>
                {risk ? (
                  <span className="weight">
                    <Mark name="reported" quiet /> {t.tokens.letterRisk}
                  </span>
                ) : null}{' '}
                <span>{meaning}</span>
              </li>
            ))}
          </ul>
        </section>
      ) : null}
      {certificate ? (
        <section>
          <h4>{t.tokens.certificate}</h4>
          <Facts
            facts={[
              fact(t.tokens.subject, certificate.subject),
              fact(t.tokens.issuer, certificate.issuer),
              fact(t.tokens.serialNumber, certificate.serialNumber, 'hex'),
              fact(t.tokens.valid, t.tokens.validFromTo(certificate.notBefore, certificate.notAfter)),
            ]}
          />
        </section>
      ) : null}
      {reading.publicKey ? (
        <section>
          <h4>{t.tokens.publicKey}</h4>
          <Facts
            facts={[
              fact(t.tokens.label, reading.publicKey.label),
              fact(t.tokens.keySha256, reading.publicKey.sha256, 'hex'),
              fact(t.tokens.spki, reading.publicKey.spki, 'bytes'),
            ]}
          />
          <PublicForms spki={reading.publicKey.spki} />
        </section>
      ) : null}
      <section>
        <h4>{t.tokens.uri}</h4>
        <code className="uri">{reading.uri}</code>
      </section>
      <Attributes reading={reading} />
    </>
  );
}

const fact = (label: string, value: string, form: Fact['form'] = 'text'): Fact => ({ label, value, form });

function Provenance({ provenance }: { readonly provenance: NonNullable<Reading['provenance']> }) {
  const { origin, conclusions, contradictions } = provenance;
  return (
    <section className="provenance">
      <h4>{t.tokens.provenance}</h4>
      <p className="origin">
        <Mark name={contradictions.length > 0 ? 'refused' : 'reported'} quiet /> {t.tokens.origin[origin]}
      </p>
      <ul className="conclusions">
        {conclusions.map(({ claim, words, why, proof }) => (
          <li key={claim}>
            {words.slice(0, 1).toUpperCase() + words.slice(1)} <ProofMark proof={proof} /> <span className="note">{t.tokens.rests(why)}</span>
          </li>
        ))}
      </ul>
      {contradictions.length > 0 ? (
        <ul className="risks">
          {contradictions.map(({ rule, expected, found, next }, index) => (
            <Warning key={index} mark="refused" word={t.tokens.contradicts} rule={rule} next={next}>
              {t.refusal.expected}: {expected}. {t.refusal.found}: {found}.
            </Warning>
          ))}
        </ul>
      ) : null}
      <p className="note">{t.tokens.wordOnly}</p>
    </section>
  );
}

function Risks({ risks }: { readonly risks: Reading['risks'] }) {
  return (
    <section>
      <h4>{t.tokens.risks}</h4>
      {risks.length === 0 ? <p>{t.tokens.risksNone}</p> : null}
      <ul className="risks">
        {risks.map(({ rule, weight, why, next }) => (
          <Warning key={rule} mark={weight === 'danger' ? 'refused' : 'reported'} word={t.tokens.weight[weight]} rule={rule} next={next}>
            {why}
          </Warning>
        ))}
      </ul>
    </section>
  );
}

/** A finding in a list: shape, word, the rule's name, why, what to do. */
export function Warning({
  mark,
  word,
  rule,
  next,
  children,
}: {
  readonly mark: 'refused' | 'reported';
  readonly word: string;
  readonly rule: string;
  readonly next: string;
  readonly children: ReactNode;
}) {
  return (
    <li className={`warn-${mark}`}>
      <p className="rule">
        <Mark name={mark} quiet /> {word} <code>{rule}</code>
      </p>
      <p>{children}</p>
      <p className="do">{next}</p>
    </li>
  );
}

/** More than this of one value helps nobody on a screen. */
const SHOWN_BYTES = 2048;

function Attributes({ reading }: { readonly reading: Reading }) {
  return (
    <section className="attributes">
      <h4>{t.tokens.attributes}</h4>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.tokens.attribute}</th>
            <th scope="col">{t.tokens.decoded}</th>
            <th scope="col">{t.tokens.raw}</th>
          </tr>
        </thead>
        <tbody>
          {reading.attributes.map((attribute) => (
            <tr key={attribute.number}>
              <th scope="row">
                <code>{attribute.name}</code>
              </th>
              <td>{attribute.text}</td>
              <td>
                <Raw attribute={attribute} />
                <Asn1 attribute={attribute} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {reading.unanswered.length > 0 ? (
        <p className="note">
          {t.tokens.unanswered}: <code>{reading.unanswered.join(', ')}</code>
        </p>
      ) : null}
      {reading.withheld.length > 0 ? (
        <p className="note">
          {t.tokens.withheld}: <code>{reading.withheld.join(', ')}</code>
        </p>
      ) : null}
    </section>
  );
}

/** What is DER, taken apart: only where that says more than the bytes, and only for whoever asks. */
function Asn1({ attribute: { name, hex } }: { readonly attribute: AttributeReading }) {
  const lines = useMemo(() => (hex.startsWith('30') || hex.startsWith('06') ? asn1Lines(fromHex(hex)) : null), [hex]);
  if (lines === null) return null;
  return (
    <details>
      <summary>
        {t.tokens.asn1} <span className="hidden">{name}</span>
      </summary>
      <pre tabIndex={0}>{lines.join('\n')}</pre>
    </details>
  );
}

/** The public key as other programs want it; forms that know no such key are left out. */
function PublicForms({ spki }: { readonly spki: string }) {
  const forms = useMemo(
    () =>
      TEXT_FORMS.flatMap((form) => {
        try {
          return [{ form, text: inForm(readSubjectKey(fromBase64url(spki)), form) }];
        } catch (error) {
          if (error instanceof Refused) return [];
          throw error;
        }
      }),
    [spki],
  );
  return forms.map(({ form, text }) => (
    <details key={form}>
      <summary>{t.tokens.form[form]}</summary>
      <pre tabIndex={0}>{text.trimEnd()}</pre>
    </details>
  ));
}

function Raw({ attribute: { name, hex } }: { readonly attribute: AttributeReading }) {
  if (hex === '') return <span className="note">{t.tokens.empty}</span>;
  const beyond = hex.length / 2 - SHOWN_BYTES;
  return (
    <>
      <code className="hex" {...(hex.length > 256 ? { tabIndex: 0, role: 'region', 'aria-label': name } : {})}>
        {groups(hex.slice(0, SHOWN_BYTES * 2))}
      </code>
      {beyond > 0 ? <span className="note"> {t.tokens.moreBytes(beyond)}</span> : null}
    </>
  );
}
