/**
 * The auditor's verdict: a record, and nothing else, judged from top to bottom.
 *
 *   1 the file      it is a transcript or a bundle, every line canonical JSON
 *   2 the chain     every line follows the one before it
 *   3 the rules     every entry was allowed when it was made: the same `check` that the conductor asked live
 *   4 the signatures  recorder, presence, seals, resumptions, disagreements: every key that had to sign did, no other
 *   5 the keys      proofs of possession, weak-key tests and the certificate, all recomputed here
 *   6 the end       closed, and sealed by everyone after every act
 *   7 trust         the signers are those the auditor already knows, if a trust file says so
 *
 * `claimsOf` says what an entry asserts and how to test it. The conductor runs the same claims before it writes an
 * outcome down, the replay screen shows what came of them. Pure: no I/O, no clock, no randomness.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import * as z from 'zod';
import canonicalize from 'canonicalize';
import { signedBy, spkiOf } from './administration.ts';
import { bundleRemarks, checkBundle, openFile } from './bundle.ts';
import { fromBase64url, toBase64url, toHex, utf8 } from './bytes.ts';
import {
  check, checkpointMessage, currentAct, custodianNumber, EMPTY, everySigner, keyInput, personAt, type Data, type Entry, type Person, type State,
} from './ceremony.ts';
import { depositOf } from './escrow.ts';
import { broughtFindings, depositFindings } from './escrow-envelope.ts';
import { recipientOf, sealedFindings } from './share-envelope.ts';
import type { Evidence, Intent, KeyPart, PublicJwk, SignaturePair } from './evidence.ts';
import { readCertificate } from './keys/chain.ts';
import { verifyAll } from './keys/jws.ts';
import { inputFindings, keyPartsFindings } from './inputs.ts';
import { fromJwk, type PublicKey } from './keys/public-key.ts';
import { checkRequest, readRequest } from './keys/request.ts';
import { verifySignature } from './keys/signatures.ts';
import { keyFindings, readSubjectKey, verifyWith } from './keys/subject-key.ts';
import { lintCertificate, orderFindings, tbsOf, verifyIssued } from './keys/x509.ts';
import { certificateProfile, crlNumber, crlProfile } from './profile.ts';
import { backupInput } from './recovery.ts';
import { Refused, refuse, type Refusal } from './refusal.ts';
import type { PlanStep } from './script.ts';
import { Fold, parseLine, portableHasher, splitTranscript, type Hasher } from './transcript.ts';
import { fingerprintWords } from './words.ts';

/** A broken rule, and where. `seq` is null where it concerns the record as a whole. */
export interface Finding extends Refusal {
  readonly seq: number | null;
}

/** One line of the auditor's checklist of trust, from top to bottom. */
export interface Check {
  readonly name: string;
  readonly verdict: 'verified' | 'reported' | 'refused' | 'not-reached';
  readonly detail: string;
}

export interface Verdict {
  /** `valid`: closed, sealed by everyone, every rule kept. `open` and `aborted` are never simply valid. */
  readonly verdict: 'valid' | 'open' | 'aborted' | 'refused';
  /** Were the signers compared with a trust file? */
  readonly pinned: boolean;
  readonly ceremony: string;
  readonly title: string;
  readonly mode: 'rehearsal' | 'real' | null;
  readonly entries: number;
  readonly checks: readonly Check[];
  readonly findings: readonly Finding[];
  /** Things an auditor must read although no rule is broken: disagreements, exceptions, interruptions, reported-only facts. */
  readonly remarks: readonly { readonly seq: number | null; readonly text: string }[];
  readonly signers: readonly { readonly seat: string; readonly name: string; readonly role: string; readonly classical: string; readonly pq: string; readonly words: readonly string[] }[];
  /** What was re-verified for each entry just now, in words; index = seq. Empty where nothing is to be verified beyond the chain. */
  readonly reverified: readonly (readonly string[])[];
}

/** What the auditor already trusts. Thumbprints are RFC 7638 over the identity keys. */
export const TrustFile = z.strictObject({
  people: z.array(z.strictObject({ name: z.string(), classical: z.string(), pq: z.string() })).min(1),
  build: z.string().optional(),
  /** SHA-512 of scripts that may be run, base64url. */
  scripts: z.array(z.string()).optional(),
});
export type TrustFile = z.infer<typeof TrustFile>;

