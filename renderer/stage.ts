/**
 * What the stage shows beside an instruction: the things a step names, what came of it, where each part of a key lives, what
 * a ceremony leaves behind, and whether the work under way can be stopped.
 *
 * Pure text over the record's state and entries. It never decides what a fact is worth: the mark beside it is the one that
 * the evidence carries.
 */
import { orderText, resultLines } from '../ceremonies/administration.ts';
import { custodianNumber, keyInput, mayBeKept, type Data, type State } from '../ceremonies/ceremony.ts';
import { cloneDifferences } from '../ceremonies/cloning.ts';
import { checkWords, NO_TOTAL } from '../ceremonies/components.ts';
import { REHEARSAL_WAIT, waitsUntil } from '../ceremonies/approvals.ts';
import { claimsOn, listOf, nextCopy, seenText } from '../ceremonies/destruction.ts';
import type { ActionName, Evidence, Input, Intent, KeyAttributes, KeyPart, Proof } from '../ceremonies/evidence.ts';
import { inputDigest } from '../ceremonies/key-record.ts';
import { caAlgorithmNamed, componentsOf } from '../ceremonies/keys/algorithms.ts';
import { isStatefulKey } from '../ceremonies/keys/provenance.ts';
import { leavingTexts } from '../ceremonies/later-backup.ts';
import { depositOf, releaseOf, type EscrowTerms } from '../ceremonies/escrow.ts';
import { backupInput } from '../ceremonies/recovery.ts';
import type { PlanStep } from '../ceremonies/script.ts';
import { affectedText, whatToDo } from '../ceremonies/statements.ts';
import { endsHere } from '../ceremonies/zeroise.ts';
import { algorithmName, placeWords, profileOf } from './algorithms.ts';
import { fact, objectLine, type Fact, type Told } from './reading.ts';
import { renewalResult, renewFacts, retireFacts } from './renewal.ts';
import { personTitle, seatTitle, t } from './texts.ts';

const { text, mono, hex, list } = fact;

