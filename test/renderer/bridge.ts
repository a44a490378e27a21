/**
 * The other half of the app, pretended: answers every call of the contract from rooms of pretend.ts. For looking at the
 * page and for testing its logic without devices; it must never be imported outside test/.
 */
import { orderFault, orderText } from '../../ceremonies/administration.ts';
import type { ObjectFact, TokenFacts } from '../../ceremonies/evidence.ts';
import type { Inventory } from '../../ceremonies/inventory.ts';
import { parsePkcs11Uri } from '../../ceremonies/keys/uri.ts';
import { readScript } from '../../ceremonies/script.ts';
import type { Verdict } from '../../ceremonies/verify.ts';
import type { Answer, Answers, Bridge, Call, Entries, Estate, Moved, ReaderReport, Request } from '../../electron/contract.ts';
import { sha256 } from '@noble/hashes/sha2.js';
import { fromUtf8, toHex } from '../../ceremonies/bytes.ts';
import { readActivationRecord } from '../../ceremonies/activation.ts';
import { readBackupRecord } from '../../ceremonies/backup-record.ts';
import { readCopyList } from '../../ceremonies/destruction.ts';
import { readEscrowRecord } from '../../ceremonies/escrow.ts';
import { readKeyRecord } from '../../ceremonies/key-record.ts';
import { readTemplates } from '../../ceremonies/keys/template.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { readMovements, thingName } from '../../ceremonies/shares/movements.ts';
import { bindingsFor, copyList, factsOf, inputFile, ROOT_CA, Room, SCRIPTS } from './pretend.ts';
import { pretendCompared } from './pretend-keys.ts';
import { NOTHING } from './pretend-custody.ts';
import { listedAfter, pretendOrder, pretendResult } from './pretend-changes.ts';
import {
  pretendComparison,
  pretendDetails,
  pretendedObject,
  pretendModules,
  pretendObject,
  pretendRandom,
  pretendReadiness,
  pretendScan,
} from './pretend-tokens.ts';

/** A card that no ceremony is using. */
const SPARE = '00000000deadbeef';

type Failure = Exclude<Answer<Call>, { readonly ok: true }>;

/** As a device process words it. */
const CANCELLED = {
  code: 'WORK_CANCELLED',
  message: 'The work was ended on request before it was done.',
  hint: 'Repeat the step when the time for it is there.',
};

class Problem extends Error {
  readonly problem: typeof CANCELLED;
  constructor(problem: typeof CANCELLED) {
    super(problem.code);
    this.problem = problem;
  }
}

