/**
 * The states of a key, and from which it may pass to which: SP 800-57 Part 1 Rev. 5 section 7.
 *
 * A table and one question. What state a key is in, the records say (inventory.ts): people sign it (statements.ts), and where nobody
 * did it is derived from what was done with the key.
 */
import { refuse, type Refusal } from '../refusal.ts';

export const KEY_STATES = ['pre-activation', 'active', 'suspended', 'deactivated', 'compromised', 'destroyed'] as const;
export type KeyState = (typeof KEY_STATES)[number];

export interface Transition {
  readonly rule: string;
  /** Null: the key did not exist. */
  readonly from: KeyState | null;
  readonly to: KeyState;
  readonly when: string;
  readonly clause: string;
}

const SUSPECT = 'its integrity or its confidentiality is suspect';

export const TRANSITIONS: readonly Transition[] = [
  { rule: 'STATE-BORN', from: null, to: 'pre-activation', when: 'it was made', clause: '7.1' },
  { rule: 'STATE-NEVER-NEEDED', from: 'pre-activation', to: 'destroyed', when: 'it will not be needed', clause: '7.1' },
  { rule: 'STATE-COMPROMISED-UNUSED', from: 'pre-activation', to: 'compromised', when: SUSPECT, clause: '7.1' },
  { rule: 'STATE-ACTIVATED', from: 'pre-activation', to: 'active', when: 'it became available for use', clause: '7.1' },
  { rule: 'STATE-ENDED', from: 'active', to: 'destroyed', when: 'its period is over or it was replaced', clause: '7.2' },
  { rule: 'STATE-COMPROMISED', from: 'active', to: 'compromised', when: SUSPECT, clause: '7.2' },
  { rule: 'STATE-SUSPENDED', from: 'active', to: 'suspended', when: 'it is not to be used for a time', clause: '7.2' },
  { rule: 'STATE-DEACTIVATED', from: 'active', to: 'deactivated', when: 'it protects nothing new', clause: '7.2' },
  { rule: 'STATE-SUSPENDED-ENDED', from: 'suspended', to: 'destroyed', when: 'its period is over', clause: '7.3' },
  { rule: 'STATE-RESTORED', from: 'suspended', to: 'active', when: 'the reason for the suspension is gone', clause: '7.3' },
  { rule: 'STATE-SUSPENDED-COMPROMISED', from: 'suspended', to: 'compromised', when: SUSPECT, clause: '7.3' },
  { rule: 'STATE-SUSPENDED-DEACTIVATED', from: 'suspended', to: 'deactivated', when: 'its period is over, and what it protected is still needed', clause: '7.3' },
  { rule: 'STATE-DEACTIVATED-COMPROMISED', from: 'deactivated', to: 'compromised', when: SUSPECT, clause: '7.4' },
  { rule: 'STATE-DEACTIVATED-ENDED', from: 'deactivated', to: 'destroyed', when: 'what it protected is not needed any more', clause: '7.4' },
  { rule: 'STATE-COMPROMISED-ENDED', from: 'compromised', to: 'destroyed', when: 'what it protected is not needed any more', clause: '7.5' },
];

/** The rule by which a key passes from one state to another, or the refusal: no other passage is one. */
export function transition(from: KeyState | null, to: KeyState): Transition | Refusal {
  const found = TRANSITIONS.find((one) => one.from === from && one.to === to);
  if (found) return found;
  const allowed = TRANSITIONS.filter((one) => one.from === from).map((one) => one.to);
  return refuse('STATE-TRANSITION', allowed.length === 0 ? `no state after ${from ?? 'none'}` : `${allowed.join(', ')} after ${from ?? 'none'} (SP 800-57 Part 1 section 7)`, to,
    from === 'destroyed' ? 'A copy was left that no record knew of. Find out where it came from, and which others there are.' : 'Look at the entries that led here.');
}
