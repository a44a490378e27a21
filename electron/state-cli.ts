/**
 * `conclave key state` and `conclave key period`: in which state of SP 800-57 a key is, by which entry, and into which it may pass; and the
 * statement of an officer that it does. A statement is one volume of the logbook and touches no token.
 *
 * What is not allowed is refused before the log-in, so that nothing is written. Exit code 0: told, or signed. 1: a refusal, by name.
 * 2: a wrong call. A PIN is typed on the terminal, or on a rehearsal token by a stand-in.
 */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { InventoryKey } from '../ceremonies/inventory.ts';
import { KEY_STATES } from '../ceremonies/keys/lifecycle.ts';
import { instantOf, keyNamed, passageOf, passageText, periodOf, signable } from '../ceremonies/statements.ts';
import { inVolume } from './admin-cli.ts';
import type { StatementRequest } from './contract.ts';
import { readInventory, stateWords } from './inventory-cli.ts';
import { Usage } from './keys-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { requireTerminal } from './terminal-booth.ts';

export const STATE_HELP = `  conclave key state KEY [--to STATE --reason TEXT] [--json]
      In which state a key is, since when, by which entry, and into which it may pass; or signs that it passes.
  conclave key period KEY --until DATE --reason TEXT [--json]
      Signs until when a key may be used: DATE is the first moment at which it may not; a day means its beginning, UTC.
`;

export const STATE_DETAIL = `
conclave key state KEY [--home DIR] [--json]
conclave key state KEY --to STATE --reason TEXT [--since TIME] [--officer NAME] [--card M:SERIAL] [--real] [--stand-in] [--json]
conclave key period KEY --until DATE --reason TEXT [--from DATE] [the rest likewise]

  KEY           its label, or the beginning of its fingerprint (six digits or more), as \`conclave inventory\` shows both
  --to STATE    ${KEY_STATES.filter((state) => state !== 'destroyed' && state !== 'pre-activation').join(', ')}; destroyed follows from the copies
  --reason TEXT why: it stands in the signed line
  --since TIME  of a compromise: from when on the key is not to be trusted; a day, or 2026-03-01T12:00:00Z
  --until DATE  the first moment at which it may not be used; a day means its beginning, UTC. It ends the cryptoperiod
                (SP 800-57 Part 1 section 5.3), which is kept here, because tokens do not give dates back reliably
  --from DATE   its beginning, where there is one
  --officer NAME     who signs (default: Security officer)   --card M:SERIAL  the officer's identity card
  --real             not a rehearsal; only so can a key that is in earnest be spoken of
  --stand-in         the rehearsal PIN types itself
  --home DIR         the data folder        --json        the whole answer

  Refused, and nothing written: KEY-KNOWN, KEY-AMBIGUOUS, STATE-TRANSITION, STATE-BY-COPIES, STATE-SINCE, STATE-REHEARSAL, PERIOD-TIMES.
`;

const VERBS = ['state', 'period'] as const;
export const isStateCall = ([verb]: readonly string[]): boolean => VERBS.some((one) => one === verb);

const OPTIONS = {
  'to': { type: 'string' }, 'reason': { type: 'string' }, 'since': { type: 'string' }, 'until': { type: 'string' }, 'from': { type: 'string' }, 'officer': { type: 'string', default: 'Security officer' },
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
    if (request === null) {
      process.stdout.write(values.json ? `${JSON.stringify(told(key), null, 2)}\n` : inWords(key).map((line) => `${line}\n`).join(''));
      return 0;
    }
    // Judged before the log-in, so that a refusal leaves no empty volume; the conductor judges it again.
    const signing = { mode: values.real ? 'real' : 'rehearsal', now: new Date() } as const;
    if (request.change === 'set-state') passageOf(key, request, signing);
    else periodOf(key, request, signing);
    return await inVolume(house, values, async () => ({ ...request, key: key.identity }));
  } finally {
    await house.stop();
  }
}

/** Null: it is only asked. */
function requested(verb: string, key: string, values: Values): StatementRequest | null {
  const { to, reason, since, until, from } = values;
  const moment = (option: string, text: string): string => {
    const instant = instantOf(text);
    if (instant === null) throw new Usage(`--${option} ${text}: a day (2027-03-01), or a time in UTC (2027-03-01T12:00:00Z)`);
    return instant;
  };
  const why = (): string => {
    if (reason === undefined || reason.trim() === '') throw new Usage(`key ${verb}: --reason is needed`);
    return reason;
  };
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

function inWords(key: InventoryKey): string[] {
  const { label, identity, rehearsal, state, passages, period } = key;
  const column = (name: string, lines: readonly string[]): string[] => lines.map((line, i) => `  ${(i === 0 ? name : '').padEnd(7)} ${line}`);
  const entry = ({ ceremony, seq }: { readonly ceremony: string; readonly seq: number }) => `[${ceremony.slice(0, 8)} ${seq}]`;
  return [
    `${label}${rehearsal ? ' (REHEARSAL)' : ''}`,
    ...column('key', [identity]),
    ...column('state', [`${stateWords(key)}${passages.length === 0 ? '' : `, since ${passages.at(-1)?.at ?? ''}`}`]),
    ...column('before', passages.slice(0, -1).reverse().map((one) => `${one.to} since ${one.at} ${entry(one)}`)),
    ...column('period', period === null ? ['none was signed'] : [`${period.notBefore === null ? '' : `from ${period.notBefore} `}until ${period.notAfter}, set by ${period.by} ${entry(period)}: ${period.reason}`]),
    ...column('next', signable(state).length === 0 ? ['nothing that anybody could sign'] : signable(state).map((one) => `${one.to.padEnd(12)} ${passageText(one)}`)),
  ];
}