/** Facts of made-up files in the words in which the real reader gives them; the fingerprint is real, a bad file is refused. */
function readInput({ kind, file }: Extract<Request, { call: 'read-input' }>): Answers['read-input'] {
  const subject = (name: string) => ({ name: 'subject', value: `CN=${name}, O=Example Organization, C=XX` });
  const certificate = (name: string) => [
    subject(name),
    { name: 'issuer', value: `CN=${name}, O=Example Organization, C=XX` },
    { name: 'serial number', value: '4f09c2aa17e35b88d061' },
    { name: 'valid', value: '2026-11-21 to 2046-11-20' },
    { name: 'public key', value: 'MLDSA65-ECDSA-P256-SHA512 (composite)' },
  ];
  const digest = toHex(sha256(file.bytes));
  const content = fromUtf8(file.bytes);
  const pem = { request: 'CERTIFICATE REQUEST', 'stated-request': 'CERTIFICATE REQUEST', certificate: 'CERTIFICATE', certificates: 'CERTIFICATE', crl: 'X509 CRL' };
  try {
    switch (kind) {
      case 'key': {
        const { label, token, profile, key } = readKeyRecord(file.bytes);
        const facts = [
          { name: 'key', value: label },
          { name: 'on the token', value: token },
          { name: 'algorithm', value: key.algorithm },
          ...key.parts.map(({ part, held }) => ({
            name: part === 'key' ? 'held' : part,
            value: held === 'token' ? 'on the token' : 'wrapped under a key of the token',
          })),
          { name: 'made under the draft', value: profile ?? 'none' },
          ...certificate('Example Composite Root CA'),
        ];
        return { sha256: digest, facts, findings: [] };
      }
      case 'backup': {
        const { label, set, shares } = readBackupRecord(file.bytes);
        const facts = [
          { name: 'backup of the key', value: label },
          { name: 'recovered by', value: `any ${set.threshold} of ${set.shares} shares` },
          { name: 'set', value: `${set.id}, epoch ${set.epoch}` },
          ...shares.map(({ x, card, holder }) => ({ name: `share ${x}`, value: `${holder}, on card ${card}` })),
          ...certificate('Example Composite Root CA'),
        ];
        return { sha256: digest, facts, findings: [] };
      }
      case 'activation': {
        const { token, set, shares } = readActivationRecord(file.bytes);
        const facts = [
          { name: 'opens the token', value: token.serial },
          { name: 'opened by', value: `any ${set.threshold} of ${set.shares} shares` },
          { name: 'set', value: `${set.id}, epoch ${set.epoch}` },
          ...shares.map(({ x, card, holder }) => ({ name: `share ${x}`, value: `${holder}, on card ${card}` })),
        ];
        return { sha256: digest, facts, findings: [] };
      }
      case 'movements':
        return {
          sha256: digest,
          findings: [],
          facts: readMovements(file.bytes).map((movement) => ({ name: thingName(movement), value: `${movement.from}, ${movement.fromSite} → ${movement.to}, ${movement.toSite}: ${movement.reason}` })),
        };
      case 'revocations':
        return {
          sha256: digest,
          findings: [],
          facts: [
            { name: 'certificates to revoke', value: '2' },
            { name: '1f09c2aa17e35b88d061', value: '2026-11-20, keyCompromise' },
            { name: '2b7714c0ffee00d1a2b3', value: '2026-11-20, cessationOfOperation' },
          ],
        };
      case 'copies': {
        const { key, copies, unknown } = readCopyList(file.bytes);
        return { sha256: digest, facts: [{ name: 'key', value: key.label }, ...copies.map(({ what }, index) => ({ name: `copy ${index + 1}`, value: what })), ...unknown.map((value) => ({ name: 'not known', value }))], findings: [] };
      }
      case 'recipients':
        return { sha256: digest, facts: [{ name: 'custodian 1', value: 'ML-KEM-768' }, { name: 'SHA-256 of key 1', value: '5b'.repeat(32) }], findings: [] };
      case 'recipient':
        return { sha256: digest, facts: [{ name: 'public key', value: 'ML-KEM-768' }, { name: 'SHA-256 of the public key', value: '5b'.repeat(32) }], findings: [] };
      case 'escrow': {
        const { key, agent, purpose, authority, conditions } = readEscrowRecord(file.bytes);
        return { sha256: digest, facts: [{ name: 'escrow of the key', value: key.label }, { name: 'agent', value: agent.name }, { name: 'purpose', value: purpose }, { name: 'authority', value: authority }, { name: 'conditions', value: conditions }], findings: [] };
      }
      case 'envelope':
        return { sha256: digest, facts: [{ name: 'sealed with', value: 'AES-256-GCM' }, { name: 'to', value: 'ML-KEM-768' }], findings: [] };
      case 'request':
      case 'stated-request':
      case 'certificate':
      case 'certificates':
      case 'crl': {
        if (!content.startsWith(`-----BEGIN ${pem[kind]}-----`))
          throw new Refused(
            refuse('PEM', `a ${pem[kind]} as PEM or DER`, 'neither', 'Bring the right file. Nothing was touched.'),
          );
        const facts = {
          request: [subject('Example Intermediate CA'), { name: 'public key', value: 'ML-DSA-65' }],
          'stated-request': [
            subject('Example Key Holder'),
            { name: 'public key', value: 'ML-KEM-768' },
            { name: 'possession', value: 'stated, not proven (RFC 9883)' },
          ],
          certificate: certificate('Another Root CA'),
          certificates: certificate('Another Root CA'),
          crl: [{ name: 'CRL number', value: '7' }],
        };
        return { sha256: digest, facts: facts[kind], findings: [] };
      }
    }
  } catch (error) {
    if (error instanceof Refused) return { sha256: digest, facts: [], findings: [error.refusal] };
    throw error;
  }
}

