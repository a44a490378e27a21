/** The inventory as a call: folded from records that were really signed, judged once for each state that they are in, compared with tokens that answer, refuse or are busy. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { foldInventory, type InventoryKey } from '../../../ceremonies/inventory.ts';
import { Refused, refuse } from '../../../ceremonies/refusal.ts';
import { verifyTranscript } from '../../../ceremonies/verify.ts';
import { inventoryRoom, type InventoryRoom, type InventoryWorld } from '../../../electron/conductor/inventory.ts';
import type { LookingWorld } from '../../../electron/conductor/looking.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import type { Compared, Estate } from '../../../electron/contract.ts';
import { fileOf, scriptedRecord, type ScriptedRecord } from '../../ceremonies/scripted.ts';

let root: ScriptedRecord;
let crl: ScriptedRecord;
before(async () => {
  [root, crl] = await Promise.all([scriptedRecord({ seed: 'one' }), scriptedRecord({ seed: 'two', script: 'composite-ca', place: 'split' })]);
});

/** What a device process may answer to each operation on each token. */
type Device = (operation: string, token: string, body: Record<string, unknown>) => unknown;

function setUp(records: () => readonly (readonly string[])[], device: Device = () => assert.fail('no token was to be asked'), more: Partial<Omit<InventoryWorld, 'looking'>> & { readonly looking?: Partial<LookingWorld> } = {}) {
  const asked: string[] = [];
  const hashed: number[] = [];
  const tokens = ['HSM-A', 'HSM-B'];
  const estate: Estate = {
    modules: [
      { name: 'embedded', facts: null, problem: null, moves: false, slots: tokens.map((serial, slot) => ({ slot, description: '', token: { serial, label: `label ${serial}`, model: '', manufacturer: '', firmware: '', hardware: '', flags: ['CKF_TOKEN_INITIALIZED'] } })) },
      { name: 'gone', facts: null, problem: { code: 'MODULE_LOAD', message: '', hint: '' }, moves: false, slots: [] },
    ],
  };
  const { looking, ...others } = more;
  const room = inventoryRoom({
    ledger: {
      ceremonies: () => records().map((lines, index) => ({ ceremony: `${index}`, count: lines.length, first: lines[0] ?? '', tail: lines.slice(-2) })),
      lines: (ceremony) => [...records()[Number(ceremony)] ?? []],
    },
    hasher: { ...nativeHasher, entry: (bytes) => { hashed.push(bytes.length); return nativeHasher.entry(bytes); } },
    busy: () => false,
    told: (error) => (error instanceof Refused ? { code: error.refusal.rule, message: error.refusal.found, hint: error.refusal.next } : null),
    ...others,
    looking: {
      module: (name: string) => ({ kind: 'software', name }), estate: () => Promise.resolve(estate), inCeremony: () => null, production: [],
      call: (_module: unknown, operation: string, body: Record<string, unknown>) => {
        asked.push(`${operation} ${String(body['token'])}`);
        return Promise.resolve().then(() => device(operation, String(body['token']), body));
      },
      ...looking,
    } as unknown as LookingWorld,
  });
  return { room, asked, hashed };
}

const nothing = (loggedIn = () => false): Device => (operation) => (operation === 'objects' ? { total: 0, objects: [], loggedIn: loggedIn() } : null);
const reconcile = (room: InventoryRoom, login: 'none' | 'ask' | 'stand-in' = 'none', ...tokens: string[]) =>
  room.answer({ call: 'reconcile', login, tokens: tokens.map((token) => ({ module: 'embedded', token })) }) as Promise<Compared>;
type Page = { readonly look: number; readonly total: number; readonly keys: readonly InventoryKey[]; readonly rest: object | null };
const page = (room: InventoryRoom, from: number, limit = 500) => room.answer({ call: 'inventory', from, limit }) as Promise<Page>;

test('page by page it is the inventory that the records fold to', async () => {
  const { room } = setUp(() => [root.lines, crl.lines]);
  const whole = foldInventory(await Promise.all([root, crl].map(async ({ lines }) => ({ verdict: (await verifyTranscript(fileOf(lines), { hasher: nativeHasher })).verdict, lines }))), nativeHasher);
  assert.equal(whole.keys.length, 3);
  const first = await page(room, 0, 2);
  const second = await page(room, 2, 2);
  assert.deepEqual({ ...first.rest, keys: [...first.keys, ...second.keys] }, whole);
  assert.deepEqual([first.total, second.total, first.look === second.look, second.rest], [3, 3, true, null]);
  assert.deepEqual((await page(room, 9)).keys, []);
});

