/**
 * What a device process can be asked to do (protocol.ts), carried out over the nouns of tokens.ts.
 *
 * Backup key, shares, seeds and PINs live here and nowhere else: between two lines, or, for the backup key, from
 * `make-backup-key` to `wipe-backup-key`. What leaves is evidence, parsed against its closed shape before it is sent.
 *
 * A success code is no proof: what was made is read back, signatures are verified in software, what was destroyed is looked
 * for again in another session. Never retries a PIN, never repeats a write, never touches "the first of several" objects.
 */
import { isUtf8 } from 'node:buffer';
import { randomFillSync } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import * as z from 'zod';
import { concat, equalBytes, fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import type { Observation, ObjectFact, PublicJwk, ShareSet, SignaturePair } from '../../ceremonies/evidence.ts';
import { algorithmNamed, ALGORITHMS } from '../../ceremonies/keys/algorithms.ts';
import { headersOf, signingInput } from '../../ceremonies/keys/jws.ts';
import { parsePublicKey, publicKeyFromParts, toJwk, type PublicKey } from '../../ceremonies/keys/public-key.ts';
import { mlDsaPublicFromSeed, signMlDsa65, verifySignature } from '../../ceremonies/keys/signatures.ts';
import { weakKeyFindings, weakKeyTests } from '../../ceremonies/keys/weak.ts';
import type { SubjectName } from '../../ceremonies/keys/x509.ts';
import { testRandom } from '../../ceremonies/randomness.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import {
  checkShare, combineChecked, encodeShare, makeShares, parseShare, proveSplit, shareCommitment, type Share,
} from '../../ceremonies/shares/share.ts';
import { deviceError, Fault, isTokenError, TokenError, type Progress } from './errors.ts';
import {
  OPERATIONS, REHEARSAL_PIN, type Answer, type Asked, type DeviceError, type ModuleConfig, type Notice, type Operation,
} from './protocol.ts';
import { lend, Secret, secretBytes, takeBytes } from './secret.ts';
import type { Session, Token, TokenAlgorithm, TokenModule } from './tokens.ts';

type Body<O extends Operation> = z.output<(typeof OPERATIONS)[O]['request']>;

/** What the process around the operations gives them. */
export interface Surroundings {
  notify(notice: Notice): void;
  /** The PIN typed for this ticket, to be wiped by the caller; null when cancelled. Throws Fault BOOTH_MISSING at once. */
  pin(ticket: number): Promise<Secret | null>;
  /** The program that is running, for the software token's facts. */
  readonly program: string;
}

/** How far the operation under way has come: decides whether a failure may say "nothing was changed". */
class Work {
  progress: Progress = 'untouched';

  /** One call that changes what outlives the session. */
  async write<T>(call: () => Promise<T>): Promise<T> {
    if (this.progress === 'untouched') this.progress = 'writing';
    const result = await call();
    this.progress = 'written';
    return result;
  }
}

interface Held { readonly token: Token; readonly session: Session }
interface Backup { readonly set: ShareSet; readonly key: Secret; readonly shares: ReadonlyMap<number, Share> }
interface Identity { readonly id: string; readonly algorithm: TokenAlgorithm; readonly classical: PublicKey }

const IDENTITY = 'conclave-identity';
const seedLabel = (id: string) => `${IDENTITY}-${id}`;
type Possession = Answer<'prove-key'>['possession'];
/** After these the token itself is gone: no point in noting "cannot do this", the operation ends. */
const GONE = ['CKR_DEVICE_ERROR', 'CKR_DEVICE_REMOVED', 'CKR_TOKEN_NOT_PRESENT', 'CKR_SESSION_HANDLE_INVALID', 'CKR_SESSION_CLOSED'];

export class Operations {
  readonly #surroundings: Surroundings;
  #config: string | null = null;
  #module: TokenModule | null = null;
  /** Tokens that stay logged in until `log-out`. */
  readonly #held = new Map<string, Held>();
  /** A listing without login that is being paged through. */
  #browsing: { readonly serial: string; readonly session: Session } | null = null;
  #ticket = 0;
  #recorder: Secret | null = null;
  #backup: Backup | null = null;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  /** Never throws: errors are values. One at a time; the caller sees to that. */
  async answer(operation: unknown, body: unknown): Promise<{ ok: true; body: unknown } | { ok: false; error: DeviceError }> {
    const work = new Work();
    try {
      if (typeof operation !== 'string' || !Object.hasOwn(OPERATIONS, operation)) throw new Fault('REQUEST_INVALID', 'There is no such operation.');
      const name = operation as Operation;
      const request = OPERATIONS[name].request.safeParse(body);
      if (!request.success) throw new Fault('REQUEST_INVALID', where(request.error));
      const result = await this.#perform(name, request.data, work);
      const answer = OPERATIONS[name].answer.safeParse(result);
      if (!answer.success) throw new Fault('ANSWER_INVALID', where(answer.error));
      return { ok: true, body: answer.data };
    } catch (thrown) {
      return { ok: false, error: deviceError(thrown, work.progress) };
    }
  }

  /** Lets go of everything before the process ends. */
  async close(): Promise<void> {
    this.#wipeBackup();
    this.#recorder?.wipe();
    await this.#module?.close();
  }

