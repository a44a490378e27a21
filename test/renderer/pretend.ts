/**
 * A conductor that only pretends: it writes lines that `check` accepts, with made-up evidence, so that the page's logic
 * can be tested and looked at without devices. Its signatures are random bytes; a verdict would refuse every one.
 *
 * It must never be imported outside test/renderer.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createdId } from '../../ceremonies/administration.ts';
import {
  missingWitnesses,
  pendingAction,
  personAt,
  presenceStatement,
  resumeStatement,
  sealStatement,
  cardOf,
  nextEpoch,
  custodianNumber,
  shareNumber,
  disagreementStatement,
  isHuman,
  keyInput,
  mayWitness,
  type Data,
  type Entry,
  type Kind,
  type State,
} from '../../ceremonies/ceremony.ts';
import { METHOD_OF, USES } from '../../ceremonies/components.ts';
import { approvalStatement } from '../../ceremonies/approvals.ts';
import { listOf, nextCopy, tokenCopies, type CopyList } from '../../ceremonies/destruction.ts';
import type {
  Evidence,
  Input,
  Intent,
  KeyAttributes,
  KeyPart,
  ObjectFact,
  Placement,
  TokenFacts,
} from '../../ceremonies/evidence.ts';
import type { BackupRecord } from '../../ceremonies/backup-record.ts';
import { releaseOf, type EscrowRecord } from '../../ceremonies/escrow.ts';
import { heldAt, identityOfRecord, inputDigest, keyIds, type KeyRecord } from '../../ceremonies/key-record.ts';
import { instantOf } from '../../ceremonies/statements.ts';
import { caAlgorithmNamed, componentsOf } from '../../ceremonies/keys/algorithms.ts';
import { bagAt } from '../../ceremonies/putting-away.ts';
import { backupInput, idsToRestore } from '../../ceremonies/recovery.ts';
import { rehearsalSeats } from '../../ceremonies/renewal.ts';
import { backsUpOpened } from '../../ceremonies/later-backup.ts';
import { planOf, readScript, type PlanStep, type Parameters } from '../../ceremonies/script.ts';
import { envelopeDigest } from '../../ceremonies/share-copies.ts';
import { MOVEMENTS_HEADER } from '../../ceremonies/shares/movements.ts';
import { encodeLine, Fold, pushLine } from '../../ceremonies/transcript.ts';
import type { Bindings, Estate, People } from '../../electron/contract.ts';

/** The scripts that ship, by name. */
export const SCRIPTS: Readonly<Record<string, string>> = Object.fromEntries(
  ['root-ca', 'administration', 'composite-ca', 'pq-root', 'intermediate', 'crl', 'cross-sign', 'encryption-certificate', 'recovery', 'recovery-rehearsal', 'ha-clone', 'custodian-change', 'key-destruction', 'custody-movement', 'activation-split', 'activate', 'escrow-deposit', 'escrow-release', 'component-entry', 'component-issue', 'share-backup', 'share-envelope', 'share-paper', 'share-return', 'share-return-paper'].map((name) => [
    name,
    readFileSync(new URL(`../../ceremonies/scripts/${name}.yaml`, import.meta.url), 'utf8'),
  ]),
);
export const ROOT_CA = SCRIPTS['root-ca'] ?? '';

const b64 = (bytes: number) => randomBytes(bytes).toString('base64url');
const hex = (bytes: number) => randomBytes(bytes).toString('hex');
const jws = () => ({ protected: Buffer.from('{"alg":"ES256"}').toString('base64url'), signature: b64(64) });
const pair = () => [jws(), jws()] as [ReturnType<typeof jws>, ReturnType<typeof jws>];

export const factsOf = (serial: string, label: string): TokenFacts => ({
  serial,
  label,
  model: 'SoftHSM v2',
  manufacturer: 'SoftHSM project',
  firmware: '2.6',
  hardware: '2.6',
  flags: ['CKF_RNG', 'CKF_LOGIN_REQUIRED', 'CKF_USER_PIN_INITIALIZED', 'CKF_TOKEN_INITIALIZED'],
});

export interface RoomOptions {
  readonly parameters?: Parameters;
  readonly mode?: 'rehearsal' | 'real';
  readonly people?: People;
  readonly bindings?: Bindings;
  readonly development?: boolean;
  readonly warnings?: readonly string[];
  /** By the script's names; those that are missing are made up. */
  readonly inputs?: Readonly<Record<string, Input>>;
}

/** Every key that is brought is one key: its backup is of the same. */
const PUBLIC_KEYS = { whole: b64(2065), 'ml-dsa': b64(1974), traditional: b64(91), key: b64(91) } as const;

/** A key record with made-up bytes: it has the right shape, and nothing that a library would read. */
export function keyRecord(token: string, algorithm: string, place: Placement): KeyRecord {
  const row = caAlgorithmNamed(algorithm);
  const parts = componentsOf(row).map((component) => {
    const held = heldAt(place, component);
    return {
      part: component.part,
      held,
      spki: PUBLIC_KEYS[component.part],
      id: held === 'token' ? hex(16) : null,
      wrapped: held === 'token' ? null : { mechanism: 'CKM_AES_KEY_WRAP_KWP', bytes: b64(80) },
    };
  });
  return {
    format: 'conclave-key/1',
    label: 'REHEARSAL CA',
    token,
    profile: 'profile' in row ? row.profile : null,
    key: { algorithm, spki: PUBLIC_KEYS.whole, parts, wrapping: parts.some((part) => part.held === 'wrapped') ? hex(16) : null },
    certificate: b64(900),
  };
}