/** More findings than this help nobody; the first ones are the causes. */
const MOST_FINDINGS = 100;
/** So many entries with claims are collected before they are tested. */
const MOST_CLAIMS = 256;
const NEXT = 'Do not rely on this record. Ask the people who hold the other copies.';

// --- what an entry asserts -------------------------------------------------------------------------------------------

export interface Claim {
  /** What is verified, in words, for the replay screen. */
  readonly what: string;
  /** Empty: it holds. */
  readonly test: () => Promise<readonly Refusal[]>;
}

const holds = (rule: string, what: string, test: () => Promise<boolean>): Claim => ({
  what,
  test: async () => (await test()) ? [] : [refuse(rule, what, 'it does not hold', NEXT)],
});

function pairClaim(what: string, payload: string, pair: SignaturePair, person: Pick<Person, 'seat' | 'identity'> | undefined): Claim {
  return {
    what,
    test: () => {
      const { identity, seat } = person ?? {};
      if (!identity || seat === undefined) return Promise.resolve([refuse('ENROL-FIRST', 'the keys of an enrolled person', 'none', NEXT)]);
      return verifyAll({ payload, signatures: [...pair] }, [{ signer: seat, classical: keyOf(identity.classical), pq: keyOf(identity.pq) }]);
    },
  };
}

/**
 * Everything about an entry that has to be computed rather than compared: signatures, certificates, weak keys.
 * `before` is the state in front of the entry. Precondition: `check(before, entry)` was null.
 */