  async #perform(name: Operation, body: unknown, work: Work): Promise<unknown> {
    if (name !== 'objects') await this.#stopBrowsing();
    switch (name) {
      case 'start': return this.#start(body as Body<'start'>);
      case 'slots': return { slots: await this.#tokens().slots() } satisfies Answer<'slots'>;
      case 'objects': return this.#objects(body as Body<'objects'>);
      case 'mechanisms': return this.#mechanisms(body as Body<'mechanisms'>);
      case 'provision': return this.#provision(body as Body<'provision'>, work);
      case 'log-out': return this.#logOut(body as Body<'log-out'>);
      case 'recorder-new': return this.#recorderNew();
      case 'recorder-sign': return this.#recorderSign(body as Body<'recorder-sign'>);
      case 'enrol': return this.#enrol(body as Body<'enrol'>, work);
      case 'sign': return this.#sign(body as Body<'sign'>);
      case 'inspect-token': return this.#inspect(body as Body<'inspect-token'>);
      case 'test-random': return this.#testRandom(body as Body<'test-random'>);
      case 'take-inventory': return this.#takeInventory(body as Body<'take-inventory'>);
      case 'generate-key': return this.#generateKey(body as Body<'generate-key'>, work);
      case 'prove-key': return this.#proveKey(body as Body<'prove-key'>);
      case 'issue-certificate': return this.#issueCertificate(body as Body<'issue-certificate'>);
      case 'lock-key': return this.#lockKey(body as Body<'lock-key'>, work);
      case 'look': return this.#look(body as Body<'look'>);
      case 'clear': return this.#clear(body as Body<'clear'>, work);
      case 'make-backup-key': return this.#makeBackupKey(body as Body<'make-backup-key'>);
      case 'wrap-key': return this.#wrapKey(body as Body<'wrap-key'>);
      case 'give-share': return this.#giveShare(body as Body<'give-share'>, work);
      case 'read-back-share': return this.#readBackShare(body as Body<'read-back-share'>);
      case 'prove-recovery': return this.#proveRecovery(body as Body<'prove-recovery'>);
      case 'wipe-backup-key': return { how: this.#wipeBackup() ? 'overwritten' : 'process-ended' } satisfies Answer<'wipe-backup-key'>;
    }
  }

  // --- the module ----------------------------------------------------------------------------------------------------

  async #start({ module: config }: Body<'start'>): Promise<Answer<'start'>> {
    const wanted = JSON.stringify(config);
    if (this.#config === null) {
      this.#module = await this.#open(config);
      this.#config = wanted;
    } else if (this.#config !== wanted) {
      throw new Fault('DEVICE_OTHER_MODULE');
    }
    return { module: this.#module?.facts ?? null };
  }

  async #open(config: ModuleConfig): Promise<TokenModule | null> {
    switch (config.kind) {
      case 'recorder': return null;
      // Each is loaded on demand: a process for software tokens must run where there is no native code.
      case 'software': {
        const { openSoftwareModule } = await import('./software-token.ts');
        return openSoftwareModule(config.folder, config.name, this.#surroundings.program);
      }
      case 'pkcs11': {
        Object.assign(process.env, config.env);
        const { openPkcs11Module } = await import('./pkcs11.ts');
        return openPkcs11Module(config.name, config.path, config.parameters);
      }
    }
  }

  #tokens(): TokenModule {
    if (!this.#module) throw new Fault('DEVICE_NOT_STARTED');
    return this.#module;
  }

  async #mechanisms({ token: serial }: Body<'mechanisms'>): Promise<Answer<'mechanisms'>> {
    return { mechanisms: await (await this.#tokens().token(serial)).mechanisms() };
  }

  async #objects({ token: serial, offset, limit }: Body<'objects'>): Promise<Answer<'objects'>> {
    const held = await this.#alive(serial);
    if (held) {
      await this.#stopBrowsing();
      return { ...(await held.session.list(offset, limit)), loggedIn: true };
    }
    if (this.#browsing?.serial !== serial || offset === 0) {
      await this.#stopBrowsing();
      this.#browsing = { serial, session: await (await this.#tokens().token(serial)).open() };
    }
    const page = await this.#browsing.session.list(offset, limit);
    if (offset + limit >= page.total) await this.#stopBrowsing();
    return { ...page, loggedIn: false };
  }

  async #stopBrowsing(): Promise<void> {
    const browsing = this.#browsing;
    this.#browsing = null;
    await quietly(browsing?.session.close());
  }

