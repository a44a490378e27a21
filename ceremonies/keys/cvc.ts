/**
 * Card-verifiable certificates (BSI TR-03110 part 3, annexes C and D), as the SmartCard-HSM and its kin carry them: read, and
 * their signatures checked. Profile: EC and RSA keys of terminal authentication with SHA-256 and longer.
 *
 * A key without domain parameters has those of its issuer; where parameters stand, they must be exactly those of a known
 * curve, every one of them, because a generator of somebody's own choice makes any signature fit. Nothing is written here.
 */
import { concat, equalBytes, fromUtf8, toHex } from '../bytes.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { CURVE_FACTS, type CurveName, type HashName } from './algorithms.ts';
import { cardParts, derFault, TAG, readOid, writeOid, writeUnsigned, writeDer, type Der } from './der.ts';
import { EC_PUBLIC_KEY, subjectKeyOf, type SubjectKey } from './subject-key.ts';
import { CURVES, HASHES, integer, RSA_ENCRYPTION, verifyHalf } from './traditional.ts';

const CERTIFICATE = 0x7f21;
const BODY = 0x7f4e;
const SIGNATURE = 0x5f37;
const PUBLIC_KEY = 0x7f49;
const REQUEST = 0x67;
const AUTHORITY = 0x42;
const HOLDER = 0x5f20;
const EFFECTIVE = 0x5f25;
const EXPIRATION = 0x5f24;
const NEXT = 'Read the file from the device again. Do not rely on it.';

export interface CardCertificate {
  /** Tag and length included. */
  readonly bytes: Uint8Array;
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
  /** Certification authority reference: who signed. */
  readonly issuer: string;
  readonly holder: string;
  readonly key: CardKey;
  /** Null in a request. */
  readonly notBefore: Date | null;
  readonly notAfter: Date | null;
}

export interface CardKey {
  readonly hash: HashName;
  readonly padding: 'pkcs1' | 'pss' | 'ecdsa';
  /** Null for RSA, and for a key whose parameters are its issuer's. */
  readonly curve: CurveName | null;
  /** The point, or n and e. */
  readonly point: Uint8Array | null;
  readonly rsa: { readonly n: Uint8Array; readonly e: Uint8Array } | null;
}

