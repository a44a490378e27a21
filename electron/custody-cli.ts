/**
 * `conclave custody`: what is in whose custody and where, whether the books balance, and whether shares lie where they may.
 *
 * It reads the records of this machine, verifies each, and changes nothing. Exit code 0: nothing was found in earnest. 1: findings, by rule
 * name; those of rehearsals only where they are asked for. 2: a wrong call.
 */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isIn } from '../ceremonies/findings.ts';
import type { Refusal } from '../ceremonies/refusal.ts';
import { whereText, type Balance, type CustodyMovement, type Thing } from '../ceremonies/shares/custody.ts';
import { PLACEMENT_RULES, type SetRule } from '../ceremonies/shares/placement.ts';
import type { CustodyReport } from './contract.ts';
import { rehearsedWords } from './inventory-cli.ts';
import { dataFolder, type BoothPort, type House } from './processes.ts';
import { ask } from './rehearsal.ts';

export const CUSTODY_HELP = `  conclave custody [--json]
      Who has which card, bag, sheet and backup, and where; every movement; whether the books balance and shares lie well.
`;

export const CUSTODY_DETAIL = `conclave custody [--include-rehearsals] [--home DIR] [--json]

  Folded from every ceremony and logbook volume of the data folder. Each is verified; what does not verify is a finding.
  Things change hands in the ceremony custody-movement (conclave rehearse custody-movement).

  --include-rehearsals   findings about things of rehearsals count too; else they are listed apart and decide nothing
  --home DIR    the data folder        --json        the whole answer

  Findings of the records: RECORD-NOT-BELIEVED, LOGBOOK-CHAIN, CUSTODY-FROM-ELSEWHERE, CUSTODY-CHANGED-HANDS,
  CUSTODY-NOT-HANDED-OVER, CUSTODY-UNSIGNED, CUSTODY-LEFT-OUT, CUSTODY-OTHER-SHARE,
  CUSTODY-SHARE-OF-ENDED-SET.
  Findings of the placement: ${PLACEMENT_RULES.slice(0, 3).join(', ')},
  ${PLACEMENT_RULES.slice(3).join(', ')}.

  sites.yaml in the data folder names the sites, and the region of each; owned by you or root, writable by nobody else:

    conclave-sites: 1
    sites:
      - { name: head-office, title: Head office, region: north }
      - { name: south-branch, region: south }

  Exit code 0: nothing was found in earnest. 1: findings, by rule name, each with a next step. 2: wrong call.
`;

export async function custodyCommand(args: readonly string[], openHouse: (home: string) => Promise<House<BoothPort>>): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { 'home': { type: 'string' }, 'json': { type: 'boolean', default: false }, 'include-rehearsals': { type: 'boolean', default: false } } });
  const house = await openHouse(resolve(values.home ?? dataFolder(process.env, homedir())));
  try {
    const report = await ask(house, { call: 'custody' });
    const isReal = isIn(report, false);
    const about = [...report.findings, ...report.placement];
    const real: readonly Refusal[] = [...report.sitesFault ? [report.sitesFault] : [], ...about.filter(isReal)];
    const rehearsed = about.filter((finding) => !isReal(finding));
    const included = values['include-rehearsals'];
    const findings = [...real.map((finding) => ({ ...finding, rehearsal: false })), ...rehearsed.map((finding) => ({ ...finding, rehearsal: true }))];
    process.stdout.write(values.json ? `${JSON.stringify({ ...report, findings }, null, 2)}\n` : inWords(report, real, rehearsed, included).map((line) => `${line}\n`).join(''));
    return (included ? findings : real).length === 0 ? 0 : 1;
  } finally {
    await house.stop();
  }
}

// --- for people --------------------------------------------------------------------------------------------------------

function inWords({ sets, things, movements, balance, sites, records }: CustodyReport, real: readonly Refusal[], rehearsed: readonly Refusal[], included: boolean): string[] {
  const counted = real.length + (included ? rehearsed.length : 0);
  return [
    ...heading('Sets of shares', sets.map(setLine)),
    ...heading('Sites', sites.map(({ name, title, region }) => `  ${name}  ${title}, region ${region}`)),
    ...heading('Things', things.map(thingLine)),
    ...heading('Movements', movements.map(movementLine)),
    ...heading('Balance', balance.map(balanceLine)),
    ...real.map((finding) => `✕ ${findingWords(finding)}`),
    ...heading('Of rehearsals', rehearsed.map((finding) => `  ! REHEARSAL ${findingWords(finding)}`)),
    `${things.length} things from ${records.believed === 1 ? '1 record that verifies' : `${records.believed} records that verify`}${records.refused === 0 ? '' : `, and ${records.refused} that ${records.refused === 1 ? 'does' : 'do'} not`}`,
    ...things.length > 0 && things.every(({ rehearsal }) => rehearsal) ? ['! everything here is of a rehearsal: nothing is in earnest'] : [],
    `${counted === 0 ? `✓ nothing was found${rehearsed.length === 0 ? '' : ' in earnest'}` : `✕ ${counted} findings`}${rehearsedWords(rehearsed.length, included)}`,
  ];
}

const findingWords = ({ rule, expected, found, next }: Refusal): string => `${rule}: expected ${expected}; found ${found}. ${next}`;

const heading = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : [title, ...lines, '']);
const source = ({ ceremony, seq }: { readonly ceremony: string; readonly seq: number }): string => `[${ceremony.slice(0, 8)} ${seq}]`;

function setLine({ id, threshold, shares, key, rehearsal }: SetRule): string {
  return `  ${id}  ${threshold}-of-${shares}, ${key}${rehearsal ? ' (REHEARSAL)' : ''}`;
}

function thingLine(thing: Thing): string {
  const { key, what, shares, place, inside, since, unaccounted, kind } = thing;
  const holds = shares.map(({ set, x }) => `, share ${x} of set ${set}`).join('');
  const put = inside === null ? place === null ? '' : `, ${place === 'record' ? 'in the record' : place === 'holder' ? 'in hand' : `in the ${place}`}` : `, in ${inside}`;
  return `  ${unaccounted === null ? '●' : '✕'} ${key}${what === kind ? '' : `: ${what}`}${holds}; ${kind === 'backup' && place === 'record' ? 'on this machine' : whereText(thing)}${put}${unaccounted === null ? '' : `, NOT ACCOUNTED FOR ${source(unaccounted)}`} ${source(since)}`;
}

function movementLine({ at, number, thing, from, to, reason, state, happened, ceremony, seq, witnesses }: CustodyMovement): string {
  const word = { 'signed': '✓ signed by both', 'unsigned': '! not signed', 'not-handed-over': '✕ not handed over' }[state];
  return `  ${at.slice(0, 19)}Z  ${number}. ${thing}: ${from.person} at ${from.site} → ${to.person} at ${to.site}: ${reason}; ${happened ?? (witnesses.length > 0 ? `seen by ${witnesses.join(', ')}` : 'seen by nobody')}  ${word} ${source({ ceremony, seq })}`;
}

function balanceLine({ kind, name, rehearsal, first, in: came, out, here, unaccounted }: Balance): string {
  const word = unaccounted === 0 ? '✓ balances' : unaccounted > 0 ? `✕ ${unaccounted} unaccounted for` : `✕ ${-unaccounted} more than came`;
  return `  ${kind.padEnd(6)} ${name}${rehearsal ? ' (REHEARSAL)' : ''}: ${first} at first, ${came} in, ${out} out, ${here} here  ${word}`;
}