export function claimsOf(before: State, entry: Entry): Claim[] {
  if (entry.kind === 'checkpoint') {
    const { recorder } = before;
    if (!recorder) return [];
    const signature = (entry.data as Data<'checkpoint'>).signature;
    return [holds('CHECKPOINT-SIGNATURE', 'the recorder signed everything up to here', () => verifySignature(keyOf(recorder), checkpointMessage(entry), fromBase64url(signature)))];
  }
  if (entry.kind === 'disagreed') {
    const data = entry.data as Data<'disagreed'>;
    return [pairClaim('both signatures of the one who does not agree', data.statement, data.signatures, personAt(before, entry.by ?? ''))];
  }
  if (entry.kind === 'opened') {
    const { inputs } = entry.data as Data<'opened'>;
    return [
      ...Object.entries(inputs).map(([name, input]) => ({ what: `${name}: a sound ${input.kind}`, test: () => inputFindings(input) })),
      ...Object.values(inputs).some(({ kind }) => kind === 'escrow') ? [{ what: 'the envelope says what the record of the escrow says', test: () => Promise.resolve(broughtFindings(inputs)) }] : [],
    ];
  }
  if (entry.kind !== 'done' || !before.current) return [];
  const { step, intent } = before.current;
  const evidence = (entry.data as Data<'done'>).evidence;
  switch (step.do.action) {
    case 'enrol': {
      const e = evidence as Evidence<'enrol'>;
      return [pairClaim(`presence of ${step.who}: both signatures over script, head and a fresh challenge`, e.statement, e.signatures, { seat: step.who, identity: { ...e.identity, thumbprints: ['', ''] } })];
    }
    case 'sign-seal': case 'sign-resume': {
      const { statement } = intent as Intent<'sign-seal'>;
      const what = step.do.action === 'sign-seal' ? `seal of act ${currentAct(before) + 1}: both signatures of ${step.who}` : `resumption: both signatures of ${step.who}`;
      return [pairClaim(what, statement, (evidence as Evidence<'sign-seal'>).signatures, personAt(before, step.who))];
    }
    case 'generate-key': {
      const e = evidence as Evidence<'generate-key'>;
      const { algorithm } = intent as Intent<'generate-key'>;
      return [{ what: 'every part of the public key is well formed and not weak, and the whole is made of them', test: async () => keyPartsFindings(algorithm, e.spki, e.parts) }];
    }
    case 'prove-key': case 'open-key': {
      const e = evidence as Evidence<'prove-key'>;
      const known = step.do.action === 'open-key' ? keyInput(before, step.do.from).key : before.key;
      const algorithm = known?.algorithm ?? '';
      return [
        { what: 'every part of the public key read back is sound, and the whole is made of them', test: async () => keyPartsFindings(algorithm, e.spki, e.parts) },
        ...step.do.action === 'prove-key' ? [{ what: 'every wrapped part is the one that was made', test: async () => wrappedFindings(known?.parts ?? [], e.parts) }] : [],
        possessionClaim('proof of possession: the key signed a fresh message, with every part of it', algorithm, e.spki, e.possession),
      ];
    }
    case 'prove-recovery': {
      const { possession } = evidence as Evidence<'prove-recovery'>;
      const key = step.do.from === undefined ? before.key : backupInput(before.opening?.inputs, step.do.from).key;
      return [possessionClaim('the recovered key signed a fresh message that the key\'s public half verifies', key?.algorithm ?? '', key?.spki ?? '', possession)];
    }
    case 'renew-shares': {
      const { algorithm, spki } = backupInput(before.opening?.inputs, step.do.from).key;
      return [possessionClaim('the old shares brought the key back: it signed a fresh message that the public key of the backup verifies', algorithm, spki, (evidence as Evidence<'renew-shares'>).possession)];
    }
    case 'seal-escrow': {
      const e = evidence as Evidence<'seal-escrow'>;
      const { key } = backupInput(before.opening?.inputs, step.do.from);
      const [deposit, recipient] = [depositOf(before, step.do, e), fromBase64url(before.opening?.inputs[step.do.for]?.bytes ?? '')];
      return [
        possessionClaim('what the backup key opened signed a fresh message that the public key of the backup verifies', key.algorithm, key.spki, e.possession),
        { what: 'the envelope: sealed to the agent alone, with these terms', test: () => Promise.resolve().then(() => depositFindings(deposit, recipient, new Date(entry.at))) },
      ];
    }
    case 'seal-copy': {
      const e = evidence as Evidence<'seal-copy'>;
      const [record, keys] = [backupInput(before.opening?.inputs, step.do.from), fromBase64url(before.opening?.inputs[step.do.to]?.bytes ?? '')];
      const [number, of] = [custodianNumber(before, step.who), before.people.filter(({ role }) => role === 'custodian').length];
      return [{ what: `the envelope: sealed to the key of ${step.who} alone, and names this share`, test: () => Promise.resolve().then(() => sealedFindings(record, e, () => recipientOf(keys, new Date(entry.at), number, of))) }];
    }
    case 'restore-key': case 'release-escrow': {
      const e = evidence as Evidence<'restore-key' | 'release-escrow'>;
      const { key } = backupInput(before.opening?.inputs, step.do.from);
      return [
        { what: 'every part of the restored key is sound, and the whole is made of them', test: async () => keyPartsFindings(key.algorithm, e.spki, e.parts) },
        possessionClaim('the restored key signed a fresh message that the public key of the backup verifies', key.algorithm, key.spki, e.possession),
      ];
    }
    case 'compare-keys': {
      const e = evidence as Evidence<'compare-keys'>;
      const { key } = keyInput(before, step.do.from);
      return [
        { what: 'every part of the key on both tokens is sound, and the whole is made of them', test: async () => [...keyPartsFindings(key.algorithm, key.spki, e.primary.parts), ...keyPartsFindings(key.algorithm, key.spki, e.second.parts)] },
        { what: 'every wrapped part on the first token is the one that its record names, and on the second the one that was restored', test: async () => [...wrappedFindings(key.parts, e.primary.parts), ...wrappedFindings(before.key?.parts ?? [], e.second.parts)] },
        possessionClaim('the key on the first token signed a fresh message', key.algorithm, key.spki, e.primary.possession),
        possessionClaim('the key on the second token signed another, which the same public key verifies', key.algorithm, key.spki, e.second.possession),
      ];
    }
    case 'issue-certificate': {
      const e = evidence as Evidence<'issue-certificate'>;
      const wish = step.do;
      return [{ what: 'the certificate: TBS digest, public key, profile, signature', test: () => certificate(before, wish, intent as Intent<'issue-certificate'>, e) }];
    }
    case 'sign-crl': {
      const e = evidence as Evidence<'sign-crl'>;
      const wish = step.do;
      return [{ what: 'the CRL: TBS digest, number, revoked certificates, signature', test: () => crl(before, wish, intent as Intent<'sign-crl'>, e) }];
    }
    case 'set-state': {
      const e = evidence as Evidence<'set-state'>;
      const wish = step.do;
      return [{ what: 'since when, and which certificates it concerns: computed again from the files', test: () => compromiseFindings(before, wish, e) }];
    }
    case 'administer': return changeClaims(intent as Intent<'administer'>, (evidence as Evidence<'administer'>).result);
    case 'approve': {
      const { statement, signatures } = evidence as Evidence<'approve'>;
      return [pairClaim(`approval of ${step.who}: both signatures over ${step.do.escrow === undefined ? 'the list of copies' : 'the escrow and the reason'}, this record's head and a date`, statement, signatures, personAt(before, step.who))];
    }
    case 'make-activation-key': case 'wipe-activation-key': case 'set-activation-pin': case 'activate': case 'deactivate': case 'reset-user-pin': return [];
    case 'locate-copies': case 'wait': case 'destroy-copies': case 'confirm-gone': return [];
    case 'confirm-script': case 'confirm-input': case 'inspect-token': case 'test-random': case 'take-inventory': case 'make-backup-key': case 'wrap-key':
    case 'give-share': case 'read-back-share': case 'lock-key': case 'wipe-backup-key': case 'retire-share': case 'put-away': case 'hand-over': case 'zeroise-token':
    case 'open-copy': case 'write-copy': case 'return-share':
    case 'enter-component': case 'issue-component': case 'form-key': return [];
  }
}