  async #provision({ labels }: Body<'provision'>, work: Work): Promise<Answer<'provision'>> {
    const module = this.#tokens();
    const tokens = [];
    for (const label of labels) tokens.push(await work.write(() => lend(rehearsalPin(), (pin) => module.provision(label, pin))));
    return { tokens };
  }

  // --- login ---------------------------------------------------------------------------------------------------------

  /** Asks for the PIN and logs in, once. What the token says about tries left is read before, and again after a refusal. */
  async #login(token: Token, session: Session, asked: Asked): Promise<void> {
    const facts = await token.facts();
    if (facts.flags.includes('CKF_USER_PIN_LOCKED')) throw new TokenError('CKR_PIN_LOCKED', 'C_Login');
    if (!facts.flags.includes('CKF_USER_PIN_INITIALIZED')) throw new TokenError('CKR_USER_PIN_NOT_INITIALIZED', 'C_Login');
    if (facts.flags.includes('CKF_PROTECTED_AUTHENTICATION_PATH')) throw new Fault('PIN_PAD');
    const final = facts.flags.includes('CKF_USER_PIN_FINAL_TRY');
    if (final && !asked.acceptFinalTry) throw new Fault('PIN_FINAL_TRY');
    if (asked.standIn) {
      if (!(await token.isRehearsal())) throw new Fault('STAND_IN_REFUSED');
      await lend(rehearsalPin(), (pin) => session.login(pin));
      return;
    }
    const lengths = await token.pinLengths();
    const ticket = ++this.#ticket;
    const settle = (outcome: Extract<Notice, { kind: 'pin-settled' }>['outcome']) => {
      this.#surroundings.notify({ kind: 'pin-settled', ticket, outcome });
    };
    // First the ear, then the question: an answer must never come to nobody.
    const answer = this.#surroundings.pin(ticket);
    const attempts = final ? 'final' : facts.flags.includes('CKF_USER_PIN_COUNT_LOW') ? 'low' : 'fine';
    this.#surroundings.notify({ kind: 'pin-wanted', ticket, token: facts, asked, attempts, ...lengths });
    const pin = await answer;
    if (pin === null) settle('cancelled');
    if (pin === null) throw new Fault('PIN_CANCELLED');
    try {
      // What the token would refuse for its form must not cost a try: an empty PIN above all.
      const { length } = pin.bytes;
      if (length < lengths.min || (lengths.max > 0 && length > lengths.max)) throw new TokenError('CKR_PIN_LEN_RANGE', 'C_Login');
      if (!isUtf8(pin.bytes)) throw new TokenError('CKR_PIN_INVALID', 'C_Login');
      await session.login(pin.bytes);
    } catch (thrown) {
      if (!isTokenError(thrown, 'CKR_PIN_INCORRECT', 'CKR_PIN_LOCKED')) {
        settle('refused');
        throw thrown;
      }
      const after = (await token.facts().catch(() => facts)).flags;
      const locked = isTokenError(thrown, 'CKR_PIN_LOCKED') || after.includes('CKF_USER_PIN_LOCKED');
      settle(locked ? 'locked' : 'refused');
      if (locked) throw new TokenError('CKR_PIN_LOCKED', 'C_Login');
      throw after.includes('CKF_USER_PIN_FINAL_TRY')
        ? new TokenError('CKR_PIN_INCORRECT', 'C_Login', 'One try is left. A wrong PIN then locks the token for good.') : thrown;
    } finally {
      pin.wipe();
    }
    settle('accepted');
  }

  /** The held session of a token, if it is still good; forgets it if not. */
  async #alive(serial: string): Promise<Held | null> {
    const held = this.#held.get(serial);
    if (!held) return null;
    if (await held.session.loggedIn()) return held;
    this.#held.delete(serial);
    await quietly(held.session.close());
    return null;
  }

  /** A token that stays logged in: asks for the PIN only where that is not the case. */
  async #root(serial: string, asked: Asked): Promise<Held> {
    const alive = await this.#alive(serial);
    if (alive) return alive;
    const token = await this.#tokens().token(serial);
    const session = await token.open();
    try {
      await this.#login(token, session, asked);
    } catch (thrown) {
      await quietly(session.close());
      throw thrown;
    }
    const held = { token, session };
    this.#held.set(serial, held);
    return held;
  }

  /** A card: logged in for this work alone, with a session of its own, and logged out whatever happens. */
  async #card<T>(serial: string, asked: Asked, use: (card: Held) => Promise<T>): Promise<T> {
    await this.#logOut({ token: serial });
    const token = await this.#tokens().token(serial);
    const session = await token.open();
    try {
      await this.#login(token, session, asked);
      return await use({ token, session });
    } finally {
      await quietly(session.logout());
      await quietly(session.close());
    }
  }

  async #logOut({ token: serial }: Body<'log-out'>): Promise<Answer<'log-out'>> {
    const held = this.#held.get(serial);
    this.#held.delete(serial);
    if (held) {
      await quietly(held.session.logout());
      await quietly(held.session.close());
    }
    return {};
  }

  // --- the recorder --------------------------------------------------------------------------------------------------

  #recorderNew(): Answer<'recorder-new'> {
    if (this.#config === null) throw new Fault('DEVICE_NOT_STARTED');
    if (this.#module) throw new Fault('DEVICE_OTHER_MODULE', 'The recorder key lives in a process of its own.');
    this.#recorder?.wipe();
    this.#recorder = new Secret(randomFillSync(secretBytes(32)));
    return { key: jwkOf(publicKeyFromParts('ed25519', { raw: ed25519.getPublicKey(this.#recorder.bytes) })) };
  }

  #recorderSign({ message }: Body<'recorder-sign'>): Answer<'recorder-sign'> {
    if (!this.#recorder) throw new Fault('DEVICE_NOT_STARTED', 'There is no recorder key.');
    return { signature: toBase64url(ed25519.sign(fromBase64url(message), this.#recorder.bytes)) };
  }

  // --- people --------------------------------------------------------------------------------------------------------

  async #enrol({ card: serial, id, statement, asked }: Body<'enrol'>, work: Work): Promise<Answer<'enrol'>> {
    return this.#card(serial, asked, async (card) => {
      const found = await findIdentity(card.session);
      const identity = found ?? (await makeIdentity(card, id, work));
      return this.#withSeed(card, identity, async (seed, pq) => ({
        card: await card.token.facts(),
        identity: { classical: jwkOf(identity.classical), pq: jwkOf(pq), held: { classical: 'token', pq: 'sealed-seed' } },
        made: found === null,
        statement,
        signatures: await signBoth(card.session, identity, seed, pq, asked.person, statement),
      }));
    });
  }

  async #sign({ card: serial, payloads, asked }: Body<'sign'>): Promise<Answer<'sign'>> {
    return this.#card(serial, asked, async (card) => {
      const identity = await findIdentity(card.session);
      if (!identity) throw noIdentity('a card with an enrolled identity', 'none on this card');
      return this.#withSeed(card, identity, async (seed, pq) => {
        const signatures: SignaturePair[] = [];
        for (const payload of payloads) signatures.push(await signBoth(card.session, identity, seed, pq, asked.person, payload));
        return { signatures };
      });
    });
  }

  /** Reads the ML-DSA seed for the length of `use`. */
  async #withSeed<T>({ session }: Held, { id }: Identity, use: (seed: Uint8Array, pq: PublicKey) => Promise<T>): Promise<T> {
    const seed = await session.getData(seedLabel(id));
    try {
      return await use(seed.bytes, mlDsaPublicFromSeed(seed.bytes));
    } finally {
      seed.wipe();
    }
  }

  // --- the token -----------------------------------------------------------------------------------------------------

  async #inspect({ token: serial, needs, algorithm: name, asked }: Body<'inspect-token'>): Promise<Answer<'inspect-token'>> {
    const algorithm = tokenAlgorithm(name);
    const { token, session } = await this.#root(serial, asked);
    const proven = needs.length === 0 ? UNTRIED : await probe(session, token, algorithm, needs.includes('wrap') || needs.includes('recover'));
    return {
      token: await token.facts(),
      module: this.#tokens().facts,
      mechanisms: (await token.mechanisms()).map((mechanism) => mechanism.name).slice(0, 600),
      needs: needs.map((need) => {
        const detail = proven[need];
        return { name: need, proof: detail === null ? 'verified' : null, detail: (detail ?? PROBES[need]).slice(0, 200) };
      }),
    };
  }

  async #testRandom({ token: serial, bytes }: Body<'test-random'>): Promise<Answer<'test-random'>> {
    const held = await this.#alive(serial);
    const session = held?.session ?? (await (await this.#tokens().token(serial)).open());
    try {
      return await lend(await session.random(bytes), (sample) => {
        const { tests, claim } = testRandom(sample);
        return { bytes, tests: [...tests], claim };
      });
    } finally {
      if (!held) await quietly(session.close());
    }
  }

  async #takeInventory({ token: serial, asked }: Body<'take-inventory'>): Promise<Answer<'take-inventory'>> {
    const { session } = await this.#root(serial, asked);
    const { total, objects } = await session.list(0, 2000);
    if (total > 2000) {
      throw new Refused(refuse('INVENTORY-SIZE', 'at most 2000 objects on the token', `${total}`, 'Use a token of its own for the root key.'));
    }
    return { token: serial, objects };
  }

  async #generateKey(body: Body<'generate-key'>, work: Work): Promise<Answer<'generate-key'>> {
    const { token: serial, id, label, algorithm: name, extractable, asked } = body;
    const algorithm = tokenAlgorithm(name);
    const { session } = await this.#root(serial, asked);
    await idIsFree(session, id);
    const mechanism = await work.write(() => session.generateKeyPair({ algorithm, id, label, extractable }));
    return { token: serial, mechanism, ...(await readBack(session, id, algorithm)).facts };
  }

  async #proveKey({ token: serial, id, algorithm: name, asked }: Body<'prove-key'>): Promise<Answer<'prove-key'>> {
    const algorithm = tokenAlgorithm(name);
    const { session } = await this.#root(serial, asked);
    const { key, facts } = await readBack(session, id, algorithm);
    // Not a to-be-signed certificate, not a JOSE signing input: a text that says what it is for.
    const message = concat(utf8('conclave: proof of possession '), await lend(await mixed(session, 'nonce'), (bytes) => Uint8Array.from(bytes)));
    const possession = await possess(session, { class: 'private-key', id }, algorithm, key, message);
    return { ...facts, weakTests: [...weakKeyTests(algorithm.name)], possession };
  }

  async #issueCertificate(body: Body<'issue-certificate'>): Promise<Answer<'issue-certificate'>> {
    const { token: serial, id, serialNumber, notBefore, notAfter, asked } = body;
    const algorithm = tokenAlgorithm(body.algorithm);
    const subject = Subject.safeParse(body.subject);
    if (!subject.success) throw new Fault('REQUEST_INVALID', where(subject.error));
    const { session } = await this.#root(serial, asked);
    const publicKey = await session.publicKey({ class: 'public-key', id }, algorithm);
    const profile = {
      subject: subject.data as SubjectName, serialNumber: fromHex(serialNumber), publicKey,
      notBefore: new Date(notBefore), notAfter: new Date(notAfter),
    };
    // Loaded here: a third of this program's start, for one operation of one process.
    const { CERTIFICATE_LINTS, rootCertificate, tbsOf, throwawayLint } = await import('../../ceremonies/keys/x509.ts');
    const { makePair, signWithPkcs8 } = await import('./software-token.ts');
    const pair = await makePair(algorithm);
    const linted = await lend(pair.pkcs8, (pkcs8) => throwawayLint(profile, {
      publicKey: parsePublicKey(pair.spki, algorithm.name),
      sign: async (tbs) => signWithPkcs8(pkcs8, algorithm, tbs),
    }));
    const { der } = await rootCertificate(linted, (tbs) => session.sign({ class: 'private-key', id }, algorithm, tbs));
    return {
      lintedTbs: toBase64url(sha256(linted.tbs)), signedTbs: toBase64url(sha256(tbsOf(der))),
      lints: [...CERTIFICATE_LINTS], certificate: toBase64url(der),
    };
  }

  async #lockKey({ token: serial, id, asked }: Body<'lock-key'>, work: Work): Promise<Answer<'lock-key'>> {
    const { session } = await this.#root(serial, asked);
    const name = { class: 'private-key', id } as const;
    await work.write(() => session.makeNonExtractable(name));
    const attributes = await session.attributes(name);
    // The attribute is the token's word; an attempt to wrap the key is the test of it.
    const attempt = withWrappingKey(session, randomFillSync(secretBytes(32)), (under) => session.wrap(name, under));
    const escaped = await attempt.then(() => true, (thrown: unknown) => {
      if (!isTokenError(thrown) || GONE.includes(thrown.code)) throw thrown;
      return false;
    });
    if (escaped) {
      throw new Refused(refuse('LOCKED', 'a key that no longer leaves the token', 'one that was wrapped all the same', 'Do not rely on this token.'));
    }
    return { private: attributes };
  }

  // --- after a crash -------------------------------------------------------------------------------------------------

  /** On the held session where there is one, else with a login of its own. */
  async #visit<T>(serial: string, asked: Asked, use: (visited: Held) => Promise<T>): Promise<T> {
    const held = await this.#alive(serial);
    return held ? use(held) : this.#card(serial, asked, use);
  }

  async #look({ token: serial, id, labels, asked }: Body<'look'>): Promise<Answer<'look'>> {
    return this.#visit(serial, asked, async ({ session }) => (await observe(session, id, labels)).observation);
  }

  async #clear({ token: serial, id, labels, asked }: Body<'clear'>, work: Work): Promise<Answer<'clear'>> {
    return this.#visit(serial, asked, async ({ token, session }) => {
      const before = await observe(session, id, labels);
      for (const { name } of before.found) await work.write(() => session.destroy(name));
      const fresh = await token.open();
      try {
        return { before: before.observation, after: (await observe(fresh, id, labels)).observation };
      } finally {
        await quietly(fresh.close());
      }
    });
  }

  // --- backup --------------------------------------------------------------------------------------------------------

  async #makeBackupKey(body: Body<'make-backup-key'>): Promise<Answer<'make-backup-key'>> {
    const { token: serial, set: id, epoch, threshold, custodians, asked } = body;
    const { session } = await this.#root(serial, asked);
    this.#wipeBackup();
    const key = new Secret(await mixed(session, 'backup key'));
    try {
      const { set, shares } = await makeShares(key.bytes, { set: id, epoch, threshold, custodians });
      try {
        const { subsetsTried } = await proveSplit(shares, set, randomFillSync(secretBytes(32)));
        this.#backup = { set, key, shares: new Map(shares.map((share) => [share.header.x, share])) };
        return { set, sources: ['token', 'system'], subsetsTried };
      } finally {
        if (!this.#backup) for (const { payload } of shares) payload.fill(0);
      }
    } finally {
      if (!this.#backup) key.wipe();
    }
  }

  async #wrapKey({ token: serial, id, asked }: Body<'wrap-key'>): Promise<Answer<'wrap-key'>> {
    const { key } = this.#backupKey();
    const { session } = await this.#root(serial, asked);
    const name = { class: 'private-key', id } as const;
    const { mechanism, wrapped } = await withWrappingKey(session, Uint8Array.from(key.bytes), (under) => session.wrap(name, under));
    return { mechanism, wrapped: toBase64url(wrapped), private: await session.attributes(name) };
  }

  async #giveShare({ card: serial, object, x, erases, asked }: Body<'give-share'>, work: Work): Promise<Answer<'give-share'>> {
    const { shares } = this.#backupKey();
    const share = shares.get(x);
    if (!share) throw new Refused(refuse('SHARE-SET', `a share number from 1 to ${shares.size}`, `${x}`, 'Check the number of custodians in the script.'));
    return this.#card(serial, asked, async ({ token, session }) => {
      if ((await session.find({ class: 'data', label: object })).length > 0) {
        throw new Refused(refuse('OBJECT-FREE', `no object ${object} on this card`, 'one that is there', 'Look at the card before it is written to.'));
      }
      await lend(encodeShare(share), async (bytes) => {
        await work.write(() => session.putData(object, bytes));
        const stored = await session.getData(object);
        const same = equalBytes(stored.bytes, bytes);
        stored.wipe();
        if (!same) throw new Refused(refuse('SHARE-DAMAGED', 'the share as it was written', 'other bytes on the card', 'Use another card.'));
      });
      const erased: string[] = [];
      for (const label of erases) {
        if (label === object || (await session.find({ class: 'data', label })).length === 0) continue;
        await work.write(() => session.destroy({ class: 'data', label }));
        erased.push(label);
      }
      return { card: await token.facts(), object, x, commitment: shareCommitment(share), erased };
    });
  }

  async #readBackShare({ card: serial, object, set, x, asked }: Body<'read-back-share'>): Promise<Answer<'read-back-share'>> {
    return this.#card(serial, asked, async ({ session }) => {
      const share = await readShare(session, object);
      try {
        const { header } = share;
        const next = 'Find out whose card this is before anything else happens.';
        if (header.set !== set) throw new Refused(refuse('SHARE-FOREIGN-SET', `a share of set ${set}`, `one of set ${header.set}`, next));
        if (header.x !== x) throw new Refused(refuse('SHARE-SWAPPED', `share ${x} on this card`, `share ${header.x}, made for ${header.custodian}`, next));
        // While the set is still here the comparison is ours; afterwards it is the record's.
        const finding = this.#backup?.set.id === set ? checkShare(share, { set: this.#backup.set, expectedX: x })[0] : undefined;
        if (finding) throw new Refused(finding);
        return { card: serial, object, x, commitment: shareCommitment(share) };
      } finally {
        share.payload.fill(0);
      }
    });
  }

  async #proveRecovery(body: Body<'prove-recovery'>): Promise<Answer<'prove-recovery'>> {
    const { token: serial, algorithm: name, wrapped, nonce, spki, set, quorum, asked } = body;
    const algorithm = tokenAlgorithm(name);
    const publicKey = parsePublicKey(fromBase64url(spki), algorithm.name);
    const shares: Share[] = [];
    let recovered: Uint8Array;
    try {
      for (const { seat, card, object, x, asked: holder } of quorum) {
        const share = await this.#card(card, holder, ({ session }) => readShare(session, object));
        shares.push(share);
        const seen = shares.slice(0, -1).map(({ header }, i) => ({ header, presentedBy: quorum[i]!.seat }));
        const [finding] = checkShare(share, { set, seen, presentedBy: seat, expectedX: x });
        if (finding) throw new Refused(finding);
      }
      recovered = takeBytes(await combineChecked(shares, set));
    } finally {
      for (const { payload } of shares) payload.fill(0);
    }
    const target = { class: 'private-key', id: freshId(), lives: 'session' } as const;
    let root: Held;
    try {
      root = await this.#root(serial, asked);
    } catch (thrown) {
      recovered.fill(0);
      throw thrown;
    }
    const { token, session } = root;
    const possession = await withWrappingKey(session, recovered, async (under) => {
      await session.unwrap({ wrapped: fromBase64url(wrapped), under, algorithm, id: target.id, label: 'conclave-recovered' });
      return andThen(() => possess(session, target, algorithm, publicKey, fromBase64url(nonce)), () => session.destroy(target));
    });
    const fresh = await token.open();
    try {
      const left = await fresh.find(target);
      if (left.length > 0) {
        throw new Refused(refuse('DESTROYED', 'no recovered key on the token', `${left.length}`, 'Log out of the token: what lives in a session ends with it.'));
      }
    } finally {
      await quietly(fresh.close());
    }
    return { quorum: quorum.map(({ seat, card, x }) => ({ seat, card, x })), possession, destroyed: true };
  }

  #backupKey(): Backup {
    if (!this.#backup) throw new Fault('BACKUP_KEY_GONE');
    return this.#backup;
  }

  /** False where there was nothing to wipe: then the key ended with the process that had it. */
  #wipeBackup(): boolean {
    if (!this.#backup) return false;
    this.#backup.key.wipe();
    for (const { payload } of this.#backup.shares.values()) payload.fill(0);
    this.#backup = null;
    return true;
  }
}

