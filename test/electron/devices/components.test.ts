/**
 * Components in a device process, on both twins: typed in the booth, refused where they are no secret of one person, put together on the
 * token, compared there; and, in this process, drawn, shown to the one booth and typed again. What came out of the process holds none of them.
 */
import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { toBase64url, toHex } from '../../../ceremonies/bytes.ts';
import { COMPONENT_BYTES, formedDeviations, METHOD_OF, type ComponentKind, type FormedUse } from '../../../ceremonies/components.ts';
import { checkBlock, checkValue, type CheckMethod } from '../../../ceremonies/keys/check-value.ts';
import { Operations } from '../../../electron/devices/operations.ts';
import { SHOWN_CHECK, type Notice, type Request } from '../../../electron/devices/protocol.ts';
import { Secret } from '../../../electron/devices/secret.ts';
import { asked, cards, failure, place, type DeviceProcess } from './device-process.ts';

const officer = asked('officer');
const holder = (name: string) => asked(name, { standIn: false });
const newSet = () => toBase64url(Uint8Array.from(randomBytes(16)));
const id = () => toHex(Uint8Array.from(randomBytes(16)));
const component = (kind: ComponentKind) => Uint8Array.from(randomBytes(COMPONENT_BYTES[kind]));
const xor = (...parts: Uint8Array[]) => parts.reduce((sum, part) => sum.map((byte, i) => byte ^ part[i]!));
const formOf = (method: CheckMethod, value: Uint8Array, digits = 6) => `${toHex(value)}${toHex(checkBlock(method, value)).slice(0, digits)}`;

interface Forming { readonly token: string; readonly set: string; readonly of: number; readonly kind: ComponentKind; readonly check: CheckMethod }

/** Types what a form says, as its holder would. */
function enter(device: DeviceProcess, { token, set, of, kind, check }: Forming, number: number, form: string): Promise<unknown> {
  device.atComponent = ({ ticket }) => device.type(ticket, form);
  return device.call('enter-component', { token, set, number, of, kind, check, asked: holder(`custodian-${number}`) });
}

async function form(device: DeviceProcess, { token, set, of, kind, check }: Forming, use: FormedUse, more: Partial<Request<'form-key'>> = {}) {
  const { check: { value } } = await device.call('total-components', { set, of, check });
  return device.call('form-key', { token, set, of, id: id(), label: 'Key of components', kind, check, use, value, onForms: null, asked: officer, ...more });
}

const KEYS: readonly (readonly ['software' | 'softhsm2', ComponentKind, CheckMethod, FormedUse, number, 'computed' | 'attribute' | 'use'])[] = [
  ['software', 'aes-256', 'cmac', 'wrap', 3, 'use'], ['software', 'aes-128', 'cmac', 'encrypt', 2, 'computed'], ['software', 'aes-192', 'ecb-zero', 'encrypt', 2, 'computed'],
  ['software', 'aes-256', 'cmac', 'mac', 9, 'computed'], ['software', 'aes-256', 'ecb-zero', 'wrap', 2, 'attribute'],
  ['softhsm2', 'aes-256', 'cmac', 'wrap', 3, 'use'], ['softhsm2', 'aes-128', 'cmac', 'encrypt', 2, 'computed'], ['softhsm2', 'aes-192', 'ecb-zero', 'encrypt', 2, 'computed'],
  ['softhsm2', 'aes-256', 'cmac', 'mac', 2, 'computed'],
  // Of a key that it unwrapped, SoftHSM tells no CKA_CHECK_VALUE.
  ['softhsm2', 'aes-256', 'ecb-zero', 'wrap', 2, 'use'],
];
for (const kind of ['software', 'softhsm2'] as const) {
  test(`${kind}: keys of components, each the XOR of what was typed, with its check value by the token`, async (t) => {
    const at = place(kind);
    t.after(() => at.remove());
    const device = await at.start();
    const [token] = await cards(device, 'hsm');
    const secrets: Uint8Array[] = [];
    for (const [, size, check, use, of, by] of KEYS.filter(([on]) => on === kind)) {
      const parts = Array.from({ length: of }, () => component(size));
      const forming = { token: token!.serial, set: newSet(), of, kind: size, check };
      for (const [i, part] of parts.entries()) {
        // Forms have six digits, or ten; people write them in either case.
        const written = formOf(check, part, i === 0 ? 10 : 6);
        assert.deepEqual(await enter(device, forming, i + 1, i === 1 ? written.toUpperCase() : written), { number: i + 1, check: { method: METHOD_OF[check], value: checkValue(check, part) } });
      }
      const key = xor(...parts);
      secrets.push(...parts, key);
      const formed = await form(device, forming, use, { onForms: toHex(checkBlock(check, key)).slice(0, 8) });
      assert.deepEqual([formed.components, formed.total, formed.by, formed.wiped], [of, { method: METHOD_OF[check], value: checkValue(check, key) }, by, 'overwritten'], `${size} ${check} ${use}`);
      assert.deepEqual(formedDeviations(use, formed.secret), [], `${size} ${use}`);
      assert.equal(formed.tried[0]?.name, 'as its components');
      await assert.rejects(form(device, forming, use), failure('COMPONENTS_GONE', true));
      const kept = await device.call('read-formed', { token: token!.serial, set: forming.set, of, id: formed.secret.id, label: 'Key of components', kind: size, check, use, value: checkValue(check, key), onForms: null, asked: officer })
        .catch((error: unknown) => {
          if (!failure('KEY-CHECK-VALUE')(error)) throw error;
          return null;
        });
      assert.equal(kept?.by ?? 'use', by, 'what cannot be compared is not kept');
    }
    const outside = device.traffic.join('\n').toLowerCase();
    for (const secret of secrets) assert.ok(!outside.includes(toHex(secret).slice(0, 12)), 'a component or a key came out');
  });
}