/** What a change proves beyond the token's word: the public key it names, and what a key of the token signed. */
function changeClaims(intent: Intent<'administer'>, result: Record<string, unknown>): Claim[] {
  const spki = spkiOf(intent, result);
  const signed = signedBy(intent, result);
  return [
    ...spki === null ? [] : [{ what: 'the public key read back is well formed and not weak', test: () => Promise.resolve(keyFindings(readSubjectKey(fromBase64url(spki)))) }],
    ...signed === null ? [] : [{ what: `the ${signed.kind} verifies under the key that signed it`, test: () => signedFindings(signed) }],
  ];
}

async function compromiseFindings(before: State, wish: Extract<PlanStep['do'], { action: 'set-state' }>, { since, to, certificates, unaffected }: Evidence<'set-state'>): Promise<Refusal[]> {
  const record = keyInput(before, wish.key);
  const { affectedBy, sinceOf, NOTHING_AFFECTED } = await import('./compromise.ts');
  const wanted = sinceOf(wish.since, record);
  const found = to === 'compromised' ? await affectedBy(record, Object.values(before.opening?.inputs ?? {}).find(({ kind }) => kind === 'certificates') ?? null) : NOTHING_AFFECTED;
  return [
    ...since === wanted ? [] : [refuse('STATE-SINCE', wanted ?? 'no time', since ?? 'no time', NEXT)],
    ...canonicalize({ certificates, unaffected }) === canonicalize(found) ? [] : [refuse('AFFECTED-CERTIFICATES', `${found.certificates.length} certificates, and ${found.unaffected} that it does not concern`, `${certificates.length} and ${unaffected}, or others`, NEXT)],
  ];
}

/** A request, or a self-signed certificate: its own signature, and that it is of the key that the officer named. */
async function signedFindings({ kind, der, fingerprint }: NonNullable<ReturnType<typeof signedBy>>): Promise<Refusal[]> {
  const bytes = fromBase64url(der);
  const { spki } = kind === 'request' ? readRequest(bytes) : readCertificate(bytes).key;
  const found = toHex(sha256(spki));
  return [
    ...found === fingerprint ? [] : [refuse('KEY-BOUND', `a ${kind} of the key ${fingerprint}`, found, NEXT)],
    ...kind === 'request' ? await checkRequest(bytes) : await verifyIssued(bytes, spki) ? [] : [refuse('CERTIFICATE-VERIFIES', 'a signature of the key', 'one that does not fit', NEXT)],
  ];
}