// --- identities ------------------------------------------------------------------------------------------------------

/** What there is of identities on a card, by CKA_ID. */
async function identityParts(session: Session): Promise<Map<string, { private: number; public: number; seed: number }>> {
  const parts = new Map<string, { private: number; public: number; seed: number }>();
  for (const half of ['private', 'public'] as const) {
    for (const { id } of await session.find({ class: `${half}-key`, label: IDENTITY })) {
      const known = parts.get(id) ?? { private: 0, public: 0, seed: (await session.find({ class: 'data', label: seedLabel(id) })).length };
      parts.set(id, { ...known, [half]: known[half] + 1 });
    }
  }
  return parts;
}

/** The one whole identity, or null. Several are refused: nobody can tell which one the person means. */
async function findIdentity(session: Session): Promise<Identity | null> {
  const whole = [...(await identityParts(session))].filter(([, part]) => part.private === 1 && part.public === 1 && part.seed === 1);
  if (whole.length > 1) throw new Refused(refuse('ONE-MATCH', 'one identity on this card', `${whole.length}`, 'Use a card of its own for every person.'));
  const id = whole[0]?.[0];
  return id === undefined ? null : readIdentity(session, id);
}

async function readIdentity(session: Session, id: string): Promise<Identity> {
  for (const name of ['ecdsa-p256', 'ecdsa-p384', 'rsa-3072'] as const) {
    try {
      const classical = await session.publicKey({ class: 'public-key', id, label: IDENTITY }, ALGORITHMS[name]);
      return { id, algorithm: ALGORITHMS[name], classical: parsePublicKey(classical.spki, name) };
    } catch (thrown) {
      // Another kind of key: its parts are missing, or have another length.
      if (!(thrown instanceof Refused && thrown.refusal.rule.startsWith('KEY-')) && !isTokenError(thrown, 'CKR_ATTRIBUTE_TYPE_INVALID')) throw thrown;
    }
  }
  throw noIdentity('an identity key of a known kind', 'another kind of key');
}