test('software: what is refused, loses nothing but itself, and says whose it is; nothing typed comes out', async (t) => {
  const at = place('software');
  t.after(() => at.remove());
  const device = await at.start();
  const [token] = await cards(device, 'hsm');
  const forming: Forming = { token: token!.serial, set: newSet(), of: 3, kind: 'aes-128', check: 'cmac' };
  const [one, two, three] = [component('aes-128'), component('aes-128'), component('aes-128')];
  await enter(device, forming, 1, formOf('cmac', one));

  const wrong = two.slice();
  wrong[7]! ^= 1;
  await assert.rejects(enter(device, forming, 2, `${toHex(wrong)}${checkValue('cmac', two)}`), failure('COMPONENT-CHECK-VALUE', true));
  await assert.rejects(enter(device, forming, 2, formOf('ecb-zero', two)), failure('COMPONENT-CHECK-VALUE', true));
  await assert.rejects(enter(device, forming, 2, formOf('cmac', one)), failure('COMPONENT-TWICE', true));
  await assert.rejects(enter(device, forming, 2, formOf('cmac', new Uint8Array(16))), failure('COMPONENT-ZERO', true));
  for (const text of [toHex(two), `${formOf('cmac', two)}00000`, `${'g'.repeat(32)}000000`, '']) await assert.rejects(enter(device, forming, 2, text), failure('COMPONENT-FORM', true));
  device.atComponent = ({ ticket }) => device.cancel(ticket);
  await assert.rejects(device.call('enter-component', { ...forming, number: 2, asked: holder('custodian-2') }), failure('COMPONENT_CANCELLED', true));
  await assert.rejects(device.call('total-components', { set: forming.set, of: 3, check: 'cmac' }), failure('COMPONENTS_GONE', true));
  await enter(device, forming, 2, formOf('cmac', two));

  // The third undoes the other two: all together would be nothing.
  const none = xor(one, two);
  await enter(device, forming, 3, formOf('cmac', none));
  await assert.rejects(device.call('total-components', { set: forming.set, of: 3, check: 'cmac' }), failure('COMPONENTS-CANCEL', true));
  await enter(device, forming, 3, formOf('cmac', three));
  const value = checkValue('cmac', xor(one, two, three));
  const order = { token: forming.token, set: forming.set, of: 3, id: id(), label: 'K', kind: 'aes-128', check: 'cmac', use: 'mac', value, onForms: null, asked: officer } as const;
  await assert.rejects(device.call('form-key', { ...order, onForms: 'ffffff' }), failure('KEY-CHECK-VALUE', true));
  const before = await device.call('take-inventory', { token: forming.token, asked: officer });
  assert.deepEqual(before.objects, []);
  assert.equal((await device.call('form-key', order)).total.value, value, 'after what changed nothing, they are still there');

  const outside = JSON.stringify(device.traffic);
  for (const secret of [one, two, three, wrong, none]) for (const text of [toHex(secret), toBase64url(secret)]) assert.ok(!outside.includes(text.slice(0, 12)), 'a component came out');
  assert.deepEqual(device.notices.flatMap((notice) => (notice.kind === 'pin-settled' ? [notice.outcome] : [])).slice(0, 5), ['accepted', 'refused', 'refused', 'refused', 'refused']);
});