type IssueWish = Extract<PlanStep['do'], { action: 'issue-certificate' }>;
type CrlWish = Extract<PlanStep['do'], { action: 'sign-crl' }>;

const keys = new WeakMap<PublicJwk, PublicKey>();
/** A record has thousands of signatures under a few keys: each is parsed once, and what it takes to verify under it is kept. */
function keyOf(jwk: PublicJwk): PublicKey {
  let key = keys.get(jwk);
  if (key === undefined) {
    key = fromJwk(jwk);
    keys.set(jwk, key);
  }
  return key;
}

function possessionClaim(what: string, algorithm: string, spki: string, possession: { message: string; signature: string }): Claim {
  return holds('PROOF-OF-POSSESSION', what, () => verifyWith(algorithm, fromBase64url(spki), fromBase64url(possession.message), fromBase64url(possession.signature)));
}

/** Nobody outside the token can look into a wrapped part: it has to stay the ciphertext that was opened when it was made. */
function wrappedFindings(made: readonly Pick<KeyPart, 'wrapped'>[], shown: readonly Pick<KeyPart, 'part' | 'wrapped'>[]): Refusal[] {
  return shown.flatMap(({ part, wrapped }, index) => (wrapped?.bytes === made[index]?.wrapped?.bytes ? [] : [refuse('KEY-PARTS', `the wrapped ${part} part that was made`, 'another ciphertext', NEXT)]));
}

async function certificate(before: State, wish: IssueWish, intent: Intent<'issue-certificate'>, evidence: Evidence<'issue-certificate'>): Promise<Refusal[]> {
  const der = fromBase64url(evidence.certificate);
  const profile = certificateProfile(before, wish, intent);
  const findings = [...lintCertificate(der, profile), ...await orderFindings(profile.order)];
  if (toBase64url(sha256(tbsOf(der))) !== evidence.signedTbs) findings.push(refuse('TBS-IDENTICAL', 'the certificate over the signed bytes', 'other bytes', NEXT));
  if (!await verifyIssued(der, fromBase64url(before.key?.spki ?? ''))) findings.push(refuse('CERTIFICATE-VERIFIES', 'a signature of the key', 'one that does not fit', NEXT));
  return findings;
}

async function crl(before: State, wish: CrlWish, intent: Intent<'sign-crl'>, evidence: Evidence<'sign-crl'>): Promise<Refusal[]> {
  const { lintCrl, verifyCrl } = await import('./keys/crl.ts');
  const der = fromBase64url(evidence.crl);
  const findings = [...lintCrl(der, await crlProfile(before, wish, intent))];
  const number = await crlNumber(before, wish);
  if (BigInt(intent.number) !== number) findings.push(refuse('CRL-NUMBER', `CRL number ${number}`, intent.number, NEXT));
  if (toBase64url(sha256(tbsOf(der))) !== evidence.signedTbs) findings.push(refuse('TBS-IDENTICAL', 'the CRL over the signed bytes', 'other bytes', NEXT));
  if (!await verifyCrl(der, fromBase64url(before.key?.spki ?? ''))) findings.push(refuse('CRL-VERIFIES', 'a signature of the key', 'one that does not fit', NEXT));
  return findings;
}

/** Runs the claims of one entry; the refusals of those that do not hold. Hostile values end as refusals, not as throws. */
export async function testClaims(claims: readonly Claim[]): Promise<Refusal[]> {
  const results = await Promise.all(claims.map(async (claim) => {
    try {
      return await claim.test();
    } catch (error) {
      if (error instanceof Refused) return [error.refusal];
      return [refuse('CLAIM-READABLE', claim.what, error instanceof Error ? error.message.slice(0, 200) : 'an error', NEXT)];
    }
  }));
  return results.flat();
}

// --- the verdict -----------------------------------------------------------------------------------------------------

export interface VerifyOptions {
  readonly hasher?: Hasher;
  readonly trust?: TrustFile;
}