/** What a device says of a key that it made: the key's own request, and its device's signature over that. */
export interface CardAttestation {
  readonly request: CardCertificate;
  /** The device that signed it, by name. */
  readonly device: string;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

/** Certificates in a row, and attestations, as a file holds them. */
export function readCardFile(file: Uint8Array): { readonly certificates: CardCertificate[]; readonly attestations: CardAttestation[] } {
  const certificates: CardCertificate[] = [];
  const attestations: CardAttestation[] = [];
  for (const node of cardParts(file, 'cvc')) {
    if (node.tag === REQUEST) attestations.push(readAttestation(node));
    else certificates.push(readCard(expect(node, CERTIFICATE, 'cvc')));
  }
  return { certificates, attestations };
}

/** Is this a file of card-verifiable certificates, by its first tag? */
export function isCardFile(file: Uint8Array): boolean {
  return file[0] === REQUEST || (file[0] === 0x7f && file[1] === 0x21);
}

function expect(node: Der | undefined, tag: number, field: string): Der {
  if (node?.tag === tag) return node;
  throw derFault(field, `tag ${tag.toString(16)}`, node === undefined ? 'nothing' : `tag ${node.tag.toString(16)}`);
}

function readAttestation({ content }: Der): CardAttestation {
  const [request, device, signature, ...more] = cardParts(content, 'cvc.request');
  if (more.length > 0) throw derFault('cvc.request', 'three values', `${3 + more.length}`);
  const inner = readCard(expect(request, CERTIFICATE, 'cvc.request'));
  const outer = expect(device, AUTHORITY, 'cvc.request.authority');
  // Annex C.3: the outer signature is over the inner request and the outer reference, tags included.
  return { request: inner, device: reference(outer), signed: concat(inner.bytes, outer.bytes), signature: expect(signature, SIGNATURE, 'cvc.request').content };
}

function readCard({ bytes, content }: Der): CardCertificate {
  const [body, signature, ...more] = cardParts(content, 'cvc');
  if (more.length > 0) throw derFault('cvc', 'a body and a signature', `${2 + more.length} values`);
  const parts = cardParts(expect(body, BODY, 'cvc').content, 'cvc.body');
  const one = (tag: number): Der | undefined => {
    const found = parts.filter((part) => part.tag === tag);
    if (found.length > 1) throw derFault('cvc.body', 'each value once', `tag ${tag.toString(16)} twice`);
    return found[0];
  };
  return {
    bytes, body: body!.bytes, signature: expect(signature, SIGNATURE, 'cvc').content,
    issuer: reference(expect(one(AUTHORITY), AUTHORITY, 'cvc.body')), holder: reference(expect(one(HOLDER), HOLDER, 'cvc.body')),
    key: readKey(expect(one(PUBLIC_KEY), PUBLIC_KEY, 'cvc.body').content), notBefore: date(one(EFFECTIVE)), notAfter: date(one(EXPIRATION)),
  };
}

/** Annex D.2: country, mnemonic, sequence number; at most 16 characters. */
function reference({ content }: Der): string {
  const text = content.length > 16 ? '' : fromUtf8(content);
  if (!/^[A-Z]{2}[\x20-\x7e]{0,14}$/.test(text)) throw derFault('cvc reference', 'a country and at most 14 characters', 'another value');
  return text;
}

/** Six digits in as many octets, YYMMDD, of this century. */
function date(node: Der | undefined): Date | null {
  if (node === undefined) return null;
  const digits = [...node.content];
  const [year, month, day] = [0, 2, 4].map((i) => digits[i]! * 10 + digits[i + 1]!) as [number, number, number];
  const moment = new Date(Date.UTC(2000 + year, month - 1, day));
  if (digits.length !== 6 || digits.some((digit) => digit > 9) || moment.getUTCMonth() !== month - 1 || moment.getUTCDate() !== day) throw derFault('cvc date', 'YYMMDD', 'another value');
  return moment;
}

/** Annex A.6.4 (id-TA): the last arc names the hash. SHA-1 and SHA-224 are refused. */
const ALGORITHMS: ReadonlyMap<string, readonly [CardKey['padding'], HashName]> = new Map([
  ['0.4.0.127.0.7.2.2.2.1.2', ['pkcs1', 'SHA-256']], ['0.4.0.127.0.7.2.2.2.1.4', ['pss', 'SHA-256']], ['0.4.0.127.0.7.2.2.2.1.5', ['pkcs1', 'SHA-512']], ['0.4.0.127.0.7.2.2.2.1.6', ['pss', 'SHA-512']],
  ['0.4.0.127.0.7.2.2.2.2.3', ['ecdsa', 'SHA-256']], ['0.4.0.127.0.7.2.2.2.2.4', ['ecdsa', 'SHA-384']], ['0.4.0.127.0.7.2.2.2.2.5', ['ecdsa', 'SHA-512']],
]);

function readKey(content: Uint8Array): CardKey {
  const parts = cardParts(content, 'cvc.publicKey');
  const oid = readOid(parts[0], 'cvc.publicKey');
  const algorithm = ALGORITHMS.get(oid);
  if (algorithm === undefined) throw new Refused(refuse('CVC-ALGORITHM', 'RSA or ECDSA of terminal authentication, with SHA-256 or longer', oid, NEXT));
  const [padding, hash] = algorithm;
  const value = (tag: number): Uint8Array | undefined => parts.find((part) => part.tag === tag)?.content;
  if (padding !== 'ecdsa') {
    const [n, e] = [value(0x81), value(0x82)];
    if (n === undefined || e === undefined) throw derFault('cvc.publicKey', 'a modulus and an exponent', 'another value');
    return { padding, hash, curve: null, point: null, rsa: { n, e } };
  }
  const point = value(0x86);
  if (point === undefined) throw derFault('cvc.publicKey', 'a point', 'nothing');
  const parameters = [0x81, 0x82, 0x83, 0x84, 0x85].map(value);
  return { padding, hash, point, rsa: null, curve: parameters.every((one) => one === undefined) ? null : curveOf(parameters) };
}

/** Tags 81 to 85: p, a, b, the generator as an uncompressed point, its order. */
function curveOf(parameters: readonly (Uint8Array | undefined)[]): CurveName {
  const [p, a, b, generator, order] = parameters.map((one) => one ?? new Uint8Array());
  for (const name of Object.keys(CURVE_FACTS) as CurveName[]) {
    const facts = CURVES[name].Point.CURVE();
    const same = [[p, facts.p], [a, facts.a], [b, facts.b], [order, facts.n]].every(([bytes, number]) => integer(bytes as Uint8Array) === number);
    if (same && equalBytes(generator!, CURVES[name].Point.BASE.toBytes(false))) return name;
  }
  throw new Refused(refuse('CVC-CURVE', `the parameters of ${Object.keys(CURVE_FACTS).join(', ')}`, 'others', NEXT));
}

/** The key with the curve it was given or inherits. Throws `Refused` CVC-CURVE, or what `readSubjectKey` refuses. */
export function cardSubjectKey({ curve, point, rsa }: CardKey, inherited: CurveName | null): SubjectKey {
  if (rsa !== null) return subjectKeyOf(RSA_ENCRYPTION, Uint8Array.of(TAG.null, 0), writeDer(TAG.sequence, writeUnsigned(rsa.n), writeUnsigned(rsa.e)));
  const own = curve ?? inherited;
  if (own === null || point === null) throw new Refused(refuse('CVC-CURVE', 'domain parameters, here or in an issuer', 'none', NEXT));
  return subjectKeyOf(EC_PUBLIC_KEY, writeOid(CURVE_FACTS[own].oid), point);
}

/** Null when the signature fits: ECDSA as r and s side by side (annex A.6.4.1). */
export async function cardSignatureFault(signer: CardKey, key: SubjectKey, message: Uint8Array, signature: Uint8Array, of: string): Promise<Refusal | null> {
  let fits = false;
  if (key.kind === 'ecdsa' && signer.padding === 'ecdsa') {
    try {
      fits = CURVES[key.curve].verify(signature, HASHES[signer.hash](message), key.raw, { prehash: false, lowS: false, format: 'compact' });
    } catch {
      fits = false; // the library throws for lengths that no signature has
    }
  } else if (key.kind === 'rsa' && signer.padding !== 'ecdsa') {
    fits = await verifyHalf({ kind: 'rsa', modulusBits: key.modulusBits, padding: signer.padding, hash: signer.hash }, key.raw, message, signature);
  }
  return fits ? null : refuse('ATTEST-SIGNATURE', `${of}: a signature that fits`, `one that does not fit the key ${toHex(key.spki).slice(-16)}`, NEXT);
}

/** When it held, where it says so. */
export function cardDateFault({ holder, notBefore, notAfter }: CardCertificate, at: Date): Refusal | null {
  // The last day counts to its end.
  const over = notAfter === null ? Infinity : notAfter.getTime() + 86_400_000;
  if ((notBefore?.getTime() ?? -Infinity) <= at.getTime() && at.getTime() < over) return null;
  return refuse('ATTEST-DATES', `${holder}: valid at ${at.toISOString()}`, `${notBefore?.toISOString() ?? ''} to ${notAfter?.toISOString() ?? ''}`, NEXT);
}
