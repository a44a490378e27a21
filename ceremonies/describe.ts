/**
 * An entry in plain words: for the record beside the stage, for the replay, and for the printed minutes.
 *
 * Every fact carries what it is worth: `verified` (checked in software by whoever wrote the entry; the verdict checks it
 * again), `reported` (a token's or a person's word only), `refused`. This file only words what an entry says. It must
 * never decide whether the entry was allowed, and never soften a failure.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { WHOSE } from './activation.ts';
import { orderText, resultLines } from './administration.ts';
import { fromBase64url, toHex, utf8 } from './bytes.ts';
import { REHEARSAL_WAIT } from './approvals.ts';
import { awaitsShare, cardOf, currentAct, personAt, type Data, type Entry, type State } from './ceremony.ts';
import { cloneDifferences } from './cloning.ts';
import { checkWords } from './components.ts';
import { claimsOn, destructionAfter, LEVELS, listOf, type Result, seenText } from './destruction.ts';
import { depositOf, releaseOf } from './escrow.ts';
import type { Evidence, Intent, KeyAttributes, KeyPart, ObjectFact, Observation } from './evidence.ts';
import { caAlgorithmNamed } from './keys/algorithms.ts';
import { isStatefulKey } from './keys/provenance.ts';
import { thumbprint } from './keys/public-key.ts';
import { inputDigest } from './key-record.ts';
import { leavingTexts } from './later-backup.ts';
import type { PlanStep } from './script.ts';
import { thingName } from './shares/movements.ts';
import { affectedText, statementLines, statementText, whatToDo } from './statements.ts';
import { fingerprintWords } from './words.ts';
import { endsHere } from './zeroise.ts';

export type Mark = 'verified' | 'reported' | 'refused';

/** A shape and a word for each mark, never a colour alone. */
export const MARKS: Readonly<Record<Mark, { readonly shape: string; readonly word: string }>> = {
  verified: { shape: '✓', word: 'verified' },
  reported: { shape: '!', word: 'reported' },
  refused: { shape: '✕', word: 'refused' },
};

export interface Detail {
  readonly text: string;
  /** Null: a remark, nothing that could be proven. */
  readonly mark: Mark | null;
}

export interface Description {
  readonly title: string;
  readonly detail: readonly Detail[];
  /** The weakest mark among the details; null where nothing was to be proven. */
  readonly mark: Mark | null;
}

/**
 * What `entry` says. `before` is the state in front of it: it knows the step, the people and what was begun.
 * Precondition: `check(before, entry)` was null. For entries that broke a rule there is only the rule to be told.
 */
export function describe(entry: Entry, before: State): Description {
  const [title, ...detail] = worded(entry, before);
  const worst = (['refused', 'reported', 'verified'] as const).find((mark) => detail.some((item) => item.mark === mark));
  return { title, detail, mark: worst ?? null };
}

/** Lower-case hex in groups of four, as screens and paper show it. */
export function hexGroups(hex: string): string {
  return hex.replace(/(.{4})(?=.)/g, '$1 ');
}

/** SHA-256 of what a base64url text spells, in groups: how keys and certificates are named to people. */
export function digestGroups(base64url: string): string {
  return hexGroups(toHex(sha256(fromBase64url(base64url))));
}

/** Words for a person's two keys together, from their RFC 7638 thumbprints; the verdict shows the same. */
export function signerWords(signer: { readonly classical: string; readonly pq: string }): string[] {
  return fingerprintWords(sha256(utf8(`${signer.classical}.${signer.pq}`)), 6);
}

/** `Ada Ofterdingen (officer)`. */
export function personName(state: State, seat: string | undefined): string {
  const person = seat === undefined ? undefined : personAt(state, seat);
  return person ? `${person.name} (${person.seat})` : seat ?? 'nobody';
}

/** What became of a copy. */
const RESULTS: Readonly<Record<Result, string>> = {
  'destroyed': 'destroyed', 'not-destroyed': 'NOT DESTROYED', 'absent': 'was not there', 'left': 'left as it is', 'done-by-people': 'destroyed by people', 'pending': 'ends later',
};

type Worded = [string, ...Detail[]];

const verified = (text: string): Detail => ({ text, mark: 'verified' });
const reported = (text: string): Detail => ({ text, mark: 'reported' });
const refused = (text: string): Detail => ({ text, mark: 'refused' });
const remark = (text: string): Detail => ({ text, mark: null });

