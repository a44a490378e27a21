/**
 * The list of movements that people bring to a `custody-movement`, and what becomes of it in the plan: one step for every
 * movement, of the person who gives, and confirmed by the person who receives.
 *
 * It reads the list and names the parties. Where a thing is, the list does not decide: that is folded from records (custody.ts).
 */
import { fromBase64url, fromUtf8, toHex, utf8 } from '../bytes.ts';
import { ThingKind, type Input } from '../evidence.ts';
import { Refused, refuse } from '../refusal.ts';
import type { HandedOver, Movement, Plan, PlanStep, Seat } from '../script.ts';
import { plainText } from '../text.ts';

/** The first line of every list, to the letter. */
export const MOVEMENTS_HEADER = 'kind,identifier,set,x,from,from-site,to,to-site,reason';
const COLUMNS = MOVEMENTS_HEADER.split(',');

/** A token holds keys and a backup ciphertexts: a share never lies on either. */
const HOLD_SHARES: readonly ThingKind[] = ['card', 'bag', 'sheet', 'envelope'];

/** More than this nobody hands over in one sitting without a mistake. */
export const MOST_MOVEMENTS = 100;
const SITE = /^[a-z][a-z0-9-]{0,39}$/;
/** A set's id is 16 bytes in base64url, so its last character has no bits left over. */
const SET = /^[A-Za-z0-9_-]{21}[AQgw]$/;

/** `bag B-0417`: how a thing is named in the record, on the screen and on paper. */
export function thingName({ kind, identifier }: { readonly kind: string; readonly identifier: string }): string {
  return `${kind} ${identifier}`;
}

/**
 * Reads the list: the header, then one movement a line; lines that are empty or begin with # are skipped. A comma always separates: no
 * quotes, no blanks around a field, no other columns. Throws `Refused` MOVEMENTS-HEADER, MOVEMENTS-LINE with the number of the
 * line, MOVEMENTS-DUPLICATE, or MOVEMENTS-SIZE.
 */
export function readMovements(csv: Uint8Array): Movement[] {
  let text: string;
  try {
    text = fromUtf8(csv);
  } catch {
    throw lineFault(1, 'text in UTF-8', 'other bytes');
  }
  const movements: Movement[] = [];
  const seen = new Map<string, number>();
  let header = false;
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const at = i + 1;
    if (!header) {
      if (line !== MOVEMENTS_HEADER) throw new Refused(refuse('MOVEMENTS-HEADER', MOVEMENTS_HEADER, `another first line, line ${at}`, 'Begin the list with this line, to the letter.'));
      header = true;
      continue;
    }
    const movement = readLine(line, at);
    const name = thingName(movement);
    const before = seen.get(name);
    if (before !== undefined) throw new Refused(refuse('MOVEMENTS-DUPLICATE', `line ${at}: a thing that is not in the list yet`, `${name}, as in line ${before}`, 'Let every thing move once in a ceremony.'));
    seen.set(name, at);
    if (movements.push(movement) > MOST_MOVEMENTS) throw new Refused(refuse('MOVEMENTS-SIZE', `at most ${MOST_MOVEMENTS} movements`, 'more', 'Split the list: a ceremony for each part.'));
  }
  if (movements.length === 0) throw new Refused(refuse('MOVEMENTS-SIZE', 'at least one movement under the header', 'none', 'Write down what is to be moved.'));
  return movements;
}

function readLine(line: string, at: number): Movement {
  const fields = line.split(',');
  if (fields.length !== COLUMNS.length) throw lineFault(at, `${COLUMNS.length} fields: ${COLUMNS.join(', ')}`, `${fields.length}`);
  const [kind = '', identifier = '', set = '', x = '', from = '', fromSite = '', to = '', toSite = '', reason = ''] = fields;
  for (const [column, value, most] of [['identifier', identifier, 64], ['from', from, 80], ['to', to, 80], ['reason', reason, 200]] as const) {
    if (value === '' || value !== value.trim()) throw lineFault(at, `${column}: some text, without blanks around it`, value === '' ? 'nothing' : 'blanks');
    const fault = value.includes('"') ? refuse('', `${column}: no quotation marks`, 'one', '') : plainText(column, value, most);
    if (fault) throw lineFault(at, fault.expected, fault.found);
  }
  if (!isKind(kind)) throw lineFault(at, `kind: one of ${ThingKind.options.join(', ')}`, 'another text');
  for (const [column, value] of [['from-site', fromSite], ['to-site', toSite]] as const) if (!SITE.test(value)) throw lineFault(at, `${column}: a site's short lower-case name, such as head-office`, 'another text');
  if ((set === '') !== (x === '')) throw lineFault(at, 'set and x both, or neither', set === '' ? 'an x without its set' : 'a set without its x');
  if (set !== '' && !HOLD_SHARES.includes(kind)) throw lineFault(at, `a share only in a ${HOLD_SHARES.join(', ')}`, `in a ${kind}`);
  if (set !== '' && !SET.test(set)) throw lineFault(at, 'set: the id of a share set, 22 characters of base64url', 'another text');
  if (x !== '' && (!/^[1-9][0-9]{0,2}$/.test(x) || Number(x) > 255)) throw lineFault(at, 'x: a number from 1 to 255', 'another text');
  if (from === to && fromSite === toSite) throw lineFault(at, 'to another person or another site', 'to where it is');
  return { kind, identifier, share: set === '' ? null : { set, x: Number(x) }, from, fromSite, to, toSite, reason };
}

