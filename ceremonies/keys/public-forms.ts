/**
 * A public key in the forms in which other programs want it: JWK and OpenSSH. (PEM and DER are its SubjectPublicKeyInfo as it is.)
 *
 * For handing out only: what this house itself compares and signs with goes through public-key.ts. A form that no standard
 * gives a key is refused by name, never invented. Nothing private ever comes here.
 */
import { concat, toBase64url, utf8 } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';
import { ALGORITHMS, CURVE_FACTS } from './algorithms.ts';
import { pem } from './signed.ts';
import type { SubjectKey } from './subject-key.ts';
import { readRsaPublicKey } from './traditional.ts';

/** The public members and no others: RFC 7518 section 6 (RSA, EC), RFC 8037 section 2 (OKP), RFC 9964 section 3 (AKP). */
export type PublicForm = Readonly<Record<string, string>>;

const NIST_CURVES: ReadonlyMap<string, string> = new Map([['P-256', 'nistp256'], ['P-384', 'nistp384'], ['P-521', 'nistp521']]);

function noForm(form: string, standard: string, key: SubjectKey): Refused {
  return new Refused(refuse('KEY-FORM', `a key that ${form} has a form for (${standard})`, key.label, 'Hand it out as PEM or DER: every key has those.'));
}

/** Throws `Refused` KEY-FORM. */
export function jwkOf(key: SubjectKey): PublicForm {
  switch (key.kind) {
    case 'rsa': {
      const { n, e } = readRsaPublicKey(key.raw, 'RSA publicKey');
      return { kty: 'RSA', n: toBase64url(n), e: toBase64url(e) };
    }
    case 'ecdsa': {
      if (!NIST_CURVES.has(key.curve)) break;
      const { fieldBytes } = CURVE_FACTS[key.curve];
      return { kty: 'EC', crv: key.curve, x: toBase64url(key.raw.subarray(1, 1 + fieldBytes)), y: toBase64url(key.raw.subarray(1 + fieldBytes)) };
    }
    case 'eddsa': case 'xdh': return { kty: 'OKP', crv: key.curve, x: toBase64url(key.raw) };
    case 'ml-dsa': return { kty: 'AKP', alg: ALGORITHMS[key.name].jose.alg, pub: toBase64url(key.raw) };
    case 'slh-dsa': case 'kem': case 'composite': case 'hss': case 'xmss': break;
  }
  throw noForm('JOSE', 'RFC 7518, 8037, 9964', key);
}

/** One line of authorized_keys, without a comment. Throws `Refused` KEY-FORM. */
export function openSshOf(key: SubjectKey): string {
  const [name, ...fields] = openSshFields(key);
  const blob = concat(...[utf8(name), ...fields].map(string));
  return `${name} ${btoa(String.fromCharCode(...blob))}`;
}

function openSshFields(key: SubjectKey): [string, ...Uint8Array[]] {
  switch (key.kind) {
    case 'rsa': { // RFC 4253 section 6.6; the name stays with the signatures of RFC 8332
      const { n, e } = readRsaPublicKey(key.raw, 'RSA publicKey');
      return ['ssh-rsa', mpint(e), mpint(n)];
    }
    case 'ecdsa': { // RFC 5656 section 3.1
      const curve = NIST_CURVES.get(key.curve);
      if (curve !== undefined) return [`ecdsa-sha2-${curve}`, utf8(curve), key.raw];
      break;
    }
    case 'eddsa': // RFC 8709 section 4; it names Ed448 too, which OpenSSH does not have
      if (key.curve === 'Ed25519') return ['ssh-ed25519', key.raw];
      break;
    case 'xdh': case 'ml-dsa': case 'slh-dsa': case 'kem': case 'composite': case 'hss': case 'xmss': break;
  }
  throw noForm('OpenSSH', 'RFC 4253, 5656, 8709', key);
}

/** RFC 4251 section 5: the length in four octets, then the octets. */
function string(bytes: Uint8Array): Uint8Array {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concat(length, bytes);
}

/** RFC 4251 section 5: positive, so that a set top bit has a zero octet before it. */
function mpint(bytes: Uint8Array): Uint8Array {
  return bytes[0]! > 127 ? concat(Uint8Array.of(0), bytes) : bytes;
}

export const TEXT_FORMS = ['pem', 'jwk', 'openssh'] as const;
export type TextForm = (typeof TEXT_FORMS)[number];

/** A public key as a text of this form, which ends with a newline. Throws `Refused` KEY-FORM where the form knows no such key. */
export function inForm(key: SubjectKey, form: TextForm): string {
  switch (form) {
    case 'pem': return pem('PUBLIC KEY', key.spki);
    case 'jwk': return `${JSON.stringify(jwkOf(key))}\n`;
    case 'openssh': return `${openSshOf(key)}\n`;
  }
}
