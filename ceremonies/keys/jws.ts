/**
 * Seals: RFC 7515 JWS in its General JSON form, two signatures per signer, valid only if everybody signed.
 *
 * JOSE libraries call such an object valid as soon as ANY one signature fits. Here it is valid only if every required key
 * signed exactly once and no other key did. Each signature still verifies by itself with any JOSE library, or with
 * openssl over the bytes of `signingInput`.
 *
 * Stricter than the RFC wherever it leaves room: no unprotected headers, exactly the known members, canonical JSON and
 * canonical base64url, so that one seal has one spelling. Nothing here signs or draws random numbers.
 */

import canonicalize from 'canonicalize';
import { fromBase64url, fromUtf8, toBase64url, utf8 } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { ALGORITHMS } from './algorithms.ts';
import { thumbprint, type PublicKey } from './public-key.ts';
import { verifySignature } from './signatures.ts';

/** RFC 7515 section 4.1.9, RFC 8725 section 3.11: says what these signatures are for, inside what is signed. */
export const SEAL_TYPE = 'conclave-statement+json';

/** The whole protected header. */
export interface SealHeader {
  /** JOSE algorithm: ES256, ES384, ES512, Ed25519, ML-DSA-65, ML-DSA-87. */
  readonly alg: string;
  /** RFC 7638 thumbprint of the key that signs. */
  readonly kid: string;
  /** Seat of the person who signs, as the statement lists it. */
  readonly signer: string;
  /** Thumbprint of the same person's other key, so that neither half can be shown without the other. */
  readonly pair: string;
}

/** RFC 7515 section 7.2.1 General JSON, without the members that this project does not allow. All three are base64url. */
export interface GeneralJws {
  readonly payload: string;
  readonly signatures: readonly { readonly protected: string; readonly signature: string }[];
}

/** Who has to have signed: a seat, with both its keys. */
export interface RequiredSigner {
  readonly signer: string;
  readonly classical: PublicKey;
  readonly pq: PublicKey;
}

const LIMIT = 1000; // characters of a protected header; ours have about 250
const ALG = /^[A-Za-z0-9-]{1,20}$/;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;
const SEAT = /^[a-z][a-z0-9-]{0,39}$/;

/** base64url of the canonical JSON of a header: the first half of what is signed, and the `protected` member. */
export function protectedHeader(header: SealHeader): string {
  const { alg, kid, pair, signer } = header;
  return toBase64url(utf8(canonical({ alg, kid, pair, signer, typ: SEAL_TYPE })));
}

/** RFC 7515 section 5.1 step 8: ASCII(BASE64URL(protected) "." BASE64URL(payload)). Both arguments already base64url. */
export function signingInput(header: string, payload: string): Uint8Array {
  return utf8(`${header}.${payload}`);
}

/** The two protected headers of one signer, classical first. */
export function headersOf(required: RequiredSigner): readonly [string, string] {
  const classical = thumbprint(required.classical);
  const pq = thumbprint(required.pq);
  const alg = (key: PublicKey): string => ALGORITHMS[key.algorithm].jose.alg;
  return [
    protectedHeader({ alg: alg(required.classical), kid: classical, signer: required.signer, pair: pq }),
    protectedHeader({ alg: alg(required.pq), kid: pq, signer: required.signer, pair: classical }),
  ];
}

/** Canonical JSON of a General JSON object; signatures keep the order in which they are given. */
export function writeGeneral(jws: GeneralJws): string {
  const { payload, signatures } = jws;
  return canonical({ payload, signatures: signatures.map((one) => ({ protected: one.protected, signature: one.signature })) });
}

/**
 * Reads a General JSON object from canonical JSON, or takes the value that a reader which refuses duplicate members made
 * of it. Throws `Refused` SEAL-FORM on anything but the exact members in their one spelling, and SEAL-HEADER on a
 * protected header that is not of our shape.
 */
