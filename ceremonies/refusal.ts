/**
 * How the whole house says no.
 *
 * Checks refuse; they never return false. A refusal carries the rule's NAME (the same name stands in code, tests,
 * screen, minutes and docs), what was expected, what was found, and what to do next. It never carries a secret.
 */

export interface Refusal {
  /** Rule name in CAPITALS-WITH-HYPHENS, e.g. `IN-ORDER`. */
  readonly rule: string;
  readonly expected: string;
  readonly found: string;
  /** What the people in the room should do now. */
  readonly next: string;
}

/** The thrown form, for code whose callers cannot go on. Crosses process boundaries only as its plain `refusal`. */
export class Refused extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(`${refusal.rule}: expected ${refusal.expected}; found ${refusal.found}. ${refusal.next}`);
    this.name = 'Refused';
    this.refusal = refusal;
  }
}

export function refuse(rule: string, expected: string, found: string, next: string): Refusal {
  return { rule, expected, found, next };
}

/** Throws unless `holds`. */
export function require(holds: boolean, rule: string, expected: string, found: string, next: string): asserts holds {
  if (!holds) throw new Refused(refuse(rule, expected, found, next));
}