function worded(entry: Entry, before: State): Worded {
  const who = personName(before, entry.by);
  const step = before.current?.step;
  switch (entry.kind) {
    case 'opened': {
      const data = entry.data as Data<'opened'>;
      return [
        `The record is opened: ${data.mode === 'rehearsal' ? 'a REHEARSAL' : 'a real ceremony'}`,
        remark(`${data.people.length} people named: ${data.people.map((person) => `${person.name} (${person.seat})`).join(', ')}`),
        ...Object.entries(data.inputs).map(([name, input]) => reported(`${name}: the file ${input.file}, SHA-256 ${hexGroups(inputDigest(input))}`)),
        remark(`recorder key ${thumbprint(data.recorder)}`),
        remark(`Conclave ${data.app.version}, build ${hexGroups(data.app.build)}`),
        reported(`clock: ${data.clock}`),
        ...data.warnings.map(reported),
      ];
    }
    case 'begun': return [`Begun: ${step?.do.action === 'administer' ? orderText((entry.data as Data<'begun'>).intent as Intent<'administer'>) : step?.title ?? ''}`, ...begun((entry.data as Data<'begun'>).intent as Intent)];
    case 'done': return done(before, (entry.data as Data<'done'>).evidence);
    case 'failed': {
      const { error, nothingChanged } = entry.data as Data<'failed'>;
      return [
        `Attempt failed: ${step?.title ?? ''}`, refused(`${error.code}: ${error.message}`), remark(error.hint),
        nothingChanged ? remark('Nothing was changed.') : reported('What was changed nobody knows without looking.'),
      ];
    }
    case 'found': return ['Looked for what the interrupted step left behind', ...observed((entry.data as Data<'found'>).observation)];
    case 'decided': {
      const { decision, why } = entry.data as Data<'decided'>;
      return [`${who} decided to ${decision === 'keep' ? 'keep what was found' : 'destroy what was found'}`, remark(why)];
    }
    case 'cleared': return ['What was left behind is destroyed', ...observed((entry.data as Data<'cleared'>).observation)];
    case 'witnessed': return [`${who} saw it`, reported('a person\'s word')];
    case 'noted': return [entry.by === undefined ? 'Note' : `Note by ${who}`, remark((entry.data as Data<'noted'>).text)];
    case 'exception': {
      const data = entry.data as Data<'exception'>;
      const unread = entry.step !== undefined && awaitsShare(before) ? before.backup?.given[step?.who ?? ''] : undefined;
      const ends = entry.step === undefined ? '' : unread ? `: share ${unread.x} of ${personName(before, step?.who)} is not read` : step?.do.action === 'retire-share' ? `: the old share of ${personName(before, step.who)} is not erased` : step?.do.action === 'put-away' ? `: ${step.moves.map(({ what }) => what).join(' and ')} is not put away` : `: ${handedThing(step)} is not handed over`;
      return [`Exception ${data.number}${ends}`, ...unread ? [refused(`card ${unread.card} is doubtful: nothing is built on the share that should be on it`)] : [], remark(`expected: ${data.expected}`), remark(`happened: ${data.happened}`), remark(`decided: ${data.decided}, by ${who}`)];
    }
    case 'break': {
      const { present, reason } = entry.data as Data<'break'>;
      return [`Break, ${present} people present`, remark(reason)];
    }
    case 'back': return [`End of the break, ${(entry.data as Data<'back'>).present} people present, as before it`];
    case 'disagreed': return [`${who} does not agree`, remark((entry.data as Data<'disagreed'>).words), verified('signed with both keys')];
    case 'checkpoint': return [`The recorder signs the record up to entry ${entry.seq - 1}`, verified('Ed25519 signature over the chain')];
    case 'lost': {
      const { module, how, detail } = entry.data as Data<'lost'>;
      return [`The device process of ${module} was lost`, refused(`DEVICE_PROCESS_LOST: it ${how === 'exited' ? 'ended by itself' : how === 'killed' ? 'was ended' : 'did not answer'}. ${detail}`)];
    }
    case 'resumed': {
      const data = entry.data as Data<'resumed'>;
      return [
        'The record is continued after an interruption', remark(data.reason),
        remark(`present: ${data.present.map((seat) => data.officer && personAt(before, seat)?.role === 'officer' ? `${data.officer.name} (${seat})` : personName(before, seat)).join(', ')}`),
        ...data.officer ? [remark(`${data.officer.name} takes the officer's seat, with card ${data.officer.card.serial}`)] : [],
        remark(`new recorder key ${thumbprint(data.recorder)}`),
      ];
    }
    case 'aborted': {
      const { reason, left } = entry.data as Data<'aborted'>;
      return [`${who} aborts the ceremony`, refused(reason), left.length === 0 ? reported('nothing is left on a token') : reported(`left on a token: ${left.map(objectText).join('; ')}`)];
    }
    case 'closed': return ['The record is closed'];
  }
}

const handedThing = (step: PlanStep | undefined): string => (step?.movement ? thingName(step.movement) : step?.title ?? '');