test('what is due is said with the first page, by the clock, and the records are not folded again for it', async () => {
  let today = new Date(Date.UTC(2026, 5, 1));
  const { room } = setUp(() => [root.lines], undefined, { now: () => today });
  const rules = ({ rest }: Page) => (rest as { findings: { rule: string }[] }).findings.map(({ rule }) => rule);
  const first = await page(room, 0);
  assert.deepEqual(rules(first), []);
  today = new Date(Date.parse(first.keys[0]?.certificates[0]?.notAfter ?? '') - 86_400_000);
  const second = await page(room, 0);
  assert.deepEqual([rules(second), second.look], [['CERTIFICATE-EXPIRES'], first.look]);
  today = new Date(today.getTime() + 2 * 86_400_000);
  assert.deepEqual(rules(await page(room, 0)), ['CERTIFICATE-EXPIRED']);
});

test('what was judged is not judged again, until one line of it is another, though its last one is not', async () => {
  let records: readonly (readonly string[])[] = [root.lines];
  const { room, hashed } = setUp(() => records);
  const first = await page(room, 0);
  const cost = hashed.length;
  assert.ok(cost > root.lines.length, 'every line was hashed');
  const again = await page(room, 0);
  assert.deepEqual([again.look, hashed.length - cost], [first.look, 1], 'one hash, over all lines');
  records = [root.lines.map((line, index) => (index === 30 ? line.replace(/"at":"20(..)/, '"at":"21$1') : line))];
  const edited = await page(room, 0);
  assert.notEqual(edited.look, first.look);
  assert.deepEqual((edited.rest as { findings: { rule: string }[] }).findings.map(({ rule }) => rule), ['RECORD-NOT-BELIEVED']);
  assert.equal((await room.judge('0')).verdict.verdict, 'refused');
  records = [root.lines];
  assert.equal((await room.judge('0')).verdict.verdict, 'valid');
});

test('whoever judges the records for another register leaves no progress behind, and a record that cannot be read does not either', async () => {
  const { room } = setUp(() => [root.lines]);
  await room.judgeAll();
  assert.equal(await room.answer({ call: 'inventory-progress', stop: false }), null);
  const broken = setUp(() => [root.lines], undefined, { ledger: { ceremonies: () => [{ ceremony: 'x', count: 1, first: '', tail: [] }], lines: () => { throw new Error('the disk'); } } });
  await assert.rejects(broken.room.judgeAll(), /the disk/);
  assert.equal(await broken.room.answer({ call: 'inventory-progress', stop: false }), null);
});

test('what an act is judged by knows the latest entry, though a look from before it is under way', async () => {
  let records: readonly (readonly string[])[] = [root.lines];
  const { room } = setUp(() => records);
  const before = page(room, 0);
  records = [root.lines, crl.lines];
  const [inventory, { total }] = await Promise.all([room.inventory(), before]);
  assert.deepEqual([total, inventory.keys.length], [1, 3]);
});

test('others are answered while records are verified and folded, and two who ask get one look', async () => {
  const { room } = setUp(() => [root.lines, crl.lines]);
  const seen = new Set<string>();
  let turns = 0;
  const ended = new AbortController();
  const both = Promise.all([page(room, 0), page(room, 0)]).finally(() => ended.abort());
  while (!ended.signal.aborted) {
    const progress = await room.answer({ call: 'inventory-progress', stop: false });
    if (progress !== null) seen.add(JSON.stringify(progress));
    turns += 1;
    await new Promise<void>((resolve) => { setImmediate(resolve); });
  }
  const [one, other] = await both;
  assert.equal(one.look, other.look);
  assert.ok(turns > 3 && seen.has('{"doing":"records","at":2,"of":2}'), `${turns} turns, ${[...seen].join(' ')}`);
  assert.equal(await room.answer({ call: 'inventory-progress', stop: false }), null);
});

test('a comparison logs in where it was asked to, and out again; whoever was logged in stays so', async () => {
  const loggedIn = new Set(['HSM-B']);
  const { room, asked } = setUp(() => [root.lines], (operation, token) => {
    if (operation === 'log-in') loggedIn.add(token);
    if (operation === 'log-out') loggedIn.delete(token);
    return operation === 'objects' ? { total: 0, objects: [], loggedIn: loggedIn.has(token) } : null;
  });
  const { tokens, failed, notSeen } = await reconcile(room, 'ask');
  assert.deepEqual(tokens.map(({ token, loggedIn: all }) => [token, all]), [['HSM-A', true], ['HSM-B', true]]);
  assert.deepEqual(asked.filter((call) => call.startsWith('log')), ['log-in HSM-A', 'log-out HSM-A']);
  assert.deepEqual([failed, [...loggedIn], notSeen[0]], [[], ['HSM-B'], 'module gone: MODULE_LOAD']);
  const { asked: quiet, room: other } = setUp(() => [root.lines], nothing());
  await reconcile(other, 'none');
  assert.deepEqual(quiet.filter((call) => call.startsWith('log')), []);
});

test('a token in a ceremony is read as the ceremony left it', async () => {
  const { room, asked } = setUp(() => [root.lines], nothing(), { looking: { inCeremony: (token) => (token === 'HSM-A' ? 'Root CA' : null) } });
  await reconcile(room, 'ask');
  assert.deepEqual(asked.filter((call) => call.startsWith('log')), ['log-in HSM-B', 'log-out HSM-B']);
});

test('a login that is refused is told, and what is public is compared all the same', async () => {
  const { room } = setUp(() => [root.lines], (operation, token, body) => {
    if (operation === 'log-in' && token === 'HSM-A') throw new Refused(refuse('PIN_CANCELLED', '', 'nobody typed it', 'Type it.'));
    return nothing()(operation, token, body);
  });
  const { tokens, failed } = await reconcile(room, 'ask');
  assert.deepEqual([tokens.length, failed.map(({ token, code, hint }) => [token, code, hint])], [2, [['HSM-A', 'PIN_CANCELLED', 'Type it.']]]);
});

test('a busy module and a token that fails do not take the others with them; a fault of the program is none of theirs', { timeout: 20_000 }, async () => {
  const busy = setUp(() => [root.lines], nothing(), { busy: () => true });
  const waited = await reconcile(busy.room, 'none', 'HSM-A');
  assert.deepEqual([waited.tokens, waited.failed.map(({ code }) => code), busy.asked], [[], ['MODULE-BUSY'], []]);
  const broken = setUp(() => [root.lines], (operation, token, body) => {
    if (token === 'HSM-A') throw new Refused(refuse('CKR_DEVICE_ERROR', '', 'it is gone', 'Look at the cable.'));
    return nothing()(operation, token, body);
  });
  const { tokens, failed } = await reconcile(broken.room);
  assert.deepEqual([tokens.map(({ token }) => token), failed.map(({ token, code }) => `${token} ${code}`)], [['HSM-B'], ['HSM-A CKR_DEVICE_ERROR']]);
  const fault = setUp(() => [root.lines], () => { throw new Error('a fault'); });
  await assert.rejects(reconcile(fault.room), /a fault/);
  await assert.rejects(reconcile(fault.room), /a fault/, 'and the next comparison may begin');
});

test('stopped: nothing more is read, the login is taken back, and the rest is said not to have been read', async () => {
  let reads = 0;
  const facts = Array.from({ length: 400 }, (_, index) => ({ class: 'public-key', id: `${index}`.padStart(4, '0'), label: 'x', keyType: 'CKK_EC' }));
  const { room, asked } = setUp(() => [root.lines], (operation, _token, body) => {
    if (operation === 'objects') return { total: facts.length, objects: facts.slice(0, Number(body['limit'])), loggedIn: false };
    if (operation !== 'object') return null;
    if ((reads += 1) === 3) void room.answer({ call: 'inventory-progress', stop: true });
    return { object: (body['place'] as { object: object }).object, key: null, publicKey: null, attributes: [] };
  });
  const { tokens, failed } = await reconcile(room, 'ask');
  assert.deepEqual([reads, tokens, failed.map(({ token, code }) => `${token} ${code}`)], [3, [], ['HSM-A WORK_CANCELLED', 'HSM-B WORK_CANCELLED']]);
  assert.equal(asked.at(-1), 'log-out HSM-A');
});

test('a token that is not there, and a second comparison beside one that is under way, are refused', async () => {
  const { room } = setUp(() => [root.lines], nothing());
  const rule = (wanted: string) => (error: unknown) => error instanceof Refused && error.refusal.rule === wanted;
  await assert.rejects(reconcile(room, 'none', 'HSM-Z'), rule('TOKEN-PRESENT'));
  const [first, second] = await Promise.allSettled([reconcile(room), reconcile(room)]);
  assert.equal(first.status, 'fulfilled');
  assert.ok(second.status === 'rejected' && rule('RECONCILE-ONCE')(second.reason));
});
