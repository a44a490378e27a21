/**
 * A genuine record without devices: real keys, real signatures, a real certificate and every seal, made by asking
 * `pendingAction` what comes next and `check` whether it may, exactly as the conductor does.
 *
 * The same options give the same bytes (RSA keys aside): keys come from digests of names, signatures are deterministic.
 * Only the shares are invented: nothing but a commitment to each ever reaches a record, and nobody can look behind it.
 */
import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, sign as nodeSign, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { aeskwp } from '@noble/ciphers/aes.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { formerSet, type ActivationRecord } from '../../ceremonies/activation.ts';
import type { BackupRecord } from '../../ceremonies/backup-record.ts';
import { concat, fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import {
  cardOf, checkpointMessage, custodianNumber, disagreementStatement, isHuman, keyInput, mayBeExcepted, mayWitness, nextEpoch, pendingAction, presenceStatement, resumeStatement, sealStatement, shareNumber,
  type Data, type Entry, type Kind, type State,
} from '../../ceremonies/ceremony.ts';
import { METHOD_OF, USES } from '../../ceremonies/components.ts';
import { approvalStatement, waitsUntil } from '../../ceremonies/approvals.ts';
import { listOf, nextCopy, tokenCopies, type CopyList } from '../../ceremonies/destruction.ts';
import { escrowWords, releaseOf, termsOf, termsDigest, type EscrowRecord, type EscrowTerms } from '../../ceremonies/escrow.ts';
import { agentIn } from '../../ceremonies/escrow-envelope.ts';
import type {
  ComponentCheck, Evidence, Identity, Input, Intent, KeyAttributes, KeyPart, ObjectFact, Observation, Placement, PublicJwk, SignaturePair, TokenFacts,
} from '../../ceremonies/evidence.ts';
import { heldAt, identityOfRecord, idsNeeded, inputDigest, keyIds, readKeyRecord, type CeremonyKey, type KeyRecord } from '../../ceremonies/key-record.ts';
import { ALGORITHMS, caAlgorithmNamed, componentsOf, ML_KEMS, type Component, type RootAlgorithmName } from '../../ceremonies/keys/algorithms.ts';
import { ML_DSA, signComposite } from '../../ceremonies/keys/composite.ts';
import type { CheckMethod } from '../../ceremonies/keys/check-value.ts';
import { CRL_LINTS, issueCrl, throwawayLintCrl, type CrlProfile } from '../../ceremonies/keys/crl.ts';
import { affectedBy, sinceOf } from '../../ceremonies/compromise.ts';
import { headersOf, signingInput } from '../../ceremonies/keys/jws.ts';
import { recipientOfKey, sealEnvelope, sealingRandomness, type Sealing } from '../../ceremonies/keys/envelope.ts';
import { ML_KEM } from '../../ceremonies/keys/kem.ts';
import { parsePublicKey, publicKeyFromParts, toJwk, type PublicKey } from '../../ceremonies/keys/public-key.ts';
import { makeRequest, makeStatedRequest } from '../../ceremonies/keys/request.ts';
import { ecdsaRawToDer, mlDsaPublicFromSeed, signMlDsa65 } from '../../ceremonies/keys/signatures.ts';
import { compositeFromParts, readSubjectKey, subjectKeyOf } from '../../ceremonies/keys/subject-key.ts';
import { pem } from '../../ceremonies/keys/signed.ts';
import { CERTIFICATE_LINTS, issueCertificate, throwawayLint, type CertificateProfile } from '../../ceremonies/keys/x509.ts';
import { certificateProfile, crlNumber, crlProfile } from '../../ceremonies/profile.ts';
import { backsUpOpened } from '../../ceremonies/later-backup.ts';
import { bagAt } from '../../ceremonies/putting-away.ts';
import { backupInput, idsToRestore } from '../../ceremonies/recovery.ts';
import { rehearsalSeats } from '../../ceremonies/renewal.ts';
import { envelopeDigest, returnStep } from '../../ceremonies/share-copies.ts';
import { copySealing } from '../../ceremonies/share-envelope.ts';
import { planOf, readScript, type Parameters, type Plan, type PlanStep } from '../../ceremonies/script.ts';
import { MOVEMENTS_HEADER } from '../../ceremonies/shares/movements.ts';
import { encodeLine, Fold, parseLine } from '../../ceremonies/transcript.ts';

/** The scripts that ship, by name. */
export const SHIPPED = ['root-ca', 'composite-ca', 'pq-root', 'intermediate', 'cross-sign', 'crl', 'encryption-certificate', 'administration', 'recovery', 'recovery-rehearsal', 'ha-clone', 'custodian-change', 'key-destruction', 'token-zeroise', 'key-compromise', 'custody-movement', 'activation-split', 'activate', 'user-pin-reset', 'escrow-deposit', 'escrow-release', 'component-entry', 'component-issue', 'share-backup', 'share-envelope', 'share-paper', 'share-return', 'share-return-paper'] as const;
const shipped = (name: string) => readFileSync(join(import.meta.dirname, `../../ceremonies/scripts/${name}.yaml`), 'utf8');

/** A key with a copy of every kind: on a token, as shares on cards, as ciphertext, on paper. */
export const COPIES: CopyList = {
  format: 'conclave-copies/1', mode: 'rehearsal', key: { identity: `SHA-256 of SubjectPublicKeyInfo ${'ab'.repeat(32)}`, label: 'Old root', algorithm: 'ECDSA P-384' },
  copies: [
    ...(['private-key', 'public-key'] as const).map((kind): CopyList['copies'][number] => ({
      what: `${kind} of Old root`, secret: kind === 'private-key',
      by: { means: 'token', module: 'tokens', token: 'TOKEN-key-hsm', class: kind, id: 'a1b2', label: 'Old root', keyType: 'CKK_EC', check: { method: 'none', value: '' }, holder: null },
    })),
    ...[1, 2, 3].map((x): CopyList['copies'][number] => ({
      what: `share ${x} of the backup`, secret: true,
      by: { means: 'token', module: 'tokens', token: `SHARE-${x}`, class: 'data', id: '', label: `conclave-share-${x}`, keyType: '', check: { method: 'none', value: '' }, holder: `Holder ${x}` },
    })),
    { what: 'the key wrapped in its record, openable by 2 of 3 shares', secret: true, by: { means: 'erasure', of: [3, 4, 5], enough: 2 } },
    { what: 'a printed copy, in bag 4711', secret: true, by: { means: 'people', how: 'shred the sheet before everybody', physical: true } },
  ],
  unknown: [], dependants: [], despite: '',
};

/** The smallest ceremony there is: three people, one act, no token. For tests that look at every byte. */
export const MINI_SCRIPT = `conclave: 1
name: mini
title: A meeting of three
version: 1
purpose: The smallest record that has everything a record needs.
people: { officer: 1, custodian: 0, witness: 1, auditor: 1 }
room: { tokens: {}, cards: { identity-card: { for: person, at: holder } } }
acts:
  - act: Opening
    minutes: 5
    steps:
      - { id: read-hash, for-each: person, title: Compare the fingerprint, do: { confirm-script: {} } }
      - { id: enrol, for-each: person, title: Prove that you are here, do: { enrol: {} } }
`;

/** What goes otherwise than planned: before the step it is filed under, `fail` and `crash` in the middle of it. */
export type Happening =
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'exception' }
  | { readonly kind: 'break'; readonly present?: number }
  | { readonly kind: 'disagree'; readonly seat: string; readonly words?: string }
  | { readonly kind: 'lost'; readonly module?: string }
  | { readonly kind: 'abort'; readonly left?: readonly ObjectFact[] }
  /** The record ends here: open, unfinished. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'resume'; readonly officer?: 'same' | 'another'; readonly present?: readonly string[] }
  /** The step is begun and fails; then it is tried again. */
  | { readonly kind: 'fail'; readonly nothingChanged?: boolean; readonly found?: Observation['state']; readonly decision?: 'keep' | 'clear' }
  /** The step is begun and the machine dies; the record is resumed. */
  | { readonly kind: 'crash'; readonly officer?: 'same' | 'another'; readonly found?: Observation['state']; readonly decision?: 'keep' | 'clear' };

export interface RecordOptions {
  /** `root-ca` (the default), another one that ships, `mini`, or the text of a script. */
  readonly script?: string;
  readonly threshold?: number;
  readonly shares?: number;
  readonly custodians?: number;
  readonly algorithm?: string;
  readonly place?: Placement;
  /** Of a key that is formed of components. */
  readonly use?: string;
  /** Algorithm and placement of a CA that is there before, for the scripts that use one. */
  readonly ca?: { readonly algorithm: string; readonly place: Placement };
  /** True: nobody has certified that key. */
  readonly uncertified?: boolean;
  /** Certificates that are brought as one file. */
  readonly certificates?: readonly Uint8Array[];
  /** True: the CRL before, number 41 with one entry of its own, is brought too. */
  readonly previous?: boolean;
  /** Of a destruction: the list, the copies that are there again afterwards, and those that can still be used. */
  readonly copies?: CopyList;
  readonly stillThere?: readonly number[];
  readonly stillSigns?: readonly number[];
  /** True: the set that opens the token until now is brought to a new split. */
  readonly former?: boolean;
  /** What stands on the bags that are opened and closed, by the script's name of the thing; made up for the others. */
  readonly bags?: Readonly<Partial<Record<'opened' | 'closed', Readonly<Record<string, string>>>>>;
  readonly mode?: 'rehearsal' | 'real';
  readonly people?: Readonly<Record<string, string>>;
  /** Serial numbers of identity cards, by seat; default: named after the seat. */
  readonly identityCards?: Readonly<Record<string, string>>;
  readonly warnings?: readonly string[];
  /** By step id; with `/witnessed` after it: when the step is done, before anybody has witnessed it. */
  readonly happenings?: Readonly<Record<string, readonly Happening[]>>;
  /** This many notes after the opening, to make a long record. */
  readonly notes?: number;
  /** Another seed: another ceremony id, other keys. */
  readonly seed?: string;
  /** Whose PIN custodians are to hold. */
  readonly pin?: 'user' | 'so';
  /** Another ceremony with the same keys. */
  readonly sitting?: string;
  /** The volume of the logbook before this one. */
  readonly after?: Data<'opened'>['after'];
  /** The list of a `custody-movement`; default: a bag and a share card that two custodians exchange. */
  readonly movements?: string;
  /** When it is opened, by the machine's clock. */
  readonly opensAt?: number;
}

