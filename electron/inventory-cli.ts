/**
 * `conclave inventory`: what keys there are, where every copy of each lives, who can use it, and who did; and whether the tokens
 * hold just that.
 *
 * It asks what the Keys room asks, and changes nothing. Exit code 0: nothing was found in earnest. 1: findings, by rule name, or a token
 * that was not read as asked; those of rehearsals only where they are asked for. 2: a wrong call. A PIN is typed on the terminal, or on a rehearsal token by a stand-in.
 */
import { existsSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { deadlines } from '../ceremonies/alerts.ts';
import { utf8 } from '../ceremonies/bytes.ts';
import { holdsSecret, LEVELS, stands } from '../ceremonies/destruction.ts';
import { intervalText, standingOf } from '../ceremonies/drills.ts';
import { inEarnest } from '../ceremonies/findings.ts';
import type { Copy, Inventory, InventoryFinding, InventoryKey } from '../ceremonies/inventory.ts';
import type { Compared } from './contract.ts';
import { newFile, Usage, write } from './keys-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { ask } from './rehearsal.ts';
import { requireTerminal } from './terminal-booth.ts';

/** Keys in one answer. */
const PAGE = 500;

export const INVENTORY_HELP = `  conclave inventory [--reconcile] [--calendar FILE.ics] [--json]
      What keys there are, where each copy lives, who can use it and who did: from the signed records; compared with the tokens.
`;

export const INVENTORY_DETAIL = `conclave inventory [--calendar FILE.ics [--overwrite]] [--include-rehearsals] [--home DIR] [--json]
conclave inventory --reconcile [--all-tokens | --module M --token SERIAL ...] [--login | --stand-in] [--home DIR] [--json]

  Folded from every ceremony and logbook volume of the data folder. Each is verified; what does not verify is a finding.

  --reconcile   compares with what tokens hold now
  --all-tokens  every token that is there (the default)
  --module M --token SERIAL
                this token; both may be given again, in pairs
  --login       logs in, so that private objects are compared too: asks for the PIN of each token on the terminal
  --stand-in    logs in with the published rehearsal PIN; for rehearsal tokens only
  --calendar FILE.ics
                writes when certificates expire, cryptoperiods end and recovery drills are due, with alarms before (iCalendar, RFC 5545)
  --overwrite   in place of a calendar that is there; else nothing is ever overwritten
  --include-rehearsals
                findings of rehearsals count too; else they are listed apart and decide nothing
  --home DIR    the data folder        --json        the whole answer

  Findings of the records: RECORD-NOT-BELIEVED, LOGBOOK-CHAIN, LEFT-BEHIND, BEGUN-UNEXPLAINED, STATE-TRANSITION, STATE-FROM, STATE-USE,
  STATE-REHEARSAL, PERIOD-USE, KEY-KNOWN.
  Findings of today (within 90, 30 or 7 days): CERTIFICATE-EXPIRES, CERTIFICATE-EXPIRED, PERIOD-ENDS, PERIOD-OVER;
  of recovery drills (30 and 7 days before): DRILL-DUE, DRILL-OVERDUE, DRILL-BACKUP, DRILL-CLOCK. That no drill is scheduled is said beside
  the key, and is no finding.
  Findings of the tokens: UNKNOWN-OBJECT, VANISHED-OBJECT, CHANGED-ATTRIBUTE, HALF-PAIR.
  How much is known of a copy's end:
${Object.entries(LEVELS).map(([level, words]) => `    ${level}  ${words}`).join('\n')}

  A finding is of a rehearsal where every key that it is about is one of a rehearsal, or, where it is about none, its record is. Records
  that do not verify, missing volumes and objects that nothing explains are never put down to a rehearsal.

  Exit code 0: nothing was found in earnest. 1: findings, by rule name, each with a next step, or a token that was not read as asked. 2: wrong call.
`;

export async function inventoryCommand(args: readonly string[], { openHouse }: { readonly openHouse: (home: string) => Promise<House<BoothPort>> }): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      'reconcile': { type: 'boolean', default: false }, 'all-tokens': { type: 'boolean', default: false }, 'module': { type: 'string', multiple: true, default: [] }, 'token': { type: 'string', multiple: true, default: [] },
      'login': { type: 'boolean', default: false }, 'stand-in': { type: 'boolean', default: false }, 'home': { type: 'string' }, 'json': { type: 'boolean', default: false },
      'calendar': { type: 'string' }, 'overwrite': { type: 'boolean', default: false }, 'include-rehearsals': { type: 'boolean', default: false },
    },
  });
  const { module: modules, token: serials, reconcile: reconciles, 'all-tokens': all, login, 'stand-in': standIn } = values;
  if (modules.length !== serials.length) throw new Usage('inventory: --module and --token go together, in pairs. conclave tokens lists both.');
  if (all && serials.length > 0) throw new Usage('inventory: --all-tokens, or --module and --token');
  if (!reconciles && (all || serials.length > 0 || login || standIn)) throw new Usage('inventory: tokens and logins are for --reconcile');
  if (login && standIn) throw new Usage('inventory: --login or --stand-in, not both');
  if (values.overwrite && values.calendar === undefined) throw new Usage('inventory: --overwrite is for --calendar');
  const calendar = values.calendar === undefined ? null : values.overwrite ? resolve(values.calendar) : newFile(resolve(values.calendar));
  if (login) requireTerminal();
  const house = await openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
  try {
    const inventory = await readInventory(house);
    const wanted = serials.map((token, i) => ({ module: modules[i] ?? '', token }));
    const reconciliation = reconciles ? await ask(house, { call: 'reconcile', tokens: wanted, login: login ? 'ask' : standIn ? 'stand-in' : 'none' }) : null;
    const now = new Date();
    const findings = [...inventory.findings, ...reconciliation?.findings ?? []];
    const { real, rehearsed } = inEarnest(findings, inventory);
    const counted = values['include-rehearsals'] ? findings.length : real.length;
    if (calendar !== null) await writeCalendar(calendar, inventory, now);
    process.stdout.write(values.json ? `${JSON.stringify({ ...inventory, reconciliation, findings: [...real.map((finding) => ({ ...finding, rehearsal: false })), ...rehearsed.map((finding) => ({ ...finding, rehearsal: true }))] }, null, 2)}\n`
      : [
        ...inventory.keys.flatMap((key) => inWords(key, now)),
        ...reconciliation === null ? [] : inTokens(reconciliation),
        ...real.map((finding) => `✕ ${findingLine(finding, inventory.keys)}`),
        ...rehearsed.length === 0 ? [] : ['Of rehearsals:', ...rehearsed.map((finding) => `  ! REHEARSAL ${findingLine(finding, inventory.keys)}`)],
        ...calendar === null ? [] : [calendar],
        `${inventory.keys.filter(({ believed }) => believed).length} keys from ${inventory.records.believed} records that verify${inventory.records.refused === 0 ? '' : `, and ${inventory.records.refused} that ${inventory.records.refused === 1 ? 'does' : 'do'} not`}`,
        ...inventory.keys.length > 0 && inventory.keys.every(({ rehearsal }) => rehearsal) ? ['! every key here is of a rehearsal: nothing is in earnest'] : [],
        `${counted === 0 ? `✓ nothing was found${rehearsed.length === 0 ? '' : ' in earnest'}${reconciliation === null ? '; the tokens were not asked (--reconcile)' : ''}` : `✕ ${counted} findings`}${rehearsedWords(rehearsed.length, values['include-rehearsals'])}`,
      ].map((line) => `${line}\n`).join(''));
    return counted === 0 && (reconciliation?.failed ?? []).length === 0 ? 0 : 1;
  } finally {
    await house.stop();
  }
}