function begun(intent: Intent): Detail[] {
  const given = intent as Readonly<Record<string, unknown>>;
  const facts = [
    typeof given['token'] === 'string' && `token ${given['token']}`,
    typeof given['card'] === 'string' && `card ${given['card']}`,
    typeof given['id'] === 'string' && given['id'] !== '' && `CKA_ID ${hexGroups(given['id'])}`,
    Array.isArray(given['ids']) && given['ids'].length > 0 && `CKA_ID ${(given['ids'] as string[]).map(hexGroups).join(' and ')}`,
    typeof given['object'] === 'string' && `object ${given['object']}`,
    Array.isArray(given['quorum']) && `quorum ${given['quorum'].join(', ')}`,
  ].filter((fact) => fact !== false);
  return [...facts.length > 0 ? [remark(facts.join(', '))] : [], ...openedBag((intent as Partial<Intent<'read-back-share'>>).bag)];
}

function openedBag(bag: Intent<'read-back-share'>['bag']): Detail[] {
  if (bag === undefined) return [];
  const { number, expected } = bag;
  return [reported(`out of bag ${number}`), ...expected === null ? [] : [expected === number ? remark('the bag that the records of this machine expect') : refused(`the records of this machine expect bag ${expected}: this one was opened or swapped`)]];
}

function observed(observation: Observation): Detail[] {
  return [reported(observation.detail), ...observation.objects.map((object) => reported(objectText(object)))];
}

function objectText(object: ObjectFact): string {
  return `${object.class} ${object.keyType} "${object.label}" ${hexGroups(object.id)}`.replace(/\s+/g, ' ').trim();
}

/** What an extractable key means in words; the attributes' own names stay visible. */
/** Whose word the check value of a formed key is. */
const FORMED_BY: Readonly<Record<Evidence<'form-key'>['by'], string>> = {
  computed: 'the token computed it with the key', attribute: 'the token tells it', use: 'of the components; that the token has their key was tried by its use',
};

function attributeText(half: KeyAttributes): string {
  const names: readonly (keyof KeyAttributes)[] = ['sensitive', 'extractable', 'alwaysSensitive', 'neverExtractable', 'local', 'sign', 'decrypt', 'derive', 'unwrap'];
  return names.map((name) => `${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()} ${half[name] === null ? 'unanswered' : half[name] === true ? 'yes' : 'no'}`).join(', ');
}

/** For keys that sign a limited number of times. What the token does not tell is said, so that nobody takes it for unlimited. */
function remaining(key: KeyAttributes): string {
  if (key.keysRemaining !== null) return `, ${key.keysRemaining} signatures remaining`;
  return isStatefulKey(key) ? ', signatures remaining: the token does not tell' : '';
}

const partName = (part: KeyPart['part']) => (part === 'key' ? '' : part === 'ml-dsa' ? 'ML-DSA half: ' : 'classical half: ');

/** One part of a key: where it lives, what it is worth that it does, and what its token says of it. */
function partText(part: Omit<KeyPart, 'mechanism'>, mechanism?: string): Detail[] {
  const by = mechanism === undefined ? '' : ` by ${mechanism}`;
  const held = part.held === 'token' ? `${part.algorithm}${by} on the token, CKA_ID ${hexGroups(part.private?.id ?? '')}`
    : `${part.algorithm}${by === '' ? '' : ` made in the device process (${mechanism ?? ''})`}, wrapped under the token's AES-256 key; wrapped bytes SHA-256 ${digestGroups(part.wrapped?.bytes ?? '')}`;
  return [
    { text: `${partName(part.part)}${held}`, mark: part.proof === 'reported' ? 'reported' : 'verified' },
    ...part.private ? [reported(`${partName(part.part)}private half: ${attributeText(part.private)}${remaining(part.private)}`)] : [],
  ];
}

