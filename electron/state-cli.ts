/**
 * `conclave key state`, `conclave key period` and `conclave key drill`: in which state of SP 800-57 a key is, by which entry, and into which it may pass; and the
 * statement of an officer that it does, until when it may be used, and how often its recovery is to be proven. A statement is one volume of the logbook and touches no token.
 *
 * What is not allowed is refused before the log-in, so that nothing is written. Exit code 0: told, or signed. 1: a refusal, by name.
 * 2: a wrong call. A PIN is typed on the terminal, or on a rehearsal token by a stand-in.
 */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { after, intervalOf, intervalText, standingOf } from '../ceremonies/drills.ts';
import type { InventoryKey } from '../ceremonies/inventory.ts';
import { KEY_STATES } from '../ceremonies/keys/lifecycle.ts';
import { drillOf, instantOf, keyNamed, passageOf, passageText, periodOf, signable } from '../ceremonies/statements.ts';
import { inVolume } from './admin-cli.ts';
import type { StatementRequest } from './contract.ts';
import { drillWords, readInventory, stateWords } from './inventory-cli.ts';
import { Usage } from './keys-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { requireTerminal } from './terminal-booth.ts';

export const STATE_HELP = `  conclave key state KEY [--to STATE --reason TEXT] [--json]
      In which state a key is, since when, by which entry, and into which it may pass; or signs that it passes.
  conclave key period KEY --until DATE --reason TEXT [--json]
      Signs until when a key may be used: DATE is the first moment at which it may not; a day means its beginning, UTC.
  conclave key drill KEY [--every 6m --first-by DATE --reason TEXT] [--json]
      How often a recovery of a key is to be proven, when one was proven last, and when the next is due; or signs how often.
`;

export const STATE_DETAIL = `
conclave key state KEY [--home DIR] [--json]
conclave key state KEY --to STATE --reason TEXT [--since TIME] [--officer NAME] [--card M:SERIAL] [--real] [--stand-in] [--json]
conclave key period KEY --until DATE --reason TEXT [--from DATE] [the rest likewise]
conclave key drill KEY [--every INTERVAL --first-by DATE --reason TEXT] [the rest likewise]

  KEY           its label, or the beginning of its fingerprint (six digits or more), as \`conclave inventory\` shows both
  --to STATE    ${KEY_STATES.filter((state) => state !== 'destroyed' && state !== 'pre-activation').join(', ')}; destroyed follows from the copies
  --reason TEXT why: it stands in the signed line
  --since TIME  of a compromise: from when on the key is not to be trusted; a day, or 2026-03-01T12:00:00Z
  --until DATE  the first moment at which it may not be used; a day means its beginning, UTC. It ends the cryptoperiod
                (SP 800-57 Part 1 section 5.3), which is kept here, because tokens do not give dates back reliably
  --from DATE   its beginning, where there is one
  --every INTERVAL
                a recovery is to be proven at least so often: 6m, 90d, 1y; at most ten years. The date is counted from the last proven
                recovery of the backup in force (ceremonies recovery-rehearsal, recovery, custodian-change and others that prove one)
  --first-by DATE
                as long as no recovery of that backup is proven: by when the first is
  --officer NAME     who signs (default: Security officer)   --card M:SERIAL  the officer's identity card
  --real             not a rehearsal; only so can a key that is in earnest be spoken of
  --stand-in         the rehearsal PIN types itself
  --home DIR         the data folder        --json        the whole answer

  Refused, and nothing written: KEY-KNOWN, KEY-AMBIGUOUS, STATE-TRANSITION, STATE-BY-COPIES, STATE-SINCE, STATE-REHEARSAL, PERIOD-TIMES,
  DRILL-BACKUP, DRILL-INTERVAL, DRILL-FIRST-BY.
`;

const VERBS = ['state', 'period', 'drill'] as const;
export const isStateCall = ([verb]: readonly string[]): boolean => VERBS.some((one) => one === verb);

const OPTIONS = {
  'to': { type: 'string' }, 'reason': { type: 'string' }, 'since': { type: 'string' }, 'until': { type: 'string' }, 'from': { type: 'string' }, 'every': { type: 'string' }, 'first-by': { type: 'string' }, 'officer': { type: 'string', default: 'Security officer' },
  'card': { type: 'string' }, 'real': { type: 'boolean', default: false }, 'stand-in': { type: 'boolean', default: false }, 'home': { type: 'string' }, 'json': { type: 'boolean', default: false },
} as const;
type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; args: string[] }>>['values'];

interface World {
  readonly openHouse: (home: string) => Promise<House<BoothPort>>;
}

export async function stateCommand([verb = '', ...args]: readonly string[], { openHouse }: World): Promise<number> {
  const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true });
  const [name] = positionals;
  if (name === undefined || positionals.length !== 1) throw new Usage(`key ${verb}: which key? Its label, or the beginning of its fingerprint.`);
  const request = requested(verb, name, values);
  if (request !== null && !values['stand-in']) requireTerminal();
  const house = await openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
  try {
    const inventory = await readInventory(house);
    const key = keyNamed(inventory.keys, name);
    const now = new Date();
    if (request === null) {
      process.stdout.write(values.json ? `${JSON.stringify(verb === 'drill' ? drillTold(key, now) : told(key), null, 2)}\n` : (verb === 'drill' ? drillInWords(key, now) : inWords(key)).map((line) => `${line}\n`).join(''));
      return 0;
    }
    // Judged before the log-in, so that a refusal leaves no empty volume; the conductor judges it again.
    const signing = { mode: values.real ? 'real' : 'rehearsal', now } as const;
    switch (request.change) {
      case 'set-state': passageOf(key, request, signing); break;
      case 'set-period': periodOf(key, request, signing); break;
      case 'set-drill': drillOf(key, request, signing); break;
    }
    return await inVolume(house, values, async () => ({ ...request, key: key.identity }));
  } finally {
    await house.stop();
  }
}