/** How many findings are of rehearsals, and whether they count. */
export function rehearsedWords(rehearsed: number, included: boolean): string {
  if (rehearsed === 0) return '';
  return included ? `; ${rehearsed} of them of rehearsals` : `; ${rehearsed} of rehearsals, which do not count (--include-rehearsals)`;
}

/** What the records of this machine come to, each verified: page by page, until all pages are of one look. */
export async function readInventory(house: House<BoothPort>): Promise<Inventory> {
  const keys: InventoryKey[] = [];
  for (;;) {
    const page = await ask(house, { call: 'inventory', from: 0, limit: PAGE });
    keys.splice(0, Infinity, ...page.keys);
    let same = true;
    while (same && keys.length < page.total) {
      const next = await ask(house, { call: 'inventory', from: keys.length, limit: PAGE });
      same = next.look === page.look;
      keys.push(...next.keys);
    }
    if (same && page.rest !== null) return { ...page.rest, keys };
  }
}

/** In place of one that is there only at a stroke: never a calendar that is half written. */
async function writeCalendar(path: string, inventory: Inventory, now: Date): Promise<void> {
  const { calendarOf } = await import('./calendar.ts');
  const fresh = existsSync(path) ? newFile(`${path}.new`) : path;
  write(fresh, utf8(calendarOf(deadlines(inventory), now)));
  if (fresh !== path) renameSync(fresh, path);
}

