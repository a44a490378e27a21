/**
 * What a device process can be asked to do (protocol.ts), carried out over the nouns of tokens.ts.
 *
 * Backup key, shares, seeds and PINs live here and nowhere else: between two lines, or, for the backup key, from
 * `make-backup-key` to `wipe-backup-key`. What leaves is evidence, parsed against its closed shape before it is sent.
 *
 * A success code is no proof: what was made is read back, signatures are verified in software, what was destroyed is looked
 * for again in another session. Never retries a PIN, never repeats a write, never touches "the first of several" objects.
 */
import { randomFillSync } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import * as z from 'zod';
import { LOGIN_ENDED } from '../../ceremonies/activation.ts';
import { concat, equalBytes, fromBase64url, fromHex, toBase64url, toHex, utf8 } from '../../ceremonies/bytes.ts';
import { COMPONENT_BYTES } from '../../ceremonies/components.ts';
import { IDENTITY_LABEL, type Observation, type ObjectFact, type PublicJwk, type ShareSet, type SignaturePair } from '../../ceremonies/evidence.ts';
import { ALGORITHMS, caAlgorithmNamed, componentsOf, type EcdsaAlgorithm, type RsaAlgorithm } from '../../ceremonies/keys/algorithms.ts';
import { headersOf, signingInput } from '../../ceremonies/keys/jws.ts';
import { parsePublicKey, publicKeyFromParts, toJwk, type PublicKey } from '../../ceremonies/keys/public-key.ts';
import { mlDsaPublicFromSeed, signMlDsa65, verifySignature } from '../../ceremonies/keys/signatures.ts';
import { weakKeyFindings } from '../../ceremonies/keys/weak.ts';
import type { CertificateProfile, SubjectName } from '../../ceremonies/keys/x509.ts';
import { testRandom } from '../../ceremonies/randomness.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import {
  checkShare, combineChecked, encodeShare, makeShares, parseShare, proveSplit, shareCommitment, type Share,
} from '../../ceremonies/shares/share.ts';
import type { Cards } from './cards.ts';
import { deviceError, Fault, isTokenError, quietly, tokenIsGone, TokenError, Work } from './errors.ts';
import {
  andThen, failedPart, idIsFree, makeKey, mayBeCopied, openKey, planKey, planWithFreshIds, readKey, recoverKey, tryKey, throwawayKemKey, unverified, withThrowawayKey,
  type Key, type Plan, type Tried,
} from './keys.ts';
import { ComponentDesk, readFormed } from './components.ts';
import { PinDesk, type Booth } from './login.ts';
import {
  OPERATIONS, REHEARSAL_PIN, type Answer, type Asked, type CertificateOrder, type DeviceError, type ModuleConfig, type Operation, type Slots,
} from './protocol.ts';
import type { CopyOf } from './share-copies.ts';
import { forgetProven, newReference, readRestored, restoreKey, rehearsalBackup } from './restoring.ts';
import { explanations, listedAs, probe, readDetails, readObject, scanKeys, wantedOf } from './reading.ts';
import { lend, Secret, secretBytes, takeBytes } from './secret.ts';
import type { ObjectName, Session, Token, TokenModule } from './tokens.ts';
import { sealShare, TransportKey } from './transport.ts';

type Body<O extends Operation> = z.output<(typeof OPERATIONS)[O]['request']>;

/** What the process around the operations gives them. */
export interface Surroundings extends Booth {
  /** The program that is running, for the software token's facts. */
  readonly program: string;
  /** Card readers or cards have come or gone. */
  readersMoved(): void;
}

interface Held { readonly token: Token; readonly session: Session }
interface Backup { readonly set: ShareSet; readonly key: Secret; readonly shares: ReadonlyMap<number, Share> }
interface Identity { readonly id: string; readonly algorithm: EcdsaAlgorithm | RsaAlgorithm; readonly classical: PublicKey }

/** After these a listing that is being paged through still holds; everything else ends it. */
const KEEPS_BROWSING: readonly Operation[] = ['slots', 'moved', 'objects', 'search-objects', 'object', 'details', 'mechanisms', 'scan-keys', 'explain', 'refer'];
/** How long a login for looking lasts without a request for its token. */
const IDLE_LIMIT = 10 * 60_000;
/** A listing made ahead is used when it is asked for within this time, and made anew otherwise. */
const AHEAD_LIMIT = 3_000;

/** Envelopes bring CMS with them. */
const copying = () => import('./share-copies.ts');

const seedLabel = (id: string) => `${IDENTITY_LABEL}-${id}`;

/** Who is in which slot; what else a token tells of itself may change without anybody coming or going. */
function seats(slots: Slots | null): string | null {
  return slots === null ? null : JSON.stringify(slots.map(({ slot, token }) => [slot, token?.serial ?? null, token?.label ?? null]));
}