/** What must be on the screen while this step is carried out and witnessed: the things it names, and what came of it. */
export function stageFacts(state: State, step: PlanStep, labels: ReadonlyMap<string, string> | null): Fact[] {
  const { current, opening } = state;
  const intent = (current?.step.id === step.id ? current.intent : null) as Partial<Record<string, unknown>> | null;
  const evidence = current?.step.id === step.id ? current.evidence : null;
  const bound = (label: string, serial: string | undefined): Fact[] =>
    serial === undefined
      ? []
      : [
          ...(labels?.has(serial) ? [mono(label, labels.get(serial) ?? '')] : []),
          hex(labels?.has(serial) ? 'Serial' : `${label}, serial`, serial),
        ];
  const token = (name: string) => bound('Token', opening?.bindings.tokens[name]?.serial);
  const card = (name: string) => bound('Card', opening?.bindings.cards[name]?.[step.who]?.serial);
  const keyToken = bound('Token', state.key?.token);
  const dates = (years: number) =>
    intent === null
      ? text('Valid', `${years} years from today`)
      : text('Valid', `${day(intent['notBefore'])} to ${day(intent['notAfter'])}`);
  switch (step.do.action) {
    case 'confirm-script':
    case 'confirm-input': // the file itself stands there
    case 'wipe-backup-key':
    case 'wipe-activation-key':
      return [];
    case 'administer': {
      if (intent === null) return []; // it is chosen in the Tokens room, not on the stage
      const change = intent as Intent<'administer'>;
      const came = evidence ? resultLines(change, (evidence as Evidence<'administer'>).result).map((line) => line.text) : [];
      return [text(t.change.ordered, orderText(change)), ...(came.length > 0 ? [list(t.change.came, came)] : [])];
    }
    case 'hand-over': {
      const { movement } = step;
      if (movement === undefined) return [];
      const { identifier, kind, share, giver, receiver, fromSite, toSite, reason } = movement;
      const person = (seat: string) => personTitle(seat, state.people.find((one) => one.seat === seat)?.name ?? '');
      return [
        mono(t.custody.kinds[kind], identifier),
        ...(share === null ? [] : [text(t.custody.holds, t.custody.share(share.x, share.set))]),
        text(t.custody.from, `${person(giver)}, ${fromSite}`),
        text(t.custody.to, `${person(receiver)}, ${toSite}`),
        text(t.custody.reason, reason),
      ];
    }
    case 'enrol':
    case 'sign-seal':
    case 'sign-resume':
      return card('identity-card');
    case 'inspect-token': {
      const e = evidence as Evidence<'inspect-token'> | null;
      const { algorithm, needs } = step.do;
      return [
        ...token(step.do.on),
        ...(e
          ? [
              mono('Model', `${e.token.manufacturer} ${e.token.model}, firmware ${e.token.firmware}`, 'reported'),
              ...e.needs.map((need) => text(`Can ${need.name}`, need.detail, need.proof ?? 'reported')),
            ]
          : needs.length === 0 || algorithm === undefined
            ? []
            : [text('Must be able to', `${needs.join(', ')}, with ${algorithmName(algorithm)}`)]),
      ];
    }
    case 'test-random':
      return [...token(step.do.on), text('Sample', `${step.do.bytes.toLocaleString('en')} bytes`)];
    case 'take-inventory': {
      const e = evidence as Evidence<'take-inventory'> | null;
      if (!e) return token(step.do.on);
      const shown = e.objects.slice(-6);
      const more = e.objects.length - shown.length;
      return [
        hex('Token, serial', e.token),
        ...e.loggedIn === false ? [text('Without login', 'private objects could not be listed')] : [],
        list(
          t.tokens.objectCount(e.objects.length),
          [...shown.map(objectLine), ...(more > 0 ? [`and ${more} more, in the record`] : [])],
          'reported',
        ),
        ...(e.known === undefined ? [] : [list(t.ceremony.endsHere(e.known.length, e.objects.length), e.known.map(endsHere), 'reported')]),
      ];
    }
    case 'set-state': {
      const e = evidence as Evidence<'set-state'> | null;
      if (!e) return [text('Key', keyInput(state, step.do.key).label), text('State', step.do.to), text('What happened', step.do.reason), ...(step.do.since === undefined ? [] : [text('Since', step.do.since)])];
      return [
        text('Key', `${e.label}: ${e.from} → ${e.to}${e.since === null ? '' : `, since ${e.since}`}`),
        text('What happened', e.reason),
        ...(e.to === 'compromised' ? [list(t.ceremony.toDo, whatToDo(e)), list(t.ceremony.affected(e.certificates.length), e.certificates.map(affectedText), e.certificates.every(({ proven }) => proven) ? 'verified' : 'reported')] : []),
        ...(e.dependants.length > 0 ? [list(t.ceremony.dependants(e.dependants.length), e.dependants.map(({ label, how }) => `“${label}”: ${how}`), 'reported')] : []),
      ];
    }
    case 'zeroise-token': {
      const e = evidence as Evidence<'zeroise-token'> | null;
      if (!e) return token(step.do.on);
      return [hex('Token, serial', e.after.serial), mono('Label', e.after.label, 'reported'), text('Afterwards', t.ceremony.zeroised(e.objects.length), 'reported')];
    }
    case 'generate-key': {
      const e = evidence as Evidence<'generate-key'> | null;
      const { algorithm, label, place = 'token' } = step.do;
      const named = [text('Key', `${algorithmName(algorithm)}, “${label}”`), ...drafted(algorithm)];
      // Once the key is there, where it lives is what the witnesses have come to see.
      if (e) return [...whereFacts(e.parts), ...named, ...attributeFacts(e)];
      const where = place === 'token' && !isComposite(algorithm) ? [] : [text('It lives', placeWords(place, algorithm).name)];
      return [...token(step.do.on), ...named, ...where];
    }
    case 'prove-key':
      return [...keyToken, ...(state.key ? whereFacts(state.key.parts) : [])];
    case 'open-key': {
      const e = evidence as Evidence<'open-key'> | null;
      return e ? [...whereFacts(e.parts), ...leavingTexts(e).map((words) => text(t.ceremony.backup, words, 'verified')), ...token(step.do.on), ...attributeFacts(e)] : token(step.do.on);
    }
    case 'issue-certificate': {
      const { subject, for: input } = step.do;
      const length = step.do['path-length'];
      return [
        ...(subject
          ? [
              text(
                'Subject',
                [subject['common-name'], subject.organization, subject.country]
                  .filter((part) => part !== undefined)
                  .join(', '),
              ),
            ]
          : [text('For', opening?.inputs[input ?? '']?.file ?? '')]),
        dates(step.do.years),
        ...(length === undefined ? [] : [text('CAs below it', length === 0 ? 'none' : `at most ${length} in a row`)]),
        ...(intent === null ? [] : [hex('Serial number', String(intent['serialNumber']))]),
      ];
    }
    case 'sign-crl': {
      const { days, revocations } = step.do;
      return [
        text('From', opening?.inputs[revocations]?.file ?? ''),
        ...(intent === null
          ? [text('Next list', `within ${t.plural(days, 'day')}`)]
          : [
              text('Number', String(intent['number'])),
              text('Dated', `${day(intent['thisUpdate'])}; the next list by ${day(intent['nextUpdate'])}`),
            ]),
      ];
    }
    case 'enter-component':
    case 'issue-component': {
      const { check } = (evidence as Evidence<'enter-component'> | null) ?? {};
      const entered = Object.keys(state.components.entered).length;
      const all = state.people.filter(({ role }) => role === 'custodian').length;
      return [
        text('Component', t.ceremony.componentOf(custodianNumber(state, step.who), all, step.do.kind.toUpperCase())),
        ...(check ? [mono('Check value', checkWords(check), 'verified')] : [text('So far', t.ceremony.componentsSoFar(entered, all))]),
      ];
    }
    case 'form-key': {
      const e = evidence as Evidence<'form-key'> | null;
      const { kind, label, use, total } = step.do;
      const named = text('Key', `${kind.toUpperCase()}, “${label}”, ${t.ceremony.formedUse[use]}`);
      if (e) return [named, mono('Check value', checkWords(e.total), e.by === 'attribute' ? 'reported' : 'verified'), text('The token says', attributesBrief(e.secret), 'reported'), text('It was outside', t.keys.formed)];
      const begun = (intent as Intent<'form-key'> | null)?.check;
      return [...token(step.do.on), named, ...(begun ? [mono('Check value', checkWords(begun))] : []), ...(total === undefined || total === NO_TOTAL ? [] : [mono('On the forms', total)])];
    }
    case 'compare-keys': {
      const e = evidence as Evidence<'compare-keys'> | null;
      const tokens = [...bound(t.clone.first, opening?.bindings.tokens[step.do.on]?.serial), ...bound(t.clone.second, state.key?.token)];
      if (!e) return tokens;
      const lines = cloneDifferences(e).map(({ part, attribute, primary, second, why }) => `${part === 'key' ? '' : `${part}: `}${attribute}: ${primary} / ${second}${why === null ? ' ✕' : `, as ${why}`}`);
      return [hex(t.clone.same, inputDigest({ bytes: e.second.spki }), 'verified'), list(t.clone.differs, lines.length > 0 ? lines : [t.clone.nothing], 'reported'), ...tokens];
    }
    case 'make-backup-key':
      return state.plan?.set
        ? [text('Shares', `${state.plan.set.shares} are made; any ${state.plan.set.threshold} recover the key`)]
        : [];
    case 'wrap-key':
      return keyToken;
    case 'lock-key': {
      const e = evidence as Evidence<'lock-key'> | null;
      return [
        ...keyToken,
        ...(e && e.private.length > 0
          ? [text('Locked', e.enforced ? t.keys.locked : t.keys.markedOnly, e.enforced ? 'verified' : 'reported')]
          : []),
      ];
    }
    case 'give-share':
    case 'read-back-share': {
      const { bag } = (intent ?? {}) as Partial<Intent<'read-back-share'>>;
      return [...agreedTo(state), ...card(step.do.card ?? 'share-card'), ...(bag ? [text(t.bags.bag, bag.number)] : [])];
    }
    case 'put-away': {
      const { bag } = (evidence ?? {}) as Evidence<'put-away'>;
      return bag === undefined ? [] : [text(t.bags.bag, bag)];
    }
    case 'renew-shares':
      return [...renewFacts(state, step.do, intent?.['quorum'], evidence as Evidence<'renew-shares'> | null), ...token(step.do.on)];
    case 'seal-copy': {
      const e = evidence as Evidence<'seal-copy'> | null;
      const number = custodianNumber(state, step.who);
      return e
        ? [hex(t.copies.envelope, inputDigest({ bytes: e.envelope }), 'verified'), text(t.copies.recipient, `${e.recipient.algorithm}, ${e.recipient.identifier}`, 'verified'), hex(t.copies.recipientKey, e.recipient.sha256, 'verified'), text(t.copies.counts, t.copies.unopened)]
        : [...copiedShare(state, step.who), text(t.copies.recipient, t.copies.key(number, opening?.inputs[step.do.to]?.file ?? '')), ...card('share-card')];
    }
    case 'open-copy': {
      const copy = state.copies[step.who];
      const came = evidence ? [text(t.copies.inEnvelope, t.copies.same, 'verified')] : [];
      return [...came, ...(copy ? [hex(t.copies.envelope, copy.identifier)] : []), ...(copy?.sealed ? [hex(t.copies.recipientKey, copy.sealed.recipient)] : [])];
    }
    case 'write-copy': {
      const sheet = intent?.['sheet'];
      const came = evidence ? [text(t.copies.onForm, t.copies.same, 'verified')] : [];
      return [...came, ...copiedShare(state, step.who), ...(typeof sheet === 'string' ? [mono(t.copies.form, sheet)] : []), ...card('share-card')];
    }
    case 'return-share': {
      const { set, shares } = backupInput(opening?.inputs, step.do.from);
      const came = evidence ? [text(step.do.envelope === undefined ? t.copies.onForm : t.copies.inEnvelope, t.copies.same, 'verified')] : [];
      return [...came, text(t.copies.share, `${t.copies.shareOf(step.do.share, set.id, set.epoch)}, ${shares[step.do.share - 1]?.holder ?? ''}`), ...bound(t.copies.newCard, opening?.bindings.cards[step.do.card ?? 'new-share-card']?.[step.who]?.serial)];
    }
    case 'retire-share':
      return retireFacts(state, step, evidence as Evidence<'retire-share'> | null);
    case 'locate-copies':
    case 'confirm-gone': {
      const e = evidence as Evidence<'locate-copies'> | null;
      const { copies } = listOf(state.destruction);
      if (!e) return [list(t.destruction.copies(copies.length), copies.map(({ what }, index) => `${index + 1}. ${what}`))];
      if (step.do.action === 'locate-copies') return [list(t.destruction.found, e.seen.map(({ copy, found, why }) => t.destruction.seen(copy, copies[copy - 1]?.what ?? '', seenText(found, why))), 'reported')];
      const { claims, verdict, level } = claimsOn(state.destruction);
      return [text(t.destruction.verdict, level === null ? `✕ ${verdict}` : verdict, level === null ? undefined : 'reported'), list(t.destruction.claims, claims.map(({ number, what, level: own, words }) => `${number}. ${what}: ${own ?? '✕'} ${words}`))];
    }
    case 'approve':
      if (step.do.escrow !== undefined) return [...escrowFacts(releaseOf(opening?.inputs, step.do.escrow)), text(t.escrow.reason, step.do.reason ?? ''), ...card('identity-card')];
      return [text(t.destruction.key, listOf(state.destruction).key.label), text(t.destruction.copies(listOf(state.destruction).copies.length), t.destruction.signed), ...card('identity-card')];
    case 'wait': {
      const until = waitsUntil(state, step.do.hours);
      return [
        text(t.destruction.until, until === null ? t.unknown : `${until.slice(0, 10)} ${until.slice(11, 19)} UTC`),
        ...(state.opening?.mode === 'real' ? [] : [text(t.destruction.rehearsal, t.destruction.shortened(REHEARSAL_WAIT, step.do.hours))]),
        text(t.destruction.approved, state.consent.approvals.map(({ seat }) => seatTitle(seat)).join(', ')),
      ];
    }
    case 'destroy-copies': {
      const next = nextCopy(state.destruction);
      const { copies } = listOf(state.destruction);
      const done = Object.entries(state.destruction.outcomes).map(([number, { result, words }]) => `${number}. ${copies[Number(number) - 1]?.what ?? ''}: ${result === 'destroyed' || result === 'done-by-people' ? `✓ ${t.destruction.gone}` : result === 'pending' ? `… ${words}` : `✕ ${words}`}`);
      return [...(next ? nextFacts(next) : []), ...(done.length > 0 ? [list(t.destruction.soFar, done)] : [])];
    }
    case 'prove-recovery':
      return quorumFacts(intent?.['quorum'], state.backup?.set.threshold);
    case 'seal-escrow': {
      const e = evidence as Evidence<'seal-escrow'> | null;
      const { agent, purpose, authority, conditions } = step.do;
      const record = backupInput(opening?.inputs, step.do.from);
      const terms = { key: { label: record.label }, agent: { name: agent }, purpose, authority, conditions };
      const sealed = e && depositOf(state, step.do, e).record;
      // Once it is sealed, that is what the witnesses have come to see; until then, what is read aloud.
      return sealed
        ? [hex(t.escrow.envelope, sealed.sha256, 'verified'), text(t.escrow.agentKey, `${sealed.agent.algorithm}, ${sealed.agent.identifier}`, 'verified'), text(t.escrow.sealed, t.escrow.ownWord, 'reported'), ...escrowFacts(terms)]
        : [...escrowFacts(terms), ...quorumFacts(intent?.['quorum'], record.set.threshold)];
    }
    case 'make-activation-key':
      return [...token(step.do.on), text(t.activation.whose, t.activation.whosePin[step.do.pin ?? 'user']), ...(state.plan?.set ? [text('Shares', t.activation.shares(state.plan.set.threshold, state.plan.set.shares))] : [])];
    case 'set-activation-pin':
      return [
        ...token(step.do.on),
        ...quorumFacts(intent?.['quorum'], state.backup?.set.threshold),
        text(t.activation.oldPin, state.activation?.kind === 'made' && state.activation.pin === 'unknown' && evidence === null ? t.activation.again : opening?.inputs[step.do.from ?? ''] ? t.activation.fromShares : t.activation.typed),
      ];
    case 'reset-user-pin':
      return [...token(step.do.on), text(t.activation.newUserPin, t.activation.newUserPinTyped), ...quorumFacts(intent?.['quorum'], state.backup?.set.threshold)];
    case 'activate':
      return [...token(step.do.on), text(t.activation.purpose, step.do.for), ...quorumFacts(intent?.['quorum'], state.backup?.set.threshold)];
    case 'deactivate': {
      const e = evidence as Evidence<'deactivate'> | null;
      return [...token(step.do.on), ...(e === null ? [] : [text(t.activation.closed, e.how === 'ended' ? t.activation.ended : t.activation.shown(e.before, e.after), 'reported')])];
    }
    case 'restore-key':
    case 'release-escrow': {
      const e = evidence as Evidence<'restore-key' | 'release-escrow'> | null;
      const record = backupInput(opening?.inputs, step.do.from);
      const drawn = step.do.action === 'restore-key' ? quorumFacts(intent?.['quorum'], record.set.threshold) : [text(t.escrow.agent, releaseOf(opening?.inputs, step.do.escrow).agent.name)];
      const named = [text('Key', `${algorithmName(record.key.algorithm)}, “${record.label}”`), ...drafted(record.key.algorithm)];
      if (!e) return [...token(step.do.on), ...named, ...drawn];
      const locks = e.parts.some((part) => part.private);
      return [
        ...whereFacts(e.parts),
        ...token(step.do.on),
        ...named,
        ...attributeFacts(e),
        ...(locks ? [text('Locked', e.enforced ? t.keys.locked : t.keys.markedOnly, e.enforced ? 'verified' : 'reported')] : []),
        text('It was outside', t.keys.restored),
      ];
    }
  }
}