export interface Judged {
  readonly verdict: Verdict;
  readonly lines: readonly string[];
  readonly state: State;
}

/** Judges a bundle or a bare transcript. Never throws on hostile bytes. */
export async function verifyFile(bytes: Uint8Array, options: VerifyOptions = {}): Promise<Judged> {
  let transcript: Uint8Array;
  let files: ReadonlyMap<string, Uint8Array> | null;
  try {
    ({ transcript, files } = openFile(bytes));
  } catch (error) {
    return unreadable(error);
  }
  const judged = await verifyTranscript(transcript, options);
  if (!files) return judged;
  const refusals = checkBundle(files, judged.lines, options.hasher);
  const { verdict } = judged;
  return {
    ...judged,
    verdict: {
      ...verdict,
      verdict: refusals.length > 0 ? 'refused' : verdict.verdict,
      findings: [...verdict.findings, ...refusals.map((refusal) => ({ ...refusal, seq: null }))],
      remarks: [...verdict.remarks, ...bundleRemarks(files).map((text) => ({ seq: null, text }))],
      checks: [...verdict.checks, {
        name: 'The bundle', verdict: refusals.length === 0 ? 'verified' : 'refused',
        detail: refusals.length === 0 ? `all ${files.size} files agree with the record` : `${refusals.length} findings`,
      }],
    },
  };
}

/** After these the state cannot follow the record any more. */
const UNREADABLE: ReadonlySet<string> = new Set(['ENTRY-DATA', 'ENTRY-KIND', 'EVIDENCE-MATCHES-ACTION', 'RULE-JUDGED', 'OPENED-FIRST']);

/** The rule an entry breaks. Behind other broken entries a state may be one that no honest record reaches. */
function ruleBroken(before: State, entry: Entry): Refusal | null {
  try {
    return check(before, entry);
  } catch (error) {
    return refuse('RULE-JUDGED', 'an entry that can be judged', error instanceof Error ? error.message.slice(0, 100) : 'an error', NEXT);
  }
}

/** Applies an entry even where it broke a rule, so that the verdict can name the others too; false where that cannot be done. */
function advance(fold: Fold, entry: Entry, line: Uint8Array): boolean {
  try {
    fold.force(entry, line);
    return fold.state.phase !== 'empty';
  } catch {
    return false;
  }
}

function unreadable(error: unknown): Judged {
  const refusal = error instanceof Refused ? error.refusal : refuse('FILE-READABLE', 'a Conclave bundle or transcript', 'something else', 'Check that this is the right file.');
  const verdict: Verdict = {
    verdict: 'refused', pinned: false, ceremony: '', title: '', mode: null, entries: 0,
    checks: [{ name: 'The file', verdict: 'refused', detail: refusal.found }], findings: [{ ...refusal, seq: null }], remarks: [], signers: [], reverified: [],
  };
  return { verdict, lines: [], state: EMPTY };
}

