/**
 * What the records of this machine say of its keys, and from it what an officer wishes to sign: the key that is meant, and the state
 * that it is in. It reads the ledger and never writes; whether the statement is allowed is also `check`'s part.
 */
import type { Intent, StateSigned } from '../../ceremonies/evidence.ts';
import { foldInventory, type Inventory, type InventoryKey } from '../../ceremonies/inventory.ts';
import { Refused, refuse, type Refusal } from '../../ceremonies/refusal.ts';
import { keyNamed, periodFault, stateFault } from '../../ceremonies/statements.ts';
import { plainText } from '../../ceremonies/text.ts';
import type { Hasher } from '../../ceremonies/transcript.ts';
import { verifyTranscript } from '../../ceremonies/verify.ts';
import type { StatementRequest } from '../contract.ts';
import type { Ledger } from './ledger.ts';

/** Folded from every record of the ledger, each verified; those under way count as far as they go. */
export async function inventoryNow(ledger: Ledger, hasher: Hasher): Promise<Inventory> {
  const records = [];
  for (const { ceremony } of ledger.ceremonies()) {
    const lines = ledger.lines(ceremony, 0);
    const { verdict } = await verifyTranscript(new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')), { hasher });
    records.push({ verdict, lines });
  }
  return foldInventory(records, hasher);
}

export interface Stating {
  readonly inventory: Inventory;
  readonly mode: 'rehearsal' | 'real';
  readonly now: Date;
}

/** Throws `Refused` KEY-KNOWN, KEY-AMBIGUOUS, STATE-REHEARSAL, STATE-KNOWN, STATE-SINCE, or the rule of the passage. */
export function statementOf(request: StatementRequest, { inventory, mode, now }: Stating): Intent<'administer'> {
  const key = keyNamed(inventory.keys, request.key);
  const { change, reason } = request;
  switch (change) {
    case 'set-state': return { change, order: passageOf(key, { to: request.to, since: request.since, reason }, { mode, now }) };
    case 'set-period': {
      allowed(signableHere(key, mode));
      const order = { ...about(key), reason, notBefore: request.notBefore, notAfter: request.notAfter };
      allowed(periodFault(order));
      return { change, order };
    }
  }
}

/** The passage of this key to another state, as it is to be signed. Throws `Refused` as `statementOf` does. */
export function passageOf(key: InventoryKey, wish: Pick<StateSigned, 'to' | 'since' | 'reason'>, { mode, now }: Pick<Stating, 'mode' | 'now'>): StateSigned {
  allowed(signableHere(key, mode));
  const { state } = key;
  if (state === null) throw new Refused(refuse('STATE-KNOWN', 'a key that a record which verifies knows', `"${key.label}", from a record that does not`, 'Find out what is wrong with that record first.'));
  const order = { ...about(key), from: state, ...wish };
  allowed(stateFault(order));
  if (wish.since !== null && Date.parse(wish.since) > now.getTime()) throw new Refused(refuse('STATE-SINCE', 'a time that has come', wish.since, 'Say since when the key is not to be trusted.'));
  return order;
}

/** A label that no line could carry is left out: the identity says which key it is. */
function about({ identity, label }: InventoryKey): { readonly key: string; readonly label: string } {
  return { key: identity, label: plainText('label', label, 128) === null ? label : '' };
}

/** A rehearsal says nothing of a key that is in earnest. */
function signableHere({ rehearsal, label }: InventoryKey, mode: Stating['mode']): Refusal | null {
  return mode === 'rehearsal' && !rehearsal ? refuse('STATE-REHEARSAL', 'a key of a rehearsal', `"${label}", which is in earnest`, 'Log in for real to sign this. Nothing was signed.') : null;
}

function allowed(fault: Refusal | null): void {
  if (fault !== null) throw new Refused(fault);
}
