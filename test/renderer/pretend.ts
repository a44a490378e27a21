/**
 * A conductor that only pretends: it writes lines that `check` accepts, with made-up evidence, so that the page's logic
 * can be tested and looked at without devices. Its signatures are random bytes; a verdict would refuse every one.
 *
 * It must never be imported outside test/renderer.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  missingWitnesses,
  pendingAction,
  personAt,
  presenceStatement,
  resumeStatement,
  sealStatement,
  cardOf,
  custodianNumber,
  disagreementStatement,
  type Data,
  type Entry,
  type Kind,
  type State,
} from '../../ceremonies/ceremony.ts';
import type { Evidence, Intent, KeyAttributes, ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import { planOf, readScript, type PlanStep, type Parameters } from '../../ceremonies/script.ts';
import { encodeLine, Fold, pushLine } from '../../ceremonies/transcript.ts';
import type { Bindings, Estate, People } from '../../electron/contract.ts';

export const ROOT_CA = readFileSync(new URL('../../ceremonies/scripts/root-ca.yaml', import.meta.url), 'utf8');

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
              .filter((seat) => spec.for === 'person' || seat.role === 'custodian')
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

/** One room with one record. Every method appends what the real conductor would, checkpoints included. */
export class Room {
  readonly ceremony = hex(16);
  readonly lines: string[] = [];
  readonly labels: Record<string, string>;
  readonly #fold = new Fold();
  #at = Date.parse('2026-11-21T13:21:04.120Z');
  #key: KeyAttributes | null = null;
  #inventory: ObjectFact[] = [{ class: 'certificate', id: 'a1', label: 'Device certificate', keyType: 'X.509' }];
  onLines: (from: number, lines: readonly string[]) => void = () => undefined;