function noIdentity(expected: string, found: string): Refused {
  return new Refused(refuse('IDENTITY-ON-CARD', expected, found, 'Check whose card this is, or enrol it.'));
}

/**
 * Completes what an interrupted enrolment left, or makes a new identity: first the key pair, then the seed, whose label
 * carries the pair's CKA_ID. So a pair without a seed has never been an identity: one that signs is completed, anything
 * less is debris and is removed. A seed without a whole pair was an identity once, and is left for people to decide.
 */
async function makeIdentity(card: Held, id: string, work: Work): Promise<Identity> {
  const { session } = card;
  let identity: Identity | null = null;
  for (const [found, part] of await identityParts(session)) {
    if (part.seed > 0) {
      throw new Refused(refuse('IDENTITY-WHOLE', 'an identity with both its keys', 'half of one', 'Use another card, and have this one looked at.'));
    }
    if (!identity && part.private === 1 && part.public === 1) identity = await ifItSigns(session, found);
    if (identity?.id === found) continue;
    for (const half of ['private-key', 'public-key'] as const) {
      if ((half === 'private-key' ? part.private : part.public) === 0) continue;
      await work.write(() => session.destroy({ class: half, id: found, label: IDENTITY }));
    }
  }
  if (!identity) {
    await idIsFree(session, id);
    await generateIdentityPair(card, id, work);
    identity = await readIdentity(session, id);
  }
  const [weak] = weakKeyFindings(identity.classical);
  if (weak) throw new Refused(weak);
  const label = seedLabel(identity.id);
  await lend(await mixed(session, `ML-DSA seed ${identity.id}`), (seed) => work.write(() => session.putData(label, seed)));
  return identity;
}

