/**
 * Programs from outside the project that tests measure it against; build/foreign.mjs prepares them. A test that needs one
 * fails where it is missing, with what to do: it is never skipped.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { OPENSSL, PQ_TOKEN } from '../build/foreign.mjs';

function prepared(path: string): string {
  assert.ok(existsSync(path), `${path} is missing. Run: node build/setup.mjs --for-tests`);
  return path;
}

/** An `openssl` of 3.5 or later, which knows ML-DSA, SLH-DSA and ML-KEM; called like the system's own. */
export function witnessOpenssl(): string {
  return prepared(OPENSSL);
}

/** The PKCS#11 3.2 module of NSS; test/electron/devices/nss-token.ts makes tokens for it. */
export function nssModule(): string {
  return prepared(PQ_TOKEN);
}