/** Null: it is only asked. */
function requested(verb: string, key: string, values: Values): StatementRequest | null {
  const { to, reason, since, until, from, every, 'first-by': firstBy } = values;
  const moment = (option: string, text: string): string => {
    const instant = instantOf(text);
    if (instant === null) throw new Usage(`--${option} ${text}: a day (2027-03-01), or a time in UTC (2027-03-01T12:00:00Z)`);
    return instant;
  };
  const why = (): string => {
    if (reason === undefined || reason.trim() === '') throw new Usage(`key ${verb}: --reason is needed`);
    return reason;
  };
  if (verb === 'drill') {
    if ([to, since, until, from].some((one) => one !== undefined)) throw new Usage('key drill: it takes --every, --first-by and --reason');
    if (every === undefined) {
      if (firstBy !== undefined || reason !== undefined) throw new Usage('key drill: --first-by and --reason are for --every');
      return null;
    }
    const interval = intervalOf(every);
    if (interval === null) throw new Usage(`--every ${every}: so many days, months or years (90d, 6m, 1y)`);
    if (firstBy === undefined) throw new Usage('key drill: --first-by is needed');
    return { change: 'set-drill', key, reason: why(), every: interval, firstBy: moment('first-by', firstBy) };
  }
  if (every !== undefined || firstBy !== undefined) throw new Usage(`key ${verb}: --every and --first-by are for key drill`);
  if (verb === 'period') {
    if (to !== undefined || since !== undefined) throw new Usage('key period: it takes no --to and no --since');
    if (until === undefined) throw new Usage('key period: --until is needed');
    return { change: 'set-period', key, reason: why(), notBefore: from === undefined ? null : moment('from', from), notAfter: moment('until', until) };
  }
  if (until !== undefined || from !== undefined) throw new Usage('key state: it takes no --until and no --from');
  if (to === undefined) {
    if (reason !== undefined || since !== undefined) throw new Usage('key state: --reason and --since are for --to');
    return null;
  }
  const state = KEY_STATES.find((one) => one === to);
  if (state === undefined) throw new Usage(`--to ${to}: one of ${KEY_STATES.join(', ')}`);
  return { change: 'set-state', key, reason: why(), to: state, since: since === undefined ? null : moment('since', since) };
}

function told({ identity, label, rehearsal, state, passages, period }: InventoryKey) {
  return { key: identity, label, rehearsal, state, passages, period, next: signable(state).map(({ to, rule, when, clause }) => ({ to, rule, when, clause })) };
}

function drillTold(key: InventoryKey, now: Date) {
  const { identity, label, rehearsal, lastRecovery, drill } = key;
  const { standing = null, due = null, days = null } = standingOf(key, now) ?? {};
  return { key: identity, label, rehearsal, lastRecovery, drill, standing, due: due?.at ?? null, days: due === null ? null : days, countedFrom: due?.last ?? null, after: due === null || drill === null ? null : after(due.at, drill.every) };
}

const column = (name: string, lines: readonly string[]): string[] => lines.map((line, i) => `  ${(i === 0 ? name : '').padEnd(7)} ${line}`);
const entry = ({ ceremony, seq }: { readonly ceremony: string; readonly seq: number }) => `[${ceremony.slice(0, 8)} ${seq}]`;

function drillInWords(key: InventoryKey, now: Date): string[] {
  const { label, identity, rehearsal, lastRecovery, drill } = key;
  return [
    `${label}${rehearsal ? ' (REHEARSAL)' : ''}`,
    ...column('key', [identity]),
    ...column('proven', [lastRecovery === null ? '! never, as far as the records know' : `✓ ${lastRecovery.at} ${entry(lastRecovery)}`]),
    ...column('drill', [drillWords(key, now), ...drill === null ? [] : [`first by ${drill.firstBy}, every ${intervalText(drill.every)}: ${drill.reason}`]]),
  ];
}

function inWords(key: InventoryKey): string[] {
  const { label, identity, rehearsal, state, passages, period } = key;
  return [
    `${label}${rehearsal ? ' (REHEARSAL)' : ''}`,
    ...column('key', [identity]),
    ...column('state', [`${stateWords(key)}${passages.length === 0 ? '' : `, since ${passages.at(-1)?.at ?? ''}`}`]),
    ...column('before', passages.slice(0, -1).reverse().map((one) => `${one.to} since ${one.at} ${entry(one)}`)),
    ...column('period', period === null ? ['none was signed'] : [`${period.notBefore === null ? '' : `from ${period.notBefore} `}until ${period.notAfter}, set by ${period.by} ${entry(period)}: ${period.reason}`]),
    ...column('next', signable(state).length === 0 ? ['nothing that anybody could sign'] : signable(state).map((one) => `${one.to.padEnd(12)} ${passageText(one)}`)),
  ];
}