export function parseGeneral(json: string | object): GeneralJws {
  const general = membersOf(typeof json === 'string' ? parseCanonical(json, 'SEAL-FORM') : json, ['payload', 'signatures'], 'SEAL-FORM');
  const payload = base64urlText(general['payload'], 'payload');
  const list = general['signatures'];
  if (!Array.isArray(list) || list.length === 0) throw bad('SEAL-FORM', 'a list of signatures', 'none');
  const signatures = list.map((item: unknown) => {
    const one = membersOf(item, ['protected', 'signature'], 'SEAL-FORM');
    const header = base64urlText(one['protected'], 'protected');
    parseHeader(header);
    return { protected: header, signature: base64urlText(one['signature'], 'signature') };
  });
  return { payload, signatures };
}

/** Reads one protected header. Throws `Refused` SEAL-HEADER unless it is the canonical JSON of exactly our members. */
export function parseHeader(encoded: string): SealHeader {
  if (encoded.length > LIMIT) throw bad('SEAL-HEADER', `a header of at most ${LIMIT} characters`, `${encoded.length}`);
  const header = membersOf(parseCanonical(headerText(encoded), 'SEAL-HEADER'), ['alg', 'kid', 'pair', 'signer', 'typ'], 'SEAL-HEADER');
  // The shapes matter because refusals quote these texts on screens and in minutes.
  const text = (name: string, shape: RegExp): string => {
    const value = header[name];
    if (typeof value !== 'string' || !shape.test(value)) throw bad('SEAL-HEADER', `"${name}" like ${shape.source}`, 'something else');
    return value;
  };
  if (header['typ'] !== SEAL_TYPE) throw bad('SEAL-HEADER', `typ ${SEAL_TYPE}`, 'another type of signature');
  return { alg: text('alg', ALG), kid: text('kid', THUMBPRINT), signer: text('signer', SEAT), pair: text('pair', THUMBPRINT) };
}

function headerText(encoded: string): string {
  try {
    return fromUtf8(fromBase64url(encoded));
  } catch {
    throw bad('SEAL-HEADER', 'UTF-8 text in base64url', 'something else');
  }
}

/**
 * Everything that is wrong with a seal, empty when it is valid: every required key signed the payload exactly once, in the
 * name of its own seat and paired with its own other key, and no other key signed.
 *
 * SEAL-FORM (it is no such object) · SEAL-SIGNERS (the list of required signers itself is empty, or lets one key stand for two) · SEAL-SIGNATURE-MISSING ·
 * SEAL-SIGNATURE-DOUBLED · SEAL-SIGNATURE-FOREIGN · SEAL-HEADER · SEAL-SIGNATURE-INVALID.
 *
 * `required` must come from what the record agreed on before, never from the seal; what the payload SAYS is the caller's
 * to check. All signatures are verified, also after the first bad one, so the verdict names everybody concerned.
 */
