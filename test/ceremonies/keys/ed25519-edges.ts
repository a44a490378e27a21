/** Ed25519 keys and signatures on which implementations are known to disagree (RFC 8032 leaves them open). Tests only. */

import { ed25519 } from '@noble/curves/ed25519.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { concat, fromHex } from '../../../ceremonies/bytes.ts';
import { publicKeyFromParts, type PublicKey } from '../../../ceremonies/keys/public-key.ts';

const { Point } = ed25519;
const L = Point.Fn.ORDER;

/** A point of order 8. */
const T8 = Point.fromBytes(fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'), true);

/** Under the identity as key, R = identity and S = 0 fit every message when small order is not refused. */
export const FORGED = { message: Uint8Array.of(1, 2, 3), signature: concat(Point.ZERO.toBytes(), new Uint8Array(32)) };

const key = (raw: Uint8Array): PublicKey => publicKeyFromParts('ed25519', { raw });

export function edgeKeys(): { readonly what: string; readonly key: PublicKey }[] {
  return [
    { what: 'identity', key: key(Point.ZERO.toBytes()) },
    { what: 'order 2', key: key(fromHex(`ec${'ff'.repeat(30)}7f`)) },
    { what: 'order 8', key: key(T8.toBytes()) },
    { what: 'mixed order', key: key(Point.BASE.multiply(5n).add(T8).toBytes()) },
    { what: 'identity, y + p', key: key(fromHex(`ee${'ff'.repeat(30)}7f`)) },
    { what: 'identity, sign bit of x = 0 set', key: key(fromHex(`01${'00'.repeat(30)}80`)) },
    { what: 'not on the curve', key: key(fromHex(`02${'00'.repeat(31)}`)) },
  ];
}

/** The same signature with S + L in place of S: refused since RFC 8032, accepted before. */
export function malleable(signature: Uint8Array): Uint8Array {
  const s = littleEndian(signature.subarray(32)) + L;
  return concat(signature.subarray(0, 32), bytesOf(s));
}

/**
 * A signature made with the private key whose R has a component of order 8: the equation holds with the cofactor and not
 * without. Only the signer can make one; two honest verifiers would then disagree about the record.
 */
export function cofactored(secret: Uint8Array, message: Uint8Array): Uint8Array {
  const { scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(secret);
  const r = 12345678901234567890n;
  const R = Point.BASE.multiply(r).add(T8).toBytes();
  const k = littleEndian(sha512(concat(R, pointBytes, message))) % L;
  return concat(R, bytesOf((r + k * (scalar % L)) % L));
}

function littleEndian(bytes: Uint8Array): bigint {
  return [...bytes].reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}