const TEMPLATES = `conclave-templates: 1
templates:
  - { name: payments-kek, note: Wraps the keys of the payment machines, purpose: key-encryption, kind: aes-256 }
`;

/** The last three are pretended of every key. */
const PRETENDED_ATTRIBUTES = ['CKA_LABEL', 'CKA_ID', 'CKA_CLASS', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_SIGN'];

/** Reads it as strictly as the other half does. */
function parsedUri(uri: string): string {
  parsePkcs11Uri(uri);
  return uri;
}

export class PretendBridge implements Bridge {
  readonly rooms: Room[] = [];
  readonly calls: Request[] = [];
  readonly #listeners = new Set<(entries: Entries) => void>();
  readonly #movedListeners = new Set<(moved: Moved) => void>();
  /** Answers to give instead of the real ones, once each, by call. */
  readonly failNext = new Map<Call, Failure>();
  custody = NOTHING;
  interrupted = new Set<string>();
  development = true;
  warnings: string[] = ['Swap is in use: memory may be written to disk.'];
  /** How long an `act` takes, in milliseconds; its `begun` is there at once. */
  slowness = 0;
  objects = 10_000;
  problem: Estate['modules'][number]['problem'] = null;
  missing: string[] = [];
  /** Serial numbers of tokens with a login. */
  readonly loggedIn = new Set<string>();
  /** Whether a library is another one than it was pinned to. */
  changed = false;
  readers: ReaderReport = { problem: null, readers: [] };
  /** Whether the scan finds weak keys. */
  weak = false;
  verdict: Verdict | null = null;
  /** Whether tokens hold just what the inventory explains. */
  alike = false;
  /** Empty, as on a machine where nothing has been recorded. */
  inventory: Inventory = { records: { believed: 0, refused: 0 }, keys: [], others: [], activations: [], begun: [], findings: [], rehearsals: [] };
  /** The change during which the device process ends, leaving a key behind. */
  lostAt: string | null = null;

  add(room: Room): Room {
    this.rooms.push(room);
    room.onLines = (from, lines) => {
      for (const listener of this.#listeners) listener({ ceremony: room.ceremony, from, lines });
    };
    return room;
  }

  onEntries(listener: (entries: Entries) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onMoved(listener: (moved: Moved) => void): () => void {
    this.#movedListeners.add(listener);
    return () => this.#movedListeners.delete(listener);
  }

  /** A token comes or goes. */
  move(moved: Moved): void {
    for (const listener of this.#movedListeners) listener(moved);
  }

  async call<R extends Request>(request: R): Promise<Answer<R['call']>> {
    this.calls.push(request);
    const failure = this.failNext.get(request.call);
    if (failure) {
      this.failNext.delete(request.call);
      return failure;
    }
    try {
      return { ok: true, value: (await this.#answer(request)) as Answers[R['call']] };
    } catch (error) {
      if (error instanceof Problem) return { ok: false, problem: error.problem };
      if (error instanceof Refused) return { ok: false, refusal: error.refusal };
      return {
        ok: false,
        problem: {
          code: 'PRETENDED',
          message: error instanceof Error ? error.message : String(error),
          hint: 'Look at the test.',
        },
      };
    }
  }

  #room(ceremony: string): Room {
    const room = this.rooms.find((candidate) => candidate.ceremony === ceremony);
    if (!room) throw new Error(`no ceremony ${ceremony}`);
    return room;
  }

  async #answer(request: Request): Promise<Answers[Call]> {
    switch (request.call) {
      case 'hello':
        return {
          version: '0.1.0',
          build: 'ab'.repeat(32),
          home: '/home/somebody/.conclave',
          runtime: { electron: '33.2.1', node: '24.21.0', development: this.development },
          warnings: this.warnings,
          modules: ['software', 'softhsm'],
          first: this.rooms.length === 0,
        };
      case 'custody':
        return this.custody;
      case 'estate':
        return this.estate();
      case 'objects': {
        const listed = this.#listed(request.token);
        return {
          total: listed.length,
          loggedIn: this.loggedIn.has(request.token),
          objects: listed.slice(request.offset, request.offset + request.limit),
        };
      }
      case 'mechanisms':
        return {
          mechanisms: [
            {
              name: 'CKM_EC_KEY_PAIR_GEN',
              number: 0x1040,
              min: 112,
              max: 521,
              flags: ['CKF_GENERATE_KEY_PAIR', 'CKF_EC_NAMEDCURVE'],
            },
            { name: 'CKM_ECDSA', number: 0x1041, min: 112, max: 521, flags: ['CKF_SIGN', 'CKF_VERIFY'] },
            { name: 'CKM_AES_KEY_WRAP_PAD', number: 0x210a, min: 16, max: 32, flags: ['CKF_WRAP', 'CKF_UNWRAP'] },
            { name: 'CKM_SHA256', number: 0x250, min: 0, max: 0, flags: ['CKF_DIGEST'] },
          ],
        };
      case 'readers':
        return this.readers;
      case 'token-modules':
        return pretendModules(this.changed);
      case 'token-details':
        return pretendDetails(this.#token(request.token), this.loggedIn.has(request.token));
      case 'search-objects': {
        if (request.where.some(({ attribute }) => !PRETENDED_ATTRIBUTES.includes(attribute)))
          throw new Refused(
            refuse('SEARCH-ATTRIBUTE', 'an attribute of PKCS#11', request.where[0]?.attribute ?? '', 'Look at the names of an object’s attributes.'),
          );
        const listed = this.#listed(request.token);
        const fits = (object: ObjectFact) =>
          request.where.every(({ attribute, value }) =>
            attribute === 'CKA_LABEL'
              ? object.label === value
              : attribute === 'CKA_ID'
                ? object.id === value
                : attribute === 'CKA_CLASS'
                  ? `CKO_${object.class.toUpperCase().replace('-', '_')}` === value
                  : ['private-key', 'secret-key', 'public-key'].includes(object.class),
          );
        const positions = listed.flatMap((object, position) => (fits(object) ? [position] : []));
        const shown = positions.slice(request.offset, request.offset + request.limit);
        return {
          total: positions.length,
          objects: shown.flatMap((position) => listed[position] ?? []),
          positions: shown,
          loggedIn: this.loggedIn.has(request.token),
        };
      }
      case 'find-uri': {
        const object = /object=([^;]*)/.exec(parsedUri(request.uri))?.[1];
        const place = (position: number) => ({ position, object: pretendedObject(position) });
        const tokens = this.estate().modules.flatMap(({ name, slots }) => slots.flatMap(({ token }) => (token ? [{ name, token }] : [])));
        return {
          found: tokens.slice(0, 2).map(({ name, token }) => ({
            module: name,
            token,
            objects: object === undefined ? [] : [place(5), place(12)],
            total: object === undefined ? 0 : 2,
          })),
        };
      }
      case 'object':
        return pretendObject(request.place, this.#token(request.token).label);
      case 'probe':
        await this.#slowly();
        return { readiness: pretendReadiness() };
      case 'scan-keys': {
        const all = this.estate().modules.flatMap(({ name, slots }) =>
          slots.flatMap(({ token }) => (token ? [{ module: name, token: token.serial, tokenLabel: token.label, loggedIn: this.loggedIn.has(token.serial) }] : [])),
        );
        const tokens = all.filter(({ token }) => request.tokens.length === 0 || request.tokens.some((asked) => asked.token === token));
        return pretendScan(tokens, this.weak);
      }
      case 'compare-tokens': {
        const [one, other] = [request.one, request.other].map(({ module, token }) => ({ name: `${module}:${token}`, loggedIn: this.loggedIn.has(token) }));
        return pretendComparison(one!, other!, request.other.token === SPARE);
      }
      case 'inventory': {
        const { keys, ...rest } = this.inventory;
        return { look: 1, total: keys.length, keys: keys.slice(request.from, request.from + request.limit), rest: request.from === 0 ? rest : null };
      }
      case 'reconcile':
        await this.#slowly();
        return pretendCompared(request.login, this.alike);
      case 'inventory-progress':
        return this.slowness > 0 ? { doing: 'tokens', label: 'HSM-A', at: 1, of: 2, objects: 3_200, total: 10_000 } : null;
      case 'random-test':
        return pretendRandom(request.bytes);
      case 'token-login':
        this.loggedIn.add(request.token);
        return null;
      case 'token-log-out':
        this.loggedIn.delete(request.token);
        return null;
      case 'explain':
        throw new Error(`${request.call}: no screen asks for this, so nothing is pretended`);
      case 'scripts':
        return [
          ...Object.entries(SCRIPTS).map(([name, text]) => ({ name, text, faults: [] })),
          { name: 'damaged', text: DAMAGED, faults: readScript(DAMAGED).faults },
        ];
      case 'lint': {
        const { script, faults } = readScript(request.text);
        return { faults, words: script?.words ?? [] };
      }
      case 'rehearse-model':
        return { faults: [], steps: 71, minutes: 95 };
      case 'provision': {
        const text = SCRIPTS[request.script] ?? ROOT_CA;
        const { bindings: made, labels } = bindingsFor(text, request.parameters, request.module);
        const bindings = { ...made, tokens: { ...made.tokens, ...request.tokens } };
        this.#provisioned = {
          ...this.#provisioned,
          ...Object.fromEntries(Object.keys(labels).map((serial) => [serial, labels[serial] ?? ''])),
        };
        this.#provisionedOn = request.module;
        const token = Object.values(bindings.tokens)[0]?.serial ?? '';
        const inputs = Object.entries(readScript(text).script?.body.inputs ?? {}).flatMap(([name, { kind, optional }]) => {
          if (optional === true || request.brought?.includes(name) === true) return [];
          const { file, text: content } = inputFile(kind, token, bindings.cards['share-card']);
          return [[name, { file, bytes: new Uint8Array(Buffer.from(content)) }] as const];
        });
        return { bindings, inputs: Object.fromEntries(inputs) };
      }
      case 'read-input':
        return readInput(request);
      case 'open': {
        const { parameters, people, mode, bindings, script } = request;
        const text = SCRIPTS[script] ?? ROOT_CA;
        const asked = readScript(text).script?.body.inputs ?? {};
        const inputs = Object.fromEntries(
          Object.entries(request.inputs).map(([name, { file, bytes }]) => [
            name,
            { kind: asked[name]?.kind ?? 'key', file, bytes: Buffer.from(bytes).toString('base64url') },
          ]),
        );
        const modules = new Set(Object.values(bindings.tokens).map((bound) => bound.module));
        // The pretended record lists one module: bindings of another are replaced by its own.
        const options = { parameters, people, mode, inputs, ...(modules.has('softhsm') ? { bindings } : {}) };
        return { ceremony: this.add(new Room(options, text)).ceremony };
      }
      case 'log-in': {
        const identity = request.card ?? { module: 'softhsm', serial: 'CARD0001' };
        if (request.card === null) this.#provisioned = { ...this.#provisioned, [identity.serial]: 'REHEARSAL identity officer' };
        const bindings = { tokens: {}, cards: { 'identity-card': { officer: identity } } };
        const room = new Room({ mode: request.mode, people: [{ seat: 'officer', name: request.name }], bindings }, SCRIPTS['administration']);
        return { ceremony: this.add(room).ceremony };
      }
      case 'administer': {
        const room = this.#room(request.ceremony);
        if (!('token' in request.request)) throw new Problem({ code: 'PRETENDED', message: 'No key is known here that anything could be stated of.', hint: '' });
        const seen = this.#token(request.request.token);
        const intent = pretendOrder(request.request, seen);
        const fault = orderFault(intent, room.state.opening?.modules ?? [], room.state.opening?.mode ?? 'rehearsal');
        if (fault) throw new Refused(fault);
        const listed = this.#listed(intent.token);
        const result = pretendResult(intent, seen, listed.length);
        room.changes.push({ intent, result });
        room.begin();
        await this.#slowly();
        if (this.lostAt === intent.change) {
          room.lost();
          room.found('present');
          throw new Problem({ code: 'DEVICE_PROCESS_LOST', message: `The library ended the process that was to ${orderText(intent)}.`, hint: 'Look at the token before anything is repeated.' });
        }
        room.finish();
        this.#changed.set(intent.token, listedAfter(intent, result, listed));
        if (intent.change === 'init-token') {
          const { serial, label } = result['after'] as TokenFacts;
          this.#initialised = { ...this.#initialised, [serial]: label };
          this.#changed.set(serial, []);
        }
        return { result };
      }
      case 'log-out':
        this.#room(request.ceremony).next();
        return null;
      case 'save-file':
        return { path: `/home/somebody/.conclave/bundles/request-${request.ceremony.slice(0, 8)}-${request.entry}.csr`, sha256: '7c'.repeat(32) };
      case 'templates':
        return { templates: readTemplates(TEMPLATES).templates ?? [] };
      case 'self-test':
        return { tried: [{ name: 'sign and verify', passed: true, detail: 'a fresh message, verified in software' }] };
      case 'cancel':
        this.#cancelled?.();
        return { cancelled: this.#cancelled !== null };
      case 'ceremonies':
        return this.rooms.map((room) => ({
          ceremony: room.ceremony,
          script: room.state.script?.name ?? '',
          title: room.state.plan?.title ?? '',
          mode: room.state.opening?.mode ?? 'rehearsal',
          state:
            room.state.phase === 'closed'
              ? ('closed' as const)
              : room.state.phase === 'aborted'
                ? ('aborted' as const)
                : ('open' as const),
          interrupted: this.interrupted.has(room.ceremony),
          entries: room.lines.length,
          openedAt: '2026-11-21T13:21:04.120Z',
          lastAt: room.state.lastAt,
        }));
      case 'entries':
        return { lines: this.#room(request.ceremony).lines.slice(request.from) };
      case 'act': {
        const room = this.#room(request.ceremony);
        if (this.slowness > 0 && room.state.current?.phase === 'ready') {
          room.begin();
          const done = await new Promise<boolean>((resolve) => {
            const timer = setTimeout(() => resolve(true), this.slowness);
            this.#cancelled = () => {
              clearTimeout(timer);
              resolve(false);
            };
          });
          this.#cancelled = null;
          if (!done) {
            room.fail(CANCELLED);
            throw new Problem(CANCELLED);
          }
          room.finish();
        } else room.next();
        this.#settle(room);
        return null;
      }
      case 'key-record': {
        const { algorithm, spki } = { algorithm: 'ecdsa-p256', spki: 'AAAA' };
        const key = { algorithm, spki, wrapping: null, parts: [{ part: 'key' as const, held: 'token' as const, spki, id: 'a1b2', wrapped: null }] };
        return { record: { format: 'conclave-key/1', label: request.place.object.label, token: request.token, profile: null, key, certificate: null }, file: request.save ? { path: '/home/somebody/.conclave/bundles/key-a1b2c3d4.json', sha256: 'a1'.repeat(32) } : null };
      }
      case 'plan-destruction': {
        const list = copyList('04172203');
        return { list: { ...list, despite: request.despite, dependants: [] }, file: request.save ? { path: '/home/somebody/.conclave/bundles/copies-a1b2c3d4.json', sha256: 'a1'.repeat(32) } : null };
      }
      case 'leave-copy': {
        const room = this.#room(request.ceremony);
        room.leave = request.reason;
        room.next();
        room.leave = null;
        this.#settle(room);
        return null;
      }
      case 'witness': {
        const room = this.#room(request.ceremony);
        room.witness(request.seat);
        this.#settle(room);
        return null;
      }
      case 'decide': {
        const room = this.#room(request.ceremony);
        room.decide(request.decision, request.why);
        room.next();
        return null;
      }
      case 'note':
        this.#room(request.ceremony).note(request.seat, request.text);
        return null;
      case 'exception':
        this.#room(request.ceremony).exception(request.seat, request.expected, request.happened, request.decided, request.step);
        return null;
      case 'break':
        this.#room(request.ceremony).pause(request.present, request.reason);
        return null;
      case 'back':
        this.#room(request.ceremony).back(request.present);
        return null;
      case 'disagree':
        this.#room(request.ceremony).disagree(request.seat, request.words);
        return null;
      case 'abort':
        this.#room(request.ceremony).abort(request.seat, request.reason);
        return null;
      case 'resume':
        this.#room(request.ceremony).resume(request.present, request.reason, request.officer);
        this.interrupted.delete(request.ceremony);
        return null;
      case 'certificate':
        throw new Error('the page asks for it printed');
      case 'print-certificate':
        return { path: '/home/somebody/Documents/certificate-of-destruction-9f2c01ab.pdf', sha256: '3c'.repeat(32) };
      case 'export':
        return { path: '/home/somebody/.conclave/bundles/root-ca-2026-11-21-9f2c.zip', sha256: '5b'.repeat(32) };
      case 'verify':
      case 'verify-own': {
        // Pretended keys are of records that nobody pretends: the first one stands for them.
        const room = request.call === 'verify-own' ? this.rooms.find(({ ceremony }) => ceremony === request.ceremony) : undefined;
        const lines = (room ?? this.rooms[0])?.lines ?? [];
        return { verdict: this.verdict ?? pretendVerdict(lines.length, true), lines };
      }
    }
  }

  /** What is on a token now: ten thousand objects, and what was changed since. */
  #listed(serial: string): readonly ObjectFact[] {
    return this.#changed.get(serial) ?? Array.from({ length: this.objects }, (_, position) => pretendedObject(position));
  }

  #token(serial: string): TokenFacts {
    const token = this.estate().modules.flatMap(({ slots }) => slots).find((slot) => slot.token?.serial === serial)?.token;
    if (!token) throw new Error(`no token ${serial}`);
    return token;
  }

  #slowly(): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(resolve, this.slowness);
    });
  }

  #settle(room: Room): void {
    if (room.state.phase === 'open' && room.state.current === null) room.next();
  }

  /** Ends the slow `act` that is under way. */
  #cancelled: (() => void) | null = null;
  readonly #changed = new Map<string, readonly ObjectFact[]>();
  #initialised: Record<string, string> = {};
  #provisioned: Record<string, string> = {};
  #provisionedOn = 'softhsm';

  estate(): Estate {
    const labels = {
      ...(this.#provisionedOn === 'softhsm' ? this.#provisioned : {}),
      ...(Object.assign({}, ...this.rooms.map((room) => room.labels)) as Record<string, string>),
    };
    const software =
      this.#provisionedOn === 'software'
        ? Object.entries(this.#provisioned).map(([serial, label], slot) => ({
            slot,
            description: '',
            token: factsOf(serial, label),
          }))
        : [];
    const free = { [SPARE]: 'spare card', ...labels, ...this.#initialised };
    return {
      modules: [
        {
          name: 'software',
          problem: null,
          moves: false,
          slots: software,
          facts: {
            name: 'software',
            kind: 'software',
            path: '(embedded)',
            sha256: 'cd'.repeat(32),
            library: 'Conclave software token',
            version: '0.1',
          },
        },
        {
          name: 'softhsm',
          problem: null,
          moves: false,
          facts: {
            name: 'softhsm',
            kind: 'pkcs11',
            path: '/usr/lib/softhsm/libsofthsm2.so',
            sha256: 'ef'.repeat(32),
            library: 'Implementation of PKCS11',
            version: '2.6',
          },
          slots: [
            ...Object.entries(free).map(([serial, label], slot) => ({
              slot,
              description: `SoftHSM slot ID ${slot}`,
              token: this.missing.includes(serial) ? null : factsOf(serial, label),
            })),
            { slot: 99, description: 'SoftHSM slot ID 99', token: null },
            // As SoftHSM shows its next free token: initialised by nobody, and without a serial number.
            { slot: 100, description: 'SoftHSM slot ID 100', token: { ...factsOf('', ''), flags: [] } },
          ],
        },
        ...(this.problem ? [{ name: 'vendor', facts: null, problem: this.problem, moves: false, slots: [] }] : []),
      ],
    };
  }
}