/** A pair that a crash left may be there and not work. */
async function ifItSigns(session: Session, id: string): Promise<Identity | null> {
  try {
    const identity = await readIdentity(session, id);
    await possess(session, { class: 'private-key', id }, identity.algorithm, identity.classical, utf8('conclave: does this key sign?'));
    return identity;
  } catch (thrown) {
    if (thrown instanceof Refused || (isTokenError(thrown) && !GONE.includes(thrown.code))) return null;
    throw thrown;
  }
}

async function generateIdentityPair({ token, session }: Held, id: string, work: Work): Promise<void> {
  const listed = new Set((await token.mechanisms()).map(({ number }) => number));
  const candidates = ([ALGORITHMS['ecdsa-p256'], ALGORITHMS['ecdsa-p384'], ALGORITHMS['rsa-3072']] as const)
    .filter(({ pkcs11 }) => listed.has(pkcs11.generate) && listed.has(pkcs11.sign));
  for (const [i, algorithm] of candidates.entries()) {
    try {
      await work.write(() => session.generateKeyPair({ algorithm, id, label: IDENTITY, extractable: false }));
      return;
    } catch (thrown) {
      // These codes say that nothing was made (errors.json), so the next kind may be tried.
      const curveMissing = isTokenError(thrown, 'CKR_DOMAIN_PARAMS_INVALID', 'CKR_CURVE_NOT_SUPPORTED', 'CKR_MECHANISM_INVALID', 'CKR_KEY_SIZE_RANGE');
      if (!curveMissing || i === candidates.length - 1) throw thrown;
    }
  }
  throw new TokenError('CKR_MECHANISM_INVALID', 'C_GenerateKeyPair');
}