// --- for people --------------------------------------------------------------------------------------------------------

const ORIGIN: Readonly<Record<InventoryKey['origin'], string>> = {
  generated: 'generated here', imported: 'imported from a file', unwrapped: 'unwrapped here', copied: 'a copy', formed: 'formed of components', earlier: 'there before the first record',
};
const MARK = { attested: '✓ attested', verified: '✓ verified', reported: '! reported' } as const;

/** When the next proof of its recovery is due, and who says so. */
export function drillWords(key: Pick<InventoryKey, 'drill' | 'copies'>, now: Date): string {
  const { drill } = key;
  const { standing, due, days = 0 } = standingOf(key, now) ?? {};
  if (standing === undefined) return '· no backup is in force';
  if (drill === null || due === undefined || due === null) return standing === 'never' ? '! no recovery drill is scheduled (`conclave key drill`)' : '✕ a recovery drill is scheduled, and no backup is in force';
  const when = { doubtful: '✕ its last proof is dated later than now: a clock went wrong; next due', ahead: '✓ next recovery drill due', soon: '! next recovery drill due', overdue: '✕ recovery drill was due', never: '', moot: '' }[standing];
  return `${when} ${due.at.slice(0, 10)}, ${days >= 0 ? `in ${days} days` : `${-days} days ago`}: every ${intervalText(drill.every)}, set by ${drill.by} [${drill.ceremony.slice(0, 8)} ${drill.seq}]`;
}

/** In which state it is, and who says so. */
export function stateWords({ state, passages }: Pick<InventoryKey, 'state' | 'passages'>): string {
  const last = passages.at(-1);
  if (state === null || last === undefined) return 'no state';
  const by = last.signed === null ? 'as the records tell' : `set by ${last.signed.by}: ${last.signed.reason}${last.signed.since === null ? '' : ` (since ${last.signed.since})`}`;
  return `${state}, ${by} [${last.ceremony.slice(0, 8)} ${last.seq}]`;
}

function inWords(key: InventoryKey, now: Date): string[] {
  const { standing } = key;
  const column = (name: string, lines: readonly string[]): string[] => lines.map((line, i) => `  ${(i === 0 ? name : '').padEnd(9)} ${line}`);
  return [
    `${key.label}${key.rehearsal ? ' (REHEARSAL)' : ''}${key.believed ? '' : '  ✕ from a record that does not verify'}`,
    ...column('what', [
      key.identity, `${key.algorithm}${standing === null ? '' : ` (${standing.state}${standing.until === undefined ? '' : ` until ${standing.until}`}: ${standing.clause})`}`,
      `${ORIGIN[key.origin]}, ${MARK[key.proof]}; ${stateWords(key)}`,
      ...key.period === null ? [] : [`to be used ${key.period.notBefore === null ? '' : `from ${key.period.notBefore.slice(0, 10)} `}until ${key.period.notAfter.slice(0, 10)}, set by ${key.period.by} [${key.period.ceremony.slice(0, 8)} ${key.period.seq}]`],
      ...key.certificates.map(({ subject, notAfter, sha256, believed }) => `certificate of ${subject} until ${notAfter.slice(0, 10)}, SHA-256 ${sha256}${believed ? '' : '  ✕ from a record that does not verify'}`),
    ]),
    ...column('where', [...key.copies.map(where), key.destruction.words, ...key.unknown.map((words) => `! not known: ${words}`)]),
    ...key.copies.some((copy) => copy.kind === 'share-set') ? column('backup', [key.lastRecovery === null ? '! a recovery was never proven' : `✓ last proven recovery ${key.lastRecovery.at.slice(0, 10)}  [${key.lastRecovery.ceremony.slice(0, 8)} ${key.lastRecovery.seq}]`, drillWords(key, now)]) : [],
    ...column('who can', key.whoCan.length === 0 ? ['nobody, as far as the records know'] : key.whoCan),
    ...column('who did', key.events.map(({ at, by, what, ceremony, seq, believed }) => `${at.slice(0, 19)}Z  ${by}: ${what}  [${ceremony.slice(0, 8)} ${seq}]${believed ? '' : '  ✕ not believed'}`)),
    '',
  ];
}

