/**
 * The ceremony step that re-initialises a token: what must be so before, what proves it afterwards, and what is found where the outcome
 * was never written down. C_InitToken (PKCS#11 3.2 section 5.5.7) destroys every object and ends the user's PIN; the token says both itself, so
 * that nothing of it is left is observed by software and no more.
 *
 * Pure. It never decides that a token is blank from one sign alone, and never calls one blank that it could not look at.
 */
import canonicalize from 'canonicalize';
import type { ActionName, Evidence, Intent, ObjectFact, Observation, TokenFacts } from './evidence.ts';
import { refuse, type Refusal } from './refusal.ts';

type Zeroise = Intent<'zeroise-token'>;

/** C_InitToken, in a ceremony or from the logbook: what is there afterwards is a blank token, which nobody can clear. */
export function initialises(action: ActionName, intent: Intent | null): boolean {
  return action === 'zeroise-token' || (action === 'administer' && (intent as Intent<'administer'> | null)?.change === 'init-token');
}

const NOW = 'Correct it; the token was not touched.';
const EXAMINE = 'Treat the token as not zeroised: keep it under seal, and have it examined or destroyed.';
const HAS_USER_PIN = 'CKF_USER_PIN_INITIALIZED';
const INITIALISED = 'CKF_TOKEN_INITIALIZED';

/** Cases and screens print serial numbers in groups and in either case; a number is the same number. */
export function plainSerial(text: string): string {
  return text.replace(/ /g, '').toLowerCase();
}

export function sameSerial(one: string, other: string): boolean {
  return plainSerial(one) === plainSerial(other);
}

/** The label stays: it is how people find the token. One that had none gets one, as C_InitToken demands. */
export function labelAfter({ label }: Pick<TokenFacts, 'label'>): string {
  return label === '' ? 'zeroised' : label;
}

/** What no initialisation changes; a serial number some tokens draw anew. */
function deviceOf({ manufacturer, model, hardware }: TokenFacts): string {
  return [manufacturer, model, hardware].join(', ');
}

/** `inspected`, `listed`: the token as it was identified in this ceremony, and what was on it. */
export function zeroiseIntentFault({ inspected, listed }: { readonly inspected: TokenFacts | undefined; readonly listed: readonly ObjectFact[] | undefined }, { token, label, seen, typed }: Zeroise): Refusal | null {
  const same = (facts: TokenFacts) => `${facts.serial}, ${deviceOf(facts)}`;
  if (inspected === undefined || listed === undefined) return refuse('INVENTORY-AROUND-CHANGE', `token ${token} identified, and everything on it listed`, 'neither or one of them', NOW);
  if (!sameSerial(typed, token)) return refuse('DESTROY-TYPED', `the serial number: ${token}`, typed === '' ? 'nothing' : 'something else', 'Read it from the case of the token and write it exactly so. Nothing was destroyed.');
  // Flags change with each PIN that is typed: the device holds them against `seen`, to the last one, right before.
  if (seen.serial !== token || same(seen) !== same(inspected)) return refuse('TOKEN-MOVED', `the token that was identified: ${same(inspected)}`, same(seen), 'Identify the token again. Nothing was destroyed.');
  return label === labelAfter(inspected) ? null : refuse('AS-SCRIPTED', labelAfter(inspected), label, NOW);
}

/** `kept`: the officer has decided on a blank token that was found. Its label is then what it is found to be; the observation says so. */
export function zeroiseEvidenceFault({ seen, label }: Zeroise, { before, after, objects }: Evidence<'zeroise-token'>, kept: boolean): Refusal | null {
  if (canonicalize(before) !== canonicalize(seen)) return refuse('TOKEN-MOVED', `${seen.label}, ${seen.serial}, as it was looked at`, `${before.label}, ${before.serial}`, EXAMINE);
  if (deviceOf(after) !== deviceOf(before)) return refuse('TOKEN-MOVED', `the same token afterwards: ${deviceOf(before)}`, deviceOf(after), EXAMINE);
  const left = blankFault(objects, after.flags.includes(HAS_USER_PIN), 'session');
  if (left) return left;
  return initialisedFault(label, after, kept);
}

export function initialisedFault(label: string, after: TokenFacts, kept: boolean): Refusal | null {
  return (kept || after.label === label) && after.flags.includes(INITIALISED) ? null : refuse('TOKEN-INITIALISED', `an initialised token ${label}`, after.label, EXAMINE);
}

/** What the list that follows the zeroisation must show. A token may keep up a lie as long as the process lives that it told it to. */
export function listedBlankFault({ objects, loggedIn, fresh }: Evidence<'take-inventory'>): Refusal | null {
  return blankFault(objects, loggedIn !== false, fresh === true ? 'process' : 'session');
}

function blankFault(objects: readonly ObjectFact[], userPin: boolean, from: 'session' | 'process'): Refusal | null {
  if (objects.length > 0) return refuse('NOT-ZEROISED', `no object, from a fresh ${from}`, `${objects.length}: ${objects.slice(0, 5).map((object) => `${object.class} "${object.label}"`).join(', ')}`, EXAMINE);
  return userPin ? refuse('NOT-ZEROISED', 'a token whose user PIN is gone', 'one that still has it', EXAMINE) : null;
}

/**
 * What a token is, whose initialisation has no outcome in the record. `present`: it is blank, so it was initialised. `absent`: it is not;
 * then the officer decides anew whether to initialise it.
 */
export function observedZeroise({ seen, label }: Pick<Zeroise, 'seen' | 'label'>, listed: readonly ObjectFact[], now: { readonly facts: TokenFacts; readonly objects: readonly ObjectFact[] }): Observation {
  const had = seen.flags.includes(HAS_USER_PIN);
  const has = now.facts.flags.includes(HAS_USER_PIN);
  const objects = now.objects.slice(0, 64);
  const shows = `${now.objects.length === 0 ? 'no object' : `${now.objects.length} objects`} from a fresh session without login`;
  if (!now.facts.flags.includes(INITIALISED)) return { state: 'absent', objects, detail: 'It is not initialised: that was begun, or nothing was.' };
  if (has) return { state: 'absent', objects, detail: `It still has its user PIN, and shows ${shows}: it was not initialised.` };
  if (now.objects.length > 0) return { state: 'absent', objects, detail: `It ${had ? 'has no user PIN any more, and yet' : 'has no user PIN, as before, and'} shows ${shows}: it is not zeroised.` };
  const otherwise = now.facts.label === label ? '' : `, under the label "${now.facts.label}" where "${label}" was asked for`;
  // Without a PIN and without an object before, it looks afterwards as it did: nobody can tell.
  return had || listed.length > 0 || !seen.flags.includes(INITIALISED) ? { state: 'present', objects, detail: `It has no user PIN${had ? ' any more' : ''}, and shows ${shows}: it was initialised${otherwise}.` }
    : { state: 'absent', objects, detail: `It is blank, and had no user PIN before: whether it was initialised, nobody can tell.` };
}

/** One line for each, for everybody to hear before it is gone. */
export function endsHere({ object, what, key, label, elsewhere }: NonNullable<Evidence<'take-inventory'>['known']>[number]): string {
  const name = `${object.class} "${object.label}"`;
  if (key === null) return `${name} is known: ${what}; it ends here`;
  return object.class === 'public-key' || object.class === 'certificate' ? `${name} belongs to the key "${label}" (${key})`
    : `${name} is a copy of the key "${label}" (${key}); it ends here, and ${elsewhere === 0 ? 'no known copy is left' : `${elsewhere} known ${elsewhere === 1 ? 'copy is' : 'copies are'} left elsewhere`}`;
}