test('a stand-in has components for a rehearsal token only', async (t) => {
  const at = place('softhsm2');
  t.after(() => at.remove());
  const device = await at.start();
  const [token] = await cards(device, 'hsm');
  const forming: Forming = { token: token!.serial, set: newSet(), of: 2, kind: 'aes-256', check: 'cmac' };
  const { check } = await device.call('enter-component', { ...forming, number: 1, asked: asked('custodian-1') });
  await device.call('enter-component', { ...forming, number: 2, asked: asked('custodian-2') });
  assert.notEqual(check.value, (await form(device, forming, 'encrypt')).total.value);
});

/** The operations in this process, with a booth that is the test itself. */
async function sitting(holds: (notice: Extract<Notice, { kind: 'component-wanted' }>, shown: Uint8Array | null) => string | null) {
  const at = place('software');
  let answer: (typed: Secret | null) => void = () => undefined;
  let shows: Uint8Array | null = null;
  const notices: Notice[] = [];
  const operations = new Operations({
    program: '', readersMoved: () => undefined, pin: () => Promise.resolve(null),
    component: (_ticket, shown) => {
      shows = shown;
      return new Promise((resolve) => { answer = resolve; });
    },
    notify: (notice) => {
      notices.push(notice);
      if (notice.kind !== 'component-wanted') return;
      const typed = holds(notice, shows);
      answer(typed === null ? null : new Secret(Buffer.from(typed)));
    },
  });
  await operations.answer('start', { module: { kind: 'software', name: 'software', folder: join(at.folder, 'tokens') } });
  const made = await operations.answer('provision', { labels: ['hsm'] });
  assert.ok(made.ok);
  const token = (made.body as { tokens: { serial: string }[] }).tokens[0]!.serial;
  return { at, operations, token, notices, sheet: () => shows };
}

test('issued: shown once, proven from paper; a wrong copy is refused and another component drawn', async (t) => {
  const sheets: string[] = [];
  let copies: (digits: string) => string = (digits) => digits;
  const { at, operations, token, sheet } = await sitting(({ component: { digits, shows } }, shown) => {
    assert.ok(shows && shown?.length === digits / 2 + SHOWN_CHECK);
    sheets.push(toHex(shown));
    return copies(toHex(shown));
  });
  t.after(() => at.remove());
  const order = { token, set: newSet(), of: 2, kind: 'aes-256', check: 'cmac' } as const;
  const issue = (number: number) => operations.answer('issue-component', { ...order, number, asked: holder(`custodian-${number}`) });

  copies = (digits) => `${digits.slice(0, 10)}${digits[10] === '0' ? '1' : '0'}${digits.slice(11)}`;
  const refused = await issue(1);
  assert.equal(!refused.ok && refused.error.code, 'COMPONENT-READ-BACK');
  copies = (digits) => digits;
  const [first, second] = [await issue(1), await issue(2)];
  assert.ok(first.ok && second.ok);
  assert.equal(new Set(sheets).size, 3, 'each is drawn anew');
  assert.ok(sheet()?.every((byte) => byte === 0), 'what was shown is overwritten');
  const [a, b] = [Buffer.from(sheets[1]!.slice(0, 64), 'hex'), Buffer.from(sheets[2]!.slice(0, 64), 'hex')];
  assert.deepEqual(first.body, { number: 1, check: { method: METHOD_OF.cmac, value: checkValue('cmac', a) }, sources: ['token', 'system'], readBack: true });

  const key = xor(Uint8Array.from(a), Uint8Array.from(b));
  const formed = await operations.answer('form-key', { ...order, number: undefined, id: id(), label: 'K', use: 'encrypt', value: checkValue('cmac', key), onForms: null, asked: officer });
  assert.ok(!formed.ok, 'an unknown member is refused');
  const { number: _none, ...rest } = { ...order, number: 1 };
  const whole = await operations.answer('form-key', { ...rest, id: id(), label: 'K', use: 'encrypt', value: checkValue('cmac', key), onForms: null, asked: officer });
  assert.ok(whole.ok, JSON.stringify(whole));
  // Software has the value: its own CBC says the same as its check value did.
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  assert.equal(cipher.update(Buffer.alloc(16)).toString('hex').slice(0, 6), checkValue('ecb-zero', key));
});
