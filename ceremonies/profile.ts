/**
 * From a script's wish to a certificate or CRL: the one place that says what the key is asked to sign. Used by the conductor
 * before the token signs, and by the verdict afterwards. Never adds what neither script, file nor mode says.
 */
import { issuerOf, type State } from './ceremony.ts';
import { fromBase64url, fromHex, toBase64url } from './bytes.ts';
import type { Intent } from './evidence.ts';
import { inputDer } from './inputs.ts';
import type { CrlProfile } from './keys/crl.ts';
import type { CertificateProfile, SubjectName } from './keys/x509.ts';
import { Refused, refuse } from './refusal.ts';
import type { PlanStep } from './script.ts';

/** Marks every certificate of a rehearsal so that nobody can mistake it for a real one. */
export const REHEARSAL_UNIT = 'REHEARSAL - NOT FOR USE';

type Wish = Extract<PlanStep['do'], { action: 'issue-certificate' }>;
type CrlWish = Extract<PlanStep['do'], { action: 'sign-crl' }>;

/** What a certificate is to be made of, in the shape in which it is ordered from a device process: bytes as base64url. */
export type Order =
  | { readonly kind: 'root'; readonly subject: SubjectName }
  | { readonly kind: 'subordinate' | 'end-entity'; readonly request: string; readonly issuer: string }
  | { readonly kind: 'cross'; readonly certificate: string; readonly issuer: string };

export function certificateOrder(state: State, wish: Wish): Order {
  if (wish.subject) {
    const { 'common-name': commonName, organization, country } = wish.subject;
    return {
      kind: 'root',
      subject: {
        commonName,
        ...(organization !== undefined && { organization }),
        ...(state.opening?.mode === 'rehearsal' && { organizationalUnit: REHEARSAL_UNIT }),
        ...(country !== undefined && { country }),
      },
    };
  }
  const issuer = issuerOf(state);
  const input = wish.for === undefined ? undefined : state.opening?.inputs[wish.for];
  if (input?.kind === 'request') return { kind: 'subordinate', request: toBase64url(inputDer({ ...input, kind: 'request' })), issuer };
  if (input?.kind === 'stated-request') return { kind: 'end-entity', request: toBase64url(inputDer({ ...input, kind: 'stated-request' })), issuer };
  if (input?.kind === 'certificate') return { kind: 'cross', certificate: toBase64url(inputDer({ ...input, kind: 'certificate' })), issuer };
  throw new Refused(refuse('INPUTS-COMPLETE', 'a request or a certificate', wish.for ?? 'none', 'Choose the file that the script asks for.'));
}

export function certificateProfile(state: State, wish: Wish, intent: Intent<'issue-certificate'>): CertificateProfile {
  const key = keyOf(state);
  const order = certificateOrder(state, wish);
  return {
    serialNumber: fromHex(intent.serialNumber), notBefore: new Date(intent.notBefore), notAfter: new Date(intent.notAfter),
    pathLength: wish['path-length'] ?? null, algorithm: key.algorithm, issuerKey: fromBase64url(key.spki),
    order: order.kind === 'root' ? order
      : order.kind === 'cross' ? { kind: 'cross', certificate: fromBase64url(order.certificate), issuer: fromBase64url(order.issuer) }
      : { kind: order.kind, request: fromBase64url(order.request), issuer: fromBase64url(order.issuer) },
  };
}

export async function crlProfile(state: State, wish: CrlWish, intent: Intent<'sign-crl'>): Promise<CrlProfile> {
  const key = keyOf(state);
  const { carriedOver, parseRevocations } = await import('./keys/crl.ts');
  const before = await previousCrl(state, wish);
  return {
    algorithm: key.algorithm, issuerKey: fromBase64url(key.spki), issuer: fromBase64url(issuerOf(state)), number: BigInt(intent.number),
    thisUpdate: new Date(intent.thisUpdate), nextUpdate: new Date(intent.nextUpdate),
    revoked: carriedOver(before?.revoked ?? [], parseRevocations(fromBase64url(state.opening?.inputs[wish.revocations]?.bytes ?? ''))),
  };
}

/** The number that the next CRL has: one more than that of the CRL before, where one was brought. */
export async function crlNumber(state: State, wish: CrlWish): Promise<bigint> {
  const before = await previousCrl(state, wish);
  if (!before) return 1n;
  if (before.number === null) throw new Refused(refuse('CRL-NUMBER', 'a CRL with a number (RFC 5280 section 5.2.3)', 'one without', 'Bring the CRL that this CA issued last.'));
  return before.number + 1n;
}

/** The CRL before this one, DER as base64url; null where none was brought. */
export function previousCrlDer(state: State, wish: CrlWish): string | null {
  const input = wish.previous === undefined ? undefined : state.opening?.inputs[wish.previous];
  return input ? toBase64url(inputDer({ ...input, kind: 'crl' })) : null;
}

/** It is taken over into the next one, so it has to be this CA's own. */
async function previousCrl(state: State, wish: CrlWish) {
  const der = previousCrlDer(state, wish);
  if (der === null) return null;
  const { readCrl, verifyCrl } = await import('./keys/crl.ts');
  if (!await verifyCrl(fromBase64url(der), fromBase64url(keyOf(state).spki))) {
    throw new Refused(refuse('CRL-PREVIOUS', 'a CRL that this CA signed', 'one that its key does not verify', 'Bring the CRL that this CA issued last.'));
  }
  return readCrl(fromBase64url(der));
}

function keyOf(state: State) {
  if (!state.key) throw new Refused(refuse('KEY-BEFORE-USE', 'a key', 'none', 'Generate or open it first.'));
  return state.key;
}