/** A key on a token and a card, as ciphertext and on paper. */
export function copyList(token: string, mode: CopyList['mode'] = 'rehearsal'): CopyList {
  const on = (kind: 'private-key' | 'public-key' | 'data', serial: string, holder: string | null) => ({
    means: 'token' as const, module: 'softhsm', token: serial, class: kind, id: kind === 'data' ? '' : 'a1b2', label: 'Old root', keyType: kind === 'data' ? '' : 'CKK_EC', check: { method: 'none' as const, value: '' as const }, holder,
  });
  return {
    format: 'conclave-copies/1', mode, key: { identity: `SHA-256 of SubjectPublicKeyInfo ${hex(32)}`, label: 'Old root', algorithm: 'ECDSA P-384' },
    copies: [
      { what: 'private key of Old root', secret: true, by: on('private-key', token, null) },
      { what: 'public key of Old root', secret: false, by: on('public-key', token, null) },
      { what: 'share 1 of Grace Hopper-Lindqvist', secret: true, by: on('data', hex(8), 'Grace Hopper-Lindqvist') },
      { what: 'share 2 of Ada Ofterdingen', secret: true, by: on('data', hex(8), 'Ada Ofterdingen') },
      { what: 'the key wrapped in the record, openable by 2 of 2 shares', secret: true, by: { means: 'erasure', of: [3, 4], enough: 1 } },
      { what: 'a printed copy, in bag 4711', secret: true, by: { means: 'people', how: 'open the bag, read its number aloud, shred the sheet', physical: true } },
      { what: 'the weekly backup of the archive', secret: true, by: { means: 'retention', until: '2027-03-01', who: 'the archive keeps it for 90 days' } },
    ],
    unknown: ['the key was extractable until it was locked'], dependants: [], despite: '',
  };
}

/** Likewise a backup, 2 of as many as there are cards and one more. */
function backupRecord(cards: Bindings['cards'][string], mode: BackupRecord['mode']): BackupRecord {
  const { label, profile, key, certificate } = keyRecord('REHEARSAL, thrown away', 'MLDSA65-ECDSA-P256-SHA512', 'split');
  const shares = [...Object.entries(cards).map(([seat, { serial }]) => [serial, `Stand-in ${seat}`] as const), ['4172', 'Somebody else'] as const, ...(Object.keys(cards).length === 0 ? [['4173', 'And somebody else'] as const] : [])];
  return {
    format: 'conclave-backup/1',
    mode,
    ceremony: hex(16),
    label,
    token: 'REHEARSAL, thrown away',
    profile,
    key,
    certificate,
    wrapped: key.parts.map(({ part }) => ({ part, mechanism: 'CKM_AES_KEY_WRAP_KWP', wrapped: b64(250) })),
    set: { id: b64(16), epoch: 1, threshold: 2, shares: shares.length, commitments: shares.map(() => b64(32)), secret: b64(32) },
    shares: shares.map(([card, holder], i) => ({ x: i + 1, card, object: `conclave-share-${hex(4)}`, holder })),
  };
}

const ENVELOPE = 'an envelope that nobody can open';
/** The backup that was made up last: an escrow is of that. */
let deposited: BackupRecord | null = null;

function escrowRecord(mode: BackupRecord['mode']): EscrowRecord {
  const backup = deposited ?? backupRecord({}, mode);
  return {
    format: 'conclave-escrow/1', mode, ceremony: hex(16), key: { identity: identityOfRecord(backup), label: backup.label, algorithm: backup.key.algorithm },
    set: { id: backup.set.id, epoch: backup.set.epoch }, agent: { name: 'Notary Wendelin & Partners', ...AGENT }, purpose: 'Continuity of the signing service', authority: 'Resolution 17 of the board',
    conditions: 'A written request of the owner, countersigned by the auditor', sha256: createHash('sha256').update(ENVELOPE).digest('hex'),
  };
}
const AGENT = { algorithm: 'ML-KEM-768', identifier: 'key 4f09c2aa17e35b88d0614f09c2aa17e35b88d061', sha256: '5b'.repeat(32) };

/** The text of each kind of file, made up; the CA's key is on `token`, the shares of its backup on these cards. */
export function inputFile(
  kind: Input['kind'],
  token: string,
  cards: Bindings['cards'][string] = {},
  mode: BackupRecord['mode'] = 'rehearsal',
): { file: string; text: string } {
  switch (kind) {
    case 'backup':
      deposited = backupRecord(cards, mode);
      return { file: 'rehearsal-backup.json', text: JSON.stringify(deposited) };
    case 'activation': {
      const { set, shares } = backupRecord(cards, mode);
      const { label, model, manufacturer } = factsOf(token, 'REHEARSAL hsm');
      const record = { format: 'conclave-activation/1', mode, ceremony: hex(16), token: { serial: token, label, model, manufacturer }, pin: { derivation: 'conclave-activation-pin/1', length: 32 }, set, shares };
      return { file: 'rehearsal-activation.json', text: JSON.stringify(record) };
    }
    case 'key':
      return {
        file: 'rehearsal-ca.json',
        text: JSON.stringify(keyRecord(token, 'MLDSA65-ECDSA-P256-SHA512', 'split')),
      };
    case 'request':
      return { file: 'rehearsal-request.csr', text: `-----BEGIN CERTIFICATE REQUEST-----\n${b64(300)}\n` };
    case 'stated-request':
      return { file: 'rehearsal-stated.csr', text: `-----BEGIN CERTIFICATE REQUEST-----\n${b64(1900)}\n` };
    case 'certificate':
      return { file: 'rehearsal-other.crt', text: `-----BEGIN CERTIFICATE-----\n${b64(600)}\n` };
    case 'certificates':
      return { file: 'certificates.pem', text: `-----BEGIN CERTIFICATE-----\n${b64(600)}\n` };
    case 'revocations':
      return { file: 'rehearsal-revocations.csv', text: `${hex(10)},2026-11-20T09:00:00Z,keyCompromise\n` };
    case 'copies':
      return { file: 'rehearsal-copies.json', text: JSON.stringify(copyList(token, mode)) };
    case 'movements':
      return {
        file: 'rehearsal-movements.csv',
        text: `${MOVEMENTS_HEADER}\nbag,B-0417,,,custodian-1,head-office,custodian-2,north-branch,Distribution of the shares\ncard,8A41-0093,AAAAAAAAAAAAAAAAAAAAAA,2,custodian-2,head-office,custodian-1,south-branch,Exchange for the bag\n`,
      };
    case 'recipients':
      return { file: 'rehearsal-recipients.pem', text: `-----BEGIN PUBLIC KEY-----\n${b64(1600)}\n` };
    case 'recipient':
      return { file: 'rehearsal-agent.pub', text: `-----BEGIN PUBLIC KEY-----\n${b64(1600)}\n` };
    case 'escrow':
      return { file: 'rehearsal-escrow.json', text: JSON.stringify(escrowRecord(mode)) };
    case 'envelope':
      return { file: 'rehearsal-envelope.cms', text: ENVELOPE };
    case 'crl':
      return { file: 'previous.crl', text: `-----BEGIN X509 CRL-----\n${b64(300)}\n` };
  }
}