/** Classical and ML-DSA signature over one payload, each verified here before it is given out. */
async function signBoth(
  session: Session, { id, algorithm, classical }: Identity, seed: Uint8Array, pq: PublicKey, signer: string, payload: string,
): Promise<SignaturePair> {
  const [classicalHeader, pqHeader] = headersOf({ signer, classical, pq });
  const one = signingInput(classicalHeader, payload);
  const two = signingInput(pqHeader, payload);
  const { signature } = await possess(session, { class: 'private-key', id }, algorithm, classical, one);
  const post = await lend(randomFillSync(secretBytes(32)), (randomness) => signMlDsa65(seed, two, randomness));
  if (!(await verifySignature(pq, two, post))) throw unverified();
  return [{ protected: classicalHeader, signature }, { protected: pqHeader, signature: toBase64url(post) }];
}

// --- keys ------------------------------------------------------------------------------------------------------------

function tokenAlgorithm(name: string): TokenAlgorithm {
  const algorithm = algorithmNamed(name);
  if (algorithm.family === 'ml-dsa') {
    throw new Refused(refuse('ALGORITHM-ON-TOKEN', 'an algorithm that tokens sign with here', algorithm.label, 'Choose another algorithm in the script.'));
  }
  return algorithm;
}

/** CKA_IDs are never used twice: reconciliation after a crash depends on it. */
async function idIsFree(session: Session, id: string): Promise<void> {
  for (const kind of ['private-key', 'public-key', 'secret-key'] as const) {
    const found = await session.find({ class: kind, id });
    if (found.length > 0) {
      throw new Refused(refuse('ID-FRESH', `no object with CKA_ID ${id}`, `a ${kind}`, 'Look at the token before anything is made on it.'));
    }
  }
}

/** Everything about a key pair that its token tells, and a public key that is not weak. */
async function readBack(session: Session, id: string, algorithm: TokenAlgorithm) {
  const key = await session.publicKey({ class: 'public-key', id }, algorithm);
  parsePublicKey(key.spki, algorithm.name);
  const [weak] = weakKeyFindings(key);
  if (weak) throw new Refused(weak);
  const facts = {
    spki: toBase64url(key.spki),
    private: await session.attributes({ class: 'private-key', id }),
    public: await session.attributes({ class: 'public-key', id }),
  };
  return { key, facts };
}

/** A signature of `message` that verifies under `key`, which is what possession means. */
async function possess(
  session: Session, name: Parameters<Session['sign']>[0], algorithm: TokenAlgorithm, key: PublicKey, message: Uint8Array,
): Promise<Possession> {
  const signature = await session.sign(name, algorithm, message);
  if (!(await verifySignature(key, message, signature))) throw unverified();
  return { message: toBase64url(message), signature: toBase64url(signature) };
}

function unverified(): Refused {
  return new Refused(
    refuse('PROOF-OF-POSSESSION', 'a signature that its public key verifies', 'one that does not fit', 'Do not use this key: have the token examined.'),
  );
}

/** 32 bytes from the token and 32 from the system through HKDF-SHA-256 (RFC 5869): as good as the better of the two. */
async function mixed(session: Session, purpose: string): Promise<Uint8Array> {
  const material = secretBytes(64);
  return lend(material, async () => {
    const token = await session.random(32);
    material.set(token);
    token.fill(0);
    randomFillSync(material, 32);
    return takeBytes(hkdf(sha256, material, undefined, utf8(`conclave ${purpose}`), 32));
  });
}

/** `value` (taken over and wiped) as a session object on the token, for the length of `use`. */
async function withWrappingKey<T>(
  session: Session, value: Uint8Array, use: (under: { class: 'secret-key'; id: string; lives: 'session' }) => Promise<T>,
): Promise<T> {
  const under = { class: 'secret-key', id: freshId(), lives: 'session' } as const;
  await lend(value, () => session.importWrappingKey({ id: under.id, label: 'conclave-backup-key', value }));
  return andThen(() => use(under), () => session.destroy(under));
}

/** `tidy` after `use`, whatever happens; when both fail, the first failure is the one that is told. */
async function andThen<T>(use: () => Promise<T>, tidy: () => Promise<void>): Promise<T> {
  let result: T;
  try {
    result = await use();
  } catch (thrown) {
    await quietly(tidy());
    throw thrown;
  }
  await tidy();
  return result;
}

async function readShare(session: Session, object: string): Promise<Share> {
  const stored = await session.getData(object);
  try {
    return parseShare(stored.bytes);
  } finally {
    stored.wipe();
  }
}

type Need = Body<'inspect-token'>['needs'][number];
const PROBES: Readonly<Record<Need, string>> = {
  generate: 'A session key pair was generated and its public key tested.',
  sign: 'A session key signed a fresh message; the signature was verified in software.',
  wrap: 'A session key was wrapped under a session AES-256 key (RFC 5649).',
  recover: 'The wrapped key was unwrapped into a session object and signed; verified in software.',
};

const UNTRIED: Readonly<Record<Need, string | null>> = { generate: 'not tried', sign: 'not tried', wrap: 'not tried', recover: 'not tried' };

