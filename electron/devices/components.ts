/**
 * Key components in this process: typed by their holders (or drawn and shown to them) in the booth, put together, and gone.
 *
 * Between the first component and the key they are held here and nowhere else; each was in the booth of its holder. What leaves is a
 * check value of each. The key is written under a throwaway key of the session, tried there first, read back from another session and
 * compared with what software does with the same bytes. Never tells two people one component, never says what a wrong one was.
 */
import { createCipheriv, randomFillSync } from 'node:crypto';
import { aeskwp, cmac } from '@noble/ciphers/aes.js';
import { equalBytes, fromHex, toHex } from '../../ceremonies/bytes.ts';
import { COMPONENT_BYTES, METHOD_OF, USES, type ComponentKind, type FormedUse } from '../../ceremonies/components.ts';
import type { ComponentCheck, Evidence, KeyAttributes, OrderedAttributes } from '../../ceremonies/evidence.ts';
import { CHECK_DIGITS, checkBlock, checkValue, type CheckMethod } from '../../ceremonies/keys/check-value.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { inFull, readBack, templateOf, withKek, type At } from './administration.ts';
import { deviceError, Fault, isTokenError } from './errors.ts';
import { KEY_KIND_ROWS, type SecretKind } from './key-kinds.ts';
import { andThen, freshId, idIsFree } from './keys.ts';
import type { Booth } from './login.ts';
import { SHOWN_CHECK, type Asked } from './protocol.ts';
import { lend, Secret, secretBytes } from './secret.ts';
import type { ObjectName, Session, Token } from './tokens.ts';
import { works, wrapHowOf } from './trials.ts';

export interface ComponentOrder { readonly set: string; readonly number: number; readonly of: number; readonly kind: ComponentKind; readonly check: CheckMethod }
export interface FormOrder {
  readonly set: string; readonly of: number; readonly id: string; readonly label: string; readonly kind: ComponentKind; readonly check: CheckMethod; readonly use: FormedUse;
  /** What the components together must have, and what stands on the forms, where they have it. */
  readonly value: string; readonly onForms: string | null;
}
export type Formed = Omit<Evidence<'form-key'>, 'token'>;
interface Held { readonly set: string; readonly parts: Map<number, { readonly holder: string; readonly value: Secret }> }
type Own = ObjectName & { readonly class: 'secret-key' };

const AGAIN = 'Nothing was kept. Compare form and envelope, and type it again.';
const OTHER_FORMS = 'Do not use these forms. Nothing was written to the token; record an exception, and find out whose form is of another key.';

export class ComponentDesk {
  readonly #booth: Booth;
  readonly #ticket: () => number;
  #held: Held | null = null;

  constructor(booth: Booth, ticket: () => number) {
    this.#booth = booth;
    this.#ticket = ticket;
  }

  /** The holder types it from the form. A stand-in brings a form that nobody else has ever seen: it is drawn here. */
  async enter(token: Token, order: ComponentOrder, asked: Asked): Promise<ComponentCheck> {
    if (!asked.standIn) return this.#ask(token, order, asked, null);
    await onlyRehearsed(token);
    return lend(randomFillSync(secretBytes(COMPONENT_BYTES[order.kind])), (own) => this.#keep(order, asked, own));
  }

  /** `drawn` (borrowed) is shown to its holder, who types it again from the form. What was shown and not proven counts no more: it is drawn anew. */
  async issue(token: Token, order: ComponentOrder, asked: Asked, drawn: Uint8Array): Promise<ComponentCheck> {
    if (!asked.standIn) return this.#ask(token, order, asked, drawn);
    await onlyRehearsed(token);
    return this.#keep(order, asked, drawn);
  }

  async #ask(token: Token, order: ComponentOrder, asked: Asked, shown: Uint8Array | null): Promise<ComponentCheck> {
    const ticket = this.#ticket();
    const facts = await token.facts();
    const bytes = COMPONENT_BYTES[order.kind];
    const sheet = shown === null ? null : withCheck(order, shown);
    const answer = this.#booth.component(ticket, sheet);
    this.#booth.notify({ kind: 'component-wanted', ticket, token: facts, asked, component: { number: order.number, of: order.of, digits: bytes * 2, method: order.check, shows: shown !== null } });
    const typed = await answer;
    sheet?.fill(0);
    const settle = (outcome: 'accepted' | 'refused' | 'cancelled') => this.#booth.notify({ kind: 'pin-settled', ticket, outcome });
    if (typed === null) {
      settle('cancelled');
      throw new Fault('COMPONENT_CANCELLED');
    }
    try {
      const check = await lend(typed.bytes, (digits) => readDigits(digits, bytes, (component, written) => {
        judge(order, asked, component, written, shown);
        return this.#keep(order, asked, component);
      }));
      settle('accepted');
      return check;
    } catch (thrown) {
      settle('refused');
      throw thrown;
    }
  }