/** What is read aloud when a key goes into escrow, and again before it comes out. */
function escrowFacts({ key, agent, purpose, authority, conditions }: Pick<EscrowTerms, 'purpose' | 'authority' | 'conditions'> & { readonly key: { readonly label: string }; readonly agent: { readonly name: string } }): Fact[] {
  return [text(t.escrow.agent, `${agent.name}, for “${key.label}”`), text(t.escrow.purpose, purpose), text(t.escrow.authority, authority), text(t.escrow.conditions, conditions)];
}

function quorumFacts(quorum: unknown, threshold: number | undefined): Fact[] {
  if (Array.isArray(quorum)) return [list(t.ceremony.quorum, quorum.map((seat: string) => seatTitle(seat)))];
  return threshold === undefined ? [] : [text('Quorum', t.activation.drawn(threshold))];
}

/** The share that a custodian has a copy made of. */
function copiedShare({ backup }: State, seat: string): Fact[] {
  const share = backup?.given[seat];
  return backup && share ? [text(t.copies.share, t.copies.shareOf(share.x, backup.set.id, backup.set.epoch))] : [];
}

/** What custodians agree to when they put in their share cards: what their token is to be opened for. */
function agreedTo({ plan }: State): Fact[] {
  const activate = plan?.steps.find(({ do: what }) => what.action === 'activate')?.do;
  return activate?.action === 'activate' ? [text(t.activation.purpose, activate.for)] : [];
}

