/**
 * One key on two tokens, the second out of the key's backup: whether it is the same key, and what each token says of its copy.
 *
 * `ceremony.ts` asks here, one line for each case. Both tokens sign a nonce of their own; that both signatures verify under one public
 * key, the auditor computes again (verify.ts). What a token says of attributes is its word, on both sides.
 */
import type { Evidence, Input, Intent, KeyAttributes } from './evidence.ts';
import { keyIds, type CeremonyKey, type KeyRecord } from './key-record.ts';
import { backupInput } from './recovery.ts';
import { refuse, type Refusal } from './refusal.ts';
import type { Plan } from './script.ts';

type Must = (holds: boolean, rule: string, expected: string, found: string) => Refusal | null;

const STOP = 'Stop here. Record an exception, and let officer and witness decide whether to repeat the step or to abort.';
/** What differs between a key that was made on its token and one that was outside, and why (PKCS#11 3.2 sections 4.9 and 5.18.4). */
const EXPLAINED: Partial<Record<keyof KeyAttributes, string>> = {
  local: 'the copy was not generated on its token',
  alwaysSensitive: 'the copy was outside, wrapped, and so was not always sensitive there',
  neverExtractable: 'the copy came out of a backup, and so was extractable once',
  generatedBy: 'no mechanism of its token generated the copy',
  id: 'the copy has a CKA_ID of its own',
  label: 'the copy has the label that its backup names',
};
const COMPARED: readonly (keyof KeyAttributes)[] = ['keyType', 'token', 'private', 'sensitive', 'extractable', 'sign', 'verify', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'derive', 'modifiable', 'local', 'alwaysSensitive', 'neverExtractable', 'generatedBy', 'id', 'label'];

interface Opening {
  readonly inputs: Readonly<Record<string, Input>>;
  readonly bindings: { readonly tokens: Readonly<Record<string, { readonly serial: string }>> };
}

export interface CloneDifference {
  readonly part: string;
  readonly attribute: string;
  readonly primary: string;
  readonly second: string;
  /** Null: nothing explains it. */
  readonly why: string | null;
}

/** Attributes of the private halves side by side, those that differ. One that either token does not tell differs from nothing. */
export function cloneDifferences({ primary, second }: Evidence<'compare-keys'>): CloneDifference[] {
  return primary.parts.flatMap(({ part, private: one }, index) => {
    const other = second.parts[index]?.private ?? null;
    if (one === null || other === null) return [];
    return COMPARED.flatMap((name) => {
      const [mine, its] = [one[name], other[name]];
      if (mine === its || ((mine === null || its === null) && name !== 'generatedBy')) return [];
      return [{ part, attribute: name, primary: String(mine), second: String(its), why: EXPLAINED[name] ?? null }];
    });
  });
}

/** At the opening, before anything is touched: the key is on the token that is bound, and its backup is of the same key. */
export function cloneFault(plan: Plan, { inputs, bindings }: Opening, keyNamed: (input: string) => KeyRecord): Refusal | null {
  const compare = plan.steps.find(({ do: what }) => what.action === 'compare-keys')?.do;
  const restore = plan.steps.find(({ do: what }) => what.action === 'restore-key')?.do;
  if (compare?.action !== 'compare-keys' || restore?.action !== 'restore-key') return null;
  const [record, backup] = [keyNamed(compare.from), backupInput(inputs, restore.from)];
  const bound = bindings.tokens[compare.on]?.serial ?? 'none';
  if (record.token !== bound) return refuse('KEY-BOUND', `token ${record.token}, on which the key is as its record says`, bound, 'Bind the token that the key record names. Nothing was touched.');
  return record.key.spki === backup.key.spki ? null
    : refuse('CLONE-SAME-KEY', `the backup of the key "${record.label}" that is on the first token`, `that of another key, "${backup.label}"`, 'Bring the key record and the backup of one key. Nothing was touched.');
}

export function cloneIntentFault(record: KeyRecord, key: CeremonyKey | null, name: string, { with: second, ids, nonces }: Intent<'compare-keys'>): Refusal | null {
  if (key?.name !== name || !key.restored) return refuse('KEY-BEFORE-USE', `key ${name}, restored in this ceremony`, 'no such key', STOP);
  if (second !== key.token) return refuse('TOKEN-BOUND', key.token, second, STOP);
  if (ids.join(' ') !== keyIds(record.key).join(' ')) return refuse('KEY-BOUND', keyIds(record.key).join(' '), ids.join(' '), STOP);
  return nonces[0] === nonces[1] ? refuse('PROOF-OF-POSSESSION', 'a nonce of its own for each token', 'one for both', STOP) : null;
}

/** What is said of both copies; that of the second is judged as every restored key is, beside this. */
export function cloneEvidenceFault(record: KeyRecord, { token, nonces }: Intent<'compare-keys'>, e: Evidence<'compare-keys'>, must: Must): Refusal | null {
  const { key } = record;
  const same = e.primary.parts.length === key.parts.length && e.primary.parts.every((part, index) => part.part === key.parts[index]?.part && part.held === key.parts[index].held && part.spki === key.parts[index].spki);
  const shown = [...e.primary.parts.flatMap((part) => (part.held === 'token' ? [part.private?.id ?? ''] : [])), ...e.primary.wrappingKey ? [e.primary.wrappingKey.id] : []];
  const unexplained = cloneDifferences(e).filter(({ why }) => why === null);
  return must(e.primary.token === token, 'TOKEN-BOUND', token, e.primary.token)
    ?? must(e.primary.spki === key.spki && e.second.spki === key.spki && same, 'CLONE-SAME-KEY', 'the same public key on both tokens, part by part', 'another one')
    ?? must(shown.join(' ') === keyIds(key).join(' '), 'KEY-BOUND', keyIds(key).join(' '), shown.join(' '))
    ?? must(e.primary.weakTests.length > 0, 'WEAK-KEY', 'weak-key tests', 'none were run')
    ?? must(e.primary.possession.message === nonces[0] && e.second.possession.message === nonces[1], 'PROOF-OF-POSSESSION', 'a signature of this step\'s nonce by each token', 'of another message')
    ?? must(unexplained.length === 0, 'CLONE-ATTRIBUTES', 'the same attributes on both tokens, but for what a key that was outside cannot have', unexplained.map(({ part, attribute, primary, second }) => `${part}: ${attribute} is ${primary} on the first, ${second} on the second`).join('; '));
}