function done(before: State, evidence: Evidence): Worded {
  const { step, intent } = before.current ?? {};
  if (!step) return ['A step that nobody began'];
  const who = personName(before, step.who);
  switch (step.do.action) {
    case 'confirm-script':
      return [`${who} compared the script's fingerprint`, reported(`read aloud: ${(evidence as Evidence<'confirm-script'>).words}`)];
    case 'enrol': {
      const e = evidence as Evidence<'enrol'>;
      return [
        `${who} has proven to be here`,
        verified('signed a fresh challenge, script and head with both keys'),
        remark(`card ${e.card.serial}, ${e.card.label}; identity ${e.made ? 'made now' : 'found on the card'}`),
        remark(`classical key ${thumbprint(e.identity.classical)}`),
        remark(`ML-DSA key ${thumbprint(e.identity.pq)}`),
      ];
    }
    case 'inspect-token': {
      const e = evidence as Evidence<'inspect-token'>;
      return [
        `${who} identified the token`,
        reported(`serial ${e.token.serial}, ${e.token.manufacturer} ${e.token.model}, firmware ${e.token.firmware}`),
        verified(`module ${e.module.path}, SHA-256 ${hexGroups(e.module.sha256)}`),
        ...e.needs.map((need) => (need.proof === 'verified' ? verified : need.proof === null ? refused : reported)(`${need.name}: ${need.detail}`)),
        reported(`${e.mechanisms.length} mechanisms`),
      ];
    }
    case 'test-random': {
      const e = evidence as Evidence<'test-random'>;
      return [
        `${who} tested the token's random source with ${e.bytes} bytes`,
        ...e.tests.map((test) => (test.passed ? verified : refused)(`${test.name}: ${test.statistic}, limit ${test.limit}`)),
        remark(e.claim),
      ];
    }
    case 'take-inventory': {
      const e = evidence as Evidence<'take-inventory'>;
      const compared = before.inventories[e.token] !== undefined;
      return [
        `${who} listed everything on the token: ${e.objects.length} objects`,
        ...e.loggedIn === false ? [remark('without login, as its user PIN is locked or not set: private objects could not be listed')] : [],
        ...e.fresh === true ? [remark('by a process that was started for it')] : [],
        ...e.objects.length === 0 ? [reported('the token shows none')] : [],
        ...e.objects.slice(0, 20).map((object) => reported(objectText(object))),
        ...e.objects.length > 20 ? [reported(`and ${e.objects.length - 20} more`)] : [],
        ...(e.known ?? []).map((one) => reported(endsHere(one))),
        ...e.known && e.known.length < e.objects.length ? [reported(`${e.objects.length - e.known.length} of the objects no record of this machine knows`)] : [],
        ...compared ? [verified('exactly what the record explains, and nothing else')] : [],
      ];
    }
    case 'generate-key': {
      const e = evidence as Evidence<'generate-key'>;
      const { algorithm, label } = intent as Intent<'generate-key'>;
      const row = caAlgorithmNamed(algorithm);
      return [
        `${who} generated the key "${label}"`,
        remark(`${row.label}${'profile' in row ? `, under the draft ${row.profile}` : ''}`),
        verified(`public key SHA-256 ${digestGroups(e.spki)}`),
        ...e.parts.flatMap((part) => partText(part, part.mechanism)),
        ...e.wrappingKey ? [reported(`wrapping key, AES-256, CKA_ID ${hexGroups(e.wrappingKey.id)}: ${attributeText(e.wrappingKey)}`)] : [],
      ];
    }
    case 'open-key': case 'prove-key': {
      const e = evidence as Evidence<'open-key' | 'prove-key'>;
      return [
        step.do.action === 'open-key' ? `${who} found the key again and had it prove itself` : `${who} had the key prove itself`,
        verified(e.parts.length === 1 ? 'a fresh message signed by the key, checked without it' : 'a fresh message signed by both halves, each checked alone, then together'),
        verified(`weak-key tests: ${e.weakTests.join(', ')}`),
        ...e.parts.flatMap((part) => partText(part)),
        ...leavingTexts(e).map(verified),
      ];
    }
    case 'confirm-input': {
      const input = before.opening?.inputs[step.do.input];
      return [`${who} compared the file ${input?.file ?? step.do.input}`, reported(`SHA-256 ${hexGroups((evidence as Evidence<'confirm-input'>).sha256)}, read aloud`)];
    }
    case 'sign-crl': {
      const e = evidence as Evidence<'sign-crl'>;
      const i = intent as Intent<'sign-crl'>;
      return [
        `${who} had CRL number ${i.number} signed`,
        verified(`from ${i.thisUpdate.slice(0, 10)}, the next by ${i.nextUpdate.slice(0, 10)}`),
        verified(`${e.lints.length} lints under a throwaway key, then the same bytes signed by the key`),
        verified(`CRL SHA-256 ${digestGroups(e.crl)}`),
      ];
    }
    case 'issue-certificate': {
      const e = evidence as Evidence<'issue-certificate'>;
      const i = intent as Intent<'issue-certificate'>;
      const { subject, for: input } = step.do;
      const whom = subject ? [subject.country, subject.organization, subject['common-name']].filter((part) => part !== undefined).join(', ') : before.opening?.inputs[input ?? '']?.file ?? '';
      return [
        `${who} issued the certificate`,
        verified(`for ${whom}; ${i.notBefore.slice(0, 10)} to ${i.notAfter.slice(0, 10)}; serial number ${hexGroups(i.serialNumber)}`),
        ...before.opening?.inputs[input ?? '']?.kind === 'stated-request' ? [remark('possession of the private key is stated by the holder of a signing certificate of this CA (RFC 9883), not proven')] : [],
        verified(`${e.lints.length} lints under a throwaway key, then the same bytes signed by the key`),
        verified(`certificate SHA-256 ${digestGroups(e.certificate)}`),
      ];
    }
    case 'make-backup-key': {
      const { set, sources, subsetsTried } = evidence as Evidence<'make-backup-key'>;
      return [
        `${who} had the backup key made and split ${set.threshold} of ${set.shares}`,
        remark(`set ${set.id}, epoch ${set.epoch}`),
        reported(`random bytes of ${sources.join(' and ')}`),
        verified(`${subsetsTried} groups of ${set.threshold} shares combined and compared`),
      ];
    }
    case 'wrap-key': {
      const e = evidence as Evidence<'wrap-key'>;
      return [`${who} had the key wrapped under the backup key`, ...e.parts.map((part) => reported(`${partName(part.part)}${part.mechanism}, SHA-256 ${digestGroups(part.wrapped)}`))];
    }
    case 'give-share': {
      const e = evidence as Evidence<'give-share'>;
      return [
        `${who} received share ${e.x}`,
        reported(`on card ${e.card.serial}, object ${e.object}`),
        ...e.erased.length > 0 ? [reported(`void shares erased from the card: ${e.erased.join(', ')}`)] : [],
      ];
    }
    case 'read-back-share': {
      const e = evidence as Evidence<'read-back-share'>;
      return [`Share ${e.x} of ${who} was read back`, verified(`from card ${e.card}: it is the share the set commits to`)];
    }
    case 'prove-recovery': {
      const e = evidence as Evidence<'prove-recovery'>;
      return [
        `${e.quorum.map((member) => personName(before, member.seat)).join(' and ')} recovered the key together`,
        verified('the recovered key signed a fresh message that the key\'s public half verifies'),
        reported('the recovered copy is destroyed, and was not found afterwards'),
      ];
    }
    case 'seal-escrow': {
      const e = evidence as Evidence<'seal-escrow'>;
      const { record: { agent, purpose, authority, conditions, sha256: digest, key } } = depositOf(before, step.do, e);
      return [
        `${e.quorum.map((member) => personName(before, member.seat)).join(' and ')} put "${key.label}" into escrow with ${agent.name}`,
        remark(`purpose: ${purpose}`), remark(`authority: ${authority}`), remark(`conditions: ${conditions}`),
        verified('the backup key that was sealed opens the wrapped key, which signed a fresh message'),
        reported('what it opened for that is destroyed, and was not found afterwards'),
        verified(`the envelope is sealed to ${agent.algorithm}, ${agent.identifier}, public key SHA-256 ${hexGroups(agent.sha256)}, and says these terms`),
        verified(`envelope SHA-256 ${hexGroups(digest)}`),
        reported('that the backup key is in the envelope is this program\'s word until the agent has opened it'),
      ];
    }
    case 'restore-key': case 'release-escrow': {
      const e = evidence as Evidence<'restore-key' | 'release-escrow'>;
      return [
        ...'quorum' in e ? [
          `${e.quorum.map((member) => personName(before, member.seat)).join(' and ')} brought the key back onto token ${e.token}`,
          verified('every share is the one that its set commits to, and the backup key the one that was split'),
        ] as const : [
          `${who} opened the envelope, and the key is released from escrow onto token ${e.token}`,
          verified(`opened with the key of ${step.do.action === 'release-escrow' ? releaseOf(before.opening?.inputs, step.do.escrow).agent.name : ''}, public key SHA-256 ${hexGroups(e.agent)}`),
          verified('the envelope carries these terms, and the backup key in it is the one that was split'),
        ] as const,
        verified('the key of the backup, byte for byte; it signed a fresh message, checked without it'),
        verified(`weak-key tests: ${e.weakTests.join(', ')}`),
        ...e.parts.flatMap((part) => partText(part)),
        ...e.wrappingKey ? [reported(`wrapping key, AES-256, CKA_ID ${hexGroups(e.wrappingKey.id)}: ${attributeText(e.wrappingKey)}`)] : [],
        ...e.parts.some((part) => part.private) ? [e.enforced ? verified('the token refused to wrap it') : reported('the token would still wrap it: only this program refuses')] : [],
        remark('a restored key was outside once: it is never again LOCAL, ALWAYS_SENSITIVE or NEVER_EXTRACTABLE'),
      ];
    }
    case 'compare-keys': {
      const e = evidence as Evidence<'compare-keys'>;
      return [
        `The key on token ${e.second.token} is the key on token ${e.primary.token}`,
        verified('both tokens signed a fresh message, each its own; both signatures were checked with one public key'),
        ...cloneDifferences(e).map(({ part, attribute, primary, second, why }) => (why === null ? refused : reported)(`${part === 'key' ? '' : `${part}: `}${attribute} is ${primary} on the first, ${second} on the second${why === null ? '' : `: ${why}`}`)),
        reported('nothing else that both tokens tell of their private halves differs'),
      ];
    }
    case 'renew-shares': {
      const { set, subsetsTried, quorum } = evidence as Evidence<'renew-shares'>;
      return [
        `${quorum.map((member) => personName(before, member.seat)).join(' and ')} lent their old shares; ${who} had the backup key split anew, ${set.threshold} of ${set.shares}`,
        remark(`set ${set.id}, from now on epoch ${set.epoch}; it counts once it is proven`),
        verified('the old shares brought the key back first: it signed a fresh message that its public key verifies'),
        verified('the backup key is the same: old and new set commit to it alike'),
        verified(`${subsetsTried} groups of ${set.threshold} new shares combined and compared`),
        reported('the recovered copy is destroyed, and was not found afterwards'),
      ];
    }
    case 'retire-share': {
      const { card, object, x, device: { before: there, use } } = evidence as Evidence<'retire-share'>;
      return [
        `Old share ${x} of ${who} was erased`,
        reported(`on card ${card}, object ${object}: ${there === 0 ? 'it was gone already, after an attempt without an outcome' : 'not found in a fresh session'}`),
        ...there === 0 ? [] : [reported(`${use.tried}: ${use.answer}`)],
        remark('that the card keeps no trace of it is the card\'s word'),
      ];
    }
    case 'seal-copy': {
      const { x, card, recipient, envelope } = evidence as Evidence<'seal-copy'>;
      return [
        `Share ${x} of ${who}, as it lies on card ${card}, was sealed to the holder's own key`,
        verified('the share is the one that its set commits to'),
        verified(`the envelope is sealed to ${recipient.algorithm}, ${recipient.identifier}, public key SHA-256 ${hexGroups(recipient.sha256)}, and names this share`),
        verified(`envelope SHA-256 ${hexGroups(inputDigest({ bytes: envelope }))}`),
        remark('it is no copy before its holder has opened it'),
      ];
    }
    case 'open-copy': {
      const { x, envelope, opener } = evidence as Evidence<'open-copy'>;
      return [`${who} opened the envelope of share ${x}`, verified('what came out is the share that its set commits to'), verified(`opened with the key SHA-256 ${hexGroups(opener)}, to which it was sealed`), remark(`envelope SHA-256 ${hexGroups(envelope)}`)];
    }
    case 'write-copy': {
      const { x, card, sheet } = evidence as Evidence<'write-copy'>;
      return [
        `${who} wrote share ${x} down on form ${sheet}, and typed it again from there`, verified(`the share on card ${card} is the one that its set commits to`),
        reported('shown to nobody else by this program'), verified('what was typed from the form is that share'),
      ];
    }
    case 'return-share': {
      const { x, card, object, erased } = evidence as Evidence<'return-share'>;
      return [
        `${who} brought share ${x} back ${(intent as Intent<'return-share'>).envelope === null ? 'from paper' : 'out of its envelope'}, onto card ${card.serial}`,
        verified('it is the share that its set commits to'), reported(`written as ${object}, and read back from the card`), ...erased.length > 0 ? [reported(`erased from the card: ${erased.join(', ')}`)] : [],
        remark('the copy and the card that the backup named before are as they were'),
      ];
    }
    case 'lock-key':
      return [
        `${who} made the key non-extractable`,
        ...(evidence as Evidence<'lock-key'>).private.map((half) => reported(`private half: ${attributeText(half)}`)),
        (evidence as Evidence<'lock-key'>).enforced ? verified('the token refused to wrap it') : reported('the token would still wrap it: only this program refuses'),
      ];
    case 'enter-component': {
      const { number, check } = evidence as Evidence<'enter-component'>;
      return [`${who} typed component ${number}`, verified(`check value ${checkWords(check)}: the digits and the form agree`)];
    }
    case 'issue-component': {
      const { number, check, sources } = evidence as Evidence<'issue-component'>;
      return [
        `${who} wrote component ${number} down and typed it again`, reported(`random bytes of ${sources.join(' and ')}, shown to nobody else by this program`),
        verified('what was typed from the form is what was shown'), verified(`check value ${checkWords(check)}`),
      ];
    }
    case 'form-key': {
      const e = evidence as Evidence<'form-key'>;
      const i = intent as Intent<'form-key'>;
      return [
        `${who} had the key "${i.label}" formed of ${e.components} components`, remark(`${i.kind.toUpperCase()}, CKA_ID ${hexGroups(i.id)}`),
        (e.by === 'attribute' ? reported : verified)(`check value of the whole key ${checkWords(e.total)}: ${FORMED_BY[e.by]}`),
        ...e.tried.map(({ name, detail }) => verified(`${name}: ${detail}`)),
        reported(`secret key: ${attributeText(e.secret)}`),
        reported(e.wiped === 'overwritten' ? 'the components are overwritten in their process' : 'the components ended with their process'),
        ...e.secret.modifiable === false ? [] : [reported('MODIFIABLE: the token would let its uses be changed')],
        remark('a key of components was outside: it is never LOCAL, ALWAYS_SENSITIVE or NEVER_EXTRACTABLE; who copied a form, no program can see'),
      ];
    }
    case 'make-activation-key': {
      const { set, sources, subsetsTried, length } = evidence as Evidence<'make-activation-key'>;
      return [
        `${who} had the activation key of token ${(intent as Intent<'make-activation-key'>).token} made and split ${set.threshold} of ${set.shares}`,
        remark(`set ${set.id}, epoch ${set.epoch}; ${WHOSE[step.do.pin ?? 'user']} of the token will have ${length} characters`),
        ...step.do.pin === 'so' ? [remark('whoever has M of these shares may initialise the token: that PIN survives it, and no key does (C_InitToken)')] : [],
        reported(`random bytes of ${sources.join(' and ')}`),
        verified(`${subsetsTried} groups of ${set.threshold} shares combined and compared`),
      ];
    }
    case 'wipe-activation-key': {
      const { how } = evidence as Evidence<'wipe-activation-key'>;
      return [`${who} had the activation key wiped: from now on it exists only as shares`, reported(how === 'overwritten' ? 'overwritten in its process' : 'it ended with its process')];
    }
    case 'set-activation-pin': {
      const { token, quorum, former } = evidence as Evidence<'set-activation-pin'>;
      const { again } = intent as Intent<'set-activation-pin'>;
      return [
        `${quorum.map((member) => personName(before, member.seat)).join(' and ')} gave token ${token.serial} a PIN that nobody knows`,
        verified('every share is the one that its set commits to, and the activation key the one that was split'),
        again ? remark('an earlier attempt had set it already') : former ? remark(`the old PIN came from the shares of ${former.map((member) => personName(before, member.seat)).join(' and ')}, which open nothing any more`) : remark('whoever knew the old PIN typed it once'),
        reported('the PIN of these shares opened the token in a fresh session'),
      ];
    }
    case 'reset-user-pin': {
      const { token, quorum } = evidence as Evidence<'reset-user-pin'>;
      return [
        `${quorum.map((member) => personName(before, member.seat)).join(' and ')} were the security officer of token ${token.serial} together, and ${who} gave it a new user PIN`,
        verified('every share is the one that its set commits to, and the activation key the one that was split'),
        reported('the new user PIN opened the token in a fresh session; its keys are as they were'),
        remark('the security officer was logged in for this step alone'),
      ];
    }
    case 'activate': {
      const { token, quorum } = evidence as Evidence<'activate'>;
      return [
        `${quorum.map((member) => personName(before, member.seat)).join(' and ')} opened token ${token.serial} for: ${(intent as Intent<'activate'>).purpose}`,
        ...quorum.map((member) => remark(`share ${member.x} of ${personName(before, member.seat)}, lent from card ${member.card}`)),
        verified('every share is the one that its set commits to, and the activation key the one that was split'),
        reported('the token accepted the PIN, which nobody saw and which was wiped at once'),
      ];
    }
    case 'deactivate': {
      const e = evidence as Evidence<'deactivate'>;
      if (e.how === 'ended') return [`${who} closed token ${e.token}: its login had ended by itself`, reported('the process or the session that held the login is gone')];
      return [
        `${who} closed token ${e.token}`, reported('a fresh session says that nobody is logged in'),
        ...e.before > 0 ? [e.after < e.before ? verified(`of the ${e.before} private and secret keys that it showed while open, it shows ${e.after}`) : reported('the keys on it show without a login too')] : [],
      ];
    }
    case 'wipe-backup-key': {
      const { how } = evidence as Evidence<'wipe-backup-key'>;
      return [`${who} had the backup key's source wiped`, reported(how === 'overwritten' ? 'overwritten in its process' : 'it ended with its process')];
    }
    case 'locate-copies': case 'confirm-gone': {
      const { seen } = evidence as Evidence<'locate-copies'>;
      const list = listOf(before.destruction);
      const gone = step.do.action === 'confirm-gone';
      return [
        gone ? `${who} had every copy looked for again, from fresh processes` : `${who} had every copy on the list looked for`,
        ...seen.map(({ copy, found, why }) => (found === null || (gone && found > 0) ? refused : reported)(`copy ${copy}, ${list.copies[copy - 1]?.what ?? ''}: ${seenText(found, why)}`)),
        ...seen.some(({ found }) => found === null) ? [remark(`as it was answered: ${seen.flatMap(({ copy, found, why }) => (found === null ? [`copy ${copy} ${why}`] : [])).join(', ')}`)] : [],
        ...gone ? claimsOn(destructionAfter(before.destruction, 'confirm-gone', evidence)).claims.map(({ number, what, level, words }) => (level === null ? refused : reported)(`copy ${number}, ${what}: ${level === null ? 'no level' : `${level}, ${LEVELS[level]}`}; ${words}`)) : [],
        ...gone ? [remark(claimsOn(destructionAfter(before.destruction, 'confirm-gone', evidence)).verdict)] : [],
      ];
    }
    case 'approve': return [
      step.do.escrow === undefined ? `${who} approves the destruction` : `${who} approves the release from escrow`,
      verified(`both signatures over the ${step.do.escrow === undefined ? 'list of copies' : 'escrow, its envelope and the reason'}, this record and a date`),
      ...step.do.reason === undefined ? [] : [remark(`reason: ${step.do.reason}`)], remark(`the approval ends at ${(intent as Intent<'approve'>).expires}`),
    ];
    case 'wait': return [
      before.opening?.mode === 'real' ? `The waiting period of ${step.do.hours} hours is over` : `The waiting period is over: ${REHEARSAL_WAIT} seconds in this rehearsal, for ${step.do.hours} hours in a real ceremony`,
      reported('by the clock of this machine; that nothing came in between is in the order of the record'),
    ];
    case 'destroy-copies': {
      const e = evidence as Evidence<'destroy-copies'>;
      const { result, words } = destructionAfter(before.destruction, 'destroy-copies', evidence).outcomes[e.copy] ?? { result: 'left', words: '' };
      return [`Copy ${e.copy}, ${listOf(before.destruction).copies[e.copy - 1]?.what ?? ''}: ${RESULTS[result]}`, (result === 'destroyed' || result === 'done-by-people' || result === 'pending' ? reported : refused)(words)];
    }
    case 'set-state': {
      const e = evidence as Evidence<'set-state'>;
      return [
        `${who} stated: ${statementText({ change: 'set-state', order: e })}`, ...statementLines({ change: 'set-state', order: e }).map(remark),
        remark(`that it was ${e.from}${e.to === 'compromised' ? ', and which keys depend on it, are' : ' is'} as the recording machine's other records had it: this record alone does not show it`),
        ...e.certificates.map((one) => (one.proven ? verified : reported)(affectedText(one))),
        ...e.unaffected > 0 ? [remark(`${e.unaffected} of the certificates that were brought do not depend on it`)] : [],
        ...e.dependants.map(({ key, label, how }) => reported(`the key "${label}" (${key}) depends on it: ${how}`)),
        ...whatToDo(e).map((line, i) => remark(`To do, ${i + 1}: ${line}`)),
      ];
    }
    case 'zeroise-token': {
      const { before: was, after, objects } = evidence as Evidence<'zeroise-token'>;
      return [
        `${who} zeroised the token`, remark(`the serial number was written out: ${was.serial}`),
        reported(`before: "${was.label}", serial ${was.serial}`), reported(`after: "${after.label}", serial ${after.serial}, without a user PIN, ${objects.length === 0 ? 'no object' : `${objects.length} objects`} from a fresh session`),
        ...was.serial === after.serial ? [] : [remark(`the serial number changed with the initialisation: ${was.serial} before, ${after.serial} after`)],
        remark('that no copy of a key exists elsewhere is not proven by this'),
      ];
    }
    case 'put-away': {
      const { bag } = evidence as Evidence<'put-away'>;
      return [step.title, ...bag === undefined ? [] : [reported(`in bag ${bag}`)], ...step.moves.map((move) => reported(`${move.what} from ${move.from} to ${move.to}`)), ...step.moves.length === 0 ? [reported('a person\'s word')] : []];
    }
    case 'hand-over': {
      const { movement } = step;
      if (!movement) return [step.title];
      const { share, fromSite, toSite, reason } = movement;
      return [
        `${who} handed over ${handedThing(step)} to ${movement.receiver === movement.giver ? 'their own keeping at another site' : personName(before, movement.receiver)}`,
        reported(`from ${fromSite} to ${toSite}: ${reason}`), ...share ? [reported(`it holds share ${share.x} of set ${share.set}`)] : [],
      ];
    }
    case 'administer': {
      const change = before.current?.intent as Intent<'administer'>;
      return change.change === 'log-out' ? [`${who} logged out`] : [`Done: ${orderText(change)}`, ...resultLines(change, (evidence as Evidence<'administer'>).result)];
    }
    case 'sign-seal': return [`${who} signed the record of act ${currentAct(before) + 1}`, verified('both signatures'), remark(`card ${cardOf(before, 'identity-card', step.who) ?? ''}`)];
    case 'sign-resume': return [`${who} signed the continuation of the record`, verified('both signatures'), remark(`card ${cardOf(before, 'identity-card', step.who) ?? ''}`)];
  }
}
