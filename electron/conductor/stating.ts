/**
 * What an officer wishes to sign of a key: the one that is meant, and the state that the inventory has it in. Whether the statement is
 * allowed is also `check`'s part.
 */
import type { Intent } from '../../ceremonies/evidence.ts';
import type { Inventory } from '../../ceremonies/inventory.ts';
import { drillOf, keyNamed, passageOf, periodOf, type Signing } from '../../ceremonies/statements.ts';
import type { StatementRequest } from '../contract.ts';

/** Throws `Refused` KEY-KNOWN, KEY-AMBIGUOUS, STATE-REHEARSAL, STATE-KNOWN, STATE-SINCE, PERIOD-TIMES, DRILL-BACKUP, DRILL-INTERVAL, DRILL-FIRST-BY, or the rule of the passage. */
export function statementOf(request: StatementRequest, { inventory, ...signing }: Signing & { readonly inventory: Inventory }): Intent<'administer'> {
  const key = keyNamed(inventory.keys, request.key);
  switch (request.change) {
    case 'set-state': return { change: 'set-state', order: passageOf(key, request, signing) };
    case 'set-period': return { change: 'set-period', order: periodOf(key, request, signing) };
    case 'set-drill': return { change: 'set-drill', order: drillOf(key, request, signing) };
  }
}