/** Bindings with a fresh serial for everything that the script with these parameters asks for. */
export function bindingsFor(
  text: string,
  parameters: Parameters,
  module: string,
): { bindings: Bindings; labels: Record<string, string> } {
  const { script } = readScript(text);
  if (!script) throw new Error('the script has faults');
  const plan = planOf(script, { ...script.defaults, ...parameters });
  const labels: Record<string, string> = {};
  let next = 4_172_203;
  const bind = (label: string) => {
    next += 7919;
    const serial = next.toString(16).padStart(16, '0');
    labels[serial] = label;
    return { module, serial };
  };
  return {
    bindings: {
      tokens: Object.fromEntries(plan.tokens.map((token) => [token, bind(`rehearsal ${token}`)])),
      cards: Object.fromEntries(
        Object.entries(plan.room.cards).map(([card, spec]) => [
          card,
          Object.fromEntries(
            plan.seats
              .filter((seat) => spec.for === 'person' || (spec.optional === true ? rehearsalSeats(plan, card).includes(seat.id) : seat.role === 'custodian'))
              .map((seat) => [seat.id, bind(`${card} ${seat.id}`)]),
          ),
        ]),
      ),
    },
    labels,
  };
}

export function peopleFor(text: string, parameters: Parameters): People {
  const { script } = readScript(text);
  if (!script) throw new Error('the script has faults');
  const title = (seat: string) => seat.replace('-', ' ').replace(/^./, (letter) => letter.toUpperCase());
  return planOf(script, { ...script.defaults, ...parameters }).seats.map((seat) => ({
    seat: seat.id,
    name: `${title(seat.id)} (rehearsal)`,
  }));
}

/** Made up: the number that the holder of a card reads from its bag. */
function openedBag(state: State, step: PlanStep): { bag?: { number: string; expected: null } } {
  return bagAt(state, step)?.way === 'opened' ? { bag: { number: `B-${String(state.count).padStart(4, '0')}`, expected: null } } : {};
}

/** One room with one record. Every method appends what the real conductor would, checkpoints included. */
export class Room {
  readonly ceremony = hex(16);
  readonly lines: string[] = [];
  readonly labels: Record<string, string>;
  readonly #fold = new Fold();
  #at = Date.parse('2026-11-21T13:21:04.120Z');
  #parts: readonly KeyPart[] = [];
  #wrapping: KeyAttributes | null = null;
  #inventory: ObjectFact[] = [{ class: 'certificate', id: 'a1', label: 'Device certificate', keyType: 'X.509' }];
  /** Of a destruction: why the next copy is left, and whether what was destroyed is found again. */
  leave: string | null = null;
  lies = false;
  /** What the officer of a logbook changes, in this order; then they log out. */
  readonly changes: { readonly intent: Intent<'administer'>; readonly result: Record<string, unknown> }[] = [];
  onLines: (from: number, lines: readonly string[]) => void = () => undefined;

