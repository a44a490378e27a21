/**
 * `conclave destroy`: the list of a key's copies, from which a destruction is carried out, and how far destructions have come.
 *
 * It reads the records of this machine and destroys nothing: that is the ceremony `key-destruction`. Exit code 0: done, or
 * nothing is left to do. 1: a refusal by rule, or a real destruction with something left to do. 2: a wrong call.
 */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { utf8 } from '../ceremonies/bytes.ts';
import { planDestruction } from '../ceremonies/destroy-plan.ts';
import { waitsUntil } from '../ceremonies/approvals.ts';
import { actedOn, claimsOn, LEVELS, listOf, readCopyList } from '../ceremonies/destruction.ts';
import { foldRecord } from '../ceremonies/minutes.ts';
import { keyNamed } from '../ceremonies/statements.ts';
import type { Hasher } from '../ceremonies/transcript.ts';
import { readInventory } from './inventory-cli.ts';
import { newFile, Usage, write } from './keys-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { ask } from './rehearsal.ts';

export const DESTROY_HELP = `  conclave destroy plan KEY --out FILE [--paper WHAT=HOW]... [--pending DATE=WHAT]... [--despite REASON]
      The list of every copy of a key that the records know: what the ceremony key-destruction is carried out by.
  conclave destroy status [--json]
      Destructions of this machine: approvals, waiting period, copy by copy with what may be claimed, and what is left to do.
`;

export const DESTROY_DETAIL = `conclave destroy plan KEY --out FILE [--paper WHAT=HOW]... [--pending DATE=WHAT]... [--despite REASON] [--home DIR]
conclave destroy status [--home DIR] [--json]

  KEY           its label, or the beginning of its fingerprint, as \`conclave inventory\` names it
  --out FILE    where the list goes; a file that exists is never touched. Bring it to the ceremony: it asks for it as \`copies\`
  --paper       a copy that no record knows, destroyed by people before everybody, e.g. --paper "sheet 3, bag 4711=shred it"
  --pending     a copy that ends by itself on a day, e.g. --pending "2027-03-01=the archive's backup"
  --despite     why the key is destroyed although other keys are wrapped under it. It stands in the list, and approvers sign it
  status        reads; changes nothing

  How much may be claimed of a copy's end:
${Object.entries(LEVELS).map(([level, words]) => `    ${level}  ${words}`).join('\n')}

  Exit code 0: done. 1: a refusal by rule, or a real destruction, not aborted, with something left to do. 2: wrong call.
`;

export async function destroyCommand(args: readonly string[], { hasher, openHouse }: { readonly hasher: Hasher; readonly openHouse: (home: string) => Promise<House<BoothPort>> }): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args], allowPositionals: true,
    options: {
      out: { type: 'string' }, paper: { type: 'string', multiple: true, default: [] }, pending: { type: 'string', multiple: true, default: [] }, despite: { type: 'string', default: '' },
      home: { type: 'string' }, json: { type: 'boolean', default: false },
    },
  });
  const [verb, name, ...rest] = positionals;
  if (rest.length > 0 || (verb !== 'plan' && verb !== 'status')) throw new Usage('destroy: plan KEY, or status');
  if (verb === 'plan' && (name === undefined || values.out === undefined)) throw new Usage('destroy plan: which key, and where does the list go (--out FILE)?');
  const people = values.paper.map((given) => pair(given, '--paper')).map(([what, how]) => ({ what, how }));
  const retention = values.pending.map((given) => pair(given, '--pending')).map(([until, what]) => ({ what, until, who: 'whoever keeps it erases it by then' }));
  const house = await openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
  try {
    if (verb === 'status') return await status(house, hasher, values.json);
    const inventory = await readInventory(house);
    const list = planDestruction(inventory, keyNamed(inventory.keys, name ?? ''), { people, retention, despite: values.despite });
    const bytes = utf8(`${JSON.stringify(list, null, 2)}\n`);
    readCopyList(bytes); // as the ceremony will read it: what it refuses is refused here
    write(newFile(values.out ?? ''), bytes);
    process.stdout.write([
      `${list.key.label}: ${list.copies.length} entries`, ...list.copies.map(({ what }, index) => `  ${index + 1}. ${what}`),
      ...list.unknown.map((words) => `  ! not known: ${words}`), ...list.dependants.map((words) => `  ! depends on it: ${words}`), values.out ?? '',
    ].map((line) => `${line}\n`).join(''));
    return 0;
  } finally {
    await house.stop();
  }
}