/** The copy that is destroyed next, as its medium wants it named. */
function nextFacts({ number, copy: { what, by } }: NonNullable<ReturnType<typeof nextCopy>>): Fact[] {
  const named = text(t.destruction.next(number), what);
  switch (by.means) {
    case 'token':
      return [named, hex('Token, serial', by.token), ...(by.holder === null ? [] : [text(t.destruction.holder, by.holder)])];
    case 'people':
      return [named, text(t.destruction.byPeople, by.how)];
    case 'retention':
      return [named, text(t.destruction.endsOn, `${by.until}, ${by.who}`)];
    case 'erasure':
      return [named];
  }
}

const day = (moment: unknown) => String(moment).slice(0, 10);

// --- keys ------------------------------------------------------------------------------------------------------------

const isComposite = (algorithm: string) => componentsOf(caAlgorithmNamed(algorithm)).length > 1;

function drafted(algorithm: string): Fact[] {
  const profile = profileOf(algorithm);
  return profile === null ? [] : [mono(t.keys.profile, `${algorithm}, ${profile}`)];
}

/** Where each part lives and, where the evidence has it, what it is worth that it does. */
function whereFacts(parts: readonly (Pick<KeyPart, 'part' | 'held' | 'algorithm'> & { readonly proof?: Proof })[]): Fact[] {
  return parts.map((part) =>
    text(t.keys.part[part.part], t.keys.held[part.held](algorithmName(part.algorithm)), part.proof),
  );
}

