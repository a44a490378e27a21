/**
 * kill -9 at the durable boundaries of a ceremony: after each commit (it is written, nobody has heard of it), and
 * before the commit of each outcome (the token has done its part, the outcome is not written). Afterwards: no entry lost
 * or doubled, the chain valid, the interrupted step carried out, and no object on any token that the record does not explain.
 *
 * crash.test.ts does so with the root CA ceremony, crash-keys.test.ts with composite keys and with keys that were there before.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openInside } from '../../../build/inside.ts';
import { readBackupRecord } from '../../../ceremonies/backup-record.ts';
import { fromBase64url } from '../../../ceremonies/bytes.ts';
import { pendingAction, type Data, type State } from '../../../ceremonies/ceremony.ts';
import type { Intent, ObjectFact } from '../../../ceremonies/evidence.ts';
import { keyIds, readKeyRecord } from '../../../ceremonies/key-record.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import type { Parameters } from '../../../ceremonies/script.ts';
import { Fold, parseLine, pushLine } from '../../../ceremonies/transcript.ts';
import { verifyTranscript } from '../../../ceremonies/verify.ts';
import { nativeHasher } from '../../../electron/conductor/machine.ts';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { ask, playOn, playRehearsal, type Play, type Table } from '../../../electron/rehearsal.ts';
import { allObjects, look } from '../devices/objects.ts';
import { CONDUCTOR, openHouse } from '../house.ts';

export const MORTAL = fileURLToPath(new URL('./mortal.ts', import.meta.url));
export const PARAMETERS = { algorithm: 'ecdsa-p256' };
export type Module = 'software' | 'softhsm';

/** Every object that the record's intents name: what may lie on a token. */
function explained(lines: readonly string[]): (object: ObjectFact) => boolean {
  const ids = new Set<string>();
  const labels = new Set<string>();
  for (const line of lines) {
    const entry = parseLine(line);
    // The shares of a backup that was brought were there before.
    if (entry.kind === 'opened') for (const { kind, bytes } of Object.values((entry.data as Data<'opened'>).inputs)) if (kind === 'backup') for (const { object } of readBackupRecord(fromBase64url(bytes)).shares) labels.add(object);
    if (entry.kind !== 'begun') continue;
    const intent = (entry.data as Data<'begun'>).intent as Partial<Intent<'enrol'> & Intent<'generate-key'> & Intent<'give-share'>>;
    for (const id of intent.ids ?? []) ids.add(id);
    if (intent.id !== undefined) {
      ids.add(intent.id);
      labels.add(`conclave-identity-${intent.id}`);
    }
    if (intent.object !== undefined) labels.add(intent.object);
  }
  // The CA that a rehearsal is given stands on its token before the record begins.
  return (object) => ids.has(object.id) || labels.has(object.label) || object.label.startsWith('REHEARSAL CA');
}

export const allLines = async (house: Table, ceremony: string) => (await ask(house, { call: 'entries', ceremony, from: 0 })).lines;

function folded(lines: readonly string[]): State {
  const fold = new Fold(nativeHasher);
  for (const line of lines) assert.equal(pushLine(fold, line), null, 'the chain does not hold');
  return fold.state;
}