export interface ScriptedRecord {
  readonly options: RecordOptions;
  readonly lines: readonly string[];
  readonly entries: readonly Entry[];
  /** The state in front of each entry. */
  readonly before: readonly State[];
  /** The state at the end. */
  readonly state: State;
  /** The transcript as a file. */
  readonly bytes: Uint8Array;
}

export async function scriptedRecord(options: RecordOptions = {}): Promise<ScriptedRecord> {
  const room = new ScriptedRoom(options);
  await room.run();
  return room.record();
}

/** What a script, its parameters, and nobody's cards become: for tests that need only a plan. */
export function scriptText(options: RecordOptions): string {
  const { script = 'root-ca' } = options;
  return script === 'mini' ? MINI_SCRIPT : (SHIPPED as readonly string[]).includes(script) ? shipped(script) : script;
}

const NAMES: Readonly<Record<string, string>> = {
  officer: 'Ada Ofterdingen', 'custodian-1': 'Bela Custis', 'custodian-2': 'Chiara Custos', 'custodian-3': 'Dmitri Kustov', witness: 'Wanda Zeuge', auditor: 'Anselm Prüfer',
};
const MODULE = 'embedded';
const MOVEMENTS = `${MOVEMENTS_HEADER}
bag,B-0417,,,Bela Custis,head-office,Chiara Custos,north-branch,Distribution
card,SHARE-7,AAAAAAAAAAAAAAAAAAAAAA,2,custodian-2,head-office,custodian-1,south-branch,Exchange for the bag
`;

export class ScriptedRoom {
  readonly fold = new Fold();
  readonly lines: string[] = [];
  readonly entries: Entry[] = [];
  readonly before: State[] = [];
  /** What the officer of an administration changes, in this order; then they log out. */
  readonly changes: { readonly intent: Intent<'administer'>; readonly result: Record<string, unknown> }[] = [];
  readonly #options: RecordOptions;
  readonly #happenings: Map<string, Happening[]>;
  readonly #seed: string;
  readonly #ceremony: string;
  #clock: number;
  #counter = 0;
  #recorders = 0;
  #key: ScriptedKey | null = null;
  #objects: ObjectFact[] = [];
  /** The parts of a key that came out of its backup. */
  #restored: readonly Omit<KeyPart, 'mechanism'>[] | null = null;
  #afterwards: { found: Observation['state']; decision: 'keep' | 'clear' } = { found: 'absent', decision: 'clear' };
  #stopped = false;
  #notes: number;

  constructor(options: RecordOptions = {}) {
    this.#options = options;
    this.#happenings = new Map(Object.entries(options.happenings ?? {}).map(([step, list]) => [step, [...list]]));
    this.#seed = options.seed ?? 'scripted';
    this.#ceremony = toHex(this.#digest(`ceremony${options.sitting ?? ''}`).subarray(0, 16));
    this.#notes = options.notes ?? 0;
    this.#clock = options.opensAt ?? Date.UTC(2026, 2, 2, 9, 0, 0);
  }

  get state(): State {
    return this.fold.state;
  }

  record(): ScriptedRecord {
    const { lines, entries, before, state } = this;
    return { options: this.#options, lines, entries, before, state, bytes: utf8(lines.map((line) => `${line}\n`).join('')) };
  }