function pair(given: string, option: string): [string, string] {
  const cut = given.indexOf('=');
  if (cut <= 0 || cut === given.length - 1) throw new Usage(`destroy plan: ${option} wants two things with = between them`);
  return [given.slice(0, cut), given.slice(cut + 1)];
}

async function status(house: House<BoothPort>, hasher: Hasher, json: boolean): Promise<number> {
  const all = [];
  for (const { ceremony, mode, state: phase } of await ask(house, { call: 'ceremonies' })) {
    const { state } = foldRecord((await ask(house, { call: 'entries', ceremony, from: 0 })).lines, hasher);
    const { destruction, plan, consent } = state;
    if (destruction.list === null) continue;
    const wait = plan?.steps.find((step) => step.do.action === 'wait')?.do;
    const { claims, level, verdict } = claimsOn(destruction);
    const open = actedOn(listOf(destruction)).filter(({ number }) => destruction.outcomes[number] === undefined).map(({ number }) => number);
    all.push({
      ceremony, mode, phase, key: destruction.list.key, approvals: consent.approvals, waitsUntil: wait?.action === 'wait' ? waitsUntil(state, wait.hours) : null, waited: consent.waited,
      open, claims, level, verdict: destruction.confirmed ? verdict : `${verdict}, not yet looked for again`,
      tasks: listOf(destruction).copies.flatMap(({ what, by }, index) => {
        const { result } = destruction.outcomes[index + 1] ?? {};
        if (result === 'pending' && by.means === 'retention') return [`copy ${index + 1}, ${what}: see after ${by.until} that it is gone`];
        return result === 'left' || result === 'absent' || result === 'not-destroyed' ? [`copy ${index + 1}, ${what}: ${destruction.outcomes[index + 1]?.words ?? ''}`] : [];
      }),
    });
  }
  if (json) process.stdout.write(`${JSON.stringify({ destructions: all }, null, 2)}\n`);
  else {
    for (const one of all) {
      process.stdout.write([
        `${one.level === null ? '✕' : '!'} ${one.key.label}${one.mode === 'rehearsal' ? ' (REHEARSAL)' : ''}: ${one.verdict}  [${one.ceremony.slice(0, 8)}, ${one.phase}]`,
        `  approved by ${one.approvals.length === 0 ? 'nobody yet' : one.approvals.map(({ seat, expires }) => `${seat} (until ${expires.slice(0, 16)}Z)`).join(', ')}; ${one.waited ? 'the waiting period is over' : one.waitsUntil === null ? 'the waiting period has not begun' : `nothing before ${one.waitsUntil}`}`,
        ...one.claims.map(({ number, what, level, words }) => `  ${level === null ? '✕' : '·'} ${number}. ${what}: ${level ?? 'no level'}, ${words}`),
        ...one.tasks.map((task) => `  ! to do: ${task}`),
      ].map((line) => `${line}\n`).join(''));
    }
    process.stdout.write(`${all.length} ${all.length === 1 ? 'destruction' : 'destructions'} on this machine\n`);
  }
  // An aborted one destroyed nothing more, and a rehearsal nothing at all.
  return all.filter(({ mode, phase }) => mode === 'real' && phase !== 'aborted').every(({ level, phase, tasks }) => level !== null && phase === 'closed' && tasks.length === 0) ? 0 : 1;
}