/** Judges a transcript's bytes. */
export async function verifyTranscript(bytes: Uint8Array, options: VerifyOptions = {}): Promise<Judged> {
  const lines: string[] = [];
  const findings: Finding[] = [];
  const remarks: { seq: number | null; text: string }[] = [];
  const reverified: (readonly string[])[] = [];
  const claimed: { readonly seq: number; readonly claims: readonly Claim[]; readonly kind: 'signatures' | 'keys' }[] = [];
  const counts = { chain: 0, rules: 0, claims: 0, signatures: 0, keys: 0 };
  const fold = new Fold(options.hasher ?? portableHasher);
  const add = (refusal: Refusal, seq: number | null) => { findings.push({ ...refusal, seq }); };

  /** Tests what was claimed so far. A long record's claims are tested in parts, while the fold goes on. */
  const testClaimed = async () => {
    await Promise.all(claimed.splice(0).map(async ({ seq, claims, kind }) => {
      counts.claims += claims.length;
      reverified[seq] = claims.map((claim) => claim.what);
      const refusals = await testClaims(claims);
      counts[kind] += refusals.length;
      for (const refusal of refusals) add(refusal, seq);
    }));
  };
  let testing = Promise.resolve();
  let malformed = 0;
  /** False once the state is too broken to judge further entries by; file and chain are followed all the same. */
  let lawful = true;
  for (const split = splitTranscript(bytes); ;) {
    const seq = lines.length;
    let line: { readonly bytes: Uint8Array; readonly text: string };
    let entry: Entry;
    try {
      const next = split.next();
      if (next.done) break;
      line = next.value;
      entry = parseLine(line.text);
    } catch (error) {
      malformed += 1;
      add(error instanceof Refused ? error.refusal : refuse('ENTRY-MALFORMED', 'an entry', 'something else', NEXT), seq);
      break; // what follows a line that is no entry cannot be placed
    }
    lines.push(line.text);
    const before = fold.state;
    const chain = fold.chain(entry);
    const rule = lawful ? ruleBroken(before, entry) : null;
    if (chain) { counts.chain += 1; add(chain, seq); }
    if (rule) { counts.rules += 1; add(rule, seq); }
    if (rule && UNREADABLE.has(rule.rule)) lawful = false;
    reverified.push([]);
    if (!lawful || !advance(fold, entry, line.bytes)) {
      lawful = false;
      fold.skip(line.bytes);
    } else if (!rule) {
      const claims = claimsOf(before, entry);
      if (claims.length > 0) {
        claimed.push({ seq, claims, kind: entry.kind === 'checkpoint' ? 'signatures' : 'keys' });
        if (claimed.length >= MOST_CLAIMS && counts.chain === 0) {
          await testing;
          testing = testClaimed();
        }
        await Promise.resolve(); // a turn for the signatures that are being verified on other threads
      }
      const text = remarkOn(entry);
      if (text) remarks.push({ seq, text });
    }
    if (counts.chain > 0 && findings.length >= MOST_FINDINGS) break;
  }
  await testing;
  // Signatures over a broken chain prove nothing, and fail for that reason alone: they are not asked.
  if (counts.chain === 0 && malformed === 0) await testClaimed();

  if (lines.length === 0 && malformed === 0) return unreadable(new Refused(refuse('TRANSCRIPT-EMPTY', 'at least one entry', 'none', 'Check that this is the right file.')));
  const { state } = fold;
  const broken = findings.length > 0;
  const complete = state.phase === 'closed' && !state.checkpointDue;
  if (!broken && !complete) {
    add(state.phase === 'aborted' && !state.checkpointDue
      ? refuse('RECORD-ABORTED', 'a ceremony carried to its end', 'an abort, recorded and signed', 'Read the reason and what was left behind. What was made may only be used if the record of a later ceremony takes it over.')
      : refuse('RECORD-OPEN', 'a closed and sealed record', `${lines.length} entries without an end`, 'It is unfinished, or it was cut short. Resume it or ask for the whole file.'), null);
  }
  for (const finding of trustFindings(state, options.trust)) add(finding, null);
  // Cut after sorting: claims are tested side by side, and which of them answers first must not decide what is told.
  findings.sort((a, b) => (a.seq ?? Infinity) - (b.seq ?? Infinity));
  findings.splice(MOST_FINDINGS);

  const verdict: Verdict = {
    verdict: broken || findings.some((finding) => finding.rule.startsWith('TRUST-')) ? 'refused' : complete ? 'valid' : state.phase === 'aborted' && !state.checkpointDue ? 'aborted' : 'open',
    pinned: options.trust !== undefined,
    ceremony: state.ceremony,
    title: state.plan?.title ?? '',
    mode: state.opening?.mode ?? null,
    entries: lines.length,
    checks: checklist(state, options, { malformed, ...counts, entries: lines.length, complete }),
    findings, remarks,
    signers: everySigner(state).map((signer) => ({ ...signer, words: fingerprintWords(sha256(utf8(`${signer.classical}.${signer.pq}`)), 6) })),
    reverified,
  };
  return { verdict, lines, state };
}