/** Opens what a kill left behind, and shows that nothing is lost and that it goes on to its end; or `inside` this process, one step further. */
export async function goOn(home: string, module: Module, expected: number, heard: readonly string[], { inside = false } = {}): Promise<void> {
  const house = inside ? await openInside(home) : await openHouse(home);
  try {
    const [summary] = await ask(house, { call: 'ceremonies' });
    if (!summary) {
      assert.equal(expected, 0, 'the record is gone');
      return;
    }
    const { ceremony } = summary;
    const lines = await allLines(house, ceremony);
    assert.equal(lines.length, expected, 'an entry was lost or doubled');
    assert.deepEqual(lines.slice(0, heard.length), heard.slice(0, lines.length), 'an entry that people had seen was lost or changed');
    const before = folded(lines);
    if (summary.interrupted) {
      const present = before.people.map((person) => person.seat).filter((seat) => !['custodian-3', 'auditor'].includes(seat));
      await ask(house, { call: 'resume', ceremony, present, reason: 'The power was cut.', officer: null, standIns: true });
      const enough = inside ? Math.max(before.cursor + 1, 1) : Infinity;
      await playOn(house, ceremony, { hasher: nativeHasher, until: (state) => state.queue.length === 0 && state.resumptions > before.resumptions && state.cursor >= enough });
    } else {
      assert.equal(pendingAction(before).kind, 'over');
    }
    const whole = await allLines(house, ceremony);
    assert.deepEqual(whole.slice(0, lines.length), lines, 'the past was changed');
    const { verdict, state } = await verifyTranscript(new TextEncoder().encode(whole.map((line) => `${line}\n`).join('')), { hasher: nativeHasher });
    const over = pendingAction(state).kind === 'over';
    assert.deepEqual(verdict.findings.map((finding) => finding.rule), over ? [] : ['RECORD-OPEN']);
    if (!inside) assert.equal(verdict.verdict, 'valid');
    await house.stop();

    // What really lies on the tokens, read with a login of its own, and by another program where there are processes.
    const known = explained(whole);
    const kind = module === 'software' ? 'software' : 'pkcs11';
    const found = inside ? (await look(kind, home, REHEARSAL_PIN)).objects : await allObjects(kind, home, REHEARSAL_PIN);
    assert.deepEqual(found.filter((object) => !known(object)), [], 'objects that the record does not explain');
    const keys = found.filter((object) => (object.class === 'private-key' || object.class === 'secret-key') && !object.label.startsWith('conclave-identity'));
    // Of a clone, the key is on the first token too, as its record says.
    const cloned = state.key?.restored === true ? Object.values(state.opening?.inputs ?? {}).flatMap(({ kind, bytes }) => (kind === 'key' ? keyIds(readKeyRecord(fromBase64url(bytes)).key) : [])) : [];
    assert.deepEqual(keys.map((key) => key.id).sort(), state.key ? [...keyIds(state.key), ...cloned].sort() : state.components.formed ? [state.components.formed.id] : [], 'exactly the parts of the key that the record knows');
  } finally {
    await house.stop();
  }
}

/** Plays until the conductor kills itself. Returns what people had been shown by then. */
export async function killedFor(home: string, module: Module, moment: string, script = 'root-ca', parameters: Parameters = PARAMETERS, ca?: Play['ca']): Promise<string[]> {
  const heard: string[] = [];
  const house = await openHouse(home, { conductor: MORTAL, env: { CONCLAVE_TEST_KILL: moment, CONCLAVE_TEST_CONDUCTOR: CONDUCTOR } });
  try {
    house.onEntries(({ from, lines }) => { lines.forEach((line, i) => { heard[from + i] = line; }); });
    await assert.rejects(playRehearsal(house, { script, parameters, module, hasher: nativeHasher, ...ca && { ca } }),
      (error) => error instanceof Refused && error.refusal.rule === 'CONDUCTOR_LOST');
  } finally {
    await house.stop();
  }
  return heard;
}

/** Two at a time: each case is three processes that mostly wait for each other, on a machine of two cores. */
export async function each<T>(t: TestContext, cases: readonly T[], name: (item: T) => string, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...cases];
  const failures: string[] = [];
  await Promise.all([0, 1].map(async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      try {
        await work(next);
      } catch (error) {
        failures.push(`${name(next)}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }));
  t.diagnostic(`${cases.length} boundaries`);
  assert.deepEqual(failures, []);
}

/** How many entries the ledger of a dead house holds. */
export async function entriesIn(home: string): Promise<number> {
  const { default: Database } = await import('better-sqlite3');
  const database = new Database(join(home, 'ledger.sqlite'));
  try {
    return database.prepare('SELECT count(*) FROM entry').pluck().get() as number;
  } finally {
    database.close();
  }
}
