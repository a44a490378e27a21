/**
 * Shares out of their cards into envelopes and onto paper, and one of them back onto a new card, on SoftHSM: what is refused on the way, a
 * recovery with the card that the new record names, the copies in the inventory and the custody register, and no share and no private key
 * anywhere on the machine.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readBackupRecord } from '../../../ceremonies/backup-record.ts';
import { forWebCrypto, toBase64url, toHex, utf8 } from '../../../ceremonies/bytes.ts';
import { pendingAction } from '../../../ceremonies/ceremony.ts';
import { planDestruction } from '../../../ceremonies/destroy-plan.ts';
import { agentOf } from '../../../ceremonies/escrow-envelope.ts';
import { foldInventory, type JudgedRecord } from '../../../ceremonies/inventory.ts';
import { inputDigest } from '../../../ceremonies/key-record.ts';
import { openEnvelope, readEnvelope, withKemKey } from '../../../ceremonies/keys/envelope.ts';
import { openSealedKey } from '../../../ceremonies/keys/import.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { planOf, readScript } from '../../../ceremonies/script.ts';
import { readRecipients } from '../../../ceremonies/share-envelope.ts';
import { encodeSheetWords } from '../../../ceremonies/shares/paper.ts';
import { parseShare, shareCommitment } from '../../../ceremonies/shares/share.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { ask, playOn, playRehearsal, standInNames, type Play } from '../../../electron/rehearsal.ts';
import { sharedHouse } from '../house.ts';
import { filesOf } from './bundles.ts';

const { home, house } = await sharedHouse('copies');
const module = 'softhsm';
const input = (name: string, bytes: Uint8Array) => ({ file: name, bytes: forWebCrypto(Uint8Array.from(bytes)) });
const isRule = (rule: string) => (error: unknown) => (error instanceof Refused && error.refusal.rule === rule ? true : assert.fail(`${rule} expected: ${String(error)}`));
const play = (script: string, more: Partial<Play> = {}) => playRehearsal(house, { script, parameters: {}, module, hasher: nativeHasher, ca: { algorithm: 'ecdsa-p256', place: 'token' }, ...more });

test('two shares sealed and opened, one brought back onto a new card, and a recovery with that card', async () => {
  const copying = await play('share-envelope', { parameters: { custodians: 2 } });
  const left = await filesOf(house, copying);
  const backup = left.get('inputs/backup.json') ?? assert.fail();
  const record = readBackupRecord(Uint8Array.from(backup));
  const keys = readRecipients(Uint8Array.from(left.get('inputs/recipients.pem') ?? assert.fail()), null).map((key) => agentOf(key).sha256);
  const keyFile = (index: number) => input('holder.p8', readFileSync(join(home, 'bundles', `rehearsal-holder-${(keys[index] ?? '').slice(0, 16)}.p8`)));
  const envelope = left.get('share-1.cms') ?? assert.fail();
  assert.ok(left.has('share-2.cms'));

  // Opened by the tools of this file: it is the share that the set commits to, and what must be nowhere else.
  const pkcs8 = await openSealedKey(keyFile(0).bytes, utf8(REHEARSAL_PIN));
  const opened = await withKemKey(pkcs8, (key) => openEnvelope(readEnvelope(Uint8Array.from(envelope)), key));
  const share = parseShare(opened.content);
  assert.equal(shareCommitment(share), record.set.commitments[0]);
  assert.match(opened.description ?? '', /^REHEARSAL\. Share 1 of 2, any 2 of them needed, of the backup of "REHEARSAL CA".*for Stand-in custodian-1\./);
  assert.equal(toBase64url(opened.contentIdentifier ?? new Uint8Array()), record.set.commitments[0]);

  // What does not belong together is no ceremony.
  const files = { backup: input('backup.json', backup), envelope: input('share-1.cms', envelope) };
  const changed = (change: object) => input('backup.json', utf8(JSON.stringify({ ...record, ...change })));
  for (const [rule, inputs, share] of [
    ['DER-STRUCTURE', { ...files, envelope: input('share-1.cms', envelope.subarray(0, 300)) }, 1],
    ['RETURN-HOLDER', files, 2],
    ['RETURN-SHARE', files, 3],
    ['BACKUP-MODE', { ...files, backup: changed({ mode: 'real' }) }, 1],
  ] as const) await assert.rejects(play('share-return', { inputs, parameters: { share } }), isRule(rule), rule);

  // The envelope of somebody else's share is named before a password is asked for; so is a key file that is not encrypted, or another's.
  const until: Play['until'] = (state) => state.current?.step.id === 'return' && state.current.phase === 'ready';
  const wrong = await play('share-return', { inputs: { ...files, envelope: input('share-2.cms', left.get('share-2.cms') ?? assert.fail()) }, until });
  const act = (ceremony: string, file?: ReturnType<typeof input>) => ask(house, { call: 'act', ceremony, step: 'return', acceptFinalTry: false, ...file && { file } });
  await assert.rejects(act(wrong, keyFile(1)), isRule('COPY-ENVELOPE'));
  await ask(house, { call: 'abort', ceremony: wrong, seat: 'officer', reason: 'Another envelope was brought.' });
  const returning = await play('share-return', { inputs: files, until });
  await assert.rejects(act(returning), isRule('COPY-KEY-FILE'));
  await assert.rejects(act(returning, input('clear.p8', pkcs8)), isRule('IMPORT-ENCRYPTED'));
  await assert.rejects(act(returning, keyFile(1)), isRule('ENVELOPE-KEY'));
  await act(returning, keyFile(0));
  await playOn(house, returning, { hasher: nativeHasher });

  const updated = (await filesOf(house, returning)).get('backup.json') ?? assert.fail();
  const renewed = readBackupRecord(Uint8Array.from(updated));
  assert.deepEqual(renewed.set, record.set);
  assert.notEqual(renewed.shares[0]?.card, record.shares[0]?.card);
  assert.deepEqual(renewed.shares.slice(1), record.shares.slice(1));
  const recovery = await play('recovery', { parameters: { custodians: 2 }, inputs: { backup: input('backup.json', updated) } });
  const { lines } = await ask(house, { call: 'entries', ceremony: recovery, from: 0 });
  assert.ok(lines.some((line) => line.includes('"quorum":[{"card"') && line.includes(`"card":"${renewed.shares[0]?.card ?? ''}"`)), 'the new card lent its share');

  // The copies in the inventory, in a list of what is to be destroyed, and in custody: the same shares, once more.
  const records: JudgedRecord[] = [];
  for (const ceremony of [copying, returning, recovery]) records.push(await ask(house, { call: 'verify-own', ceremony }));
  assert.deepEqual(records.map(({ verdict }) => verdict.verdict), ['valid', 'valid', 'valid']);
  const inventory = foldInventory(records, nativeHasher);
  const key = inventory.keys.find(({ copies }) => copies.some((copy) => copy.kind === 'share-set')) ?? assert.fail();
  const set = key.copies.find((copy) => copy.kind === 'share-set') ?? assert.fail();
  assert.deepEqual(set.media?.map(({ medium, x, gone }) => [medium, x, gone]), [['envelope', 1, null], ['envelope', 2, null]]);
  const list = planDestruction(inventory, key, { people: [], retention: [], despite: '' });
  assert.equal(list.copies.filter(({ what, by }) => what.includes('in the envelope') && by.means === 'people').length, 2);
  const erasure = list.copies.find(({ what }) => what.includes('to be opened by 2 of 2 shares'))?.by;
  // Three cards and two envelopes hold two shares: one thing at most may be left.
  assert.deepEqual(erasure?.means === 'erasure' && [erasure.of.length, erasure.enough], [5, 4]);
  const custody = await ask(house, { call: 'custody' });
  assert.deepEqual(custody.things.filter(({ kind }) => kind === 'envelope').map(({ person, shares: held }) => [person, held.map(({ x }) => x)]).sort(), [['Stand-in custodian-1', [1]], ['Stand-in custodian-2', [2]]]);

  // The canary: neither the share nor its holder's private key in clear is in any file of the machine, in any form.
  const secrets = [Buffer.from(share.payload), Buffer.from(pkcs8).subarray(-64)];
  for (const entry of readdirSync(home, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    for (const canary of secrets) for (const form of [canary, ...[toBase64url(canary), toHex(canary), canary.toString('base64')].map((text) => Buffer.from(text))]) assert.equal(bytes.indexOf(form), -1, entry.name);
  }
});

test('shares onto paper: read back, counted, and in the custody of their holders', async () => {
  const ceremony = await play('share-paper', { parameters: { custodians: 2 } });
  const record = await ask(house, { call: 'verify-own', ceremony });
  assert.equal(record.verdict.verdict, 'valid');
  const set = foldInventory([record], nativeHasher).keys.flatMap(({ copies }) => copies).find((copy) => copy.kind === 'share-set') ?? assert.fail();
  assert.deepEqual(set.media?.map(({ medium, x }) => [medium, x]), [['sheet', 1], ['sheet', 2]]);
  for (const { identifier } of set.media ?? []) assert.match(identifier, /^S-[0-9A-F]{8}$/);
});

test('a share typed from its sheet by its holder: a wrong word, another share, and the right one, onto a new card that its record names', async () => {
  const { bindings, inputs } = await ask(house, { call: 'provision', script: 'share-return-paper', parameters: { share: 1 }, module, ca: { algorithm: 'ecdsa-p256', place: 'token' } });
  const { script } = readScript((await ask(house, { call: 'scripts' })).find(({ name }) => name === 'share-return-paper')?.text ?? '');
  const { ceremony } = await ask(house, { call: 'open', script: 'share-return-paper', parameters: { share: 1 }, people: standInNames(planOf(script ?? assert.fail('no script'), { share: 1 }).seats), bindings, inputs, mode: 'rehearsal', standIns: false });
  const record = readBackupRecord(Uint8Array.from(inputs['backup']?.bytes ?? assert.fail()));

  // What the rehearsal has in place of the sheet gives the words that stand on it.
  const kept = readdirSync(join(home, 'bundles')).find((name) => name.startsWith(`rehearsal-sheet-${record.set.id}`)) ?? assert.fail('no sheet');
  const envelope = Uint8Array.from(readFileSync(join(home, 'bundles', kept)));
  const sealed = Uint8Array.from(readFileSync(join(home, 'bundles', `rehearsal-holder-${inputDigest({ bytes: toBase64url(envelope) }).slice(0, 16)}.p8`)));
  const content = await withKemKey(await openSealedKey(sealed, utf8(REHEARSAL_PIN)), async (held) => (await openEnvelope(readEnvelope(envelope), held)).content);
  const words = Buffer.from(encodeSheetWords(parseShare(content))).toString().split(' ');
  const [first = '', second = '', ...rest] = words;

  let line = '';
  const traffic: string[] = [];
  house.onEntries((entries) => traffic.push(JSON.stringify(entries)));
  house.onNotice((of, notice) => {
    traffic.push(JSON.stringify(notice));
    const booth = house.booth(of) ?? assert.fail('no booth');
    if (notice.kind === 'pin-wanted') booth.postMessage({ ticket: notice.ticket, pin: Buffer.from(REHEARSAL_PIN) });
    if (notice.kind === 'words-wanted') {
      assert.deepEqual(notice.words, { count: words.length, sheet: null, shows: false });
      booth.postMessage({ ticket: notice.ticket, pin: Buffer.from(line) });
    }
  });
  await playOn(house, ceremony, { hasher: nativeHasher, until: (state) => pendingAction(state).kind === 'step' && state.current?.step.id === 'return' });
  const act = () => ask(house, { call: 'act', ceremony, step: 'return', acceptFinalTry: false });
  for (const [typed, rule] of [[[second, first, ...rest], 'SHARE-CHECKSUM'], [['conclave', ...words.slice(1)], 'SHARE-WORDS'], [[], 'SHARE-WORDS']] as const) {
    line = typed.join(' ');
    await assert.rejects(act(), isRule(rule), line);
  }
  line = words.join(' ');
  await act();
  await playOn(house, ceremony, { hasher: nativeHasher });
  const renewed = readBackupRecord(Uint8Array.from((await filesOf(house, ceremony)).get('backup.json') ?? assert.fail()));
  assert.deepEqual(renewed.shares[0], { ...record.shares[0], card: bindings.cards['new-share-card']?.['custodian-1']?.serial, object: renewed.shares[0]?.object });
  assert.ok(!traffic.join('\n').includes(words.slice(10, 14).join(' ')), 'words in what was told');
});