  /** To the end, or until the pending step is `until` (nothing of it has happened yet). */
  async run(until?: string): Promise<void> {
    while (!this.#stopped) {
      const pending = pendingAction(this.state);
      if (until !== undefined && pending.kind === 'step' && pending.step.id === until) return;
      if (pending.kind === 'over') break;
      await this.next();
    }
    assert.deepEqual([...this.#happenings].filter(([, list]) => list.length > 0), [], 'every happening had its step');
  }

  /** Does the one thing that is pending. */
  async next(): Promise<void> {
    const pending = pendingAction(this.state);
    switch (pending.kind) {
      case 'opening': return this.#open();
      case 'checkpoint':
        this.checkpoint();
        return;
      case 'back':
        this.append('back', { present: pending.present });
        return;
      case 'step': return this.#step(pending.step);
      case 'outcome': return this.#outcome(pending.step);
      case 'look': {
        const { found } = this.#afterwards;
        this.append('found', { begun: this.#begun(), observation: this.#observed(found) }, { step: pending.step.id });
        return;
      }
      case 'decide':
        this.append('decided', { begun: this.#begun(), decision: this.#afterwards.decision, why: 'Officer and witness looked at the list and agree.' }, { step: pending.step.id, by: 'officer' });
        return;
      case 'clear':
        this.#objects = [];
        this.append('cleared', { begun: this.#begun(), observation: this.#observed('absent') }, { step: pending.step.id });
        return;
      case 'witness': {
        const refused = this.#happenings.get(`${pending.step.id}/witnessed`)?.shift();
        if (refused && refused.kind !== 'fail' && refused.kind !== 'crash') {
          this.#happen(refused);
          return;
        }
        for (const [role, wanted] of Object.entries(pending.missing)) {
          const able = this.state.people.filter((person) => person.role === role && this.state.current !== null && mayWitness(this.state.current, person) && !this.state.current?.witnesses.includes(person.seat));
          for (const person of able.slice(0, wanted)) this.append('witnessed', {}, { step: pending.step.id, by: person.seat });
        }
        return;
      }
      case 'close':
        this.append('closed', {});
        return;
      case 'over': return;
    }
  }

  /** Writes one entry: `check` must allow it. */
  append<K extends Kind>(kind: K, data: Data<K>, where: { step?: string; by?: string } = {}): void {
    const { state } = this;
    this.#clock += 1250;
    const draft: Entry<K> = {
      v: 1, ceremony: this.#ceremony, seq: state.count, at: new Date(this.#clock).toISOString(), kind, ...where, data,
      prev: state.phase === 'empty' ? toBase64url(sha512(utf8((data as Data<'opened'>).script))) : state.lastHash,
    };
    const line = encodeLine(draft);
    const entry = parseLine(line);
    this.before.push(state);
    const refusal = this.fold.push(entry, utf8(line));
    assert.equal(refusal, null, `${kind} ${where.step ?? ''}: ${JSON.stringify(refusal)}`);
    this.lines.push(line);
    this.entries.push(entry);
  }

  checkpoint(): void {
    const { state } = this;
    this.#clock += 10;
    const at = new Date(this.#clock + 1250).toISOString();
    const message = checkpointMessage({ ceremony: this.#ceremony, seq: state.count, at, prev: state.lastHash });
    this.append('checkpoint', { signature: toBase64url(ed25519.sign(message, this.#digest(`recorder ${this.#recorders}`))) });
  }

  // --- people ----------------------------------------------------------------------------------------------------------

  /** The keys on an identity card. They follow from the card's serial number. */
  identity(card: string): { readonly classical: PublicKey; readonly pq: PublicKey } {
    let identity = IDENTITIES.get(this.#seed + card);
    if (!identity) {
      identity = {
        classical: publicKeyFromParts('ecdsa-p256', { raw: p256.getPublicKey(this.#digest(`classical ${card}`), false) }),
        pq: mlDsaPublicFromSeed(this.#digest(`pq ${card}`)),
      };
      IDENTITIES.set(this.#seed + card, identity);
    }
    return identity;
  }

  /** Both signatures of the person in `seat`, with the card that is bound to the seat now (or with another one). */
  sign(seat: string, payload: string, card = cardOf(this.state, 'identity-card', seat) ?? ''): SignaturePair {
    const known = [this.#seed, seat, card, payload].join(' ');
    let pair = SIGNATURES.get(known);
    if (!pair) {
      const { classical, pq } = this.identity(card);
      const [first, second] = headersOf({ signer: seat, classical, pq });
      pair = [
        { protected: first, signature: toBase64url(p256.sign(signingInput(first, payload), this.#digest(`classical ${card}`))) },
        { protected: second, signature: toBase64url(signMlDsa65(this.#digest(`pq ${card}`), signingInput(second, payload), this.#digest(`hedge ${payload}`))) },
      ];
      SIGNATURES.set(known, pair);
    }
    return pair;
  }

  // --- what goes as planned ----------------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    const { script } = readScript(scriptText(this.#options));
    assert.ok(script, 'a script without faults');
    const chosen = { algorithm: this.#options.algorithm, place: this.#options.place, custodians: this.#options.custodians, shares: this.#options.shares, threshold: this.#options.threshold, use: this.#options.use, pin: this.#options.pin };
    const parameters: Parameters = { ...script.defaults, ...Object.fromEntries(Object.entries(chosen).filter(([key, value]) => value !== undefined && Object.hasOwn(script.parameters, key))) as Parameters };
    const plan = planOf(script, parameters);
    const bound = (serial: string) => ({ module: MODULE, serial });
    const real = this.#options.mode === 'real';
    this.append('opened', {
      format: 'conclave-transcript/1', script: script.text, parameters, mode: this.#options.mode ?? 'rehearsal',
      people: plan.seats.map(({ id }) => ({ seat: id, name: this.#options.people?.[id] ?? NAMES[id] ?? `Person ${id}` })),
      bindings: {
        tokens: Object.fromEntries(plan.tokens.map((token) => [token, bound(`TOKEN-${token}`)])),
        cards: Object.fromEntries(Object.entries(plan.room.cards).map(([card, spec]) => [card, Object.fromEntries(
          plan.seats.filter((seat) => spec.for === 'person' || (spec.optional === true ? rehearsalSeats(plan, card).includes(seat.id) : seat.role === 'custodian')).map((seat) => [seat.id, bound(card === 'share-card' ? `SHARE-${seat.id}` : card === 'new-share-card' ? `NEW-${seat.id}` : this.#options.identityCards?.[seat.id] ?? `CARD-${seat.id}`)]))])),
      },
      modules: [{
        name: MODULE, kind: real ? 'pkcs11' : 'software', path: real ? '/usr/lib/vendor/libvendor.so' : '(embedded)', sha256: toHex(this.#digest('module')),
        library: real ? 'A vendor\'s library' : 'Conclave software token', version: '1.0',
      }],
      recorder: this.#newRecorder(), app: { version: '0.1.0', build: toHex(this.#digest('build')) },
      runtime: { node: '24.21.0', electron: null, development: false }, clock: 'system clock, UTC', warnings: [...this.#options.warnings ?? []],
      inputs: await this.#inputs(plan), ...(this.#options.after !== undefined || plan.steps.some((step) => step.do.action === 'administer')) && { after: this.#options.after ?? null },
    });
  }

  /** The files that people bring: of a CA that is there before, of a subordinate, of another CA. */
  async #inputs(plan: Plan): Promise<Record<string, Input>> {
    const inputs: Record<string, Input> = {};
    for (const [name, { kind }] of Object.entries(plan.inputs)) {
      const file = (bytes: Uint8Array) => { inputs[name] = { kind, file: `${name}.${kind}`, bytes: toBase64url(bytes) }; };
      switch (kind) {
        case 'key': file(utf8(JSON.stringify(await this.#ca(plan.tokens[0])))); break;
        case 'request': {
          const key = makeKey('ecdsa-p256', this.#digest('subordinate'));
          file((await makeRequest({ commonName: 'Example Issuing CA' }, 'ecdsa-p256', key.spki, (tbs) => key.sign(tbs))).der);
          break;
        }
        case 'stated-request': file(await this.#statedRequest(readKeyRecord(fromBase64url(inputs['ca']?.bytes ?? '')).certificate ?? assert.fail('no certificate'))); break;
        case 'certificate': file(await this.#selfSigned(makeKey('ecdsa-p384', this.#digest('other')), 'Another Root CA')); break;
        case 'revocations': file(utf8('# Example\n1a2b3c4d5e6f7081,2026-01-02T03:04:05Z,keyCompromise\n')); break;
        case 'copies': file(utf8(JSON.stringify({ ...this.#options.copies ?? COPIES, mode: this.#options.mode ?? 'rehearsal' }))); break;
        case 'backup': file(utf8(JSON.stringify(await this.#backup(plan)))); break;
        case 'recipient': file(this.#agent()); break;
        case 'recipients': file(utf8(plan.seats.flatMap(({ id, role }) => (role === 'custodian' ? [pem('PUBLIC KEY', this.#agent(id))] : [])).join(''))); break;
        case 'escrow': case 'envelope': {
          const back = returnStep(plan);
          if (back) {
            file(this.#copied(await this.#backup(plan), back.share, this.#agent('custodian-1')));
            break;
          }
          const { escrow, envelope } = this.#escrow(await this.#backup(plan));
          file(kind === 'escrow' ? utf8(JSON.stringify(escrow)) : envelope);
          break;
        }
        case 'activation': if (plan.inputs[name]?.optional !== true || this.#options.former === true) file(utf8(JSON.stringify(this.#activation(plan)))); break;
        case 'certificates': if (this.#options.certificates) file(utf8(this.#options.certificates.map((der) => pem('CERTIFICATE', der)).join(''))); break;
        case 'movements': file(utf8(this.#options.movements ?? MOVEMENTS)); break;
        case 'crl': if (this.#options.previous === true) file(await this.#previousCrl(inputs)); break;
      }
    }
    return inputs;
  }

  /** The public key of an escrow agent, or of somebody else. */
  #agent(who = 'agent'): Uint8Array {
    const { publicKey } = ML_KEM['ml-kem-768'].keygen(concat(this.#digest(`${who} d`).subarray(0, 32), this.#digest(`${who} z`).subarray(0, 32)));
    return subjectKeyOf(ML_KEMS['ml-kem-768'].oid, null, publicKey).spki;
  }

  /** What an earlier ceremony left of this backup. */
  #escrow(backup: BackupRecord): { readonly escrow: EscrowRecord; readonly envelope: Uint8Array } {
    const terms: EscrowTerms = {
      format: 'conclave-escrow/1', mode: backup.mode, ceremony: 'cd'.repeat(16), key: { identity: identityOfRecord(backup), label: backup.label, algorithm: backup.key.algorithm },
      set: { id: backup.set.id, epoch: backup.set.epoch }, agent: { name: 'Example Escrow Agent', ...agentIn(this.#agent()) },
      purpose: 'Continuity', authority: 'The board', conditions: 'A written request of the owner',
    };
    const envelope = this.#sealed(terms);
    return { escrow: { ...terms, sha256: toHex(sha256(envelope)) }, envelope };
  }

  #sealed(terms: EscrowTerms): Uint8Array {
    return this.#envelope(this.#agent(), { content: this.#digest('backup key'), description: escrowWords(terms), contentIdentifier: termsDigest(terms) });
  }

  /** The envelope of a share that nobody has ever seen. */
  #copied(record: BackupRecord, x: number, spki: Uint8Array): Uint8Array {
    return this.#envelope(spki, { content: concat(...Array.from({ length: 9 }, () => this.#digest(`share record ${x}`))), ...copySealing(record, x) });
  }

  #envelope(spki: Uint8Array, sealing: Omit<Sealing, 'recipients'>): Uint8Array {
    const recipient = recipientOfKey(readSubjectKey(spki));
    const randomness = concat(...Array.from({ length: Math.ceil(sealingRandomness([recipient]) / 32) }, (_, i) => this.#digest(`sealing ${i}`))).subarray(0, sealingRandomness([recipient]));
    return sealEnvelope({ ...sealing, recipients: [recipient] }, randomness);
  }

  /** By somebody whose signing key the CA has certified, for a KEM key that is always the same. */
  async #statedRequest(issuer: string): Promise<Uint8Array> {
    const holder = makeKey('ecdsa-p256', this.#digest('holder'));
    const { der: request } = await makeRequest({ commonName: 'Example Holder' }, 'ecdsa-p256', holder.spki, (tbs) => holder.sign(tbs));
    const ca = this.#keyFor(this.#options.ca?.algorithm ?? 'MLDSA65-ECDSA-P256-SHA512');
    const { der: certificate } = await this.#signed({
      algorithm: ca.algorithm, issuerKey: ca.spki, serialNumber: Uint8Array.from([0x41, ...this.#digest('serial holder').subarray(0, 15)]),
      notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2028-01-01T00:00:00Z'), pathLength: null,
      order: { kind: 'end-entity', request, issuer: fromBase64url(issuer) },
    }, ca);
    const { publicKey } = ML_KEM['ml-kem-768'].keygen(concat(this.#digest('kem d').subarray(0, 32), this.#digest('kem z').subarray(0, 32)));
    return (await makeStatedRequest(subjectKeyOf(ML_KEMS['ml-kem-768'].oid, null, publicKey).spki, certificate, (tbs) => holder.sign(tbs))).der;
  }

  /** What this CA signed before: one certificate on hold, and one that the new list speaks of again. */
  async #previousCrl(inputs: Readonly<Record<string, Input>>): Promise<Uint8Array> {
    const { key, certificate } = readKeyRecord(fromBase64url(inputs['ca']?.bytes ?? ''));
    const signing = this.#keyFor(key.algorithm);
    return (await this.#signedCrl({
      algorithm: key.algorithm, issuerKey: signing.spki, issuer: fromBase64url(certificate ?? assert.fail('no certificate')), number: 41n,
      thisUpdate: new Date('2026-02-01T00:00:00Z'), nextUpdate: new Date('2026-03-08T00:00:00Z'),
      revoked: [
        { serialNumber: fromHex('0badc0de0badc0de'), date: new Date('2026-01-31T12:00:00Z'), reason: 'superseded' },
        { serialNumber: fromHex('1a2b3c4d5e6f7081'), date: new Date('2026-01-31T12:00:00Z'), reason: 'certificateHold' },
      ],
    }, signing)).der;
  }

  /** Like `#signed`, for a CRL. */
  async #signedCrl(profile: CrlProfile, key: ScriptedKey): Promise<{ readonly linted: Uint8Array; readonly tbs: Uint8Array; readonly der: Uint8Array }> {
    const throwaway = makeKey(key.algorithm, this.#digest('throwaway'));
    const linted = await throwawayLintCrl(profile, { spki: throwaway.spki, sign: (tbs) => throwaway.sign(tbs) });
    const { tbs, der } = await issueCrl(linted, (bytes) => key.sign(bytes));
    return { linted: linted.tbs, tbs, der };
  }

  /** A backup of the CA's key, 2 of as many as are here and one more: the cards are those that `#open` binds. */
  async #backup(plan: Plan): Promise<BackupRecord> {
    const { label, profile, key, certificate } = await this.#ca();
    const set = this.#broughtSet(plan);
    return {
      format: 'conclave-backup/1', mode: this.#options.mode ?? 'rehearsal', ceremony: 'ab'.repeat(16), label, token: 'TOKEN-first', profile, key, certificate,
      wrapped: this.#keyFor(key.algorithm).parts.map(({ part, pkcs8 }) => ({ part, mechanism: 'CKM_AES_KEY_WRAP_KWP', wrapped: toBase64url(aeskwp(this.#digest('backup key')).encrypt(pkcs8())) })),
      ...set,
    };
  }

  /** The set that opens the token `hsm`, on the same cards. */
  #activation(plan: Plan): ActivationRecord {
    const { serial, label, model, manufacturer } = tokenFacts(`TOKEN-${plan.tokens[0] ?? ''}`);
    return {
      format: 'conclave-activation/1', mode: this.#options.mode ?? 'rehearsal', ceremony: 'cd'.repeat(16), token: { serial, label, model, manufacturer },
      pin: { derivation: 'conclave-activation-pin/1', length: 32, whose: plan.steps.some(({ do: what }) => what.action === 'reset-user-pin') ? 'so' : plan.steps.flatMap(({ do: what }) => (what.action === 'make-activation-key' ? [what.pin ?? 'user'] : []))[0] ?? 'user' }, ...this.#broughtSet(plan),
    };
  }

  #broughtSet(plan: Plan): Pick<BackupRecord, 'set' | 'shares'> {
    const id = toBase64url(this.#digest('set').subarray(0, 16));
    const holders = [...plan.seats.filter((seat) => seat.role === 'custodian' && (plan.room.cards['share-card']?.optional !== true || rehearsalSeats(plan, 'share-card').includes(seat.id))).map((seat) => [`SHARE-${seat.id}`, this.#options.people?.[seat.id] ?? NAMES[seat.id] ?? `Person ${seat.id}`] as const), ['SHARE-elsewhere', 'Somebody else'] as const];
    return {
      set: { id, epoch: 1, threshold: 2, shares: holders.length, commitments: holders.map((_, i) => toBase64url(this.#digest(`share ${id} ${i + 1}`))), secret: toBase64url(this.#digest(`commitment ${id}`)) },
      shares: holders.map(([card, holder], i) => ({ x: i + 1, card, object: `share-of-${i + 1}`, holder })),
    };
  }

  /** The record of the CA's key; its parts are `this.#key`'s. */
  async #ca(on = 'ca-hsm'): Promise<KeyRecord> {
    const { algorithm, place } = this.#options.ca ?? { algorithm: 'MLDSA65-ECDSA-P256-SHA512', place: 'split' };
    const key = this.#keyFor(algorithm);
    const row = caAlgorithmNamed(algorithm);
    const wrapped = key.parts.some((part) => heldAt(place, part) === 'wrapped');
    return {
      format: 'conclave-key/1', label: 'Example CA', token: `TOKEN-${on}`, profile: 'profile' in row ? row.profile : null,
      key: {
        algorithm, spki: toBase64url(key.spki), wrapping: wrapped ? toHex(this.#digest('ca wrapping').subarray(0, 16)) : null,
        parts: key.parts.map((part) => {
          const held = heldAt(place, part);
          return {
            part: part.part, held, spki: toBase64url(part.spki), id: held === 'token' ? toHex(this.#digest(`ca ${part.part}`).subarray(0, 16)) : null,
            wrapped: held === 'wrapped' ? { mechanism: 'CKM_AES_KEY_WRAP_KWP', bytes: toBase64url(this.#digest(`ca wrapped ${part.part}`)) } : null,
          };
        }),
      },
      certificate: this.#options.uncertified === true ? null : toBase64url(await this.#selfSigned(key, 'Example CA')),
    };
  }

  async #selfSigned(key: ScriptedKey, commonName: string): Promise<Uint8Array> {
    const { der } = await this.#signed({
      algorithm: key.algorithm, issuerKey: key.spki, serialNumber: Uint8Array.from([0x41, ...this.#digest(`serial ${commonName}`).subarray(0, 15)]),
      notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2056-01-01T00:00:00Z'), pathLength: null, order: { kind: 'root', subject: { commonName } },
    }, key);
    return der;
  }

  /** Linted under a throwaway key, then signed. */
  async #signed(profile: CertificateProfile, key: ScriptedKey): Promise<{ readonly linted: Uint8Array; readonly tbs: Uint8Array; readonly der: Uint8Array }> {
    const throwaway = makeKey(key.algorithm, this.#digest('throwaway'));
    const linted = await throwawayLint(profile, { spki: throwaway.spki, sign: (tbs) => throwaway.sign(tbs) });
    const { tbs, der } = await issueCertificate(linted, (bytes) => key.sign(bytes));
    return { linted: linted.tbs, tbs, der };
  }

  #newRecorder(): PublicJwk {
    this.#recorders += 1;
    const raw = ed25519.getPublicKey(this.#digest(`recorder ${this.#recorders}`));
    return toJwk(publicKeyFromParts('ed25519', { raw })) as PublicJwk;
  }

  async #step(step: PlanStep): Promise<void> {
    const list = this.#happenings.get(step.id) ?? [];
    const happening = list.shift();
    if (happening && happening.kind !== 'fail' && happening.kind !== 'crash') {
      this.#happen(happening);
      return;
    }
    if (this.#notes > 0) {
      this.#notes -= 1;
      if (happening) list.unshift(happening);
      this.append('noted', { text: `Note ${this.#notes}: all is well.` });
      return;
    }
    if (step.do.action === 'wait') this.#clock = Math.max(this.#clock, Date.parse(waitsUntil(this.state, step.do.hours) ?? ''));
    if (isHuman(step.do.action)) {
      const input = step.do.action === 'confirm-input' ? this.state.opening?.inputs[step.do.input] : undefined;
      const { movement } = step;
      const evidence = movement ? { movement: movement.number, kind: movement.kind, identifier: movement.identifier } : step.do.action === 'confirm-script' ? { words: this.state.script?.words.join(' ') ?? '' } : step.do.action === 'set-state' ? await this.#compromised(step.do) : input ? { sha256: inputDigest(input) } : bagAt(this.state, step) ? { bag: this.bag(step) } : {};
      this.append('done', { begun: null, evidence }, { step: step.id, by: step.who });
      return;
    }
    this.append('begun', { intent: await this.#intent(step) }, { step: step.id, by: step.who });
    if (!happening) return this.#outcome(step);
    this.#afterwards = { found: happening.found ?? 'absent', decision: happening.decision ?? 'clear' };
    if (happening.kind === 'fail') {
      this.append('failed', {
        begun: this.#begun(), nothingChanged: happening.nothingChanged ?? true,
        error: { code: 'CKR_PIN_INCORRECT', message: 'The PIN is wrong.', hint: 'Let its holder try again, slowly.' },
      }, { step: step.id });
      return;
    }
    this.resume(happening.officer ?? 'same');
  }

  async #compromised({ key, to, reason, since }: Extract<PlanStep['do'], { action: 'set-state' }>): Promise<Evidence<'set-state'>> {
    const record = keyInput(this.state, key);
    const file = this.state.opening?.inputs['certificates'] ?? null;
    return { key: identityOfRecord(record), label: record.label, from: 'active', to, reason, since: sinceOf(since, record), ...await affectedBy(record, file), dependants: [] };
  }

  async #outcome(step: PlanStep): Promise<void> {
    const evidence = await this.#evidence(step);
    this.append('done', { begun: this.#begun(), evidence }, { step: step.id, by: step.who });
  }

  #begun(): number {
    return this.state.current?.begun ?? assert.fail('nothing was begun');
  }

  #happen(happening: Exclude<Happening, { kind: 'fail' | 'crash' }>): void {
    switch (happening.kind) {
      case 'note':
        this.append('noted', { text: happening.text }, { by: 'witness' });
        return;
      case 'exception':
        this.append('exception', { number: this.state.exceptions + 1, expected: 'The lamp on the token turns green.', happened: 'It stayed dark.', decided: 'The lamp is broken; we go on.' }, { by: 'officer', ...mayBeExcepted(this.state, this.state.current?.step.id ?? '') && { step: this.state.current?.step.id ?? '' } });
        return;
      case 'break':
        this.append('break', { present: happening.present ?? this.state.people.length, reason: 'Lunch.' }, { by: 'officer' });
        return;
      case 'disagree': {
        const words = happening.words ?? 'I did not see the serial number myself.';
        const statement = disagreementStatement(this.state, happening.seat, words);
        this.append('disagreed', { words, statement, signatures: this.sign(happening.seat, statement) }, { by: happening.seat });
        return;
      }
      case 'lost':
        this.append('lost', { module: happening.module ?? MODULE, how: 'killed', detail: 'signal SIGSEGV' });
        return;
      case 'abort':
        this.append('aborted', { reason: 'The token does not answer any more.', left: [...happening.left ?? []] }, { by: 'officer' });
        return;
      case 'stop':
        this.#stopped = true;
        return;
      case 'resume':
        this.resume(happening.officer ?? 'same', happening.present);
        return;
    }
  }

  /** The record goes on under a new recorder key. */
  resume(officer: 'same' | 'another' = 'same', present?: readonly string[]): void {
    const another = officer === 'another' ? { name: `Olga Nachfolger ${this.state.resumptions + 1}`, card: { module: MODULE, serial: `CARD-officer-${this.state.resumptions + 2}` } } : null;
    this.append('resumed', { recorder: this.#newRecorder(), present: [...present ?? this.state.people.map((person) => person.seat)], officer: another, reason: 'The machine lost its power.' });
  }

  #observed(state: Observation['state']): Observation {
    const id = (this.state.current?.intent as Partial<Intent<'generate-key'>> | null)?.ids?.[0] ?? '';
    const half = (kind: 'private-key' | 'public-key'): ObjectFact => ({ class: kind, id, label: 'Root CA', keyType: 'CKK_EC' });
    switch (state) {
      case 'none': case 'absent': return { state, objects: [], detail: 'no object with this CKA_ID' };
      case 'half': return { state, objects: [half('public-key')], detail: 'a public key without its private key' };
      case 'present': return { state, objects: [half('private-key'), half('public-key')], detail: 'a whole key pair' };
    }
  }

  /** The number on the bag of this step: of one that is opened the one it was closed with, of every other a new one. */
  bag(step: PlanStep): string {
    const { what, way } = bagAt(this.state, step) ?? assert.fail('no bag');
    return (way === 'opened' ? this.state.away.closed[what] : undefined) ?? this.#options.bags?.[way]?.[what] ?? `B-${this.state.ceremony.slice(0, 4)}-${this.state.count}`;
  }

  #openedBag(step: PlanStep): Pick<Intent<'read-back-share'>, 'bag'> {
    const bag = bagAt(this.state, step);
    return bag?.way === 'opened' ? { bag: { number: this.bag(step), expected: this.state.away.closed[bag.what] ?? null } } : {};
  }

  async #intent(step: PlanStep): Promise<Intent> {
    const { state } = this;
    const card = cardOf(state, 'identity-card', step.who) ?? '';
    const token = 'on' in step.do ? state.opening?.bindings.tokens[step.do.on ?? '']?.serial ?? '' : state.key?.token ?? '';
    const ids = state.key ? keyIds(state.key) : [];
    const set = state.backup?.set.id ?? '';
    switch (step.do.action) {
      case 'confirm-script': case 'confirm-input': case 'wait': case 'set-state': case 'put-away': case 'hand-over': case 'wipe-backup-key': return step.do.action === 'wipe-backup-key' ? { set } : {};
      case 'locate-copies': case 'confirm-gone': return { copies: listOf(state.destruction).copies.length };
      case 'approve': return { card, nonce: toBase64url(this.#digest(`nonce ${this.#counter++}`)), expires: new Date(this.#clock + 30 * 86_400_000).toISOString() };
      case 'destroy-copies': return { copy: nextCopy(state.destruction)?.number ?? 0, left: null };
      case 'enrol': return { card, id: this.#fresh(16), challenge: toBase64url(this.#digest(`challenge ${this.#counter++}`)) };
      case 'inspect-token': case 'take-inventory': return { token };
      case 'test-random': return { token, bytes: step.do.bytes };
      case 'generate-key': {
        const { label, algorithm, place = 'token' } = step.do;
        return { token, ids: Array.from({ length: idsNeeded(algorithm, place) }, () => this.#fresh(16)), label, algorithm, place };
      }
      case 'open-key': return { token, ids: keyIds(keyInput(state, step.do.from).key) };
      case 'prove-key': case 'lock-key': return { token, ids };
      case 'compare-keys': return { token, ids: keyIds(keyInput(state, step.do.from).key), with: state.key?.token ?? '', nonces: [0, 1].map(() => toBase64url(this.#digest(`nonce ${this.#counter++}`))) as [string, string] };
      case 'sign-crl': return { token, ids, number: `${await crlNumber(state, step.do)}`, thisUpdate: '2026-03-02T09:00:00.000Z', nextUpdate: '2026-09-02T09:00:00.000Z' };
      case 'issue-certificate':
        return { token, ids, serialNumber: `4${this.#fresh(16).slice(1)}`, notBefore: '2026-03-02T09:00:00.000Z', notAfter: `${2026 + step.do.years}-03-02T09:00:00.000Z` };
      case 'make-backup-key': return { token, set: toBase64url(fromHex(this.#fresh(16))), epoch: (state.backup?.set.epoch ?? 0) + 1 };
      case 'wrap-key': return { token, ids, set };
      case 'give-share':
        return { card: cardOf(state, step.do.card ?? 'share-card', step.who) ?? '', object: `share-${this.#fresh(4)}`, set, x: shareNumber(state, step.who), erases: [...state.voidShares[step.who] ?? []], ...this.#openedBag(step) };
      case 'read-back-share': {
        const share = state.backup?.given[step.who] ?? assert.fail('no share to read back');
        return { card: share.card, object: share.object, set, x: share.x, ...this.#openedBag(step) };
      }
      case 'seal-escrow': case 'prove-recovery': {
        const custodians = Object.keys(state.backup?.given ?? {});
        const { threshold } = state.backup?.set ?? assert.fail('no set');
        return { token, set, quorum: custodians.slice(custodians.length - threshold), nonce: toBase64url(this.#digest(`nonce ${this.#counter++}`)) };
      }
      case 'release-escrow': {
        const record = backupInput(state.opening?.inputs, step.do.from);
        return {
          token, ids: Array.from({ length: idsToRestore(record) }, () => this.#fresh(16)), label: record.label,
          envelope: releaseOf(state.opening?.inputs, step.do.escrow).sha256, nonce: toBase64url(this.#digest(`nonce ${this.#counter++}`)),
        };
      }
      case 'restore-key': {
        const record = backupInput(state.opening?.inputs, step.do.from);
        const custodians = Object.keys(state.backup?.given ?? {});
        return {
          token, ids: Array.from({ length: idsToRestore(record) }, () => this.#fresh(16)), label: record.label, set,
          quorum: custodians.slice(custodians.length - record.set.threshold), nonce: toBase64url(this.#digest(`nonce ${this.#counter++}`)),
        };
      }
      case 'renew-shares': {
        const { given, set: { threshold } } = state.renewal?.old ?? state.backup ?? assert.fail('no set');
        return { token, set, epoch: (state.backup?.set.epoch ?? 0) + 1, quorum: Object.keys(given).slice(-threshold), nonce: toBase64url(this.#digest(`nonce ${this.#counter++}`)) };
      }
      case 'retire-share': {
        const { given, set: { id, epoch } } = state.renewal?.old ?? assert.fail('no old set');
        const share = given[step.who] ?? assert.fail('no old share');
        return { card: share.card, object: share.object, set: id, epoch, x: share.x };
      }
      case 'make-activation-key': return { token, set: toBase64url(fromHex(this.#fresh(16))), epoch: nextEpoch(state) };
      case 'wipe-activation-key': return { set };
      case 'set-activation-pin': {
        const again = state.activation?.kind === 'made' && state.activation.pin === 'unknown';
        const former = again || !state.opening ? null : formerSet(state.opening, step.do);
        const drawn = (given: object, threshold: number) => Object.keys(given).slice(-threshold);
        const { given, set: { threshold } } = state.backup ?? assert.fail('no set');
        return { token, set, quorum: drawn(given, threshold), length: state.activation?.length ?? 0, again, former: former && { set: former.record.set.id, quorum: drawn(former.given, former.record.set.threshold) } };
      }
      case 'activate': return { token, set, quorum: Object.keys(state.backup?.given ?? {}).slice(-(state.backup?.set.threshold ?? 0)), purpose: step.do.for };
      case 'deactivate': return { token };
      case 'reset-user-pin': return { token, set, quorum: Object.keys(state.backup?.given ?? {}).slice(-(state.backup?.set.threshold ?? 0)) };
      case 'sign-seal': return { card, statement: sealStatement(state) };
      case 'sign-resume': return { card, statement: resumeStatement(state) };
      case 'zeroise-token': return { token, label: tokenFacts(token).label, seen: tokenFacts(token), typed: token };
      case 'administer': return this.changes[0]?.intent ?? { change: 'log-out' };
      case 'seal-copy': case 'write-copy': {
        const { card: on, object, x } = state.backup?.given[step.who] ?? assert.fail('no share');
        const own = { card: on, object, set, x, ...this.#openedBag(step) };
        return step.do.action === 'seal-copy' ? { ...own, recipient: agentIn(this.#agent(step.who)).sha256 } : { ...own, sheet: `S-${this.#fresh(4).toUpperCase()}` };
      }
      case 'open-copy': {
        const { x, identifier } = state.copies[step.who] ?? assert.fail('no envelope');
        return { set, x, envelope: identifier };
      }
      case 'return-share': return {
        card: cardOf(state, 'new-share-card', step.who) ?? '', object: `share-${this.#fresh(4)}`, set, x: step.do.share, erases: [...state.voidShares[step.who] ?? []], envelope: envelopeDigest(state.opening?.inputs, step.do),
      };
      case 'enter-component': case 'issue-component': return { token, set: state.components.set ?? toBase64url(fromHex(this.#fresh(16))), number: custodianNumber(state, step.who) };
      case 'form-key': return { token, set: state.components.set ?? '', id: this.#fresh(16), label: step.do.label, kind: step.do.kind, check: this.#checkOf(step.do, 'key') };
    }
  }

  async #evidence(step: PlanStep): Promise<Evidence> {
    const { state } = this;
    const { intent } = state.current ?? assert.fail('no step');
    const given = intent as Intent;
    switch (step.do.action) {
      case 'confirm-script': case 'confirm-input': case 'wait': case 'set-state': case 'put-away': case 'hand-over': return assert.fail('people alone');
      case 'locate-copies': case 'confirm-gone':
        return { seen: tokenCopies(listOf(state.destruction)).map(({ number }) => ({ copy: number, found: step.do.action === 'locate-copies' ? 1 : this.#options.stillThere?.includes(number) === true ? 1 : 0, why: '' })) };
      case 'approve': {
        const statement = approvalStatement(state, step, given as Intent<'approve'>, state.current?.headBefore ?? '');
        return { statement, signatures: this.sign(step.who, statement) };
      }
      case 'destroy-copies': {
        const { copy } = given as Intent<'destroy-copies'>;
        const { means } = listOf(state.destruction).copies[copy - 1]?.by ?? assert.fail('no such copy');
        return means === 'token' ? { copy, how: 'token', device: { before: 1, after: 0, use: { tried: 'a signature under the old handle', worked: this.#options.stillSigns?.includes(copy) === true, answer: 'CKR_KEY_HANDLE_INVALID' } } } : { copy, how: means === 'people' ? 'people' : 'pending' };
      }
      case 'zeroise-token': {
        const { token } = given as Intent<'zeroise-token'>;
        this.#objects = [];
        return { before: tokenFacts(token), after: { ...tokenFacts(token), flags: tokenFacts(token).flags.filter((flag) => flag !== 'CKF_USER_PIN_INITIALIZED') }, objects: [] };
      }
      case 'administer': return { result: this.changes.shift()?.result ?? {} };
      case 'enrol': {
        const { card, challenge } = given as Intent<'enrol'>;
        const { classical, pq } = this.identity(card);
        const statement = presenceStatement(state, step.who, challenge, state.current?.headBefore ?? '');
        const identity: Identity = { classical: toJwk(classical) as PublicJwk, pq: toJwk(pq) as PublicJwk, held: { classical: 'token', pq: 'sealed-seed' } };
        return { card: tokenFacts(card), identity, made: true, statement, signatures: this.sign(step.who, statement, card) };
      }
      case 'inspect-token': {
        const { algorithm, needs } = step.do;
        return {
          token: tokenFacts((given as Intent<'inspect-token'>).token), module: state.opening?.modules[0] ?? assert.fail('no module'),
          mechanisms: ['CKM_EC_KEY_PAIR_GEN', 'CKM_ECDSA', 'CKM_AES_KEY_GEN', 'CKM_AES_KEY_WRAP_KWP'],
          needs: needs.map((name) => ({ name, proof: 'verified' as const, detail: `${name} with ${algorithm ?? ''}, tried with session objects` })),
        };
      }
      case 'test-random': return {
        bytes: step.do.bytes, claim: 'These tests find a source that is broken, not one that is weak.',
        tests: [
          { name: 'byte frequencies', statistic: 'chi2 = 251.3', limit: '150 to 380', passed: true },
          { name: 'longest run', statistic: '16', limit: 'at most 40', passed: true },
        ],
      };
      case 'take-inventory': {
        const { token } = given as Intent<'take-inventory'>;
        return { token, objects: [...this.#objects], ...state.zeroised[token] !== undefined && { loggedIn: false as const, fresh: true as const } };
      }
      case 'generate-key': {
        const { token, ids, label, algorithm, place } = given as Intent<'generate-key'>;
        const extractable = step.do.attributes.extractable === 'until-locked';
        const { spki, parts, wrappingKey } = this.#shown(this.#keyFor(algorithm), place, ids, label, extractable);
        const halves = [...parts.flatMap((part) => [part.private, part.public]), wrappingKey].flatMap((half) => half ? [half] : []);
        this.#objects = [...this.#objects, ...halves.map(({ class: kind, id, keyType }): ObjectFact => ({ class: kind, id, label, keyType }))];
        return { token, spki, parts, wrappingKey };
      }
      case 'prove-key': {
        const { token, algorithm, label, parts } = state.key ?? assert.fail('no key');
        const shown = this.#shown(this.#keyFor(algorithm), placeOf(parts), keyIds(state.key ?? assert.fail('no key')), label, parts.some((part) => part.private?.extractable === true));
        return { token, ...withoutMechanism(shown), ...this.#restored && { parts: [...this.#restored] }, ...await this.#possession(algorithm) };
      }
      case 'open-key': {
        const { key, label, token } = keyInput(state, step.do.from);
        const backsUp = state.plan !== null && backsUpOpened(state.plan);
        return { token, ...withoutMechanism(this.#shown(this.#keyFor(key.algorithm), placeOf(key.parts), keyIds(key), label, backsUp)), ...await this.#possession(key.algorithm), ...backsUp && { leaving: key.parts.flatMap(({ held }) => (held === 'token' ? [{ trustedOnly: false, refused: null }] : [])) } };
      }
      case 'issue-certificate': {
        const { linted, tbs, der } = await this.#signed(certificateProfile(state, step.do, given as Intent<'issue-certificate'>), this.#keyFor(state.key?.algorithm ?? ''));
        return { lintedTbs: toBase64url(sha256(linted)), signedTbs: toBase64url(sha256(tbs)), lints: [...CERTIFICATE_LINTS], certificate: toBase64url(der) };
      }
      case 'sign-crl': {
        const { linted, tbs, der } = await this.#signedCrl(await crlProfile(state, step.do, given as Intent<'sign-crl'>), this.#keyFor(state.key?.algorithm ?? ''));
        return { lintedTbs: toBase64url(sha256(linted)), signedTbs: toBase64url(sha256(tbs)), lints: [...CRL_LINTS], crl: toBase64url(der) };
      }
      case 'make-backup-key': {
        const { set, epoch } = given as Intent<'make-backup-key'>;
        const { shares, threshold } = state.plan?.set ?? assert.fail('no set');
        const commitments = Array.from({ length: shares }, (_, i) => toBase64url(this.#digest(`share ${set} ${i + 1}`)));
        return { set: { id: set, epoch, threshold, shares, commitments, secret: toBase64url(this.#digest(`commitment ${set}`)) }, sources: ['token', 'system'], subsetsTried: 3 };
      }
      case 'wrap-key': {
        const { algorithm, parts } = state.key ?? assert.fail('no key');
        const backup = this.#digest(`backup key ${(given as Intent<'wrap-key'>).set}`);
        return {
          parts: this.#keyFor(algorithm).parts.map(({ part, pkcs8 }) => ({ part, mechanism: 'CKM_AES_KEY_WRAP_KWP', wrapped: toBase64url(aeskwp(backup).encrypt(pkcs8())) })),
          private: parts.flatMap((part) => part.private ? [part.private] : []),
        };
      }
      case 'give-share': {
        const { card, object, x, erases } = given as Intent<'give-share'>;
        return { card: tokenFacts(card), object, x, commitment: state.backup?.set.commitments[x - 1] ?? '', erased: erases };
      }
      case 'read-back-share': {
        const { card, object, x } = given as Intent<'read-back-share'>;
        return { card, object, x, commitment: state.backup?.set.commitments[x - 1] ?? '' };
      }
      case 'prove-recovery': {
        const { quorum, nonce } = given as Intent<'prove-recovery'>;
        const key = this.#keyFor(state.key?.algorithm ?? (step.do.from === undefined ? '' : backupInput(state.opening?.inputs, step.do.from).key.algorithm));
        return {
          quorum: this.#members(quorum),
          possession: { message: nonce, signature: toBase64url(await key.sign(fromBase64url(nonce))) }, destroyed: true,
        };
      }
      case 'seal-escrow': {
        const { quorum, nonce } = given as Intent<'seal-escrow'>;
        const key = this.#keyFor(backupInput(state.opening?.inputs, step.do.from).key.algorithm);
        const agent = agentIn(fromBase64url(state.opening?.inputs[step.do.for]?.bytes ?? ''));
        return {
          quorum: this.#members(quorum), possession: { message: nonce, signature: toBase64url(await key.sign(fromBase64url(nonce))) }, destroyed: true,
          agent, envelope: toBase64url(this.#sealed(termsOf(state, step.do, agent))),
        };
      }
      case 'restore-key': case 'release-escrow': {
        const { token, ids, label, nonce } = given as Intent<'restore-key' | 'release-escrow'>;
        const { key } = backupInput(state.opening?.inputs, step.do.from);
        const shown = withoutMechanism(this.#shown(this.#keyFor(key.algorithm), placeOf(key.parts), ids, label, false));
        const parts = shown.parts.map((part) => ({
          ...part, private: part.private && { ...part.private, alwaysSensitive: false, neverExtractable: false, local: false },
          wrapped: part.wrapped && { ...part.wrapped, bytes: toBase64url(this.#digest(`wrapped anew ${part.part}`)) },
        }));
        this.#restored = parts;
        const made = [...parts.flatMap((part) => [part.private, part.public]), shown.wrappingKey].flatMap((half) => half ? [half] : []);
        this.#objects = [...this.#objects, ...made.map(({ class: kind, id, keyType }): ObjectFact => ({ class: kind, id, label, keyType }))];
        const restored = { token, ...shown, parts, weakTests: ['WEAK-POINT'], possession: { message: nonce, signature: toBase64url(await this.#keyFor(key.algorithm).sign(fromBase64url(nonce))) }, enforced: true };
        return step.do.action === 'release-escrow' ? { ...restored, agent: releaseOf(state.opening?.inputs, step.do.escrow).agent.sha256 }
          : { ...restored, quorum: this.#members((given as Intent<'restore-key'>).quorum) };
      }
      case 'renew-shares': {
        const { set, epoch, quorum, nonce } = given as Intent<'renew-shares'>;
        const old = state.renewal?.old ?? state.backup ?? assert.fail('no set');
        const { shares, threshold } = state.plan?.set ?? assert.fail('no set');
        const key = this.#keyFor(backupInput(state.opening?.inputs, step.do.from).key.algorithm);
        return {
          set: { id: set, epoch, threshold, shares, commitments: Array.from({ length: shares }, (_, i) => toBase64url(this.#digest(`share ${set} ${epoch} ${i + 1}`))), secret: old.set.secret }, subsetsTried: 3,
          quorum: quorum.map((seat) => ({ seat, card: old.given[seat]?.card ?? '', x: old.given[seat]?.x ?? 0 })),
          possession: { message: nonce, signature: toBase64url(await key.sign(fromBase64url(nonce))) }, destroyed: true,
        };
      }
      case 'retire-share': {
        const { card, object, x } = given as Intent<'retire-share'>;
        return { card, object, x, device: { before: 1, after: 0, use: { tried: 'its attributes read under the old handle', worked: false, answer: 'CKR_OBJECT_HANDLE_INVALID' } } };
      }
      case 'seal-copy': case 'write-copy': {
        const { card, object, x } = given as Intent<'seal-copy' | 'write-copy'>;
        const own = { card, object, x, commitment: state.backup?.set.commitments[x - 1] ?? '' };
        if (step.do.action === 'write-copy') return { ...own, sheet: (given as Intent<'write-copy'>).sheet, readBack: true };
        const spki = this.#agent(step.who);
        return { ...own, recipient: agentIn(spki), envelope: toBase64url(this.#copied(backupInput(state.opening?.inputs, step.do.from), x, spki)) };
      }
      case 'open-copy': {
        const { x, envelope } = given as Intent<'open-copy'>;
        return { x, envelope, commitment: state.backup?.set.commitments[x - 1] ?? '', opener: agentIn(this.#agent(step.who)).sha256 };
      }
      case 'return-share': {
        const { card, object, x, erases } = given as Intent<'return-share'>;
        return { card: tokenFacts(card), object, x, commitment: state.backup?.set.commitments[x - 1] ?? '', erased: erases };
      }
      case 'enter-component': return { number: (given as Intent<'enter-component'>).number, check: this.#checkOf(step.do, step.who) };
      case 'issue-component': return { number: (given as Intent<'issue-component'>).number, check: this.#checkOf(step.do, step.who), sources: ['token', 'system'], readBack: true };
      case 'form-key': {
        const { token, id, label, check } = given as Intent<'form-key'>;
        const [does, undoes] = USES[step.do.use];
        const secret = { ...wrappingAttributes(id, label), modifiable: false, alwaysSensitive: false, neverExtractable: false, local: false, sign: false, verify: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, derive: false, generatedBy: null, [does]: true, [undoes]: true };
        this.#objects = [...this.#objects, { class: 'secret-key', id, label, keyType: 'CKK_AES' }];
        return {
          token, components: Object.keys(state.components.entered).length, secret, check: { method: 'none', value: '' }, total: check, by: 'use',
          tried: [{ name: 'as its components', detail: 'The token unwrapped a fresh key that software wrapped with the components.' }], wiped: state.components.alive ? 'overwritten' : 'process-ended',
        };
      }
      case 'compare-keys': {
        const { token: primary, with: second, nonces } = given as Intent<'compare-keys'>;
        const { key, label } = keyInput(state, step.do.from);
        const proof = async (nonce: string) => ({ weakTests: ['WEAK-POINT'], possession: { message: nonce, signature: toBase64url(await this.#keyFor(key.algorithm).sign(fromBase64url(nonce))) } });
        const own = withoutMechanism(this.#shown(this.#keyFor(key.algorithm), placeOf(key.parts), keyIds(key), label, false));
        return {
          primary: { token: primary, ...own, parts: own.parts.map((part, index) => ({ ...part, wrapped: key.parts[index]?.wrapped ?? null })), ...await proof(nonces[0]) },
          second: { token: second, ...withoutMechanism(this.#shown(this.#keyFor(key.algorithm), placeOf(key.parts), keyIds(state.key ?? assert.fail('no key')), label, false)), ...this.#restored && { parts: [...this.#restored] }, ...await proof(nonces[1]) },
        };
      }
      case 'lock-key': return { private: (state.key?.parts ?? []).flatMap((part) => part.private ? [{ ...part.private, extractable: false }] : []), enforced: true };
      case 'wipe-backup-key': return { how: state.backup?.alive === true ? 'overwritten' : 'process-ended' };
      case 'make-activation-key': {
        const { set, epoch } = given as Intent<'make-activation-key'>;
        const { shares, threshold } = state.plan?.set ?? assert.fail('no set');
        const commitments = Array.from({ length: shares }, (_, i) => toBase64url(this.#digest(`share ${set} ${i + 1}`)));
        return { set: { id: set, epoch, threshold, shares, commitments, secret: toBase64url(this.#digest(`commitment ${set}`)) }, sources: ['token', 'system'], subsetsTried: 3, length: 32 };
      }
      case 'wipe-activation-key': return { how: state.backup?.alive === true ? 'overwritten' : 'process-ended' };
      case 'set-activation-pin': case 'activate': case 'reset-user-pin': {
        const { token, quorum, former } = given as Intent<'set-activation-pin'>;
        const named = (seats: readonly string[], shares: Readonly<Record<string, { readonly card: string; readonly x: number }>>) => seats.map((seat) => ({ seat, card: shares[seat]?.card ?? '', x: shares[seat]?.x ?? 0 }));
        const here = { token: tokenFacts(token), quorum: named(quorum, state.backup?.given ?? {}) };
        if (step.do.action !== 'set-activation-pin') return here;
        const old = former && state.opening ? formerSet(state.opening, step.do) : null;
        return { ...here, former: former && named(former.quorum, old?.given ?? {}) };
      }
      case 'deactivate': {
        const { token } = given as Intent<'deactivate'>;
        const secret = this.#objects.filter(({ class: kind }) => kind === 'private-key' || kind === 'secret-key').length;
        return state.activation?.kind === 'brought' && state.activation.login === 'open' ? { token, how: 'logged-out', before: secret, after: 0, loggedIn: false } : { token, how: 'ended' };
      }
      case 'sign-seal': case 'sign-resume': return { signatures: this.sign(step.who, (given as Intent<'sign-seal'>).statement) };
    }
  }

  /** A check value as it would be of a component, or of the key. */
  #checkOf({ check }: { readonly check: CheckMethod }, of: string): ComponentCheck {
    return { method: METHOD_OF[check], value: toHex(this.#digest(`check value ${of}`)).slice(0, 6) };
  }

  #members(quorum: readonly string[]): Evidence<'prove-recovery'>['quorum'] {
    return quorum.map((seat) => ({ seat, card: this.state.backup?.given[seat]?.card ?? '', x: this.state.backup?.given[seat]?.x ?? 0 }));
  }

  /** The ceremony's one key. */
  #keyFor(algorithm: string): ScriptedKey {
    this.#key ??= makeKey(algorithm, this.#digest('root key'));
    assert.equal(this.#key.algorithm, algorithm, 'one key in a ceremony');
    return this.#key;
  }

  /** What is shown of a key whose parts live as `place` says, under these CKA_IDs. */
  #shown(key: ScriptedKey, place: Placement, ids: readonly string[], label: string, extractable: boolean): Pick<Evidence<'generate-key'>, 'spki' | 'parts' | 'wrappingKey'> {
    const left = [...ids];
    const parts = key.parts.map(({ part, name, spki }): KeyPart => {
      const held = heldAt(place, { part });
      const common = { part, algorithm: name, held, spki: toBase64url(spki) } as const;
      if (held === 'wrapped') {
        const wrapped = { mechanism: 'CKM_AES_KEY_WRAP_KWP', bytes: toBase64url(this.#digest(`wrapped ${part}`)) };
        return { ...common, mechanism: 'noble', private: null, public: null, wrapped, proof: 'verified' };
      }
      const id = left.shift() ?? assert.fail('a CKA_ID for every part on the token');
      const kind = name.startsWith('ml-dsa') ? 'ML_DSA' : 'EC';
      const halves = { private: attributes('private-key', kind, id, label, extractable), public: attributes('public-key', kind, id, label, null) };
      return { ...common, mechanism: `CKM_${kind}_KEY_PAIR_GEN`, ...halves, wrapped: null, proof: 'reported' };
    });
    const wrapping = left.shift();
    return { spki: toBase64url(key.spki), parts, wrappingKey: wrapping === undefined ? null : wrappingAttributes(wrapping, label) };
  }

  async #possession(algorithm: string): Promise<Pick<Evidence<'prove-key'>, 'weakTests' | 'possession'>> {
    const message = this.#digest(`possession ${this.#counter++}`);
    return { weakTests: ['WEAK-POINT'], possession: { message: toBase64url(message), signature: toBase64url(await this.#keyFor(algorithm).sign(message)) } };
  }

  #fresh(bytes: number): string {
    return toHex(this.#digest(`fresh ${this.#counter++}`).subarray(0, bytes));
  }

  #digest(of: string): Uint8Array {
    return sha256(utf8(`${this.#seed} ${of}`));
  }
}

/** Keys and signatures cost most of a record's time, and records are alike until something happens in one of them. */
const SIGNATURES = new Map<string, SignaturePair>();
const IDENTITIES = new Map<string, { readonly classical: PublicKey; readonly pq: PublicKey }>();

function tokenFacts(serial: string): TokenFacts {
  return {
    serial, label: `REHEARSAL ${serial}`.slice(0, 32), model: 'Software token', manufacturer: 'Conclave', firmware: '1.0', hardware: '1.0',
    flags: ['CKF_RNG', 'CKF_LOGIN_REQUIRED', 'CKF_USER_PIN_INITIALIZED', 'CKF_TOKEN_INITIALIZED'],
  };
}

function attributes(half: 'private-key' | 'public-key', kind: 'EC' | 'ML_DSA', id: string, label: string, extractable: boolean | null): KeyAttributes {
  const secret = half === 'private-key';
  return {
    class: half, keyType: `CKK_${kind}`, id, label, token: true, private: secret, sensitive: secret ? true : null, extractable,
    alwaysSensitive: secret ? true : null, neverExtractable: secret ? extractable !== true : null, local: true, modifiable: true,
    sign: secret ? true : null, verify: secret ? null : true, encrypt: secret ? null : false, decrypt: secret ? false : null, wrap: secret ? null : false,
    unwrap: secret ? false : null, derive: false, generatedBy: `CKM_${kind}_KEY_PAIR_GEN`, keysRemaining: null,
  };
}

function wrappingAttributes(id: string, label: string): KeyAttributes {
  return {
    class: 'secret-key', keyType: 'CKK_AES', id, label, token: true, private: true, sensitive: true, extractable: false, alwaysSensitive: true,
    neverExtractable: true, local: true, modifiable: true, sign: false, verify: false, encrypt: false, decrypt: false, wrap: true, unwrap: true,
    derive: false, generatedBy: 'CKM_AES_KEY_GEN', keysRemaining: null,
  };
}

/** Where the parts of a key live, told from the parts. */
function placeOf(parts: readonly Pick<CeremonyKey['parts'][number], 'held'>[]): Placement {
  const held = new Set(parts.map((part) => part.held));
  return held.size === 2 ? 'split' : held.has('token') ? 'token' : 'wrapped';
}

function withoutMechanism<T extends { readonly parts: readonly KeyPart[] }>(shown: T) {
  return { ...shown, parts: shown.parts.map(({ mechanism: _made, ...part }) => part) };
}

/** A key of one or two parts, in software. */
interface ScriptedKey {
  readonly algorithm: string;
  readonly spki: Uint8Array;
  readonly parts: readonly { readonly part: Component['part']; readonly name: string; readonly spki: Uint8Array; readonly pkcs8: () => Uint8Array }[];
  /** The form that x509.ts and the record want: JOSE for classical keys, else the algorithm's own bytes. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** Classical, ML-DSA, and composites of them whose classical half has a row of its own. */
function makeKey(algorithm: string, seed: Uint8Array): ScriptedKey {
  const row = caAlgorithmNamed(algorithm);
  const components = componentsOf(row);
  if (row.family === 'composite-signature') {
    const [mlDsa, half] = components;
    const name = half?.row?.name as RootAlgorithmName;
    const pq = makeMlDsa(row.mlDsa, sha256(concat(seed, utf8('ml-dsa'))));
    const classical = makeRootKey(name, sha256(concat(seed, utf8('traditional'))));
    const traditional = (message: Uint8Array) => {
      const signature = classical.sign(message);
      return Promise.resolve(ALGORITHMS[name].family === 'ecdsa' ? ecdsaRawToDer(name as 'ecdsa-p256', signature) : signature);
    };
    const parts = [
      { part: 'ml-dsa', name: mlDsa?.name ?? '', spki: pq.spki, pkcs8: pq.pkcs8 },
      { part: 'traditional', name: half?.name ?? '', spki: classical.publicKey.spki, pkcs8: () => classical.pkcs8() },
    ] as const;
    return {
      algorithm, parts, spki: compositeFromParts(row, parts.map((part) => part.spki)),
      sign: (message) => signComposite(row, { mlDsa: (m, context) => Promise.resolve(pq.sign(m, context)), traditional }, message),
    };
  }
  if (row.family === 'ml-dsa') {
    const pq = makeMlDsa(row.name, seed);
    return { algorithm, spki: pq.spki, parts: [{ part: 'key', name: row.name, spki: pq.spki, pkcs8: pq.pkcs8 }], sign: (message) => Promise.resolve(pq.sign(message)) };
  }
  const key = makeRootKey(algorithm as RootAlgorithmName, seed);
  return {
    algorithm, spki: key.publicKey.spki, parts: [{ part: 'key', name: algorithm, spki: key.publicKey.spki, pkcs8: () => key.pkcs8() }],
    sign: (message) => Promise.resolve(key.sign(message)),
  };
}

function makeMlDsa(name: keyof typeof ML_DSA, seed: Uint8Array) {
  const { publicKey, secretKey } = ML_DSA[name].keygen(seed);
  return {
    spki: subjectKeyOf(ALGORITHMS[name].keyOid, null, publicKey).spki,
    sign: (message: Uint8Array, context: Uint8Array = new Uint8Array()) => ML_DSA[name].sign(message, secretKey, { context, extraEntropy: sha256(message) }),
    // Nobody looks behind the wrapping: the seed form of RFC 9881 is made by private-key.ts' own tests.
    pkcs8: () => concat(utf8('seed'), seed),
  };
}

interface RootKey {
  readonly publicKey: PublicKey;
  /** JOSE form. */
  sign(message: Uint8Array): Uint8Array;
  pkcs8(): Uint8Array;
}

function makeRootKey(algorithm: RootAlgorithmName, seed: Uint8Array): RootKey {
  const row = ALGORITHMS[algorithm];
  switch (row.family) {
    case 'ecdsa': {
      const curve = { 'ecdsa-p256': p256, 'ecdsa-p384': p384, 'ecdsa-p521': p521 }[row.name];
      // More bytes than the order has, reduced: FIPS 186-5 appendix A.2.1.
      const secret = curve.utils.randomSecretKey(concat(sha512(seed), sha512(sha512(seed))).slice(0, curve.lengths.seed));
      const publicKey = publicKeyFromParts(algorithm, { raw: curve.getPublicKey(secret, false) });
      return { publicKey, sign: (message) => curve.sign(message, secret), pkcs8: () => pkcs8({ ...toJwk(publicKey), d: toBase64url(secret) }) };
    }
    case 'eddsa': {
      const publicKey = publicKeyFromParts(algorithm, { raw: ed25519.getPublicKey(seed) });
      return { publicKey, sign: (message) => ed25519.sign(message, seed), pkcs8: () => pkcs8({ ...toJwk(publicKey), d: toBase64url(seed) }) };
    }
    case 'rsa': {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: row.modulusBits });
      return {
        publicKey: parsePublicKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })), algorithm),
        sign: (message) => new Uint8Array(nodeSign(row.hash.replace('-', ''), message, privateKey)),
        pkcs8: () => exported(privateKey),
      };
    }
  }
}

function pkcs8(jwk: object): Uint8Array {
  return exported(createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' }));
}

function exported(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: 'pkcs8' }));
}

/**
 * What somebody can do who holds the recorder's keys and nobody's card: the record with some entries changed, chained
 * and checkpointed anew. `edit` gives an entry back (changed or not), several in its place, or none. Nothing is checked.
 */
export function rewritten(record: ScriptedRecord, edit: (entry: Entry, index: number) => Entry | readonly Entry[] | null): string[] {
  const lines: string[] = [];
  const seed = record.options.seed ?? 'scripted';
  let recorder = 0;
  let prev = record.entries[0]?.prev ?? '';
  record.entries.forEach((entry, index) => {
    const edited = edit(entry, index) ?? [];
    for (const one of Array.isArray(edited) ? edited as readonly Entry[] : [edited as Entry]) {
      if (one.kind === 'opened' || one.kind === 'resumed') recorder += 1;
      let draft: Entry = { ...one, seq: lines.length, prev };
      if (draft.kind === 'checkpoint') {
        draft = { ...draft, data: { signature: toBase64url(ed25519.sign(checkpointMessage(draft), sha256(utf8(`${seed} recorder ${recorder}`)))) } };
      }
      const line = encodeLine(draft);
      lines.push(line);
      prev = toBase64url(sha512(utf8(line)));
    }
  });
  return lines;
}

/** A transcript file of these lines. */
export function fileOf(lines: readonly string[]): Uint8Array {
  return utf8(lines.map((line) => `${line}\n`).join(''));
}