function remarkOn(entry: Entry): string | null {
  const data = entry.data as Record<string, unknown>;
  switch (entry.kind) {
    case 'disagreed': return `${entry.by ?? ''} does not agree: ${String(data['words'])}`;
    case 'exception': return `exception ${String(data['number'])}${entry.step === undefined ? '' : `, which ends the step ${entry.step}`}: expected ${String(data['expected'])}; happened: ${String(data['happened'])}; decided: ${String(data['decided'])}`;
    case 'failed': return `a failed attempt at ${entry.step ?? ''}: ${(data['error'] as { code: string }).code}`;
    case 'lost': return `the device process of ${String(data['module'])} was lost (DEVICE_PROCESS_LOST, ${String(data['how'])})`;
    case 'resumed': return `interrupted and resumed under a new recorder key: ${String(data['reason'])}`;
    case 'break': return `a break with ${String(data['present'])} people present`;
    case 'aborted': return `aborted: ${String(data['reason'])}`;
    case 'opened': {
      const warnings = data['warnings'] as string[];
      return warnings.length > 0 ? `the machine at the opening: ${warnings.join('; ')}` : null;
    }
    case 'begun': case 'done': case 'found': case 'decided': case 'cleared': case 'witnessed': case 'noted': case 'back': case 'checkpoint': case 'closed': return null;
  }
}

function trustFindings(state: State, trust: TrustFile | undefined): Refusal[] {
  if (!trust) return [];
  const findings: Refusal[] = [];
  for (const signer of everySigner(state)) {
    const known = trust.people.find((person) => person.classical === signer.classical && person.pq === signer.pq);
    if (!known) findings.push(refuse('TRUST-SIGNER', `keys that the trust file names, for ${signer.seat}`, `${signer.name} with other keys`, 'Compare the fingerprint words with this person by another way.'));
    else if (known.name !== signer.name) findings.push(refuse('TRUST-SIGNER', known.name, `${signer.name} with that person's keys`, NEXT));
  }
  const build = state.opening?.app.build ?? '';
  if (trust.build !== undefined && trust.build !== build) findings.push(refuse('TRUST-BUILD', trust.build, build, 'Find out which build of the app recorded this.'));
  if (trust.scripts && !trust.scripts.includes(state.script?.hash ?? '')) findings.push(refuse('TRUST-SCRIPT', 'a script that the trust file names', state.script?.hash ?? '', 'Review the script that was run.'));
  return findings;
}

interface Tally { malformed: number; chain: number; rules: number; claims: number; signatures: number; keys: number; entries: number; complete: boolean }

function checklist(state: State, options: VerifyOptions, tally: Tally): Check[] {
  const line = (name: string, bad: number, good: string, wrong: string): Check => ({ name, verdict: bad > 0 ? 'refused' : 'verified', detail: bad > 0 ? wrong : good });
  const sealed = state.seals.length;
  const acts = state.plan?.acts.length ?? 0;
  const checks = [
    line('The file', tally.malformed, `${tally.entries} entries, each in its one canonical spelling`, 'a line is no entry'),
    line('The chain', tally.chain, 'every line follows the one before it (SHA-512)', `${tally.chain} breaks`),
    line('The rules', tally.rules, 'every entry was allowed when it was made', `${tally.rules} entries break a rule`),
    line('The recorder', tally.signatures, 'every checkpoint is signed by the recorder key in force', `${tally.signatures} wrong signatures`),
    line('People, keys and certificate', tally.keys, `${tally.claims} signatures and proofs recomputed`, `${tally.keys} do not hold`),
    line('The end', tally.complete ? 0 : 1, `closed; ${sealed} of ${acts} acts sealed by everyone`, `${state.phase}; ${sealed} of ${acts} acts sealed`),
  ];
  const firstBad = checks.findIndex((check) => check.verdict === 'refused');
  const reached = checks.map((check, index): Check => firstBad >= 0 && firstBad < 2 && index > firstBad ? { ...check, verdict: 'not-reached', detail: 'not judged after the finding above' } : check);
  return [...reached, options.trust
    ? line('Trust', trustFindings(state, options.trust).length, 'the signers are those of the trust file', 'not those of the trust file')
    : { name: 'Trust', verdict: 'reported', detail: 'self-consistent, signers not pinned: compare every fingerprint with its owner' }];
}

/** SHA-256 of some bytes, hex: how files are named in reports. */
export function fileDigest(bytes: Uint8Array): string {
  return toHex(sha256(bytes));
}