/** What the token says of everything that it holds of the key. */
function attributeFacts({ parts, wrappingKey }: Pick<Evidence<'prove-key'>, 'parts' | 'wrappingKey'>): Fact[] {
  return [
    ...parts.flatMap((part) => (part.private ? [text('The token says', attributesBrief(part.private), 'reported')] : [])),
    ...(wrappingKey ? [text(t.keys.wrapping, `${t.keys.wrappingWhere}: ${attributesBrief(wrappingKey)}`, 'reported')] : []),
  ];
}

function attributesBrief(key: KeyAttributes): string {
  const says = (name: string, value: boolean | null) => `${name} ${value === null ? t.unknown : value ? t.yes : t.no}`;
  return [
    says('LOCAL', key.local),
    says('SENSITIVE', key.sensitive),
    says('EXTRACTABLE', key.extractable),
    ...(key.keysRemaining === null && !isStatefulKey(key) ? [] : [t.keys.remaining(key.keysRemaining)]),
  ].join(', ');
}

/** What a ceremony leaves: its key, where each part lives as the last proof showed it, and what the key signed. */
export function resultFacts(state: State, rows: readonly Told[]): Fact[] {
  const { key, issued, components: { formed } } = state;
  if (formed) return [text('Key', `${formed.kind.toUpperCase()}, “${formed.label}”`), mono('Check value', checkWords(formed.check), 'verified'), hex('Token, serial', formed.token)];
  if (!key) return renewalResult(state);
  const shown = rows.findLast(
    ({ entry, step }) => entry.kind === 'done' && ['generate-key', 'prove-key', 'open-key', 'restore-key', 'release-escrow'].includes(step?.do.action ?? ''),
  );
  const evidence = (shown?.entry.data as Data<'done'> | undefined)?.evidence as Evidence<'prove-key'> | undefined;
  return [
    text('Key', `${algorithmName(key.algorithm)}, “${key.label}”`),
    ...drafted(key.algorithm),
    ...whereFacts(evidence?.parts ?? []),
    ...(key.certificate === null ? [] : [digest(t.ceremony.ownCertificate, key.certificate)]),
    ...(state.backup && key.wrapped && key.recoveryProven ? [text(t.ceremony.backup, t.ceremony.backupProven(state.backup.set.threshold, state.backup.set.shares), 'verified')] : []),
    ...issued.map((one) =>
      digest(one.kind === 'crl' ? t.ceremony.issuedCrl : t.ceremony.issuedCertificate, one.bytes),
    ),
  ];
}