  constructor(options: RoomOptions = {}, text = ROOT_CA) {
    const { script } = readScript(text);
    if (!script) throw new Error('the script has faults');
    const parameters = { ...script.defaults, ...options.parameters };
    const made = bindingsFor(text, parameters, 'softhsm');
    // An officer who logs in brings a card that is there already.
    this.labels = script.name === 'administration' ? {} : made.labels;
    const bindings = options.bindings ?? made.bindings;
    const token = Object.values(bindings.tokens)[0]?.serial ?? '';
    const inputs: Record<string, Input> = { ...options.inputs };
    for (const [name, { kind, optional }] of Object.entries(script.body.inputs)) {
      if (optional === true || inputs[name] !== undefined) continue;
      const { file, text: content } = inputFile(kind, token, bindings.cards['share-card'], options.mode);
      inputs[name] = { kind, file, bytes: Buffer.from(content).toString('base64url') };
    }
    this.#append(
      'opened',
      {
        format: 'conclave-transcript/1',
        script: text,
        parameters,
        mode: options.mode ?? 'rehearsal',
        people: options.people ?? peopleFor(text, parameters),
        bindings,
        inputs,
        modules: [
          {
            name: 'softhsm',
            kind: 'pkcs11',
            path: '/usr/lib/softhsm/libsofthsm2.so',
            sha256: hex(32),
            library: 'SoftHSM',
            version: '2.6',
          },
        ],
        recorder: { kty: 'OKP', crv: 'Ed25519', x: b64(32) },
        app: { version: '0.1.0', build: hex(32) },
        runtime: { node: '24.21.0', electron: '33.2.1', development: options.development ?? true },
        clock: 'system clock, not compared with another',
        ...(script.name === 'administration' && { after: null }),
        warnings: [...(options.warnings ?? ['Swap is in use: memory may be written to disk.'])],
      },
      {},
      script.hash,
    );
  }

  get state(): State {
    return this.#fold.state;
  }

  #append<K extends Kind>(
    kind: K,
    data: Data<K>,
    who: { step?: string; by?: string } = {},
    prev = this.state.lastHash,
    seconds = 3,
  ): void {
    this.#at += seconds * 1000 + (this.lines.length % 7) * 137;
    const entry: Entry<K> = {
      v: 1,
      ceremony: this.ceremony,
      seq: this.lines.length,
      at: new Date(this.#at).toISOString(),
      kind,
      ...who,
      data,
      prev,
    };
    const line = encodeLine(entry);
    const refusal = pushLine(this.#fold, line);
    if (refusal) throw new Error(`${kind}: ${refusal.rule}: expected ${refusal.expected}; found ${refusal.found}`);
    this.lines.push(line);
    this.onLines(this.lines.length - 1, [line]);
    if (this.state.checkpointDue) this.#append('checkpoint', { signature: b64(64).slice(0, 86) }, {}, undefined, 0);
  }

  get #step(): PlanStep {
    const step = this.state.current?.step;
    if (!step) throw new Error('no step is pending');
    return step;
  }

  begin(): void {
    const step = this.#step;
    this.#append('begun', { intent: this.#intent(step) }, { step: step.id, by: step.who }, undefined, 20);
  }

  finish(): void {
    const step = this.#step;
    const { begun } = this.state.current ?? { begun: null };
    this.#append(
      'done',
      { begun, evidence: this.#evidence(step) },
      { step: step.id, by: step.who },
      undefined,
      step.do.action === 'generate-key' ? 2 : 1,
    );
  }

  fail(error: Data<'failed'>['error'], nothingChanged = true): void {
    this.#append(
      'failed',
      { begun: this.state.current?.begun ?? 0, error, nothingChanged },
      { step: this.#step.id, by: this.#step.who },
    );
  }

  witness(seat: string): void {
    this.#append('witnessed', {}, { step: this.#step.id, by: seat });
  }

  /** Carries out the pending thing, whatever it is, witnesses included. False when there is nothing more. */
  next(): boolean {
    const pending = pendingAction(this.state);
    switch (pending.kind) {
      case 'step':
        if (!isHuman(pending.step.do.action)) this.begin();
        this.finish();
        return true;
      case 'outcome':
        this.finish();
        return true;
      case 'witness':
        this.witness(this.eligible()[0] ?? '');
        return true;
      case 'close':
        this.#append('closed', {});
        return true;
      case 'look':
        this.found('present');
        return true;
      case 'decide':
        this.decide('keep', 'The key pair is whole and nobody touched the token in between.');
        return true;
      case 'clear':
        this.cleared();
        return true;
      case 'back':
        this.back(pending.present);
        return true;
      case 'opening':
      case 'checkpoint':
      case 'over':
        return false;
    }
  }

  eligible(): string[] {
    const missing = missingWitnesses(this.state);
    return this.state.people
      .filter(
        (person) =>
          (missing[person.role] ?? 0) > 0 &&
          this.state.current !== null &&
          mayWitness(this.state.current, person) &&
          !this.state.current?.witnesses.includes(person.seat),
      )
      .map((person) => person.seat);
  }

  /** Goes on until the step with this id (or the first that starts with it) is pending and ready. */
  until(id: string): this {
    while (!(this.state.current?.step.id.startsWith(id) && this.state.current.phase === 'ready'))
      if (!this.next()) throw new Error(`${id} never came`);
    return this;
  }

  toTheEnd(): this {
    while (this.next());
    return this;
  }

  note(by: string, text: string): void {
    this.#append('noted', { text }, { by });
  }
  exception(by: string, expected: string, happened: string, decided: string, step?: string): void {
    this.#append('exception', { number: this.state.exceptions + 1, expected, happened, decided }, { by, ...(step !== undefined && { step }) });
  }
  pause(present: number, reason: string): void {
    this.#append('break', { present, reason });
  }
  back(present: number): void {
    this.#append('back', { present }, {}, undefined, 900);
  }
  disagree(by: string, words: string): void {
    this.#append(
      'disagreed',
      { words, statement: disagreementStatement(this.state, by, words), signatures: pair() },
      { by },
    );
  }
  abort(by: string, reason: string): void {
    this.#append('aborted', { reason, left: this.#inventory }, { by });
  }
  lost(): void {
    this.#append('lost', { module: 'softhsm', how: 'killed', detail: 'signal SIGSEGV in C_GenerateKeyPair' });
  }
  found(state: 'present' | 'half' | 'absent'): void {
    this.#append(
      'found',
      {
        begun: this.state.current?.begun ?? 0,
        observation: {
          state,
          detail:
            state === 'present'
              ? 'A private and a public key with this CKA_ID.'
              : state === 'half'
                ? 'Only a private key with this CKA_ID.'
                : 'Nothing with this CKA_ID.',
          objects:
            state === 'absent'
              ? []
              : [
                  {
                    class: 'private-key',
                    id:
                      this.state.current?.intent && 'ids' in this.state.current.intent
                        ? (this.state.current.intent.ids[0] ?? '')
                        : this.state.current?.intent && 'change' in this.state.current.intent
                          ? (createdId(this.state.current.intent as Intent<'administer'>) ?? '')
                          : '',
                    label: 'Root CA',
                    keyType: 'CKK_EC',
                  },
                ],
        },
      },
      { step: this.#step.id },
    );
  }
  decide(decision: 'keep' | 'clear', why: string): void {
    this.#append(
      'decided',
      { begun: this.state.current?.begun ?? 0, decision, why },
      { step: this.#step.id, by: 'officer' },
    );
  }
  cleared(): void {
    this.#append(
      'cleared',
      {
        begun: this.state.current?.begun ?? 0,
        observation: { state: 'absent', objects: [], detail: 'Nothing is left under this CKA_ID.' },
      },
      { step: this.#step.id },
    );
  }
  resume(present: readonly string[], reason: string, officer: Data<'resumed'>['officer'] = null): void {
    this.#append(
      'resumed',
      { recorder: { kty: 'OKP', crv: 'Ed25519', x: b64(32) }, present: [...present], officer, reason },
      {},
      undefined,
      1800,
    );
  }

  estate(missing: readonly string[] = []): Estate {
    const slots = Object.entries(this.labels).map(([serial, label], slot) => ({
      slot,
      description: `SoftHSM slot ${slot}`,
      token: missing.includes(serial) ? null : factsOf(serial, label),
    }));
    return {
      modules: [
        {
          name: 'softhsm',
          problem: null,
          moves: false,
          slots,
          facts: {
            name: 'softhsm',
            kind: 'pkcs11',
            path: '/usr/lib/softhsm/libsofthsm2.so',
            sha256: hex(32),
            library: 'Implementation of PKCS11',
            version: '2.6',
          },
        },
      ],
    };
  }

  #intent(step: PlanStep): Intent {
    const { state } = this;
    const named = 'on' in step.do ? state.opening?.bindings.tokens[step.do.on ?? '']?.serial : state.key?.token;
    const token = named ?? Object.values(state.opening?.bindings.tokens ?? {})[0]?.serial ?? '';
    const identity = cardOf(state, 'identity-card', step.who) ?? '';
    const set = state.backup?.set.id ?? '';
    const ids = state.key ? keyIds(state.key) : [];
    switch (step.do.action) {
      case 'confirm-script':
      case 'confirm-input':
      case 'wait':
      case 'set-state':
      case 'put-away':
      case 'hand-over':
        return {};
      case 'locate-copies':
      case 'confirm-gone':
        return { copies: listOf(state.destruction).copies.length };
      case 'enter-component':
      case 'issue-component':
        return { token, set: state.components.set ?? b64(16), number: custodianNumber(state, step.who) };
      case 'form-key':
        return { token, set: state.components.set ?? '', id: hex(16), label: step.do.label, kind: step.do.kind, check: { method: METHOD_OF[step.do.check], value: hex(3) } };
      case 'approve':
        return { card: identity, nonce: b64(32), expires: new Date(this.#at + 86_400_000).toISOString() };
      case 'destroy-copies':
        return { copy: nextCopy(state.destruction)?.number ?? 1, left: this.leave };
      case 'enrol':
        return { card: identity, id: hex(16), challenge: b64(32) };
      case 'inspect-token':
      case 'take-inventory':
        return { token };
      case 'test-random':
        return { token, bytes: step.do.bytes };
      case 'generate-key': {
        const { algorithm, label, place = 'token' } = step.do;
        const held = componentsOf(caAlgorithmNamed(algorithm)).map((component) => heldAt(place, component));
        const wanted = held.filter((where) => where === 'token').length + (held.includes('wrapped') ? 1 : 0);
        return { token, ids: Array.from({ length: wanted }, () => hex(16)), label, algorithm, place };
      }
      case 'open-key':
        return { token, ids: keyIds(keyInput(state, step.do.from).key) };
      case 'prove-key':
      case 'lock-key':
        return { token, ids };
      case 'compare-keys':
        return { token, ids: keyIds(keyInput(state, step.do.from).key), with: state.key?.token ?? '', nonces: [b64(32), b64(32)] };
      case 'sign-crl':
        return { token, ids, number: '1', thisUpdate: '2026-11-21T13:40:00Z', nextUpdate: '2027-05-20T13:40:00Z' };
      case 'issue-certificate':
        return {
          token,
          ids,
          serialNumber: hex(16),
          notBefore: '2026-11-21T00:00:00Z',
          notAfter: '2046-11-21T00:00:00Z',
        };
      case 'make-backup-key':
        return { token, set: b64(16), epoch: (state.backup?.set.epoch ?? 0) + 1 };
      case 'wrap-key':
        return { token, ids, set };
      case 'give-share':
        return {
          card: cardOf(state, step.do.card ?? 'share-card', step.who) ?? '',
          object: `conclave-share-${hex(4)}`,
          set,
          x: shareNumber(state, step.who),
          erases: [...(state.voidShares[step.who] ?? [])],
          ...openedBag(state, step),
        };
      case 'read-back-share': {
        const share = state.backup?.given[step.who];
        return { card: share?.card ?? '', object: share?.object ?? '', set, x: share?.x ?? 0, ...openedBag(state, step) };
      }
      case 'seal-copy':
      case 'write-copy': {
        const { card = '', object = '', x = 0 } = state.backup?.given[step.who] ?? {};
        const own = { card, object, set, x, ...openedBag(state, step) };
        return step.do.action === 'seal-copy' ? { ...own, recipient: hex(32) } : { ...own, sheet: `S-${hex(4).toUpperCase()}` };
      }
      case 'open-copy':
        return { set, x: state.copies[step.who]?.x ?? 0, envelope: state.copies[step.who]?.identifier ?? '' };
      case 'return-share':
        return { card: cardOf(state, 'new-share-card', step.who) ?? '', object: `conclave-share-${hex(4)}`, set, x: step.do.share, erases: [...(state.voidShares[step.who] ?? [])], envelope: envelopeDigest(state.opening?.inputs, step.do) };
      case 'seal-escrow':
      case 'prove-recovery':
        return {
          token,
          set,
          quorum: Object.keys(state.backup?.given ?? {}).slice(-(state.backup?.set.threshold ?? 2)),
          nonce: b64(32),
        };
      case 'release-escrow': {
        const record = backupInput(state.opening?.inputs, step.do.from);
        return { token, ids: Array.from({ length: idsToRestore(record) }, () => hex(16)), label: record.label, envelope: releaseOf(state.opening?.inputs, step.do.escrow).sha256, nonce: b64(32) };
      }
      case 'restore-key': {
        const record = backupInput(state.opening?.inputs, step.do.from);
        return {
          token,
          ids: Array.from({ length: idsToRestore(record) }, () => hex(16)),
          label: record.label,
          set,
          quorum: Object.keys(state.backup?.given ?? {}).slice(-record.set.threshold),
          nonce: b64(32),
        };
      }
      case 'renew-shares': {
        const old = state.renewal?.old ?? state.backup;
        return { token, set, epoch: (state.backup?.set.epoch ?? 0) + 1, quorum: Object.keys(old?.given ?? {}).slice(-(old?.set.threshold ?? 2)), nonce: b64(32) };
      }
      case 'retire-share': {
        const { old } = state.renewal ?? {};
        const share = old?.given[step.who];
        return { card: share?.card ?? '', object: share?.object ?? '', set: old?.set.id ?? '', epoch: old?.set.epoch ?? 0, x: share?.x ?? 0 };
      }
      case 'wipe-backup-key':
      case 'wipe-activation-key':
        return { set };
      case 'make-activation-key':
        return { token, set: b64(16), epoch: nextEpoch(state) };
      case 'set-activation-pin':
        return {
          token,
          set,
          quorum: Object.keys(state.backup?.given ?? {}).slice(-(state.backup?.set.threshold ?? 2)),
          length: state.activation?.length ?? 32,
          again: state.activation?.kind === 'made' && state.activation.pin === 'unknown',
          former: null,
        };
      case 'activate':
        return { token, set, quorum: Object.keys(state.backup?.given ?? {}).slice(-(state.backup?.set.threshold ?? 2)), purpose: step.do.for };
      case 'deactivate':
        return { token };
      case 'reset-user-pin':
        return { token, set, quorum: Object.keys(state.backup?.given ?? {}).slice(-(state.backup?.set.threshold ?? 2)) };
      case 'sign-seal':
        return { card: identity, statement: sealStatement(state) };
      case 'sign-resume':
        return { card: identity, statement: resumeStatement(state) };
      case 'zeroise-token': {
        const seen = state.inspected[token] ?? factsOf(token, this.labels[token] ?? 'a token');
        return { token, label: seen.label, seen, typed: token };
      }
      case 'administer':
        return this.changes[0]?.intent ?? { change: 'log-out' };
    }
  }

  #evidence(step: PlanStep): Evidence {
    const { state } = this;
    const intent = (state.current?.intent ?? {}) as Record<string, never>;
    const label = (serial: string) => factsOf(serial, this.labels[serial] ?? 'a card');
    const possession = { message: b64(32), signature: b64(96) };
    const quorum = () =>
      ((intent['quorum'] ?? []) as string[]).map((seat) => ({
        seat,
        card: state.backup?.given[seat]?.card ?? '',
        x: state.backup?.given[seat]?.x ?? 0,
      }));
    switch (step.do.action) {
      case 'confirm-script':
        return { words: state.script?.words.join(' ') ?? '' };
      case 'confirm-input': {
        const input = state.opening?.inputs[step.do.input];
        return { sha256: input ? inputDigest(input) : '' };
      }
      case 'zeroise-token': {
        const { seen } = intent as unknown as Intent<'zeroise-token'>;
        return { before: seen, after: { ...seen, flags: seen.flags.filter((flag) => flag !== 'CKF_USER_PIN_INITIALIZED') }, objects: [] };
      }
      case 'set-state': {
        const { key, to, reason, since } = step.do;
        const record = keyInput(state, key);
        return {
          key: identityOfRecord(record), label: record.label, from: 'active', to, reason, since: since === undefined ? null : (instantOf(since) ?? '2026-01-01T00:00:00.000Z'),
          certificates: [{ why: 'own', subject: 'CN=Example Composite Root CA', issuer: 'CN=Example Composite Root CA', serial: '1a2b3c4d', sha256: hex(32), notAfter: '2046-01-01T00:00:00.000Z', proven: true }],
          unaffected: 0, dependants: [],
        };
      }
      case 'administer':
        return { result: this.changes.shift()?.result ?? {} };
      case 'enter-component':
      case 'issue-component': {
        const common = { number: custodianNumber(state, step.who), check: { method: METHOD_OF[step.do.check], value: hex(3) } };
        return step.do.action === 'enter-component' ? common : { ...common, sources: ['token', 'system'], readBack: true };
      }
      case 'form-key': {
        const { token, id, label: named, check } = intent as unknown as Intent<'form-key'>;
        const [does, undoes] = USES[step.do.use];
        const none = { sign: false, verify: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, derive: false };
        const secret = { ...attributes('secret-key', id, named, false), ...none, keyType: 'CKK_AES', alwaysSensitive: false, neverExtractable: false, local: false, modifiable: false, [does]: true, [undoes]: true };
        this.#inventory = [...this.#inventory, { class: secret.class, id, label: named, keyType: secret.keyType }];
        return {
          token, components: Object.keys(state.components.entered).length, secret, check: { method: 'none', value: '' }, total: check, by: 'use',
          tried: [{ name: 'as its components', detail: 'The token unwrapped a fresh key that software wrapped with the components.' }], wiped: 'overwritten',
        };
      }
      case 'wait':
        return {};
      case 'put-away':
        return bagAt(state, step) ? { bag: `B-${String(state.count).padStart(4, '0')}` } : {};
      case 'locate-copies':
      case 'confirm-gone':
        return { seen: tokenCopies(listOf(state.destruction)).map(({ number }) => ({ copy: number, found: step.do.action === 'confirm-gone' ? (this.lies ? 1 : 0) : number === 3 ? null : 1, why: number === 3 ? 'TOKEN_MISSING' : '' })) };
      case 'approve':
        return { statement: approvalStatement(state, step, intent as unknown as Intent<'approve'>, state.current?.headBefore ?? ''), signatures: pair() };
      case 'destroy-copies': {
        const { copy, left } = intent as unknown as Intent<'destroy-copies'>;
        const means = listOf(state.destruction).copies[copy - 1]?.by.means;
        if (left !== null) return { copy, how: 'left', words: left };
        if (means !== 'token') return { copy, how: means === 'people' ? 'people' : 'pending' };
        return { copy, how: 'token', device: { before: 1, after: 0, use: { tried: 'a signature under the old handle', worked: false, answer: 'CKR_KEY_HANDLE_INVALID' } } };
      }
      case 'hand-over': {
        const { number = 0, kind = 'bag', identifier = '' } = step.movement ?? {};
        return { movement: number, kind, identifier };
      }
      case 'enrol':
        return {
          card: label(intent['card'] ?? ''),
          made: true,
          identity: {
            classical: { kty: 'EC', crv: 'P-256', x: b64(32), y: b64(32) },
            pq: { kty: 'AKP', alg: 'ML-DSA-65', pub: b64(1952) },
            held: { classical: 'token', pq: 'sealed-seed' },
          },
          statement: presenceStatement(state, step.who, intent['challenge'] ?? '', state.current?.headBefore ?? ''),
          signatures: pair(),
        };
      case 'inspect-token':
        return {
          token: label(intent['token'] ?? ''),
          module: state.opening?.modules[0] ?? {
            name: '',
            kind: 'pkcs11',
            path: '',
            sha256: '',
            library: '',
            version: '',
          },
          mechanisms: ['CKM_EC_KEY_PAIR_GEN', 'CKM_ECDSA', 'CKM_AES_KEY_WRAP_PAD', 'CKM_AES_KEY_GEN'],
          needs: step.do.needs.map((name) => ({
            name,
            proof: 'verified' as const,
            detail: 'tried with session objects',
          })),
        };
      case 'test-random':
        return {
          bytes: step.do.bytes,
          claim: 'Finds a broken or constant source. It cannot show that a source is good.',
          tests: [
            { name: 'monobit', statistic: '0.412', limit: '|z| < 4.42', passed: true },
            { name: 'chi-square', statistic: '248.7', limit: '165 to 361', passed: true },
          ],
        };
      case 'take-inventory':
        return { token: intent['token'] ?? '', objects: this.#inventory, ...state.zeroised[String(intent['token'])] !== undefined && { loggedIn: false as const, fresh: true as const } };
      case 'generate-key': {
        const { algorithm, label: named, ids, place } = intent as unknown as Intent<'generate-key'>;
        const onToken = [...ids];
        this.#parts = componentsOf(caAlgorithmNamed(algorithm)).map((component): KeyPart => {
          const own = {
            part: component.part,
            algorithm: component.name,
            spki: b64(component.part === 'ml-dsa' ? 1974 : 91),
          };
          if (heldAt(place, component) === 'wrapped')
            return {
              ...own,
              held: 'wrapped',
              mechanism: 'noble',
              private: null,
              public: null,
              wrapped: { mechanism: 'CKM_AES_KEY_WRAP_KWP', bytes: b64(80) },
              proof: 'verified',
            };
          const key = attributes('private-key', onToken.shift() ?? '', named);
          return {
            ...own,
            held: 'token',
            mechanism: 'CKM_EC_KEY_PAIR_GEN',
            private: key,
            public: publicOf(key),
            wrapped: null,
            proof: 'reported',
          };
        });
        const wrapping = onToken.at(0);
        this.#wrapping = wrapping === undefined ? null : attributes('secret-key', wrapping, named);
        const objects = [...this.#parts.flatMap((part) => [part.private, part.public]), this.#wrapping];
        this.#inventory = [
          ...this.#inventory,
          ...objects.flatMap((object) =>
            object ? [{ class: object.class, id: object.id, label: object.label, keyType: object.keyType }] : [],
          ),
        ];
        return {
          token: intent['token'] ?? '',
          spki: b64(this.#parts.length > 1 ? 2065 : 120),
          parts: [...this.#parts],
          wrappingKey: this.#wrapping,
        };
      }
      case 'open-key': {
        const { key, label: named } = keyInput(state, step.do.from);
        const components = componentsOf(caAlgorithmNamed(key.algorithm));
        this.#parts = key.parts.map(({ id, ...part }, index): KeyPart => {
          const own = id === null ? null : attributes('private-key', id, named, state.plan !== null && backsUpOpened(state.plan));
          return {
            ...part,
            algorithm: components[index]?.name ?? '',
            mechanism: '',
            private: own,
            public: own && publicOf(own),
            proof: part.held === 'token' ? 'reported' : 'verified',
          };
        });
        this.#wrapping = key.wrapping === null ? null : attributes('secret-key', key.wrapping, named, false);
        return {
          token: intent['token'] ?? '', spki: key.spki, ...this.#proof(),
          ...state.plan !== null && backsUpOpened(state.plan) && { leaving: key.parts.flatMap(({ held }) => (held === 'token' ? [{ trustedOnly: false, refused: null }] : [])) },
        };
      }
      case 'prove-key':
        return { token: intent['token'] ?? '', spki: state.key?.spki ?? '', ...this.#proof() };
      case 'compare-keys': {
        const { key } = keyInput(state, step.do.from);
        const { token, with: second, nonces } = intent as unknown as Intent<'compare-keys'>;
        const proof = this.#proof();
        const inside = (part: (typeof proof.parts)[number], id: string | null) => part.private && { ...part.private, id: id ?? '', alwaysSensitive: true, neverExtractable: true, local: true };
        const parts = proof.parts.map((part, index) => ({ ...part, private: inside(part, key.parts[index]?.id ?? null) }));
        const wrappingKey = proof.wrappingKey && { ...proof.wrappingKey, id: key.wrapping ?? '' };
        return {
          primary: { token, spki: key.spki, ...proof, parts, wrappingKey, possession: { ...possession, message: nonces[0] } },
          second: { token: second, spki: key.spki, ...proof, possession: { ...possession, message: nonces[1] } },
        };
      }
      case 'issue-certificate':
      case 'sign-crl': {
        const tbs = b64(32);
        return {
          lintedTbs: tbs,
          signedTbs: tbs,
          lints: ['serial has 64 bits of entropy', 'validity as scripted', 'basic constraints critical'],
          ...(step.do.action === 'sign-crl' ? { crl: b64(400) } : { certificate: b64(600) }),
        };
      }
      case 'make-backup-key':
      case 'make-activation-key': {
        const { shares, threshold } = state.plan?.set ?? { shares: 3, threshold: 2 };
        return {
          ...(step.do.action === 'make-activation-key' && { length: 32 }),
          set: {
            id: intent['set'] ?? '',
            epoch: intent['epoch'] ?? 1,
            threshold,
            shares,
            commitments: Array.from({ length: shares }, () => b64(32)),
            secret: b64(32),
          },
          sources: ['token', 'system'],
          subsetsTried: 3,
        };
      }
      case 'wrap-key':
        return {
          parts: this.#parts.map(({ part }) => ({ part, mechanism: 'CKM_AES_KEY_WRAP_KWP', wrapped: b64(250) })),
          private: this.#privates(),
        };
      case 'give-share': {
        const i = intent as unknown as Intent<'give-share'>;
        return {
          card: label(i.card),
          object: i.object,
          x: i.x,
          commitment: state.backup?.set.commitments[i.x - 1] ?? '',
          erased: i.erases,
        };
      }
      case 'read-back-share': {
        const i = intent as unknown as Intent<'read-back-share'>;
        return { card: i.card, object: i.object, x: i.x, commitment: state.backup?.set.commitments[i.x - 1] ?? '' };
      }
      case 'prove-recovery':
        return { quorum: quorum(), possession: { ...possession, message: intent['nonce'] ?? '' }, destroyed: true };
      case 'renew-shares': {
        const old = state.renewal?.old ?? state.backup;
        const { shares = 3, threshold = 2 } = state.plan?.set ?? {};
        return {
          set: { id: old?.set.id ?? '', epoch: intent['epoch'] ?? 2, threshold, shares, commitments: Array.from({ length: shares }, () => b64(32)), secret: old?.set.secret ?? '' },
          subsetsTried: 3,
          quorum: quorum(),
          possession: { ...possession, message: intent['nonce'] ?? '' },
          destroyed: true,
        };
      }
      case 'retire-share':
        return {
          card: intent['card'] ?? '',
          object: intent['object'] ?? '',
          x: intent['x'] ?? 0,
          device: { before: 1, after: 0, use: { tried: 'its attributes read under the old handle', worked: false, answer: 'CKR_OBJECT_HANDLE_INVALID' } },
        };
      case 'seal-copy':
      case 'write-copy':
      case 'open-copy': {
        const { card, object, x, recipient, sheet, envelope } = intent as unknown as Intent<'seal-copy'> & Intent<'write-copy'> & Intent<'open-copy'>;
        const commitment = state.backup?.set.commitments[x - 1] ?? '';
        if (step.do.action === 'open-copy') return { x, commitment, envelope, opener: state.copies[step.who]?.sealed?.recipient ?? '' };
        const own = { card, object, x, commitment };
        return step.do.action === 'write-copy' ? { ...own, sheet, readBack: true } : { ...own, recipient: { ...AGENT, sha256: recipient }, envelope: b64(1700) };
      }
      case 'return-share': {
        const i = intent as unknown as Intent<'return-share'>;
        return { card: label(i.card), object: i.object, x: i.x, commitment: state.backup?.set.commitments[i.x - 1] ?? '', erased: i.erases };
      }
      case 'seal-escrow':
        return { quorum: quorum(), possession: { ...possession, message: intent['nonce'] ?? '' }, destroyed: true, agent: AGENT, envelope: b64(1700) };
      case 'restore-key':
      case 'release-escrow': {
        const { key } = backupInput(state.opening?.inputs, step.do.from);
        const { ids, label: named, nonce } = intent as unknown as Intent<'restore-key' | 'release-escrow'>;
        const left = [...ids];
        this.#parts = key.parts.map((part, index): KeyPart => {
          const own = part.held === 'token' ? attributes('private-key', left.shift() ?? '', named, false) : null;
          const outside = own && { ...own, alwaysSensitive: false, neverExtractable: false, local: false };
          return {
            part: part.part,
            held: part.held,
            spki: part.spki,
            algorithm: componentsOf(caAlgorithmNamed(key.algorithm))[index]?.name ?? '',
            mechanism: '',
            private: outside,
            public: outside && publicOf(outside),
            wrapped: own ? null : { mechanism: 'CKM_AES_KEY_WRAP_KWP', bytes: b64(80) },
            proof: own ? 'reported' : 'verified',
          };
        });
        const wrapping = left.at(0);
        this.#wrapping = wrapping === undefined ? null : attributes('secret-key', wrapping, named, false);
        const made = [...this.#parts.flatMap((part) => [part.private, part.public]), this.#wrapping];
        this.#inventory = [
          ...this.#inventory,
          ...made.flatMap((one) => (one ? [{ class: one.class, id: one.id, label: one.label, keyType: one.keyType }] : [])),
        ];
        const proof = { ...this.#proof(), possession: { ...possession, message: nonce } };
        const restored = { token: intent['token'] ?? '', spki: key.spki, ...proof, enforced: true };
        return step.do.action === 'release-escrow' ? { ...restored, agent: AGENT.sha256 } : { ...restored, quorum: quorum() };
      }
      case 'lock-key': {
        this.#parts = this.#parts.map((part) =>
          part.private ? { ...part, private: { ...part.private, extractable: false } } : part,
        );
        return { private: this.#privates(), enforced: this.state.opening?.mode === 'real' };
      }
      case 'set-activation-pin':
        return { token: label(intent['token'] ?? ''), quorum: quorum(), former: null };
      case 'activate':
      case 'reset-user-pin':
        return { token: label(intent['token'] ?? ''), quorum: quorum() };
      case 'deactivate':
        return { token: intent['token'] ?? '', how: 'logged-out', before: 1, after: 0, loggedIn: false };
      case 'wipe-backup-key':
      case 'wipe-activation-key':
        return { how: state.backup?.alive ? 'overwritten' : 'process-ended' };
      case 'sign-seal':
      case 'sign-resume':
        return { signatures: pair() };
    }
  }

  #privates(): KeyAttributes[] {
    return this.#parts.flatMap((part) => (part.private ? [part.private] : []));
  }

  #proof(): Pick<Evidence<'prove-key'>, 'parts' | 'wrappingKey' | 'weakTests' | 'possession'> {
    return {
      parts: this.#parts.map(({ mechanism: _made, ...part }) => part),
      wrappingKey: this.#wrapping,
      weakTests: ['point on curve', 'not the point at infinity', 'known weak keys'],
      possession: { message: b64(32), signature: b64(96) },
    };
  }

  name(seat: string): string {
    return personAt(this.state, seat)?.name ?? seat;
  }
}

/** As a token answers for a key that a script asked for; `copied`: it may still be wrapped. */
function attributes(kind: 'private-key' | 'secret-key', id: string, label: string, copied = true): KeyAttributes {
  const wraps = kind === 'secret-key';
  return {
    class: kind,
    keyType: wraps ? 'CKK_AES' : 'CKK_EC',
    id,
    label,
    token: true,
    private: true,
    sensitive: true,
    extractable: !wraps && copied,
    alwaysSensitive: true,
    neverExtractable: wraps || !copied,
    local: true,
    modifiable: true,
    sign: wraps ? null : true,
    verify: null,
    encrypt: null,
    decrypt: wraps ? null : false,
    wrap: wraps ? true : null,
    unwrap: wraps,
    derive: wraps ? null : false,
    generatedBy: wraps ? 'CKM_AES_KEY_GEN' : 'CKM_EC_KEY_PAIR_GEN',
    keysRemaining: null,
  };
}

function publicOf(key: KeyAttributes): KeyAttributes {
  return {
    ...key,
    class: 'public-key',
    private: false,
    sensitive: null,
    extractable: null,
    alwaysSensitive: null,
    neverExtractable: null,
    sign: null,
    verify: true,
  };
}