export class Operations {
  readonly #surroundings: Surroundings;
  readonly #pins: PinDesk;
  #config: string | null = null;
  #module: TokenModule | null = null;
  /** Who was in which slot at the last look; null where tokens do not move, or nobody has asked yet. */
  #seen: string | null = null;
  /** The same when it was last told. */
  #lastTold: string | null = null;
  /** Tokens that stay logged in until `log-out`. */
  readonly #held = new Map<string, Held>();
  /** A listing without login that is being paged through. */
  #browsing: { readonly serial: string; readonly session: Session } | null = null;
  /** When `#browsing` was listed ahead of a request for it (performance.now), for one use. */
  #ahead: number | null = null;
  /** Logins of `log-in`: each with the timer that ends it. A ceremony that takes over a login takes it out of here. */
  readonly #looking = new Map<string, NodeJS.Timeout>();
  /** Tokens that a quorum opened: nobody knows their PIN, so nobody is asked for it. */
  readonly #byQuorum = new Set<string>();
  #cards: Cards | null = null;
  #recorder: Secret | null = null;
  #backup: Backup | null = null;
  #transport: TransportKey | null = null;
  readonly #components: ComponentDesk;
  /** What is under way. `cancel` alone is answered beside it. */
  #work: Work | null = null;
  #performing = false;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
    this.#pins = new PinDesk(surroundings);
    this.#components = new ComponentDesk(surroundings, this.#pins.ticket);
  }

  /** Never throws: errors are values. One at a time, `cancel` aside; the caller sees to that. */
  async answer(operation: unknown, body: unknown): Promise<{ ok: true; body: unknown } | { ok: false; error: DeviceError }> {
    const work = new Work();
    if (operation !== 'cancel') this.#performing = true;
    try {
      if (typeof operation !== 'string' || !Object.hasOwn(OPERATIONS, operation)) throw new Fault('REQUEST_INVALID', 'There is no such operation.');
      const name = operation as Operation;
      const request = OPERATIONS[name].request.safeParse(body);
      if (!request.success) throw new Fault('REQUEST_INVALID', where(request.error));
      const result = name === 'cancel' ? this.#cancel() : await this.#perform(name, request.data, work);
      if ('token' in request.data && this.#looking.has(request.data.token)) this.#lookOn(request.data.token);
      const answer = OPERATIONS[name].answer.safeParse(result);
      if (!answer.success) throw new Fault('ANSWER_INVALID', where(answer.error));
      return { ok: true, body: answer.data };
    } catch (thrown) {
      // A session for looking does not outlive its card: the next request opens one on what is there by then.
      if (tokenIsGone(thrown)) await this.#stopBrowsing();
      const component = failedPart(thrown);
      const error = deviceError(thrown, work.progress);
      // Which half of a composite it was: a token's own error does not know.
      return { ok: false, error: component === undefined || component.part === 'key' ? error : { ...error, message: `${component.label}: ${error.message}`.slice(0, 500) } };
    } finally {
      if (operation !== 'cancel') this.#performing = false;
    }
  }

  /** Lets go of everything before the process ends. */
  async close(): Promise<void> {
    for (const timer of this.#looking.values()) clearTimeout(timer);
    this.#wipeBackup();
    this.#components.wipe();
    this.#transport?.wipe();
    this.#recorder?.wipe();
    this.#cards?.close();
    await this.#module?.close();
  }

  #cancel(): Answer<'cancel'> {
    return { cancelled: this.#work?.cancel() ?? false };
  }

  async #perform(name: Exclude<Operation, 'cancel'>, body: unknown, work: Work): Promise<unknown> {
    this.#work = work;
    if (!KEEPS_BROWSING.includes(name)) await this.#stopBrowsing();
    switch (name) {
      case 'start': return this.#start(body as Body<'start'>);
      case 'slots': return this.#slots();
      case 'moved': return { slots: await this.watch() } satisfies Answer<'moved'>;
      case 'readers': return this.#readers();
      case 'objects': return this.#objects(body as Body<'objects'>);
      case 'mechanisms': return this.#mechanisms(body as Body<'mechanisms'>);
      case 'details': return this.#details(body as Body<'details'>);
      case 'search-objects': return this.#search(body as Body<'search-objects'>);
      case 'object': return this.#object(body as Body<'object'>);
      case 'probe': return this.#probe(body as Body<'probe'>);
      case 'scan-keys': return this.#scanKeys(body as Body<'scan-keys'>);
      case 'log-in': return this.#logIn(body as Body<'log-in'>);
      case 'explain': return { explanations: explanations((body as Body<'explain'>).code) } satisfies Answer<'explain'>;
      case 'provision': return this.#provision(body as Body<'provision'>, work);
      case 'log-out': this.#byQuorum.delete((body as Body<'log-out'>).token); return this.#logOut(body as Body<'log-out'>);
      case 'recorder-new': return this.#recorderNew();
      case 'recorder-sign': return this.#recorderSign(body as Body<'recorder-sign'>);
      case 'enrol': return this.#enrol(body as Body<'enrol'>, work);
      case 'sign': return this.#sign(body as Body<'sign'>);
      case 'inspect-token': return this.#inspect(body as Body<'inspect-token'>, work);
      case 'test-random': return this.#testRandom(body as Body<'test-random'>);
      case 'take-inventory': return this.#takeInventory(body as Body<'take-inventory'>);
      case 'generate-key': return this.#generateKey(body as Body<'generate-key'>, work);
      case 'read-key': return this.#readKey(body as Body<'read-key'>);
      case 'prove-key': return this.#proveKey(body as Body<'prove-key'>, work);
      case 'issue-certificate': return this.#issueCertificate(body as Body<'issue-certificate'>, work);
      case 'sign-crl': return this.#signCrl(body as Body<'sign-crl'>, work);
      case 'lock-key': return this.#lockKey(body as Body<'lock-key'>, work);
      case 'zeroise-token': return this.#zeroise(body as Body<'zeroise-token'>, work);
      case 'prove-providers': return proveSoftware(body as Body<'prove-providers'>);
      case 'provision-ca': return this.#provisionCa(body as Body<'provision-ca'>, work);
      case 'provision-stated-request': return this.#provisionStatedRequest(body as Body<'provision-stated-request'>, work);
      case 'provision-file': return provisionFile(body as Body<'provision-file'>, work);
      case 'look': return this.#look(body as Body<'look'>);
      case 'clear': return this.#clear(body as Body<'clear'>, work);
      case 'refer': return this.#refer(body as Body<'refer'>);
      case 'administer': return this.#administer(body as Body<'administer'>, work);
      case 'count-copies': return this.#countCopies(body as Body<'count-copies'>);
      case 'destroy-copy': return this.#destroyCopy(body as Body<'destroy-copy'>, work);
      case 'self-test': return this.#selfTest(body as Body<'self-test'>);
      case 'make-backup-key': return this.#makeBackupKey(body as Body<'make-backup-key'>);
      case 'wrap-key': return this.#wrapKey(body as Body<'wrap-key'>);
      case 'transport-key': return this.#transportKey();
      case 'seal-share': return this.#sealShare(body as Body<'seal-share'>);
      case 'give-share': return this.#giveShare(body as Body<'give-share'>, work);
      case 'read-back-share': return this.#readBackShare(body as Body<'read-back-share'>);
      case 'lend-share': return this.#lendShare(body as Body<'lend-share'>);
      case 'prove-recovery': return this.#proveRecovery(body as Body<'prove-recovery'>, work);
      case 'renew-shares': return this.#renewShares(body as Body<'renew-shares'>, work);
      case 'restore-key': return this.#restoreKey(body as Body<'restore-key'>, work);
      case 'read-restored': return this.#readRestored(body as Body<'read-restored'>, work);
      case 'seal-escrow': return this.#sealEscrow(body as Body<'seal-escrow'>, work);
      case 'release-escrow': return this.#releaseEscrow(body as Body<'release-escrow'>, work);
      case 'provision-agent': return (await import('./escrow.ts')).rehearsalAgent();
      case 'provision-escrow': return this.#provisionEscrow(body as Body<'provision-escrow'>);
      case 'provision-backup': return this.#provisionBackup(body as Body<'provision-backup'>, work);
      case 'seal-copy': return this.#sealCopy(body as Body<'seal-copy'>);
      case 'open-copy': return this.#openCopy(body as Body<'open-copy'>);
      case 'write-copy': return this.#writeCopy(body as Body<'write-copy'>);
      case 'return-share': return this.#returnShare(body as Body<'return-share'>, work);
      case 'provision-copy': return this.#provisionCopy(body as Body<'provision-copy'>);
      case 'enter-component': return this.#enterComponent(body as Body<'enter-component'>);
      case 'issue-component': return this.#issueComponent(body as Body<'issue-component'>);
      case 'total-components': return this.#totalComponents(body as Body<'total-components'>);
      case 'form-key': return this.#formKey(body as Body<'form-key'>, work);
      case 'read-formed': return this.#readFormed(body as Body<'read-formed'>, work);
      case 'wipe-components': return { wiped: this.#components.wipe() } satisfies Answer<'wipe-components'>;
      case 'make-activation-key': return this.#makeActivationKey(body as Body<'make-activation-key'>);
      case 'set-activation-pin': return this.#setActivationPin(body as Body<'set-activation-pin'>, work);
      case 'reset-user-pin': return this.#resetUserPin(body as Body<'reset-user-pin'>, work);
      case 'activate': return this.#activate(body as Body<'activate'>);
      case 'deactivate': return this.#deactivate(body as Body<'deactivate'>);
      case 'provision-activation': return this.#provisionActivation(body as Body<'provision-activation'>, work);
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
      case 'recorder': case 'readers': return null;
      // Each is loaded on demand: a process for software tokens must run where there is no native code.
      case 'software': {
        const { openSoftwareModule } = await import('./software-token.ts');
        return openSoftwareModule(config.folder, config.name, this.#surroundings.program, config.readOnly);
      }
      case 'pkcs11': {
        Object.assign(process.env, config.env);
        const { openPkcs11Module } = await import('./pkcs11.ts');
        return openPkcs11Module(config.name, config.path, config.parameters, undefined, { readOnly: config.readOnly, trace: config.trace });
      }
    }
  }

  async #slots(): Promise<Answer<'slots'>> {
    const slots = await this.#tokens().slots();
    const moves = this.#seen !== null || (await this.#movingSlots()) !== null;
    // From now on somebody wants to know.
    if (this.#seen === null && moves) this.#seen = this.#lastTold = seats(slots);
    return { slots, moves };
  }

  async #readers(): Promise<Answer<'readers'>> {
    if (this.#config !== JSON.stringify({ kind: 'readers', name: 'readers' } satisfies ModuleConfig)) throw new Fault('DEVICE_OTHER_MODULE', 'Card readers are watched by a process of their own.');
    // On demand: a machine without PC/SC has everything else.
    this.#cards ??= await (await import('./cards.ts')).openCards(() => this.#surroundings.readersMoved());
    return { readers: this.#cards.readers() };
  }

  /** The slots, where a token has come or gone since that was last told; else null. Never beside other work. Never throws. */
  async watch(): Promise<Slots | null> {
    const slots = this.#seen === null ? null : await this.#movingSlots();
    if (slots === null) return null;
    if (seats(slots) !== this.#seen) {
      this.#seen = seats(slots);
      // Nothing outlives the token that it was opened on.
      const here = new Set(slots.map(({ token }) => token?.serial));
      for (const serial of this.#held.keys()) if (!here.has(serial)) await this.#logOut({ token: serial });
      if (this.#browsing !== null && !here.has(this.#browsing.serial)) await this.#stopBrowsing();
    }
    return this.#told(slots);
  }

  /** The same while a PIN is awaited, so that a card which is pulled under the booth is told at once. Ends nothing: the work under way finds out by itself. */
  async glance(): Promise<Slots | null> {
    const slots = this.#seen === null ? null : await this.#movingSlots();
    return slots === null ? null : this.#told(slots);
  }

  #told(slots: Slots): Slots | null {
    if (seats(slots) === this.#lastTold) return null;
    this.#lastTold = seats(slots);
    return slots;
  }

  /** Null also where the module does not answer: whoever asks it for something is told why. */
  async #movingSlots(): Promise<Slots | null> {
    try {
      return await this.#module?.movingSlots() ?? null;
    } catch (thrown) {
      if (!isTokenError(thrown)) throw thrown;
      return null;
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
    const { session, loggedIn } = await this.#browse(serial);
    const listedAhead = this.#ahead !== null && performance.now() - this.#ahead < AHEAD_LIMIT;
    this.#ahead = null;
    return { ...(await session.list(offset, limit, offset === 0 && !listedAhead)), loggedIn };
  }

  /** The session for looking at a token: the one that is logged in, or one without login, whose listing stays for the next page. */
  async #browse(serial: string): Promise<{ session: Session; loggedIn: boolean }> {
    const held = await this.#alive(serial);
    if (held) {
      await this.#stopBrowsing();
      return { session: held.session, loggedIn: true };
    }
    if (this.#browsing?.serial !== serial) {
      await this.#stopBrowsing();
      this.#browsing = { serial, session: await (await this.#tokens().token(serial)).open() };
    }
    return { session: this.#browsing.session, loggedIn: false };
  }

  async #details({ token: serial }: Body<'details'>): Promise<Answer<'details'>> {
    const { session, loggedIn } = await this.#browse(serial);
    // Whoever looks at a token is about to look at its objects, and finding them is what takes long.
    await session.list(0, 0);
    const details = await readDetails(await this.#tokens().token(serial), session, loggedIn);
    this.#ahead = performance.now();
    return details;
  }

  async #search({ token: serial, where: wanted, offset, limit }: Body<'search-objects'>): Promise<Answer<'search-objects'>> {
    const { session, loggedIn } = await this.#browse(serial);
    const found = await session.search(wantedOf(wanted));
    const positions = found.slice(offset, offset + limit);
    const objects = [];
    for (const position of positions) objects.push(await listedAs(session, position));
    return { total: found.length, objects, positions, loggedIn };
  }

  async #object({ token: serial, place }: Body<'object'>): Promise<Answer<'object'>> {
    return readObject((await this.#browse(serial)).session, place);
  }

  async #probe({ token: serial, asked }: Body<'probe'>): Promise<Answer<'probe'>> {
    return this.#visit(serial, asked, async ({ token, session }) => ({ readiness: await probe(token, session) }));
  }

  async #scanKeys({ token: serial, offset, limit }: Body<'scan-keys'>): Promise<Answer<'scan-keys'>> {
    const { session, loggedIn } = await this.#browse(serial);
    return { ...(await scanKeys(session, offset, limit)), loggedIn };
  }

  async #logIn({ token: serial, asked }: Body<'log-in'>): Promise<Answer<'log-in'>> {
    const ceremonys = !this.#looking.has(serial) && (await this.#alive(serial)) !== null;
    await this.#root(serial, asked);
    // A login that a ceremony holds is used, and not ended.
    if (!ceremonys) this.#lookOn(serial);
    return {};
  }

  /** Ends a login for looking after its idle time, counted from now; never in the middle of a request. */
  #lookOn(serial: string): void {
    clearTimeout(this.#looking.get(serial));
    const timer = setTimeout(() => {
      if (this.#performing) this.#lookOn(serial);
      else void this.#logOut({ token: serial });
    }, IDLE_LIMIT);
    timer.unref();
    this.#looking.set(serial, timer);
  }

  async #stopBrowsing(): Promise<void> {
    const browsing = this.#browsing;
    this.#browsing = null;
    this.#ahead = null;
    await quietly(browsing?.session.close());
  }

  async #provision({ labels }: Body<'provision'>, work: Work): Promise<Answer<'provision'>> {
    const module = this.#tokens();
    const tokens = [];
    for (const label of labels) tokens.push(await work.write(() => lend(rehearsalPin(), (pin) => module.provision(label, pin))));
    return { tokens };
  }

  // --- login ---------------------------------------------------------------------------------------------------------

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
    clearTimeout(this.#looking.get(serial));
    this.#looking.delete(serial);
    const alive = await this.#alive(serial);
    if (alive) return alive;
    this.#mayAsk(serial);
    const token = await this.#tokens().token(serial);
    const session = await token.open();
    try {
      await this.#pins.logIn(token, session, asked);
    } catch (thrown) {
      await quietly(session.close());
      throw thrown;
    }
    const held = { token, session };
    this.#held.set(serial, held);
    return held;
  }

  /** Throws `Refused` ACTIVATION-ENDED for a token whose login a quorum has to open again. */
  #mayAsk(serial: string): void {
    if (this.#byQuorum.has(serial)) throw loginEnded(serial);
  }

  /** As `#root`; where the token says that nobody can log in, as its user PIN is locked or there is none, in a session without login. */
  async #withUserIfAny<T>(serial: string, asked: Asked, use: (on: Held, loggedIn: boolean) => Promise<T>): Promise<T> {
    const token = await this.#tokens().token(serial);
    const { flags } = await token.facts();
    const open = flags.includes('CKF_USER_PIN_INITIALIZED') && !flags.includes('CKF_USER_PIN_LOCKED');
    if (open || (await this.#alive(serial)) !== null) return use(await this.#root(serial, asked), true);
    const session = await token.open();
    try {
      return await use({ token, session }, false);
    } finally {
      await quietly(session.close());
    }
  }

  /** A card: logged in for this work alone, with a session of its own, and logged out whatever happens. */
  async #card<T>(serial: string, asked: Asked, use: (card: Held) => Promise<T>): Promise<T> {
    this.#mayAsk(serial);
    await this.#logOut({ token: serial });
    const token = await this.#tokens().token(serial);
    const session = await token.open();
    try {
      await this.#pins.logIn(token, session, asked);
      return await use({ token, session });
    } finally {
      await quietly(session.logout());
      await quietly(session.close());
    }
  }

  async #logOut({ token: serial }: Body<'log-out'>): Promise<Answer<'log-out'>> {
    const held = this.#held.get(serial);
    this.#held.delete(serial);
    clearTimeout(this.#looking.get(serial));
    this.#looking.delete(serial);
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

  async #inspect({ token: serial, needs, algorithm, place, login, asked }: Body<'inspect-token'>, work: Work): Promise<Answer<'inspect-token'>> {
    if (algorithm !== null) caAlgorithmNamed(algorithm);
    if (!login) return this.#visiting(serial, (held) => this.#inspected(held, { needs: [], algorithm, place }, work));
    // Only what is tried needs a user: a token can be told apart, and zeroised, when nobody can log in to it any more.
    return needs.length === 0 ? this.#withUserIfAny(serial, asked, (held) => this.#inspected(held, { needs, algorithm, place }, work)) : this.#inspected(await this.#root(serial, asked), { needs, algorithm, place }, work);
  }

  async #inspected({ token, session }: Held, { needs, algorithm, place }: Pick<Body<'inspect-token'>, 'needs' | 'algorithm' | 'place'>, work: Work): Promise<Answer<'inspect-token'>> {
    const plan = needs.length === 0 || algorithm === null ? 'No key is to be made, so nothing was tried.' : planOrReason(algorithm, place);
    const backup = needs.includes('wrap') || needs.includes('recover');
    const tried: Tried | null = typeof plan === 'string' ? null : await tryKey(session, token, plan, backup, work);
    return {
      token: await token.facts(),
      module: this.#tokens().facts,
      mechanisms: (await token.mechanisms()).map((mechanism) => mechanism.name).slice(0, 600),
      needs: needs.map((need) => {
        const reason = tried === null ? plan as string : tried.found[need];
        return { name: need, proof: reason === null ? 'verified' : null, detail: (reason ?? tried?.words[need] ?? '').slice(0, 200) };
      }),
    };
  }

  async #testRandom({ token: serial, bytes }: Body<'test-random'>): Promise<Answer<'test-random'>> {
    return this.#visiting(serial, async ({ session }) => lend(await session.random(bytes), (sample) => {
      const { tests, claim } = testRandom(sample);
      return { bytes, tests: [...tests], claim };
    }));
  }

  /** On the held session where there is one, else in one without login. */
  async #visiting<T>(serial: string, use: (on: Held) => Promise<T>): Promise<T> {
    const held = await this.#alive(serial);
    if (held) return use(held);
    const token = await this.#tokens().token(serial);
    const session = await token.open();
    try {
      return await use({ token, session });
    } finally {
      await quietly(session.close());
    }
  }

  async #takeInventory({ token: serial, asked }: Body<'take-inventory'>): Promise<Answer<'take-inventory'>> {
    return this.#withUserIfAny(serial, asked, async ({ session }, loggedIn) => ({ ...await this.#listed(serial, session), ...!loggedIn && { loggedIn: false as const } }));
  }

  async #listed(serial: string, session: Session): Promise<Answer<'take-inventory'>> {
    const { total, objects } = await session.list(0, 2000);
    if (total > 2000) {
      throw new Refused(refuse('INVENTORY-SIZE', 'at most 2000 objects on the token', `${total}`, 'A record has no room for more. For a new key, use a token of its own; a token that is to be zeroised, initialise in the logbook.'));
    }
    return { token: serial, objects };
  }

  async #zeroise({ token: serial, asked, ...order }: Body<'zeroise-token'>, work: Work): Promise<Answer<'zeroise-token'>> {
    await this.#logOut({ token: serial });
    const { initialise } = await import('./administration.ts');
    return initialise(await this.#tokens().token(serial), order, { pins: this.#pins, asked, work });
  }

  async #generateKey(body: Body<'generate-key'>, work: Work): Promise<Answer<'generate-key'>> {
    const { token: serial, ids, label, algorithm, place, extractable, asked } = body;
    const plan = planKey(algorithm, place, ids);
    if (extractable) mayBeCopied(plan.algorithm, 'one that may leave it');
    const { session } = await this.#root(serial, asked);
    const { key, mechanisms } = await makeKey(session, plan, { label, extractable, lives: 'token' }, work);
    const { parts, wrappingKey } = await key.facts();
    return { token: serial, spki: toBase64url(key.spki), parts: parts.map((part, i) => ({ ...part, mechanism: mechanisms[i]! })), wrappingKey };
  }

  async #readKey({ token: serial, ids, algorithm, asked }: Body<'read-key'>): Promise<Answer<'read-key'>> {
    const plan = planKey(algorithm, 'token', ids);
    const { session } = await this.#root(serial, asked);
    const key = await readKey(session, plan);
    const { parts } = await key.facts();
    // What made it is the token's word now, where it has one.
    return { token: serial, spki: toBase64url(key.spki), parts: parts.map((part) => ({ ...part, mechanism: part.private?.generatedBy ?? 'not told' })), wrappingKey: null };
  }

  async #proveKey({ token: serial, key: reference, nonce, leaving = false, asked }: Body<'prove-key'>, work: Work): Promise<Answer<'prove-key'>> {
    const { session } = await this.#root(serial, asked);
    const key = await openKey(session, reference);
    // Not a to-be-signed certificate, not a JOSE signing input: a text that says what it is for.
    const message = nonce !== undefined ? fromBase64url(nonce) : concat(utf8('conclave: proof of possession '), await lend(await mixed(session, 'nonce'), (bytes) => Uint8Array.from(bytes)));
    const possession = await key.possess(message, work);
    return { token: serial, spki: reference.spki, ...(await key.facts()), weakTests: key.weakTests(), possession, ...leaving && { leaving: await key.leaving() } };
  }

  async #issueCertificate(body: Body<'issue-certificate'>, work: Work): Promise<Answer<'issue-certificate'>> {
    const { session } = await this.#root(body.token, body.asked);
    return certify(session, await openKey(session, body.key), body.certificate, work);
  }

  async #signCrl(body: Body<'sign-crl'>, work: Work): Promise<Answer<'sign-crl'>> {
    const { session } = await this.#root(body.token, body.asked);
    const key = await openKey(session, body.key);
    const { carriedOver, CRL_LINTS, issueCrl, parseRevocations, readCrl, throwawayLintCrl } = await import('../../ceremonies/keys/crl.ts');
    const profile = {
      algorithm: key.algorithm.name, issuerKey: key.spki, issuer: fromBase64url(body.issuer), number: numberOf(body.number),
      thisUpdate: new Date(body.thisUpdate), nextUpdate: new Date(body.nextUpdate),
      revoked: carriedOver(body.previous === null ? [] : readCrl(fromBase64url(body.previous)).revoked, parseRevocations(fromBase64url(body.revocations))),
    };
    const linted = await withThrowawayKey(session, key.algorithm, work, (throwaway) =>
      throwawayLintCrl(profile, { spki: throwaway.spki, sign: (tbs) => throwaway.sign(tbs, work) }));
    const { tbs, der } = await issueCrl(linted, (bytes) => key.sign(bytes, work));
    return { lintedTbs: toBase64url(sha256(linted.tbs)), signedTbs: toBase64url(sha256(tbs)), lints: [...CRL_LINTS], crl: toBase64url(der) };
  }

  async #lockKey({ token: serial, key: reference, asked }: Body<'lock-key'>, work: Work): Promise<Answer<'lock-key'>> {
    const { session } = await this.#root(serial, asked);
    return (await openKey(session, reference)).lock(work);
  }

  async #provisionCa({ token: serial, algorithm, place, extractable = false }: Body<'provision-ca'>, work: Work): Promise<Answer<'provision-ca'>> {
    const plan = planWithFreshIds(algorithm, place);
    return this.#card(serial, REHEARSING, async ({ session }) => {
      const { key } = await makeKey(session, plan, { label: REHEARSAL_CA, extractable, lives: 'token' }, work);
      const { certificate } = await certify(session, key, rehearsalRoot(REHEARSAL_CA), work);
      return { key: key.reference(), certificate };
    });
  }

  async #provisionStatedRequest({ token: serial, key: reference, certificate: issuer, algorithm }: Body<'provision-stated-request'>, work: Work): Promise<Answer<'provision-stated-request'>> {
    const { makeRequest, makeStatedRequest } = await import('../../ceremonies/keys/request.ts');
    const { name } = ALGORITHMS['ecdsa-p256'];
    return withThrowawayKey(null, ALGORITHMS[name], work, async (signer) => {
      const sign = (tbs: Uint8Array) => signer.sign(tbs, work);
      const { der } = await makeRequest({ commonName: 'REHEARSAL key holder', organizationalUnit: REHEARSAL_UNIT }, name, signer.spki, sign);
      const { certificate } = await this.#card(serial, REHEARSING, async ({ session }) => certify(session, await openKey(session, reference), {
        ...rehearsalDates(1), pathLength: null, order: { kind: 'end-entity', request: toBase64url(der), issuer },
      }, work));
      return { der: toBase64url((await makeStatedRequest(await throwawayKemKey(algorithm), fromBase64url(certificate), sign)).der) };
    });
  }

  // --- after a crash -------------------------------------------------------------------------------------------------

  /** On the held session where there is one, else with a login of its own. */
  async #visit<T>(serial: string, asked: Asked, use: (visited: Held) => Promise<T>): Promise<T> {
    const held = await this.#alive(serial);
    return held ? use(held) : this.#card(serial, asked, use);
  }

  async #look({ token: serial, ids, labels, asked }: Body<'look'>): Promise<Answer<'look'>> {
    return this.#visit(serial, asked, async ({ session }) => (await observe(session, ids, labels)).observation);
  }

  async #clear({ token: serial, ids, labels, asked }: Body<'clear'>, work: Work): Promise<Answer<'clear'>> {
    return this.#visit(serial, asked, async ({ token, session }) => {
      const before = await observe(session, ids, labels);
      for (const { name } of before.found) await work.write(() => session.destroy(name));
      const fresh = await token.open();
      try {
        return { before: before.observation, after: (await observe(fresh, ids, labels)).observation };
      } finally {
        await quietly(fresh.close());
      }
    });
  }

  // --- administration ------------------------------------------------------------------------------------------------

  async #administer({ token: serial, change, asked, ...rest }: Body<'administer'>, work: Work): Promise<Answer<'administer'>> {
    const { administer, administerPins, isAboutPins } = await import('./administration.ts');
    const desk = { pins: this.#pins, asked, work };
    if (isAboutPins(change)) {
      if (await this.#alive(serial)) throw new Refused(refuse('TOKEN-MOVED', 'a token that nobody is logged in to', 'one with a login', 'Log out of the token, look at it again, and begin anew.'));
      return { result: await administerPins(await this.#tokens().token(serial), change, rest.order, desk) };
    }
    return { result: await administer(await this.#root(serial, asked), change, rest, desk) };
  }

  async #refer({ token: serial, place }: Body<'refer'>): Promise<Answer<'refer'>> {
    const { refer } = await import('./administration.ts');
    return refer((await this.#browse(serial)).session, place);
  }

  async #selfTest({ token: serial, place, asked }: Body<'self-test'>): Promise<Answer<'self-test'>> {
    const { refer: name, selfTest } = await import('./administration.ts');
    // A login changes the places of a listing: what is meant is named first.
    const reference = await name((await this.#browse(serial)).session, place);
    await this.#stopBrowsing();
    const { token, session } = await this.#root(serial, asked);
    return { tried: await selfTest(token, session, reference) };
  }

  // --- destruction ---------------------------------------------------------------------------------------------------

  async #countCopies({ token: serial, copies, asked }: Body<'count-copies'>): Promise<Answer<'count-copies'>> {
    const { countCopies } = await import('./destroying.ts');
    return this.#visit(serial, asked, async ({ token }) => ({ found: await countCopies(token, copies) }));
  }

  async #destroyCopy({ token: serial, copy, asked }: Body<'destroy-copy'>, work: Work): Promise<Answer<'destroy-copy'>> {
    const { destroyCopy } = await import('./destroying.ts');
    return this.#visit(serial, asked, ({ token, session }) => destroyCopy(token, session, copy, work));
  }

  // --- backup --------------------------------------------------------------------------------------------------------

  async #makeBackupKey({ token: serial, asked, ...split }: Body<'make-backup-key'>): Promise<Answer<'make-backup-key'>> {
    return this.#draw((await this.#root(serial, asked)).session, 'backup key', split);
  }

  /** A fresh key, split. */
  async #draw(session: Session, what: string, { set: id, epoch, threshold, custodians }: Omit<Body<'make-backup-key'>, 'token' | 'asked'>): Promise<Answer<'make-backup-key'>> {
    this.#wipeBackup();
    return { ...(await this.#split(new Secret(await mixed(session, what)), { set: id, epoch, threshold, custodians })), sources: ['token', 'system'] };
  }

  /** Splits `key` (taken over) and proves the split; both stay here until `wipe-backup-key`. */
  async #split(key: Secret, plan: Parameters<typeof makeShares>[1]): Promise<{ readonly set: ShareSet; readonly subsetsTried: number }> {
    try {
      const { set, shares } = await makeShares(key.bytes, plan);
      try {
        const { subsetsTried } = await proveSplit(shares, set, randomFillSync(secretBytes(32)));
        this.#backup = { set, key, shares: new Map(shares.map((share) => [share.header.x, share])) };
        return { set, subsetsTried };
      } finally {
        if (!this.#backup) for (const { payload } of shares) payload.fill(0);
      }
    } finally {
      if (!this.#backup) key.wipe();
    }
  }

  async #wrapKey({ token: serial, key: reference, asked }: Body<'wrap-key'>): Promise<Answer<'wrap-key'>> {
    mayBeCopied(caAlgorithmNamed(reference.algorithm), 'one to be wrapped for a backup');
    const { key: backup } = this.#backupKey();
    const { session } = await this.#root(serial, asked);
    const key = await openKey(session, reference);
    return { parts: await key.wrap(backup.bytes), private: await key.privateAttributes() };
  }

  #transportKey(): Answer<'transport-key'> {
    this.#transport?.wipe();
    this.#transport = new TransportKey();
    return { key: toBase64url(this.#transport.publicKey) };
  }

  /** The transport key, for one use. */
  #takeTransport(): TransportKey {
    const transport = this.#transport;
    this.#transport = null;
    if (transport) return transport;
    throw new Refused(refuse('SHARE-TRANSPORT', 'a transport key of this process', 'none: each serves once', 'Ask this process for a new transport key and have the share sealed to it.'));
  }

  async #sealShare({ set, x, to }: Body<'seal-share'>): Promise<Answer<'seal-share'>> {
    const backup = this.#backupKey();
    if (set !== backup.set.id) throw new Refused(refuse('SHARE-FOREIGN-SET', `a share of set ${backup.set.id}`, `one of set ${set}`, NEXT_CARD));
    const share = backup.shares.get(x);
    if (!share) throw new Refused(refuse('SHARE-SET', `a share number from 1 to ${backup.shares.size}`, `${x}`, 'Check the number of custodians in the script.'));
    return { sealed: await lend(encodeShare(share), async (bytes) => toBase64url(await sealShare(fromBase64url(to), { set, x }, bytes))) };
  }

  async #giveShare({ card: serial, object, set, x, sealed, erases, asked }: Body<'give-share'>, work: Work): Promise<Answer<'give-share'>> {
    return this.#card(serial, asked, async ({ token, session }) => {
      await objectIsFree(session, object);
      const blob = { name: { set, x }, bytes: fromBase64url(sealed) };
      const [opened] = await this.#takeTransport().openAll([blob]);
      const commitment = await lend(opened!, (bytes) => withShare(bytes, set, x, (share) => putShare(session, object, share, bytes, work)));
      return { card: await token.facts(), object, x, commitment, erased: await eraseVoid(session, object, erases, work) };
    });
  }

  async #readBackShare({ card: serial, object, set, x, of, asked }: Body<'read-back-share'>): Promise<Answer<'read-back-share'>> {
    return this.#card(serial, asked, async ({ session }) => {
      const stored = await session.getData(object);
      return lend(stored.bytes, (bytes) => withShare(bytes, set, x, async (share) => {
        // While the set is still here the comparison is ours; afterwards it is the record's.
        const known = of ?? (this.#backup?.set.id === set ? this.#backup.set : undefined);
        const finding = known ? checkShare(share, { set: known, expectedX: x })[0] : undefined;
        if (finding) throw new Refused(finding);
        return { card: serial, object, x, commitment: shareCommitment(share) };
      }));
    });
  }

  async #lendShare({ card: serial, object, set, x, to, asked }: Body<'lend-share'>): Promise<Answer<'lend-share'>> {
    return this.#card(serial, asked, async ({ session }) => {
      const stored = await session.getData(object);
      return lend(stored.bytes, (bytes) => withShare(bytes, set, x, async () => ({ sealed: toBase64url(await sealShare(fromBase64url(to), { set, x }, bytes)) })));
    });
  }

  async #proveRecovery(body: Body<'prove-recovery'>, work: Work): Promise<Answer<'prove-recovery'>> {
    const { token: serial, key: reference, wrapped, nonce, set, quorum, asked } = body;
    mayBeCopied(caAlgorithmNamed(reference.algorithm), 'one to be recovered from a backup');
    const on = await this.#root(serial, asked);
    const backup = await this.#combine(set, quorum);
    const possession = await lend(backup, () => recoveredOnce(on, { key: reference, wrapped, nonce }, backup, work));
    return { quorum: named(quorum), possession, destroyed: true };
  }

  async #sealEscrow(body: Body<'seal-escrow'>, work: Work): Promise<Answer<'seal-escrow'>> {
    const { token: serial, set, quorum, recipient, terms, at, asked } = body;
    mayBeCopied(caAlgorithmNamed(body.key.algorithm), 'one to be put into escrow');
    const { sealEscrow } = await import('./escrow.ts');
    const on = await this.#root(serial, asked);
    const backup = await this.#combine(set, quorum);
    return lend(backup, async () => {
      const possession = await recoveredOnce(on, body, backup, work);
      const sealed = await sealEscrow(backup, { recipient, terms, at: new Date(at) }, (length) => mixed(on.session, 'escrow envelope', length));
      return { quorum: named(quorum), possession, destroyed: true, ...sealed };
    });
  }

  async #releaseEscrow({ token: serial, asked, agent, set, envelope, terms, file, ...order }: Body<'release-escrow'>, work: Work): Promise<Answer<'release-escrow'>> {
    const { openEscrow } = await import('./escrow.ts');
    const on = await this.#root(serial, asked);
    const backup = await openEscrow(this.#pins, on.token, agent, { envelope, terms, file, set });
    const restored = await lend(backup, () => restoreKey(on, order, backup, work));
    return { token: serial, ...restored, agent: terms.agent.sha256 };
  }

  async #provisionEscrow({ set, recipient, terms }: Body<'provision-escrow'>): Promise<Answer<'provision-escrow'>> {
    const { sealEscrow } = await import('./escrow.ts');
    const backup = this.#backupKey();
    if (backup.set.id !== set) throw new Fault('BACKUP_KEY_GONE');
    const { envelope } = await sealEscrow(backup.key.bytes, { recipient, terms, at: new Date() }, (length) => Promise.resolve(randomFillSync(secretBytes(length))));
    return { envelope };
  }

  /** The key is tried before anything is split: shares that make another backup key than the key is wrapped under make no new set. */
  async #renewShares(body: Body<'renew-shares'>, work: Work): Promise<Answer<'renew-shares'>> {
    const { token: serial, key: reference, wrapped, nonce, set: old, quorum, epoch, threshold, custodians, asked } = body;
    mayBeCopied(caAlgorithmNamed(reference.algorithm), 'one whose backup is shared anew');
    const on = await this.#root(serial, asked);
    this.#wipeBackup();
    const key = new Secret(await this.#combine(old, quorum));
    let possession: Answer<'renew-shares'>['possession'];
    try {
      possession = await recoveredOnce(on, { key: reference, wrapped, nonce }, key.bytes, work);
    } catch (thrown) {
      key.wipe();
      throw thrown;
    }
    const split = await this.#split(key, { set: old.id, epoch, threshold, custodians });
    return { ...split, quorum: named(quorum), possession, destroyed: true };
  }

  async #restoreKey({ token: serial, set, quorum, asked, ...order }: Body<'restore-key'>, work: Work): Promise<Answer<'restore-key'>> {
    const on = await this.#root(serial, asked);
    const backup = await this.#combine(set, quorum);
    const restored = await lend(backup, () => restoreKey(on, order, backup, work));
    return { token: serial, ...restored, quorum: named(quorum) };
  }

  async #readRestored({ token: serial, key, ids, nonce, asked }: Body<'read-restored'>, work: Work): Promise<Answer<'read-restored'>> {
    return { token: serial, ...(await readRestored(await this.#root(serial, asked), newReference(key, ids), nonce, work)) };
  }

  async #provisionBackup({ token: serial, set: id, threshold, custodians, ...about }: Body<'provision-backup'>, work: Work): Promise<Answer<'provision-backup'>> {
    this.#noOther();
    try {
      const { session } = await this.#root(serial, REHEARSING);
      const { set } = await this.#makeBackupKey({ token: serial, set: id, epoch: 1, threshold, custodians, asked: REHEARSING });
      const { made: certificate, key, wrapped } = await rehearsalBackup(session, { ...about, label: REHEARSAL_CA }, this.#backupKey().key.bytes, work,
        async (made) => (await certify(session, made, rehearsalRoot(REHEARSAL_CA), work)).certificate);
      return { key, certificate, wrapped, set };
    } catch (thrown) {
      this.#wipeBackup(); // nobody was told of its set, so nobody asks for it to be wiped
      throw thrown;
    } finally {
      await this.#logOut({ token: serial });
    }
  }

  /** The key out of the shares that were lent to this process. The caller wipes it. */
  async #combine(set: ShareSet, quorum: Body<'prove-recovery'>['quorum']): Promise<Uint8Array> {
    return (await this.#combineEach([{ set, quorum }]))[0]!;
  }

  /** Likewise of several sets, each by its own quorum. The transport key serves them all, once. */
  async #combineEach(sets: readonly Pick<Body<'prove-recovery'>, 'set' | 'quorum'>[]): Promise<Uint8Array[]> {
    const opened = await this.#takeTransport().openAll(sets.flatMap(({ set, quorum }) => quorum.map(({ x, sealed }) => ({ name: { set: set.id, x }, bytes: fromBase64url(sealed) }))));
    const every: Share[] = [];
    const keys: Uint8Array[] = [];
    try {
      for (const { set, quorum } of sets) {
        const shares: Share[] = [];
        for (const { seat, x } of quorum) {
          const share = parseShare(opened[every.length]!);
          shares.push(share);
          every.push(share);
          const seen = shares.slice(0, -1).map(({ header }, j) => ({ header, presentedBy: quorum[j]!.seat }));
          const [finding] = checkShare(share, { set, seen, presentedBy: seat, expectedX: x });
          if (finding) throw new Refused(finding);
        }
        keys.push(takeBytes(await combineChecked(shares, set)));
      }
      return keys;
    } catch (thrown) {
      for (const key of keys) key.fill(0);
      throw thrown;
    } finally {
      for (const bytes of [...opened, ...every.map(({ payload }) => payload)]) bytes.fill(0);
    }
  }

  // --- copies of shares ------------------------------------------------------------------------------------------------

  async #sealCopy({ card: serial, object, asked, ...order }: Body<'seal-copy'>): Promise<Answer<'seal-copy'>> {
    const { sealCopy } = await copying();
    return this.#ownShare(serial, object, order, asked, async ({ session }, share, bytes) =>
      ({ card: serial, object, x: order.x, commitment: shareCommitment(share), ...(await sealCopy(bytes, order, (length) => mixed(session, 'share envelope', length))) }));
  }

  /** Nothing of the card is used: it says that this is a rehearsal, or that it is none. */
  async #openCopy({ card: serial, asked, ...order }: Body<'open-copy'>): Promise<Answer<'open-copy'>> {
    const { withOpened } = await copying();
    const token = await this.#tokens().token(serial);
    return withOpened(this.#pins, token, asked, order, (share, opener) => ({ x: order.x, commitment: shareCommitment(share), opener }));
  }

  async #writeCopy({ card: serial, object, asked, ...order }: Body<'write-copy'>): Promise<Answer<'write-copy'>> {
    const { PaperDesk } = await copying();
    return this.#ownShare(serial, object, order, asked, async ({ token }, share) => {
      await new PaperDesk(this.#surroundings, this.#pins.ticket).write(token, share, order, asked);
      return { card: serial, object, x: order.x, commitment: shareCommitment(share), sheet: order.sheet, readBack: true };
    });
  }

  /** The share on this card, as this set has it. */
  async #ownShare<T>(serial: string, object: string, of: CopyOf, asked: Asked, use: (card: Held, share: Share, bytes: Uint8Array) => Promise<T>): Promise<T> {
    const { withOwnShare } = await copying();
    return this.#card(serial, asked, async (card) => {
      const stored = await card.session.getData(object);
      return lend(stored.bytes, (bytes) => withOwnShare(bytes, of, (share) => use(card, share, bytes)));
    });
  }

  /** First the share, then the card's PIN: nobody logs in for a copy that is none. */
  async #returnShare({ card: serial, object, from, sealed, erases, asked, holder, ...of }: Body<'return-share'>, work: Work): Promise<Answer<'return-share'>> {
    const put = (share: Share, bytes: Uint8Array) => this.#card(serial, asked, async ({ token, session }) => {
      await objectIsFree(session, object);
      const commitment = await putShare(session, object, share, bytes, work);
      return { card: await token.facts(), object, x: of.x, commitment, erased: await eraseVoid(session, object, erases, work) };
    });
    const { PaperDesk, withOpened } = await copying();
    const token = await this.#tokens().token(serial);
    const typed = (copied: Share | null) => new PaperDesk(this.#surroundings, this.#pins.ticket).withTyped(token, of, copied, holder, put);
    if (sealed === null) return typed(null);
    return withOpened(this.#pins, token, holder, { ...of, ...sealed, recipient: null }, (share, _opener, bytes) => (from === 'paper' ? typed(share) : put(share, bytes)));
  }

  async #provisionCopy({ recipient, ...of }: Body<'provision-copy'>): Promise<Answer<'provision-copy'>> {
    const { sealCopy } = await copying();
    const share = this.#backupKey().shares.get(of.x);
    if (!share) throw new Fault('BACKUP_KEY_GONE');
    return lend(encodeShare(share), async (bytes) => {
      const { envelope } = await sealCopy(bytes, { ...of, recipients: recipient, number: 1, of: 1, at: new Date().toISOString() }, (length) => Promise.resolve(randomFillSync(secretBytes(length))));
      return { envelope };
    });
  }

  // --- components ----------------------------------------------------------------------------------------------------

  async #enterComponent({ token: serial, asked, ...order }: Body<'enter-component'>): Promise<Answer<'enter-component'>> {
    return { number: order.number, check: await this.#components.enter(await this.#tokens().token(serial), order, asked) };
  }

  /** C_GenerateRandom wants no login, and a custodian has none of this token. */
  async #issueComponent({ token: serial, asked, ...order }: Body<'issue-component'>): Promise<Answer<'issue-component'>> {
    const token = await this.#tokens().token(serial);
    const session = await token.open();
    try {
      const drawn = await mixed(session, 'component');
      const check = await lend(drawn, () => this.#components.issue(token, order, asked, drawn.subarray(0, COMPONENT_BYTES[order.kind])));
      return { number: order.number, check, sources: ['token', 'system'], readBack: true };
    } finally {
      await quietly(session.close());
    }
  }

  async #totalComponents({ set, of, check }: Body<'total-components'>): Promise<Answer<'total-components'>> {
    return { check: await this.#components.total(set, of, check) };
  }

  async #formKey({ token: serial, asked, ...order }: Body<'form-key'>, work: Work): Promise<Answer<'form-key'>> {
    const held = await this.#root(serial, asked);
    return { token: serial, ...(await this.#components.form({ ...held, desk: { pins: this.#pins, asked, work } }, order)) };
  }

  async #readFormed({ token: serial, asked, ...order }: Body<'read-formed'>, work: Work): Promise<Answer<'read-formed'>> {
    const held = await this.#root(serial, asked);
    return { token: serial, ...(await readFormed({ ...held, desk: { pins: this.#pins, asked, work } }, order)) };
  }

  // --- a token that only a quorum opens --------------------------------------------------------------------------------

  async #makeActivationKey({ token: serial, ...split }: Body<'make-activation-key'>): Promise<Answer<'make-activation-key'>> {
    const { pinLengthFor } = await import('./activating.ts');
    return this.#visiting(serial, async ({ token, session }) => {
      const length = await pinLengthFor(token);
      return { ...(await this.#draw(session, 'activation key', split)), length };
    });
  }

  async #setActivationPin({ token: serial, whose, set, length, quorum, former, again, asked }: Body<'set-activation-pin'>, work: Work): Promise<Answer<'set-activation-pin'>> {
    const { setActivationPin } = await import('./activating.ts');
    await this.#logOut({ token: serial });
    const [key, old] = await this.#combineEach([{ set, quorum }, former ?? []].flat());
    try {
      const token = await setActivationPin(await this.#tokens().token(serial), { key: key!, length }, { whose, again, former: former && { key: old!, length: former.length } }, { pins: this.#pins, asked, work });
      return { token, quorum: named(quorum), former: former && named(former.quorum) };
    } finally {
      key!.fill(0);
      old?.fill(0);
    }
  }

  async #resetUserPin({ token: serial, set, length, quorum, asked }: Body<'reset-user-pin'>, work: Work): Promise<Answer<'reset-user-pin'>> {
    const { resetUserPin } = await import('./activating.ts');
    await this.#logOut({ token: serial });
    const held = await this.#tokens().token(serial);
    const token = await lend(await this.#combine(set, quorum), (key) => resetUserPin(held, { key, length }, { pins: this.#pins, asked, work }));
    return { token, quorum: named(quorum) };
  }

  async #activate({ token: serial, set, length, quorum, asked }: Body<'activate'>): Promise<Answer<'activate'>> {
    const { openByQuorum } = await import('./activating.ts');
    await this.#logOut({ token: serial });
    const token = await this.#tokens().token(serial);
    const session = await lend(await this.#combine(set, quorum), (key) => openByQuorum(token, { key, length }, { pins: this.#pins, asked }));
    this.#held.set(serial, { token, session });
    this.#byQuorum.add(serial);
    return { token: await token.facts(), quorum: named(quorum) };
  }

  async #deactivate({ token: serial }: Body<'deactivate'>): Promise<Answer<'deactivate'>> {
    const { closeAgain } = await import('./activating.ts');
    const held = await this.#alive(serial);
    if (!held) throw loginEnded(serial);
    const closed = await closeAgain(held.token, held.session);
    this.#held.delete(serial);
    this.#byQuorum.delete(serial);
    return closed;
  }

  async #provisionActivation({ token: serial, whose, set: id, threshold, custodians }: Body<'provision-activation'>, work: Work): Promise<Answer<'provision-activation'>> {
    const { setActivationPin } = await import('./activating.ts');
    this.#noOther();
    try {
      await this.#logOut({ token: serial });
      const { set, length } = await this.#makeActivationKey({ token: serial, set: id, epoch: 1, threshold, custodians });
      const { key } = this.#backupKey();
      const token = await setActivationPin(await this.#tokens().token(serial), { key: key.bytes, length }, { whose, again: false, former: null }, { pins: this.#pins, asked: REHEARSING, work });
      return { token, set, length };
    } catch (thrown) {
      this.#wipeBackup();
      throw thrown;
    }
  }

  /** Throws `Refused` ONE-AT-A-TIME where a key is held whose shares are not all given out. */
  #noOther(): void {
    if (!this.#backup) return;
    throw new Refused(refuse('ONE-AT-A-TIME', 'no backup key in this process', 'one whose shares are being given out', 'Go through with the ceremony that made it; if that was aborted, end the program: the key ends with it. Nothing was touched.'));
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
    for (const { id } of await session.find({ class: `${half}-key`, label: IDENTITY_LABEL })) {
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
      const classical = await session.publicKey({ class: 'public-key', id, label: IDENTITY_LABEL }, ALGORITHMS[name]);
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
      await work.write(() => session.destroy({ class: half, id: found, label: IDENTITY_LABEL }));
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
    await signVerified(session, identity, utf8('conclave: does this key sign?'));
    return identity;
  } catch (thrown) {
    if (thrown instanceof Refused || (isTokenError(thrown) && !tokenIsGone(thrown))) return null;
    throw thrown;
  }
}

async function generateIdentityPair({ token, session }: Held, id: string, work: Work): Promise<void> {
  const listed = new Set((await token.mechanisms()).map(({ number }) => number));
  const candidates = ([ALGORITHMS['ecdsa-p256'], ALGORITHMS['ecdsa-p384'], ALGORITHMS['rsa-3072']] as const)
    .filter(({ pkcs11 }) => listed.has(pkcs11.generate) && listed.has(pkcs11.sign));
  for (const [i, algorithm] of candidates.entries()) {
    try {
      await work.write(() => session.generateKeyPair({ algorithm, id, label: IDENTITY_LABEL, extractable: false }));
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
  session: Session, identity: Identity, seed: Uint8Array, pq: PublicKey, signer: string, payload: string,
): Promise<SignaturePair> {
  const [classicalHeader, pqHeader] = headersOf({ signer, classical: identity.classical, pq });
  const one = signingInput(classicalHeader, payload);
  const two = signingInput(pqHeader, payload);
  const signature = await signVerified(session, identity, one);
  const post = await lend(randomFillSync(secretBytes(32)), (randomness) => signMlDsa65(seed, two, randomness));
  if (!(await verifySignature(pq, two, post))) throw unverified('PROOF-OF-POSSESSION', 'its public key verifies');
  return [{ protected: classicalHeader, signature: toBase64url(signature) }, { protected: pqHeader, signature: toBase64url(post) }];
}

/** A signature of `message` by an identity's classical key, verified. */
async function signVerified(session: Session, { id, algorithm, classical }: Identity, message: Uint8Array): Promise<Uint8Array> {
  const signature = await session.sign({ class: 'private-key', id }, algorithm, message);
  if (!(await verifySignature(classical, message, signature))) throw unverified('PROOF-OF-POSSESSION', 'its public key verifies');
  return signature;
}

// --- keys and certificates ---------------------------------------------------------------------------------------------

/** The plan, or why there can be none: the record's rules judge that (TOKEN-CAN). */
function planOrReason(algorithm: string, place: Body<'inspect-token'>['place']): Plan | string {
  try {
    return planWithFreshIds(algorithm, place);
  } catch (thrown) {
    if (!(thrown instanceof Refused)) throw thrown;
    const { rule, expected, found } = thrown.refusal;
    return `${rule}: expected ${expected}; found ${found}.`;
  }
}

/** Built, linted under a throwaway key, signed by the key, linted and verified: x509.ts lets nothing be left out. */
async function certify(session: Session | null, key: Key, order: CertificateOrder, work: Work): Promise<Answer<'issue-certificate'>> {
  // Loaded here: a third of this program's start, for one operation of one process.
  const { CERTIFICATE_LINTS, issueCertificate, throwawayLint } = await import('../../ceremonies/keys/x509.ts');
  const profile: CertificateProfile = {
    serialNumber: fromHex(order.serialNumber), notBefore: new Date(order.notBefore), notAfter: new Date(order.notAfter), pathLength: order.pathLength,
    algorithm: key.algorithm.name, issuerKey: key.spki, order: orderOf(order.order),
  };
  const linted = await withThrowawayKey(session, key.algorithm, work, (throwaway) =>
    throwawayLint(profile, { spki: throwaway.spki, sign: (tbs) => throwaway.sign(tbs, work) }));
  const { tbs, der } = await issueCertificate(linted, (bytes) => key.sign(bytes, work));
  return {
    lintedTbs: toBase64url(sha256(linted.tbs)), signedTbs: toBase64url(sha256(tbs)), lints: [...CERTIFICATE_LINTS], certificate: toBase64url(der),
  };
}

function orderOf(order: CertificateOrder['order']): CertificateProfile['order'] {
  switch (order.kind) {
    case 'root': {
      const subject = Subject.safeParse(order.subject);
      if (!subject.success) throw new Fault('REQUEST_INVALID', where(subject.error));
      return { kind: 'root', subject: subject.data as SubjectName };
    }
    case 'subordinate': case 'end-entity': return { kind: order.kind, request: fromBase64url(order.request), issuer: fromBase64url(order.issuer) };
    case 'cross': return { kind: 'cross', certificate: fromBase64url(order.certificate), issuer: fromBase64url(order.issuer) };
  }
}

async function proveSoftware({ algorithm }: Body<'prove-providers'>): Promise<Answer<'prove-providers'>> {
  const { proveProviders, WRONG_ANSWER } = await import('./providers.ts');
  const states = await proveProviders(componentsOf(caAlgorithmNamed(algorithm)));
  return { off: states.filter((state) => state.reason === WRONG_ANSWER).map(({ name, algorithm: of }) => ({ name, algorithm: of })) };
}

const REHEARSAL_CA = 'REHEARSAL CA';
const REHEARSAL_UNIT = 'REHEARSAL - NOT FOR USE';
const REHEARSING: Asked = { person: 'rehearsal', name: 'Rehearsal', purpose: 'a CA to rehearse with', standIn: true, acceptFinalTry: false };
const DAY = 86_400_000;

/** Valid from yesterday, so that clocks may differ. */
function rehearsalDates(years: number): Pick<CertificateOrder, 'serialNumber' | 'notBefore' | 'notAfter'> {
  const from = new Date(Math.floor(Date.now() / DAY) * DAY - DAY);
  const until = new Date(from);
  until.setUTCFullYear(until.getUTCFullYear() + years);
  const serialNumber = randomFillSync(secretBytes(16));
  serialNumber[0] = (serialNumber[0]! & 0x3f) | 0x40; // positive, and as long as it looks (RFC 5280 section 4.1.2.2)
  return { serialNumber: toHex(serialNumber), notBefore: from.toISOString(), notAfter: until.toISOString() };
}

function rehearsalRoot(commonName: string): CertificateOrder {
  return { ...rehearsalDates(30), pathLength: null, order: { kind: 'root', subject: { commonName, organizationalUnit: REHEARSAL_UNIT } } };
}

/** What others would bring to a ceremony, for its rehearsal: of a key that is thrown away here, under a name that says so. */
async function provisionFile({ kind }: Body<'provision-file'>, work: Work): Promise<Answer<'provision-file'>> {
  const algorithm = ALGORITHMS['ecdsa-p256'];
  return withThrowawayKey(null, algorithm, work, async (key) => {
    switch (kind) {
      case 'certificate': return { der: (await certify(null, key, rehearsalRoot('REHEARSAL other CA'), work)).certificate };
      case 'request': {
        const { makeRequest } = await import('../../ceremonies/keys/request.ts');
        const subject = { commonName: 'REHEARSAL subordinate CA', organizationalUnit: REHEARSAL_UNIT };
        return { der: toBase64url((await makeRequest(subject, algorithm.name, key.spki, (tbs) => key.sign(tbs, work))).der) };
      }
    }
  });
}

/** CRLNumber (RFC 5280 section 5.2.3). */
function numberOf(text: string): bigint {
  if (!/^[1-9][0-9]{0,17}$/.test(text)) throw new Fault('REQUEST_INVALID', 'At: number.');
  return BigInt(text);
}

/** The key of a backup as session objects, once: it signs the nonce and is destroyed again. `backup` is borrowed. */
async function recoveredOnce({ token, session }: Held, { key, wrapped, nonce }: Pick<Body<'prove-recovery'>, 'key' | 'wrapped' | 'nonce'>, backup: Uint8Array, work: Work): Promise<Answer<'prove-recovery'>['possession']> {
  const recovered = await recoverKey(session, key, wrapped, backup);
  return andThen(() => recovered.possess(fromBase64url(nonce), work), () => forgetProven(token, recovered));
}

/** 32 bytes from the token and 32 from the system through HKDF-SHA-256 (RFC 5869): as good as the better of the two. */
async function mixed(session: Session, purpose: string, length = 32): Promise<Uint8Array> {
  const material = secretBytes(64);
  return lend(material, async () => {
    const token = await session.random(32);
    material.set(token);
    token.fill(0);
    randomFillSync(material, 32);
    return takeBytes(hkdf(sha256, material, undefined, utf8(`conclave ${purpose}`), length));
  });
}

const NEXT_CARD = 'Find out whose card this is before anything else happens.';

async function objectIsFree(session: Session, object: string): Promise<void> {
  if ((await session.find({ class: 'data', label: object })).length > 0) {
    throw new Refused(refuse('OBJECT-FREE', `no object ${object} on this card`, 'one that is there', 'Look at the card before it is written to.'));
  }
}

/** Writes a share (borrowed, with the bytes of its record) and reads it back. Returns its commitment. */
async function putShare(session: Session, object: string, share: Share, bytes: Uint8Array, work: Work): Promise<string> {
  await work.write(() => session.putData(object, bytes));
  const stored = await session.getData(object);
  const same = equalBytes(stored.bytes, bytes);
  stored.wipe();
  if (!same) throw new Refused(refuse('SHARE-DAMAGED', 'the share as it was written', 'other bytes on the card', 'Use another card.'));
  return shareCommitment(share);
}

/** Share objects that count no more: those that were there are erased. */
async function eraseVoid(session: Session, object: string, erases: readonly string[], work: Work): Promise<string[]> {
  const erased: string[] = [];
  for (const label of erases) {
    if (label === object || (await session.find({ class: 'data', label })).length === 0) continue;
    await work.write(() => session.destroy({ class: 'data', label }));
    erased.push(label);
  }
  return erased;
}

/** Lends the share in `bytes` (borrowed), if it is the one that was asked for. Throws SHARE-DAMAGED, SHARE-FOREIGN-SET, SHARE-SWAPPED. */
async function withShare<T>(bytes: Uint8Array, set: string, x: number, use: (share: Share) => Promise<T>): Promise<T> {
  const share = parseShare(bytes);
  try {
    const { header } = share;
    if (header.set !== set) throw new Refused(refuse('SHARE-FOREIGN-SET', `a share of set ${set}`, `one of set ${header.set}`, NEXT_CARD));
    if (header.x !== x) throw new Refused(refuse('SHARE-SWAPPED', `share ${x} on this card`, `share ${header.x}, made for ${header.custodian}`, NEXT_CARD));
    return await use(share);
  } finally {
    share.payload.fill(0);
  }
}

// --- looking ---------------------------------------------------------------------------------------------------------

interface Found { readonly name: ObjectName; readonly fact: ObjectFact }

/**
 * What there is under CKA_IDs and under the labels of data objects. An id promises a key pair (with its seed, if it is an
 * identity's) or one secret key; `present` says that everything promised is there, and nothing twice.
 */
async function observe(session: Session, ids: readonly string[], labels: readonly string[]): Promise<{ observation: Observation; found: Found[] }> {
  const found: Found[] = [];
  const lookFor = async (name: Found['name']): Promise<number> => {
    const facts = await session.find(name);
    // Two objects under one CKA_ID are still told apart by their labels when they are destroyed.
    found.push(...facts.map((fact) => ({ name: facts.length > 1 ? { ...name, label: fact.label } : name, fact })));
    return facts.length;
  };
  let wanted = labels.length;
  let there = 0;
  for (const id of ids) {
    const before = found.length;
    const secrets = await lookFor({ class: 'secret-key', id });
    const privates = await lookFor({ class: 'private-key', id });
    const publics = await lookFor({ class: 'public-key', id });
    const identity = found.slice(before).some(({ fact }) => fact.label === IDENTITY_LABEL);
    const seeds = labels.includes(seedLabel(id)) ? 0 : await lookFor({ class: 'data', label: seedLabel(id) });
    const alone = secrets > 0 && privates + publics === 0;
    wanted += alone ? 1 : 2 + (identity && !labels.includes(seedLabel(id)) ? 1 : 0);
    there += Math.min(alone ? secrets : 0, 1) + Math.min(privates, 1) + Math.min(publics, 1) + Math.min(seeds, 1);
  }
  for (const label of labels) there += Math.min(await lookFor({ class: 'data', label }), 1);
  const state = wanted === 0 ? 'none' : found.length === 0 ? 'absent' : there >= wanted && found.length === there ? 'present' : 'half';
  const listed = found.map(({ fact }) => fact.class).join(', ');
  const detail = found.length === 0 ? 'Nothing is there.' : `${found.length} of ${wanted} expected: ${listed}`.slice(0, 300);
  return { found, observation: { state, objects: found.slice(0, 64).map(({ fact }) => fact), detail } };
}

function loginEnded(serial: string): Refused {
  return new Refused(refuse(LOGIN_ENDED, `token ${serial} as its custodians opened it`, 'a login that has ended', 'Let the quorum open it again. Nothing was done, and no PIN was tried.'));
}

/** A quorum as evidence names it: without what it lent. */
function named(quorum: Body<'prove-recovery'>['quorum']): { seat: string; card: string; x: number }[] {
  return quorum.map(({ seat, card, x }) => ({ seat, card, x }));
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

/** Where a value is wrong, never what it is. */
function where(error: z.ZodError): string {
  return `At: ${error.issues.slice(0, 3).map(({ path }) => path.join('.') || '(the whole)').join(', ')}.`;
}
