/**
 * What several people approve before it is done, and how long everybody waits after the last of them: the same for the destruction
 * of a key and for its release from escrow.
 *
 * An approval is a signature of the approver's own key over what is approved, this record up to now, a fresh number and a date
 * after which it counts no more. Pure: nothing here knows a clock; the moment is that of the entry which is judged.
 */
import canonicalize from 'canonicalize';
import { toBase64url, utf8 } from './bytes.ts';
import { listOf, type Destruction } from './destruction.ts';
import { releaseOf } from './escrow.ts';
import type { Evidence, Input, Intent } from './evidence.ts';
import { inputDigest } from './key-record.ts';
import { refuse, type Refusal } from './refusal.ts';
import type { Plan, PlanStep } from './script.ts';

export interface Approval {
  readonly seat: string;
  readonly at: string;
  readonly expires: string;
}

/** How far the people have come: who approved, and whether the waiting period was declared over. */
export interface Consent {
  readonly approvals: readonly Approval[];
  readonly waited: boolean;
}

export const NO_CONSENT: Consent = { approvals: [], waited: false };

/** As much of a ceremony's state as this file asks. */
interface Room {
  readonly ceremony: string;
  readonly script: { readonly hash: string } | null;
  readonly plan: Plan | null;
  readonly opening: { readonly mode: 'rehearsal' | 'real'; readonly inputs: Readonly<Record<string, Input>> } | null;
  readonly destruction: Destruction;
  readonly consent: Consent;
}

type Approve = Extract<PlanStep['do'], { action: 'approve' }>;

const NOW = 'Do what the screen asks for now; nothing is lost.';

/** What an approver signs: this act on this key, in this record, after this head, until this moment. */
export function approvalStatement(state: Room, step: PlanStep, { nonce, expires }: Intent<'approve'>, head: string): string {
  return toBase64url(utf8(canonicalize({
    type: 'conclave-approval/1', ceremony: state.ceremony, script: state.script?.hash ?? '', step: step.id, seat: step.who, ...approved(state, step.do as Approve), head, nonce, expires,
  }) ?? ''));
}

/** The act itself, with the digest of every file that it hangs on. */
function approved(state: Room, { copies, escrow, reason }: Approve): Readonly<Record<string, string>> {
  const inputs = state.opening?.inputs ?? {};
  const digest = (name: string | undefined): string => {
    const input = inputs[name ?? ''];
    return input ? inputDigest(input) : '';
  };
  if (escrow === undefined) return { act: 'destroy', key: listOf(state.destruction).key.identity, copies: digest(copies) };
  const { key, sha256 } = releaseOf(inputs, escrow);
  return { act: 'release', key: key.identity, escrow: digest(escrow), envelope: sha256, reason: reason ?? '' };
}

/** In a rehearsal nobody waits for days: this long, in seconds, and the screen says so. */
export const REHEARSAL_WAIT = 3;

/** When the waiting period ends; null before anybody has approved. RFC 3339. */
export function waitsUntil(state: Pick<Room, 'consent' | 'opening'>, hours: number): string | null {
  const last = state.consent.approvals.map(({ at }) => at).sort().at(-1);
  if (last === undefined) return null;
  return new Date(Date.parse(last) + 1000 * (state.opening?.mode === 'real' ? hours * 3600 : REHEARSAL_WAIT)).toISOString();
}

/** May this approval be begun? `at`: the time of its entry. */
export function approveFault(state: Room, what: Approve, { expires }: Intent<'approve'>, at: string): Refusal | null {
  if (what.copies !== undefined && state.destruction.located === null) return refuse('LOCATED-FIRST', 'every copy looked for before anybody approves', 'not looked for', NOW);
  const longest = new Date(Date.parse(at) + what.days * 86_400_000 + 1000).toISOString();
  return expires > at && expires <= longest ? null : refuse('APPROVAL-EXPIRED', `an approval that ends after ${at} and by ${longest}`, expires, NOW);
}

export function approvalFault(state: Room, step: PlanStep, intent: Intent | null, evidence: Evidence<'approve'>, headBefore: string): Refusal | null {
  return evidence.statement === approvalStatement(state, step, intent as Intent<'approve'>, headBefore) ? null
    : refuse('APPROVAL-STATEMENT', 'the statement over this act, this head and this challenge', 'another statement', 'The value is recorded as found. Record an exception, then repeat the step or abort.');
}

/** Is the waiting period over? `at`: the time of the entry that says so. */
export function waitFault(state: Room, hours: number, at: string): Refusal | null {
  const approvers = (state.plan?.steps ?? []).filter((one) => one.do.action === 'approve').map((one) => one.who);
  const missing = approvers.filter((seat) => !state.consent.approvals.some((approval) => approval.seat === seat));
  if (missing.length > 0) return refuse('APPROVED-BY-ALL', 'an approval of everybody who is asked', `none of ${missing.join(', ')}`, NOW);
  const until = waitsUntil(state, hours) ?? '';
  return at >= until ? null : refuse('WAITING-PERIOD', `nothing before ${until}`, at, 'Wait. Close the ceremony and come back; every approver may abort it until then.');
}

/** May what was approved be done at this moment? `again`: how people come to approvals that hold. */
export function consentFault({ approvals, waited }: Consent, at: string, again: string): Refusal | null {
  if (!waited) return refuse('WAITING-PERIOD', 'the waiting period over', 'not over', NOW);
  const expired = approvals.find(({ expires }) => expires <= at);
  return expired ? refuse('APPROVAL-EXPIRED', `approvals that hold at ${at}`, `that of ${expired.seat} ended at ${expired.expires}`, again) : null;
}

export function approvedBy(consent: Consent, seat: string, at: string, { expires }: Intent<'approve'>): Consent {
  return { ...consent, approvals: [...consent.approvals, { seat, at, expires }] };
}
