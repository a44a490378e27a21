/**
 * A share on its way from one device process to another: the backup key lives in the process of the token, the cards may
 * hang on another module, and what carries messages between the two must have no share in clear, in memory or in a log.
 *
 *   X-Wing secret (kem.ts) -> HKDF-SHA-256 (RFC 5869, no salt) -> AES-256-GCM key and nonce; sealed = ciphertext of the KEM,
 *   then the encoded share under GCM. Protocol, set and number of the share are authenticated with it.
 *
 * Key and nonce are used once, because every sealing encapsulates anew. The receiver's key serves one request and is wiped.
 * What was meant for another set, share or process is refused as SHARE-TRANSPORT, and so is every changed bit.
 *
 * What it does not do: the sender takes the receiver's key on the word of the process between them. A conductor that is not
 * ours could name a key of its own; who can replace that process has the machine.
 */
import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concat, utf8 } from '../../ceremonies/bytes.ts';
import { X_WING } from '../../ceremonies/keys/algorithms.ts';
import { decapsulate, encapsulate, encapsulationRandomness, kemPublicFromPrivate } from '../../ceremonies/keys/kem.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { lend, Secret, secretBytes, takeBytes } from './secret.ts';

/** Which share it is; authenticated, not sent. */
export interface ShareName {
  /** Name of the set, base64url. */
  readonly set: string;
  readonly x: number;
}

const PROTOCOL = 'conclave-share-transport/1';
const KEY = 32;
const NONCE = 12; // SP 800-38D section 8.2
const TAG = 16;

/** The receiving end: a fresh X-Wing key that is wiped with its first use. */
export class TransportKey {
  /** Raw X-Wing encapsulation key, 1216 bytes. */
  readonly publicKey: Uint8Array;
  readonly #seed: Secret;

  constructor() {
    this.#seed = new Secret(randomFillSync(secretBytes(X_WING.sizes.privateKey)));
    this.publicKey = kemPublicFromPrivate(X_WING, this.#seed.bytes);
  }

  /** Opens all that one request brings, in order; afterwards the key is gone, whatever happened. The caller wipes what it gets. */
  async openAll(sealed: readonly { readonly name: ShareName; readonly bytes: Uint8Array }[]): Promise<Uint8Array[]> {
    const opened: Uint8Array[] = [];
    try {
      for (const { name, bytes } of sealed) opened.push(await open(this.#seed, name, bytes));
      return opened;
    } catch (thrown) {
      for (const bytes of opened) bytes.fill(0);
      throw thrown;
    } finally {
      this.wipe();
    }
  }

  wipe(): void {
    this.#seed.wipe();
  }
}

/**
 * Seals an encoded share (borrowed) to a transport key of another process. Throws `Refused` KEM-PUBLIC-KEY, KEM-MODULUS or
 * KEY-ENCODING for what is no such key.
 */
export async function sealShare(to: Uint8Array, name: ShareName, share: Uint8Array): Promise<Uint8Array> {
  return lend(randomFillSync(secretBytes(encapsulationRandomness(X_WING))), async (randomness) => {
    const { ciphertext, sharedSecret } = encapsulate(X_WING, to, randomness);
    return lend(keyAndNonce(sharedSecret), (derived) => {
      const cipher = createCipheriv('aes-256-gcm', derived.subarray(0, KEY), derived.subarray(KEY)).setAAD(about(name));
      return concat(ciphertext, Uint8Array.from(cipher.update(share)), Uint8Array.from(cipher.final()), Uint8Array.from(cipher.getAuthTag()));
    });
  });
}

async function open(seed: Secret, name: ShareName, sealed: Uint8Array): Promise<Uint8Array> {
  const at = X_WING.sizes.ciphertext;
  try {
    const sharedSecret = await decapsulate(X_WING, seed.bytes, sealed.slice(0, at));
    return await lend(keyAndNonce(sharedSecret), (derived) => {
      const decipher = createDecipheriv('aes-256-gcm', derived.subarray(0, KEY), derived.subarray(KEY), { authTagLength: TAG });
      decipher.setAAD(about(name)).setAuthTag(sealed.subarray(Math.max(at, sealed.length - TAG)));
      const share = takeBytes(decipher.update(sealed.subarray(at, -TAG)));
      try {
        decipher.final();
        return share;
      } catch (thrown) {
        share.fill(0);
        throw thrown;
      }
    });
  } catch {
    // One answer for everything that can be wrong: which part did not fit is nobody's business outside.
    throw new Refused(refuse(
      'SHARE-TRANSPORT', `share ${name.x} of set ${name.set}, sealed for this process`, 'something else, or changed bytes',
      'Have the share handed over anew; if it happens again, stop and tell the auditor.',
    ));
  }
}

/** Takes over the KEM's secret and wipes it. The caller wipes the result. */
function keyAndNonce(sharedSecret: Uint8Array): Uint8Array {
  const derived = takeBytes(hkdf(sha256, sharedSecret, undefined, utf8(PROTOCOL), KEY + NONCE));
  sharedSecret.fill(0);
  return derived;
}

function about({ set, x }: ShareName): Uint8Array {
  return utf8(`${PROTOCOL}\n${set}\n${x}\n`);
}