  constructor(options: RoomOptions = {}, text = ROOT_CA) {
    const { script } = readScript(text);
    if (!script) throw new Error('the script has faults');
    const parameters = { ...script.defaults, ...options.parameters };
    const made = bindingsFor(text, parameters, 'softhsm');
    this.labels = made.labels;
    this.#append(
      'opened',
      {
        format: 'conclave-transcript/1',
        script: text,
        parameters,
        mode: options.mode ?? 'rehearsal',
        people: options.people ?? peopleFor(text, parameters),
        bindings: options.bindings ?? made.bindings,
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
        if (!['confirm-script', 'put-away'].includes(pending.step.do.action)) this.begin();
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
          person.seat !== this.state.current?.step.who &&
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
  exception(by: string, expected: string, happened: string, decided: string): void {
    this.#append('exception', { number: this.state.exceptions + 1, expected, happened, decided }, { by });
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
                      this.state.current?.intent && 'id' in this.state.current.intent
                        ? this.state.current.intent.id
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
    const token = this.state.opening?.bindings.tokens['root-hsm']?.serial ?? '';
    const identity = cardOf(state, 'identity-card', step.who) ?? '';
    const set = state.backup?.set.id ?? '';
    const id = state.key?.id ?? '';
    switch (step.do.action) {
      case 'confirm-script':
      case 'put-away':
        return {};
      case 'enrol':
        return { card: identity, id: hex(16), challenge: b64(32) };
      case 'inspect-token':
      case 'take-inventory':
        return { token };
      case 'test-random':
        return { token, bytes: step.do.bytes };
      case 'generate-key':
        return { token, id: hex(16), label: step.do.label, algorithm: step.do.algorithm };
      case 'prove-key':
      case 'lock-key':
        return { token, id };
      case 'issue-certificate':
        return {
          token,
          id,
          serialNumber: hex(16),
          notBefore: '2026-11-21T00:00:00Z',
          notAfter: '2046-11-21T00:00:00Z',
        };
      case 'make-backup-key':
        return { token, set: b64(16), epoch: (state.backup?.set.epoch ?? 0) + 1 };
      case 'wrap-key':
        return { token, id, set };
      case 'give-share':
        return {
          card: cardOf(state, 'share-card', step.who) ?? '',
          object: `conclave-share-${hex(4)}`,
          set,
          x: custodianNumber(state, step.who),
          erases: [...(state.voidShares[step.who] ?? [])],
        };
      case 'read-back-share': {
        const share = state.backup?.given[step.who];
        return { card: share?.card ?? '', object: share?.object ?? '', set, x: share?.x ?? 0 };
      }
      case 'prove-recovery':
        return {
          token,
          set,
          quorum: Object.keys(state.backup?.given ?? {}).slice(-(state.backup?.set.threshold ?? 2)),
          nonce: b64(32),
        };
      case 'wipe-backup-key':
        return { set };
      case 'sign-seal':
        return { card: identity, statement: sealStatement(state) };
      case 'sign-resume':
        return { card: identity, statement: resumeStatement(state) };
    }
  }

  #evidence(step: PlanStep): Evidence {
    const { state } = this;
    const intent = (state.current?.intent ?? {}) as Record<string, never>;
    const label = (serial: string) => factsOf(serial, this.labels[serial] ?? 'a card');
    const possession = { message: b64(32), signature: b64(96) };
    const privateKey = (): KeyAttributes =>
      this.#key ?? {
        class: 'private-key',
        keyType: 'CKK_EC',
        id: intent['id'] ?? '',
        label: intent['label'] ?? '',
        token: true,
        private: true,
        sensitive: true,
        extractable: true,
        alwaysSensitive: true,
        neverExtractable: false,
        local: true,
        modifiable: true,
        sign: true,
        verify: null,
        encrypt: null,
        decrypt: false,
        wrap: null,
        unwrap: false,
        derive: false,
        generatedBy: 'CKM_EC_KEY_PAIR_GEN',
      };
    const publicKey = (): KeyAttributes => ({
      ...privateKey(),
      class: 'public-key',
      private: false,
      sensitive: null,
      extractable: null,
      alwaysSensitive: null,
      neverExtractable: null,
      sign: null,
      verify: true,
    });
    const quorum = () =>
      ((intent['quorum'] ?? []) as string[]).map((seat) => ({
        seat,
        card: state.backup?.given[seat]?.card ?? '',
        x: state.backup?.given[seat]?.x ?? 0,
      }));
    switch (step.do.action) {
      case 'confirm-script':
        return { words: state.script?.words.join(' ') ?? '' };
      case 'put-away':
        return {};
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
        return { token: intent['token'] ?? '', objects: this.#inventory };
      case 'generate-key': {
        const key = privateKey();
        this.#key = key;
        const fact = (kind: 'private-key' | 'public-key'): ObjectFact => ({
          class: kind,
          id: key.id,
          label: key.label,
          keyType: key.keyType,
        });
        this.#inventory = [...this.#inventory, fact('private-key'), fact('public-key')];
        return {
          token: intent['token'] ?? '',
          mechanism: 'CKM_EC_KEY_PAIR_GEN',
          spki: b64(120),
          private: key,
          public: publicKey(),
        };
      }
      case 'prove-key':
        return {
          spki: state.key?.spki ?? '',
          private: privateKey(),
          public: publicKey(),
          weakTests: ['point on curve', 'not the point at infinity', 'known weak keys'],
          possession,
        };
      case 'issue-certificate': {
        const tbs = b64(32);
        return {
          lintedTbs: tbs,
          signedTbs: tbs,
          lints: ['serial has 64 bits of entropy', 'validity as scripted', 'basic constraints critical'],
          certificate: b64(600),
        };
      }
      case 'make-backup-key': {
        const { shares, threshold } = state.plan?.set ?? { shares: 3, threshold: 2 };
        return {
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
        return { mechanism: 'CKM_AES_KEY_WRAP_PAD', wrapped: b64(250), private: privateKey() };
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
      case 'lock-key': {
        this.#key = { ...privateKey(), extractable: false };
        return { private: this.#key };
      }
      case 'wipe-backup-key':
        return { how: state.backup?.alive ? 'overwritten' : 'process-ended' };
      case 'sign-seal':
      case 'sign-resume':
        return { signatures: pair() };
    }
  }

  name(seat: string): string {
    return personAt(this.state, seat)?.name ?? seat;
  }
}