function lineFault(line: number, expected: string, found: string): Refused {
  return new Refused(refuse('MOVEMENTS-LINE', `line ${line}: ${expected}`, found, 'Correct the list.'));
}

function isKind(text: string): text is ThingKind {
  return ThingKind.safeParse(text).success;
}

/** The list as a file; what `readMovements` reads. */
export function writeMovements(movements: readonly Movement[], remark: string): Uint8Array {
  const lines = movements.map(({ kind, identifier, share, from, fromSite, to, toSite, reason }) => [kind, identifier, share?.set ?? '', share?.x ?? '', from, fromSite, to, toSite, reason].join(','));
  return utf8([`# ${remark}`, MOVEMENTS_HEADER, ...lines, ''].join('\n'));
}

// --- the plan ----------------------------------------------------------------------------------------------------------

type People = readonly { readonly seat: string; readonly name: string }[];

/**
 * The plan with one step for every movement of the list that a `hand-over` names: the giver's, with the receiver in it. Throws
 * `Refused` MOVEMENT-PARTY where a giver or receiver is no custodian of this ceremony, or a custodian neither gives nor receives.
 */
export function layOutMovements(plan: Plan, inputs: Readonly<Record<string, Input>>, people: People): Plan {
  if (!plan.steps.some(({ do: { action } }) => action === 'hand-over')) return plan;
  const custodians = plan.seats.filter(({ role }) => role === 'custodian');
  const steps: PlanStep[] = [];
  const acts = plan.acts.map((act) => {
    const first = steps.length;
    for (const step of plan.steps.slice(act.first, act.last + 1)) steps.push(...step.do.action === 'hand-over' ? handOvers(step, inputs[step.do.list], custodians, people) : [step]);
    return { ...act, first, last: steps.length - 1 };
  });
  return { ...plan, acts, steps };
}

function handOvers(step: PlanStep, input: Input | undefined, custodians: readonly Seat[], people: People): PlanStep[] {
  const seatOf = (party: string): string => {
    const seat = custodians.find(({ id }) => id === party || people.some((person) => person.seat === id && person.name === party))?.id;
    if (seat === undefined) throw new Refused(refuse('MOVEMENT-PARTY', 'a custodian of this ceremony for every giver and receiver', party, 'Seat this person as a custodian, spelt as in the list, or correct the list.'));
    return seat;
  };
  const movements = input === undefined ? [] : readMovements(fromBase64url(input.bytes)).map((movement, i): HandedOver => ({ ...movement, number: i + 1, giver: seatOf(movement.from), receiver: seatOf(movement.to) }));
  // A seat and its person's name are one party, however the list spells it.
  const still = movements.find(({ giver, receiver, fromSite, toSite }) => giver === receiver && fromSite === toSite);
  if (still) throw new Refused(refuse('MOVEMENT-PARTY', 'another person or another site for every thing', `${thingName(still)}, from ${still.from} to ${still.to}, the same person`, 'Correct the list.'));
  const idle = custodians.find(({ id }) => !movements.some(({ giver, receiver }) => giver === id || receiver === id));
  if (idle !== undefined) throw new Refused(refuse('MOVEMENT-PARTY', 'custodians who give or receive something', `${people.find(({ seat }) => seat === idle.id)?.name ?? idle.id}, who is not in the list`, 'Open the ceremony with as many custodians as the list has people.'));
  return movements.map((movement): PlanStep => ({ ...step, id: `${step.id}/${movement.number}`, who: movement.giver, title: `${step.title}: ${thingName(movement)}`, movement }));
}

/** A list for a rehearsal: made-up things that go from each custodian to the next. Says nothing of a share. */
export function rehearsalMovements(plan: Plan, random: (bytes: number) => Uint8Array): Uint8Array {
  const custodians = plan.seats.filter(({ role }) => role === 'custodian').map(({ id }) => id);
  const kinds = ['bag', 'sheet', 'envelope', 'backup'] as const;
  return writeMovements(custodians.map((seat, i): Movement => ({
    kind: kinds[i % kinds.length] ?? 'bag', identifier: `REHEARSAL-${toHex(random(4))}`, share: null, from: seat, fromSite: 'head-office', to: custodians[(i + 1) % custodians.length] ?? seat, toSite: i % 2 === 0 ? 'north-branch' : 'south-branch',
    reason: 'Rehearsal: nothing of worth changes hands',
  })), 'REHEARSAL');
}