export async function verifyAll(jws: GeneralJws, required: readonly RequiredSigner[]): Promise<Refusal[]> {
  const findings: Refusal[] = [];
  let seal: GeneralJws;
  try {
    seal = parseGeneral(jws);
  } catch (error) {
    if (error instanceof Refused) return [error.refusal];
    throw error;
  }
  const slots = new Map<string, { readonly key: PublicKey; readonly expected: string; readonly whose: string }>();
  if (required.length === 0) findings.push(refuse('SEAL-SIGNERS', 'at least one signer', 'none', STOP));
  const seats = new Set<string>();
  for (const one of required) {
    if (seats.has(one.signer)) findings.push(refuse('SEAL-SIGNERS', 'every signer once', `${one.signer} twice`, STOP));
    seats.add(one.signer);
    if (ALGORITHMS[one.pq.algorithm].family !== 'ml-dsa' || ALGORITHMS[one.classical.algorithm].family === 'ml-dsa') {
      findings.push(refuse('SEAL-SIGNERS', 'a classical and an ML-DSA key', `another pair for ${one.signer}`, STOP));
    }
    const [classical, pq] = headersOf(one);
    for (const [key, expected, whose] of [
      [one.classical, classical, `${one.signer}, ${ALGORITHMS[one.classical.algorithm].label}`],
      [one.pq, pq, `${one.signer}, ${ALGORITHMS[one.pq.algorithm].label}`],
    ] as const) {
      const kid = thumbprint(key);
      const other = slots.get(kid);
      // One signature must never count for two people.
      if (other) findings.push(refuse('SEAL-SIGNERS', 'every key once', `one key for ${other.whose} and for ${whose}`, STOP));
      slots.set(kid, { key, expected, whose });
    }
  }

  const signed = new Set<string>();
  const verdicts: Promise<Refusal | null>[] = [];
  for (const one of seal.signatures) {
    const { kid } = parseHeader(one.protected);
    const slot = slots.get(kid);
    if (slot === undefined) {
      findings.push(refuse('SEAL-SIGNATURE-FOREIGN', 'signatures by the listed keys only', `one by key ${kid}`, STOP));
      continue;
    }
    if (signed.has(kid)) {
      findings.push(refuse('SEAL-SIGNATURE-DOUBLED', `one signature by ${slot.whose}`, 'a second one', STOP));
      continue;
    }
    signed.add(kid);
    // Text against text: the header is canonical, so equal headers have equal spellings.
    if (one.protected !== slot.expected) {
      findings.push(refuse('SEAL-HEADER', `the header of ${slot.whose}`, 'another algorithm, signer or pair under that key', STOP));
      continue;
    }
    verdicts.push(
      verifySignature(slot.key, signingInput(one.protected, seal.payload), fromBase64url(one.signature)).then((valid) =>
        valid ? null : refuse('SEAL-SIGNATURE-INVALID', `a valid signature by ${slot.whose}`, 'one that does not fit', STOP),
      ),
    );
  }
  for (const [kid, slot] of slots) {
    if (!signed.has(kid)) findings.push(refuse('SEAL-SIGNATURE-MISSING', `a signature by ${slot.whose}`, 'none', 'Ask for the missing signature; without it nothing is sealed.'));
  }
  for (const verdict of await Promise.all(verdicts)) if (verdict !== null) findings.push(verdict);
  return findings;
}

const STOP = 'Do not rely on this seal. Compare the record with another copy.';

function canonical(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw bad('SEAL-FORM', 'a JSON value', 'none');
  return text;
}

/** Canonical JSON only (RFC 8785): duplicate members, blanks and other orders do not survive the comparison. */
function parseCanonical(text: string, rule: string): unknown {
  let value: unknown;
  let again: string | undefined;
  try {
    value = JSON.parse(text);
    again = canonicalize(value);
  } catch {
    throw bad(rule, 'canonical JSON', 'text that does not parse');
  }
  if (again !== text) throw bad(rule, 'canonical JSON (RFC 8785)', 'another spelling of it');
  return value;
}

function membersOf(value: unknown, names: readonly string[], rule: string): Readonly<Record<string, unknown>> {
  const wanted = `an object with exactly ${names.join(', ')}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(rule, wanted, 'something else');
  const found = Object.keys(value);
  if (found.length !== names.length || !names.every((name) => Object.hasOwn(value, name))) {
    throw bad(rule, wanted, `${found.length} members, not all of them these`);
  }
  return value as Readonly<Record<string, unknown>>;
}

function base64urlText(value: unknown, name: string): string {
  if (typeof value !== 'string' || value === '') throw bad('SEAL-FORM', `base64url in "${name}"`, 'none');
  try {
    fromBase64url(value);
  } catch {
    throw bad('SEAL-FORM', `canonical base64url in "${name}"`, 'another spelling');
  }
  return value;
}

function bad(rule: string, expected: string, found: string): Refused {
  return new Refused(refuse(rule, expected, found, STOP));
}