function digest(label: string, value: string): Fact {
  return hex(`${label}, SHA-256`, inputDigest({ bytes: value }));
}

// --- files and long work ---------------------------------------------------------------------------------------------

/** The file that people compare in this step. */
export function comparedInput(state: State, step: PlanStep): Input | null {
  return step.do.action === 'confirm-input' ? (state.opening?.inputs[step.do.input] ?? null) : null;
}

/** The file on whose words a certificate is issued: its subject is what people look at while that happens. */
export function certifiedInput(state: State, step: PlanStep): Input | null {
  const name = step.do.action === 'issue-certificate' ? step.do.for : undefined;
  return name === undefined ? null : (state.opening?.inputs[name] ?? null);
}

const SIGNING: readonly ActionName[] = ['prove-key', 'open-key', 'issue-certificate', 'sign-crl', 'restore-key', 'compare-keys', 'release-escrow', 'renew-shares'];

/**
 * Does a device process compute by itself in this step, long enough that people may want to stop it? Making and using a
 * wrapped part is such work, and so is everything around an SLH-DSA signature.
 */
export function canBeStopped(state: State, step: PlanStep): boolean {
  if (step.do.action === 'generate-key') return (step.do.place ?? 'token') !== 'token';
  if (!SIGNING.includes(step.do.action)) return false;
  const key =
    step.do.action === 'open-key'
      ? keyInput(state, step.do.from).key
      : step.do.action === 'restore-key' || step.do.action === 'release-escrow' || step.do.action === 'renew-shares'
        ? backupInput(state.opening?.inputs, step.do.from).key
        : state.key;
  return (
    key !== null &&
    (key.parts.some((part) => part.held === 'wrapped') || caAlgorithmNamed(key.algorithm).family === 'slh-dsa')
  );
}

/** Why what was found may not be kept; null where it may. Half of it, or a whole of which the wrapped part is in no entry. */
export function whyNotKept(state: State): 'half' | 'unwritten' | 'untold' | null {
  if (mayBeKept(state)) return null;
  if (state.current?.step.do.action === 'form-key') return 'untold';
  return state.current?.observation?.state === 'half' ? 'half' : 'unwritten';
}