/** A script with three different faults, for the margin. */
export const DAMAGED = ROOT_CA.replace('version: 1', 'version: one').replace(
  'title: Generate the root key',
  'titel: Generate the root key',
);

export function pretendVerdict(entries: number, fine: boolean): Verdict {
  const seats = ['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor'];
  return {
    verdict: fine ? 'valid' : 'refused',
    pinned: false,
    ceremony: '9f'.repeat(16),
    title: 'Root CA key generation',
    mode: 'rehearsal',
    entries,
    checks: [
      { name: 'The file', verdict: 'verified', detail: `${entries} canonical lines` },
      {
        name: 'The chain',
        verdict: fine ? 'verified' : 'refused',
        detail: fine ? 'every line follows the one before it' : 'breaks at entry 117',
      },
      {
        name: 'The rules',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? 'every entry was allowed when it was made' : '',
      },
      {
        name: 'The signatures',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? '71 checkpoints, 6 seals of 6 people, 2 signatures each' : '',
      },
      {
        name: 'The keys',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? 'proofs of possession and the certificate recomputed' : '',
      },
      {
        name: 'The end',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? 'closed, and sealed by everyone after every act' : '',
      },
      {
        name: 'Trust',
        verdict: fine ? 'reported' : 'not-reached',
        detail: fine ? 'no trust file: compare the words' : '',
      },
    ],
    findings: fine
      ? []
      : [
          {
            rule: 'CHAIN',
            expected: 'the hash of the line before',
            found: 'another one',
            next: 'Do not rely on this record. Ask the people who hold the other copies.',
            seq: 117,
          },
        ],
    remarks: fine
      ? [{ seq: 61, text: 'Exception 1: the lamp stayed dark; the officer and the witness decided to go on.' }]
      : [],
    signers: seats.map((seat, index) => ({
      seat,
      name: `${seat} (rehearsal)`,
      role: seat.replace(/-\d$/, ''),
      classical: Buffer.alloc(32, index + 1).toString('base64url'),
      pq: Buffer.alloc(32, index + 77).toString('base64url'),
      words: ['torch', 'canyon', 'lesson', 'orbit', 'velvet', 'humble'],
    })),
    reverified: Array.from({ length: entries }, (_, index) =>
      index % 5 === 2 ? ['both signatures over the statement', 'the card is the one that was bound'] : [],
    ),
  };
}