function where(copy: Copy): string {
  const ended = copy.end === null ? '' : `: ${stands(copy) ? '!' : '✕'} ${copy.end.level} ${copy.end.how} [${copy.end.ceremony.slice(0, 8)} ${copy.end.seq}]`;
  const mark = !stands(copy) ? '·' : holdsSecret(copy) ? '●' : '○';
  switch (copy.kind) {
    case 'object': return `${mark} ${copy.class} "${copy.label}" ${copy.id ?? ''} on ${at(copy)}${ended}`;
    case 'wrapped-part': return `${mark} ${copy.part === 'key' ? 'the key' : `the ${copy.part} half`}, wrapped in its record under ${copy.under.id} on ${at(copy.under)}${ended}`;
    case 'wrapped-file': return `${mark} a file, wrapped by ${copy.method} under ${copy.under}${ended}`;
    case 'escrow': return `${mark} in escrow with ${copy.agent} since ${copy.since.at.slice(0, 10)}, for ${copy.purpose}; envelope ${copy.sha256}${copy.released === null ? '' : `; released ${copy.released.at.slice(0, 10)}`}${ended}`;
    case 'share-set': {
      const left = copy.custodians.filter(({ object }) => stands(object));
      const proof = `${left.every(({ readBack }) => readBack) ? 'every share read back' : `not read back: ${left.filter(({ readBack }) => !readBack).map(({ name }) => name).join(', ')}`}, recovery ${copy.recoveryProven ? 'proven' : 'not proven'}${copy.renewal === null ? '' : copy.renewal === 'superseded' ? '; RENEWED since, and refused' : '; not in force, as its recovery is not proven'}`;
      return `${mark} ${copy.threshold}-of-${copy.shares} shares, epoch ${copy.epoch} (${left.map(({ name, object }) => `${name} on ${object.module}:${object.token}`).join(', ') || 'none left'}), ${proof}${ended}`;
    }
  }
}

/** Where the module is not known, the serial number has to do. */
const at = ({ module, token }: { readonly module: string; readonly token: string }) => (module === '' ? token : `${module}:${token}`);

function inTokens({ tokens, notSeen, failed }: Compared): string[] {
  return [
    ...tokens.map(({ module, token, label, objects, explained, loggedIn: all }) => `${objects === explained ? '✓' : '✕'} ${module}  ${label} (serial ${token}): ${explained} of ${objects} objects explained${all ? '' : ', of public objects'}`),
    ...failed.map(({ module, token, label, code, message, hint }) => `✕ ${module}  ${label} (serial ${token}): ${code}: ${message} ${hint}`),
    ...notSeen.map((words) => `! not seen: ${words}`),
  ];
}

function findingLine({ rule, expected, found, next, source, keys }: InventoryFinding, all: readonly InventoryKey[]): string {
  const about = all.filter(({ identity }) => keys.includes(identity)).map(({ label }) => label);
  return `${rule}${source === null ? '' : ` [${source.ceremony.slice(0, 8)} ${source.seq}]`}${about.length === 0 ? '' : ` (${about.join(', ')})`}: expected ${expected}; found ${found}. ${next}`;
}