  #keep({ set, number, check: method }: ComponentOrder, { name }: Asked, component: Uint8Array): ComponentCheck {
    if (component.every((byte) => byte === 0)) throw new Refused(refuse('COMPONENT-ZERO', `a component of ${name} that is not all zeros`, 'all zeros: the others would have the key among them', AGAIN));
    if (this.#held?.set !== set) this.wipe();
    const held: Held = this.#held ?? { set, parts: new Map() };
    this.#held = held;
    for (const [other, { holder, value }] of held.parts) {
      if (other !== number && value.bytes.length === component.length && equalBytes(value.bytes, component)) {
        throw new Refused(refuse('COMPONENT-TWICE', `a component of ${name}'s own`, `the one that ${holder} has entered: both cancel out`, 'Nothing was kept. Find out who holds a copy of the form; these components are no secret of one person any more.'));
      }
    }
    held.parts.get(number)?.value.wipe();
    held.parts.set(number, { holder: name, value: new Secret(copied(component)) });
    return { method: METHOD_OF[method], value: checkValue(method, component) };
  }

  /** The check value of what they make together; nothing is touched. Throws `Refused` COMPONENTS-CANCEL, Fault COMPONENTS_GONE. */
  async total(set: string, of: number, method: CheckMethod): Promise<ComponentCheck> {
    return lend(this.#together(set, of), (key) => ({ method: METHOD_OF[method], value: checkValue(method, key) }));
  }

  /** The key of all of them. They are wiped unless it is certain that the token was not changed. */
  async form(at: At, order: FormOrder): Promise<Formed> {
    const { desk: { work } } = at;
    try {
      const formed = await lend(this.#together(order.set, order.of), (key) => formKey(at, order, key));
      this.wipe();
      return { ...formed, wiped: 'overwritten' };
    } catch (thrown) {
      if (!deviceError(thrown, work.progress).nothingChanged) this.wipe();
      throw thrown;
    }
  }

  /** The XOR of all; the caller wipes it. */
  #together(set: string, of: number): Uint8Array {
    const parts = this.#held?.set === set ? [...this.#held.parts.values()].map(({ value }) => value.bytes) : [];
    if (parts.length !== of) throw new Fault('COMPONENTS_GONE');
    // Where some of them cancel out, the rest of them are the key, and fewer people know it than there are custodians.
    for (let group = 1; group < 2 ** of; group += 1) {
      const sum = xor(parts.filter((_part, index) => (group & (1 << index)) !== 0));
      const nothing = sum.every((byte) => byte === 0);
      sum.fill(0);
      if (nothing) throw new Refused(refuse('COMPONENTS-CANCEL', 'components of which no group cancels out', 'some that do', 'Do not use these forms: fewer people than there are custodians could have the key. Nothing was written to the token.'));
    }
    return xor(parts);
  }

  /** False where there was nothing to wipe. */
  wipe(): boolean {
    if (this.#held === null) return false;
    for (const { value } of this.#held.parts.values()) value.wipe();
    this.#held = null;
    return true;
  }
}

async function onlyRehearsed(token: Token): Promise<void> {
  if (!(await token.isRehearsal())) throw new Fault('STAND_IN_REFUSED');
}

function copied(bytes: Uint8Array): Uint8Array {
  const copy = secretBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/** What the booth shows: the component, and the three bytes of its check value. */
function withCheck({ check }: ComponentOrder, component: Uint8Array): Uint8Array {
  const sheet = secretBytes(component.length + SHOWN_CHECK);
  sheet.set(component);
  sheet.set(fromHex(checkValue(check, component)), component.length);
  return sheet;
}

function xor(parts: readonly Uint8Array[]): Uint8Array {
  const sum = secretBytes(parts[0]?.length ?? 0);
  for (const part of parts) for (const [i, byte] of part.entries()) sum[i]! ^= byte;
  return sum;
}

/** What the booth sends: the digits of the component, then those of its check value, which is no secret. Lends the component's bytes. */
async function readDigits<T>(digits: Uint8Array, bytes: number, use: (component: Uint8Array, written: string) => T): Promise<T> {
  const length = digits.length - bytes * 2;
  const values = secretBytes(digits.length);
  for (const [i, code] of digits.entries()) values[i] = nibble(code);
  return lend(values, () => {
    if (length < CHECK_DIGITS.least || length > CHECK_DIGITS.most || values.includes(NO_DIGIT)) {
      throw new Refused(refuse('COMPONENT-FORM', `${bytes * 2} hexadecimal digits, and a check value of ${CHECK_DIGITS.least} to ${CHECK_DIGITS.most}`, 'something else', AGAIN));
    }
    return lend(secretBytes(bytes), (component) => {
      for (let i = 0; i < bytes; i += 1) component[i] = values[2 * i]! * 16 + values[2 * i + 1]!;
      return use(component, [...values.subarray(bytes * 2)].map((value) => value.toString(16)).join(''));
    });
  });
}

const NO_DIGIT = 0xff;
function nibble(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = (code | 0x20) - 0x61;
  return letter >= 0 && letter < 6 ? letter + 10 : NO_DIGIT;
}

/** Never says what a wrong one was, nor its check value. */
function judge({ number, check: method }: ComponentOrder, { name }: Asked, component: Uint8Array, written: string, shown: Uint8Array | null): void {
  const block = checkBlock(method, component);
  const fits = toHex(block).startsWith(written);
  block.fill(0);
  if (shown !== null && !equalBytes(shown, component)) {
    throw new Refused(refuse('COMPONENT-READ-BACK', `component ${number} of ${name} as it was shown`, 'another one', 'Destroy this form. A new component is drawn and shown when the step is repeated; the old one counts no more.'));
  }
  if (!fits) throw new Refused(refuse('COMPONENT-CHECK-VALUE', `component ${number} of ${name} with the check value that was typed`, 'digits that do not fit each other', AGAIN));
}

// --- the key -----------------------------------------------------------------------------------------------------------

function ordered(kind: SecretKind, use: FormedUse, modifiable: boolean): OrderedAttributes {
  const [does, undoes] = USES[use];
  return inFull(kind, { private: true, sensitive: true, extractable: false, modifiable, [does]: true, [undoes]: true });
}

async function formKey(at: At, order: FormOrder, key: Uint8Array): Promise<Omit<Formed, 'wiped'>> {
  const { session, token, desk: { work } } = at;
  const { id, label, of, use, check: method } = order;
  const kind = KEY_KIND_ROWS[order.kind] as SecretKind;
  const value = checkValue(method, key);
  if (value !== order.value) throw new Fault('COMPONENTS_GONE');
  if (order.onForms !== null) {
    const block = checkBlock(method, key);
    const fits = toHex(block).startsWith(order.onForms);
    block.fill(0);
    if (!fits) throw new Refused(refuse('KEY-CHECK-VALUE', `a key with the check value on the forms, ${order.onForms}`, `${METHOD_OF[method]} ${value}`, OTHER_FORMS));
  }
  await idIsFree(session, id);
  const kek = randomFillSync(secretBytes(32));
  const wrapped = aeskwp(kek).encrypt(key);
  const modifiable = await withKek(session, kek, async (under) => {
    const trial: Own = { class: 'secret-key', id: freshId(), lives: 'session' };
    const asTrial = (may: boolean) => session.unwrapKey({ method: 'AES-KWP' }, under, wrapped, { kind, id: trial.id!, label: 'conclave-trial', own: templateOf(ordered(kind, use, may)), lives: 'session' });
    let may = false;
    try {
      await asTrial(may);
    } catch (thrown) {
      // SoftHSM unwraps nothing as unmodifiable. Then the record says that the key is not.
      if (!isTokenError(thrown, 'CKR_ATTRIBUTE_READ_ONLY')) throw thrown;
      await asTrial(may = true);
    }
    await andThen(() => asSoftware(session, token, trial, key), () => session.destroy(trial));
    await work.write(() => session.unwrapKey({ method: 'AES-KWP' }, under, wrapped, { kind, id, label, own: templateOf(ordered(kind, use, may)) }));
    return may;
  });
  const { secret, check, tried } = await readBack(at, kind, id, ordered(kind, use, modifiable));
  if (secret === null) throw new Fault('ANSWER_INVALID', 'At: secret.');
  const compared = await asSoftware(session, token, { class: 'secret-key', id, lives: 'token' }, key);
  const told = await tokensValue(session, token, { class: 'secret-key', id, lives: 'token' }, method, secret);
  mustBe(method, value, told?.value ?? value);
  return { components: of, secret, check, total: { method: METHOD_OF[method], value }, by: told?.by ?? 'use', tried: [{ name: 'as its components', detail: compared }, ...tried] };
}

/** A key whose forming has no outcome, and which is kept: only its check value is left to tell that it is the one. */
export async function readFormed(at: At, order: FormOrder): Promise<Formed> {
  const { session, token } = at;
  const kind = KEY_KIND_ROWS[order.kind] as SecretKind;
  // Whether it may be modified is taken as it is.
  const { modifiable: _asItIs, ...wanted } = ordered(kind, order.use, false);
  const { secret, check, tried } = await readBack(at, kind, order.id, wanted);
  if (secret === null) throw new Fault('ANSWER_INVALID', 'At: secret.');
  const told = await tokensValue(session, token, { class: 'secret-key', id: order.id, lives: 'token' }, order.check, secret);
  mustBe(order.check, order.value, told?.value ?? 'none: the token does not tell it');
  return { components: order.of, secret, check, total: { method: METHOD_OF[order.check], value: order.value }, by: told?.by ?? 'use', tried, wiped: 'process-ended' };
}

function mustBe(method: CheckMethod, value: string, found: string): void {
  if (found !== value) throw new Refused(refuse('KEY-CHECK-VALUE', `a key with ${METHOD_OF[method]} ${value}`, found, 'Do not use this key. Clear it, and have the token examined.'));
}

/** The first block that the token gives for sixteen zero bytes under this IV. The caller wipes it. */
async function firstBlock(session: Session, own: Own, iv: Uint8Array): Promise<Uint8Array> {
  return (await session.encrypt(own, { kind: 'aes-cbc', iv }, secretBytes(16))).slice(0, 16);
}

/** The check value as the token has it: computed by it, or told as an attribute; null where its one use allows neither. */
async function tokensValue(session: Session, token: Token, own: Own, method: CheckMethod, { sign, encrypt }: KeyAttributes): Promise<{ readonly value: string; readonly by: 'computed' | 'attribute' } | null> {
  const listed = new Set((await token.mechanisms()).map(({ name }) => name));
  const value = (block: Uint8Array) => ({ value: toHex(block.slice(0, 3)), by: 'computed' as const });
  if (encrypt === true && listed.has('CKM_AES_CBC_PAD')) {
    const zero = await firstBlock(session, own, secretBytes(16));
    return lend(zero, async () => {
      if (method === 'ecb-zero') return value(zero);
      // NIST SP 800-38B section 6: of one whole block, CMAC is that block XOR K1, encrypted; CBC adds its IV in the same way.
      return lend(doubled(zero), async (k1) => value(await firstBlock(session, own, k1)));
    });
  }
  if (method === 'cmac') return sign === true && listed.has('CKM_AES_CMAC') ? value(await session.mac(own, 'CKM_AES_CMAC', secretBytes(16))) : null;
  const told = (await session.read(own, ['CKA_CHECK_VALUE'])).get('CKA_CHECK_VALUE');
  return told?.length === 3 ? { value: toHex(told), by: 'attribute' } : null;
}

/** Section 6.1: K1 out of L. */
function doubled(block: Uint8Array): Uint8Array {
  const out = secretBytes(16);
  for (let i = 0; i < 16; i += 1) out[i] = ((block[i]! << 1) | ((block[i + 1] ?? 0) >> 7)) & 0xff;
  if ((block[0]! & 0x80) !== 0) out[15]! ^= 0x87;
  return out;
}

/** Does the token, with this key, what software does with the same bytes? In words; throws `Refused` KEY-WORKS. */
async function asSoftware(session: Session, token: Token, own: Own, key: Uint8Array): Promise<string> {
  const listed = new Set((await token.mechanisms()).map(({ name }) => name));
  const { sign, encrypt, unwrap } = await session.attributes(own);
  const message = randomFillSync(secretBytes(32));
  if (sign === true && listed.has('CKM_AES_CMAC')) {
    works(equalBytes(await session.mac(own, 'CKM_AES_CMAC', message), cmac(message, key)), 'the CMAC that software makes with the components', 'another one');
    return 'The token made the CMAC of a fresh message that software makes with the components.';
  }
  if (encrypt === true && listed.has('CKM_AES_CBC_PAD')) {
    const iv = randomFillSync(secretBytes(16));
    works(equalBytes(await session.encrypt(own, { kind: 'aes-cbc', iv }, message), cbc(key, iv, message)), 'what software encrypts with the components', 'something else');
    return 'The token encrypted a fresh message as software does with the components (CKM_AES_CBC_PAD).';
  }
  const how = wrapHowOf(listed);
  if (unwrap === true && how?.method === 'AES-KWP') {
    return lend(randomFillSync(secretBytes(32)), async (value) => {
      const back: Own = { class: 'secret-key', id: freshId(), lives: 'session' };
      const kind = KEY_KIND_ROWS['aes-256'] as SecretKind;
      await session.unwrapKey(how, own, aeskwp(key).encrypt(value), { kind, id: back.id!, label: 'conclave-trial', own: { CKA_PRIVATE: true, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_ENCRYPT: true }, lives: 'session' });
      return andThen(async () => {
        const iv = randomFillSync(secretBytes(16));
        works(equalBytes(await session.encrypt(back, { kind: 'aes-cbc', iv }, message), cbc(value, iv, message)), 'the key that software wrapped with the components', 'another key');
        return 'The token unwrapped a fresh key that software wrapped with the components (AES-KWP), and encrypted with it as software does.';
      }, () => session.destroy(back));
    });
  }
  throw new Refused(refuse('KEY-WORKS', 'a use by which the key can be compared with its components', 'none on this token', 'Choose another use for the key, or another token. Nothing was written to it.'));
}

function cbc(key: Uint8Array, iv: Uint8Array, message: Uint8Array): Uint8Array {
  const cipher = createCipheriv(`aes-${key.length * 8}-cbc`, key, iv);
  return Buffer.concat([cipher.update(message), cipher.final()]);
}