/** Tries everything for real, with objects that live in the session only. Null: it worked; else why not. */
async function probe(session: Session, token: Token, algorithm: TokenAlgorithm, backup: boolean): Promise<Record<Need, string | null>> {
  const proven: Record<Need, string | null> = { ...UNTRIED };
  const attempt = async (need: Need, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
      proven[need] = null;
    } catch (thrown) {
      if (isTokenError(thrown, ...GONE)) throw thrown;
      const { code, message } = deviceError(thrown);
      proven[need] = `${code}: ${message}`;
    }
  };
  const pair = { class: 'private-key', id: freshId(), lives: 'session' } as const;
  const again = { class: 'private-key', id: freshId(), lives: 'session' } as const;
  const message = randomFillSync(secretBytes(32));
  try {
    let key: PublicKey | undefined;
    await attempt('generate', async () => {
      await session.generateKeyPair({ algorithm, id: pair.id, label: 'conclave-probe', extractable: true, lives: 'session' });
      key = await session.publicKey({ class: 'public-key', id: pair.id, lives: 'session' }, algorithm);
      const [weak] = weakKeyFindings(parsePublicKey(key.spki, algorithm.name));
      if (weak) throw new Refused(weak);
    });
    const publicKey = key;
    if (publicKey === undefined || proven.generate !== null) return proven;
    await attempt('sign', async () => {
      await possess(session, pair, algorithm, publicKey, message);
    });
    if (!backup) return proven;
    await withWrappingKey(session, randomFillSync(secretBytes(32)), async (under) => {
      let wrapped: Uint8Array | undefined;
      await attempt('wrap', async () => {
        ({ wrapped } = await session.wrap(pair, under));
      });
      const known = proven.wrap === null ? null : token.notWrappable(algorithm);
      if (known !== null) proven.wrap = `${known} (${proven.wrap})`;
      const bytes = wrapped;
      if (bytes === undefined) {
        proven.recover = 'Nothing could be wrapped that could be recovered.';
        return;
      }
      await attempt('recover', async () => {
        await session.unwrap({ wrapped: bytes, under, algorithm, id: again.id, label: 'conclave-probe' });
        await possess(session, again, algorithm, publicKey, message);
      });
    }).catch((thrown: unknown) => {
      // A token that does not even take a wrapping key.
      if (!isTokenError(thrown) || GONE.includes(thrown.code)) throw thrown;
      proven.wrap = proven.recover = `${thrown.code}: it takes no AES-256 key for wrapping.`;
    });
    return proven;
  } finally {
    for (const name of [pair, again, { ...pair, class: 'public-key' } as const]) {
      await quietly(session.find(name).then((found) => (found.length === 1 ? session.destroy(name) : undefined)));
    }
  }
}

// --- looking ---------------------------------------------------------------------------------------------------------

interface Found { readonly name: Parameters<Session['destroy']>[0]; readonly fact: ObjectFact }

/** What there is under a CKA_ID (a key pair, an identity's seed) and under the labels of data objects. */
async function observe(
  session: Session, id: string | undefined, labels: readonly string[],
): Promise<{ observation: Observation; found: Found[] }> {
  const found: Found[] = [];
  const lookFor = async (name: Found['name']): Promise<number> => {
    const facts = await session.find(name);
    // Two objects under one CKA_ID are still told apart by their labels when they are destroyed.
    found.push(...facts.map((fact) => ({ name: facts.length > 1 ? { ...name, label: fact.label } : name, fact })));
    return facts.length;
  };
  let wanted = labels.length;
  let there = 0;
  if (id !== undefined) {
    const privates = await lookFor({ class: 'private-key', id });
    const publics = await lookFor({ class: 'public-key', id });
    const identity = found.some(({ fact }) => fact.label === IDENTITY);
    const seeds = labels.includes(seedLabel(id)) ? 0 : await lookFor({ class: 'data', label: seedLabel(id) });
    wanted += 2 + (identity && !labels.includes(seedLabel(id)) ? 1 : 0);
    there += Math.min(privates, 1) + Math.min(publics, 1) + Math.min(seeds, 1);
  }
  for (const label of labels) there += Math.min(await lookFor({ class: 'data', label }), 1);
  const state = wanted === 0 ? 'none' : found.length === 0 ? 'absent' : there >= wanted && found.length === there ? 'present' : 'half';
  const listed = found.map(({ fact }) => fact.class).join(', ');
  const detail = found.length === 0 ? 'Nothing is there.' : `${found.length} of ${wanted} expected: ${listed}`.slice(0, 300);
  return { found, observation: { state, objects: found.slice(0, 64).map(({ fact }) => fact), detail } };
}

// --- small things ----------------------------------------------------------------------------------------------------

/** x509.ts' SubjectName: unknown members are refused, contents are linted there. */
const Subject = z.strictObject({
  commonName: z.string(), organization: z.string().optional(), organizationalUnit: z.string().optional(), country: z.string().optional(),
});

function rehearsalPin(): Uint8Array {
  return takeBytes(new TextEncoder().encode(REHEARSAL_PIN));
}

function jwkOf(key: PublicKey): PublicJwk {
  return toJwk(key) as PublicJwk; // the answer is parsed against PublicJwk before it is sent
}

/** CKA_ID of a session object: random, so that it names exactly one. */
function freshId(): string {
  return toHex(randomFillSync(secretBytes(16)));
}

/** Tidying up after the outcome is known; a token that is gone needs no tidying. */
async function quietly(work: Promise<unknown> | undefined): Promise<void> {
  try {
    await work;
  } catch (thrown) {
    if (!isTokenError(thrown) && !(thrown instanceof Refused)) throw thrown;
  }
}

/** Where a value is wrong, never what it is. */
function where(error: z.ZodError): string {
  return `At: ${error.issues.slice(0, 3).map(({ path }) => path.join('.') || '(the whole)').join(', ')}.`;
}
