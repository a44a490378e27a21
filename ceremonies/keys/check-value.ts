/**
 * Check values (KCV) of AES keys and of their components: a few bytes by which people tell that they hold the right one.
 *
 * The method is always named, as two methods give two values. A check value is a public function of the key: it lets whoever guesses
 * a key test the guess, which for 128 bits helps nobody. It is not for what has little entropy, and ECB's is not for a key that makes CMACs
 * if there is a choice (its three bytes are bytes of what CMAC derives its subkeys from).
 */
import { cmac, ecb } from '@noble/ciphers/aes.js';
import { toHex } from '../bytes.ts';

export const CHECK_METHODS = ['cmac', 'ecb-zero'] as const;
export type CheckMethod = (typeof CHECK_METHODS)[number];

/** Ten digits at most (ANSI X9.24-1: five bytes of a CMAC), six at least; a record keeps three bytes. */
export const CHECK_DIGITS = { least: 6, most: 10 } as const;
const KEPT = 3;

/**
 * The whole block that a check value is the beginning of. `cmac`: AES-CMAC (NIST SP 800-38B) of sixteen zero bytes, as ANSI X9.24-1
 * has it. `ecb-zero`: sixteen zero bytes encrypted, as CKA_CHECK_VALUE is (PKCS#11 3.2 section 4.10.2). The caller wipes it.
 */
export function checkBlock(method: CheckMethod, key: Uint8Array): Uint8Array {
  const zeros = new Uint8Array(16);
  return method === 'cmac' ? cmac(zeros, key) : ecb(key, { disablePadding: true }).encrypt(zeros);
}

/** Six hexadecimal digits: what a record, a form and a screen have. */
export function checkValue(method: CheckMethod, key: Uint8Array): string {
  return toHex(checkBlock(method, key).slice(0, KEPT));
}

/** A check value as people write it: in groups, in either case. Null for what is none. */
export function checkDigits(written: string): string | null {
  const digits = written.replace(/[\s-]/g, '').toLowerCase();
  return /^[0-9a-f]+$/.test(digits) && digits.length >= CHECK_DIGITS.least && digits.length <= CHECK_DIGITS.most ? digits : null;
}
