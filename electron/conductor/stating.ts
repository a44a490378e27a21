/**
 * What the records of this machine say of its keys, and from it what an officer wishes to sign: the key that is meant, and the state
 * that it is in. It reads the ledger and never writes; whether the statement is allowed is also `check`'s part.
 */
import type { Intent } from '../../ceremonies/evidence.ts';
import { foldInventory, type Inventory } from '../../ceremonies/inventory.ts';
import { keyNamed, passageOf, periodOf, type Signing } from '../../ceremonies/statements.ts';
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

/** Throws `Refused` KEY-KNOWN, KEY-AMBIGUOUS, STATE-REHEARSAL, STATE-KNOWN, STATE-SINCE, or the rule of the passage. */
export function statementOf(request: StatementRequest, { inventory, ...signing }: Signing & { readonly inventory: Inventory }): Intent<'administer'> {
  const key = keyNamed(inventory.keys, request.key);
  switch (request.change) {
    case 'set-state': return { change: 'set-state', order: passageOf(key, request, signing) };
    case 'set-period': return { change: 'set-period', order: periodOf(key, request, signing) };
  }
}
