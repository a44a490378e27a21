/**
 * A backup for a key that is already there: whether it can have one, and what locking it may change.
 *
 * A key that was made for a backup has the attributes of its script; one that was there before has those that somebody once gave it.
 * So it is asked when it is opened, before a backup key is made and a card is written, what keeps it on its token: by its attributes,
 * which are the token's word, and by having the token wrap it once for nothing. `ceremony.ts` asks here, one line for each case.
 */
import { fromBase64url } from './bytes.ts';
import type { Evidence, Input, KeyAttributes } from './evidence.ts';
import { readKeyRecord, type HeldPart } from './key-record.ts';
import { caAlgorithmNamed, isStateful } from './keys/algorithms.ts';
import { refuse, type Refusal } from './refusal.ts';
import type { Plan } from './script.ts';

type Inputs = Readonly<Record<string, Input>>;

const OTHERWISE = 'Nothing was made. If the key has a backup, keep to that one: the ceremony custodian-change gives it other custodians. If it has none, make a new key in a ceremony that backs it up, and let it take this one\'s place.';

/** Does this ceremony back up a key that was there before? */
export function backsUpOpened({ steps }: Pick<Plan, 'steps'>): boolean {
  const has = (action: string) => steps.some(({ do: what }) => what.action === action);
  return has('open-key') && has('wrap-key');
}

/** At the opening, before anything is touched: what has no backup by its nature. */
export function neverCopiedFault(plan: Pick<Plan, 'steps'>, inputs: Inputs): Refusal | null {
  if (!backsUpOpened(plan)) return null;
  const opens = plan.steps.flatMap(({ do: what }) => (what.action === 'open-key' && inputs[what.from] ? [inputs[what.from]!] : []));
  const stateful = opens.map(({ bytes }) => caAlgorithmNamed(readKeyRecord(fromBase64url(bytes)).key.algorithm)).find(isStateful);
  return stateful === undefined ? null
    : refuse('STATEFUL-NEVER-COPIED', 'a key that may have a backup (SP 800-208 section 8.1)', `a ${stateful.label} key`, 'A copy would sign twice with one state. Plan several keys instead of copies of one. Nothing was touched.');
}

/** When the key is found: what keeps it on its token, or would keep it from being locked there. Parts that are held wrapped can always be wrapped anew. */
export function backupPossibleFault(plan: Pick<Plan, 'steps'> | null, { parts, leaving = [] }: Evidence<'open-key'>): Refusal | null {
  if (plan === null || !backsUpOpened(plan)) return null;
  const onToken = parts.filter(({ held }) => held === 'token');
  const fault = (found: string) => refuse('BACKUP-POSSIBLE', 'a key that its token gives out wrapped, and that can be locked there afterwards', found, OTHERWISE);
  if (leaving.length !== onToken.length) return fault(`${onToken.length} parts on the token, of which ${leaving.length} were tried`);
  for (const [index, { part, private: half }] of onToken.entries()) {
    const name = part === 'key' ? '' : `of the ${part} half `;
    const { trustedOnly = null, refused = null } = leaving[index] ?? {};
    if (half?.extractable === false) return fault(`CKA_EXTRACTABLE ${name}is false: it never leaves the token`);
    if (trustedOnly === true) return fault(`CKA_WRAP_WITH_TRUSTED ${name}is true: it leaves the token only under a key that the security officer marked as trusted, and a backup key is none`);
    if (half?.modifiable === false) return fault(`CKA_MODIFIABLE ${name}is false: it could leave the token for ever, because CKA_EXTRACTABLE can no longer be switched off`);
    if (refused !== null) return fault(`the token did not wrap it ${name}when that was tried: ${refused}`);
  }
  return null;
}

/** What was tried before the backup, for people; nothing where the key was opened for something else. */
export function leavingTexts(e: Evidence<'open-key' | 'prove-key'>): string[] {
  const { leaving } = e as Evidence<'open-key'>;
  if (leaving === undefined) return [];
  return [leaving.length === 0 ? 'it can have a backup: every part of it is wrapped already, and is wrapped anew' : 'it can have a backup: its token wrapped it once, under a key that was thrown away'];
}

/** Locking switches one attribute off and changes no other. Gives what differs from the key as it was opened. */
export function lockingDeviations(before: readonly Pick<HeldPart, 'private'>[], after: readonly KeyAttributes[]): string[] {
  return before.flatMap(({ private: half }) => {
    if (half === null) return [];
    const locked = after.find(({ id }) => id === half.id);
    const wanted: KeyAttributes = { ...half, extractable: false };
    return locked === undefined ? [`the part with CKA_ID ${half.id} was not read back`]
      : (Object.keys(wanted) as (keyof KeyAttributes)[]).flatMap((name) => (locked[name] === wanted[name] ? [] : [`${name} is ${String(locked[name])}, not ${String(wanted[name])}`]));
  });
}

/** What signs for others needs a certificate: the record of a key that nobody has certified opens it, and certifies nothing with it. */
export function certifiedFault(plan: Pick<Plan, 'steps'>, inputs: Inputs): Refusal | null {
  const signs = new Set(plan.steps.flatMap(({ do: what }) => (what.action === 'issue-certificate' || what.action === 'sign-crl' ? [what.key] : [])));
  for (const { do: what } of plan.steps) {
    const input = what.action === 'open-key' && signs.has(what.key) ? inputs[what.from] : undefined;
    if (input === undefined) continue;
    const { label, certificate } = readKeyRecord(fromBase64url(input.bytes));
    if (certificate === null) return refuse('KEY-CERTIFIED', 'the record of a key with its certificate: a certification authority signs under its name', `the record of "${label}", which has none`, 'Bring the key record of the ceremony in which the key was certified. Nothing was touched.');
  }
  return null;
}
