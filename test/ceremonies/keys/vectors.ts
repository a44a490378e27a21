/** Reads test/vectors for the tests. Nothing outside test/ may import this. */
import { readFileSync } from 'node:fs';

export function vectorFile(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../../vectors/${path}`, import.meta.url)));
}

export function vectorJson(path: string): unknown {
  return JSON.parse(new TextDecoder().decode(vectorFile(path)));
}

export function base64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** The DER inside a PEM file. */
export function pemFile(path: string): Uint8Array {
  return base64(new TextDecoder().decode(vectorFile(path)).replace(/-----[^-]+-----/g, ''));
}

export interface SignatureVector { readonly tcId: string; readonly pk: string; readonly x5c: string; readonly sk: string; readonly sk_pkcs8: string; readonly s: string; readonly sWithContext: string }
/** All 21: three of pure ML-DSA, eighteen composites. */
export function signatureVectors(): { readonly m: Uint8Array; readonly ctx: Uint8Array; readonly tests: readonly SignatureVector[] } {
  const files = ['mldsa44', 'mldsa65-a', 'mldsa65-b', 'mldsa87'].map((part) => vectorJson(`composite-sigs/testvectors-${part}.json`) as { m: string; ctx: string; tests: SignatureVector[] });
  return { m: base64(files[0]!.m), ctx: base64(files[0]!.ctx), tests: files.flatMap((file) => file.tests) };
}

export interface KemVector { readonly tcId: string; readonly ek: string; readonly x5c: string; readonly dk: string; readonly dk_pkcs8: string; readonly c: string; readonly k: string }
/** All 14: two of pure ML-KEM, twelve composites, and the CA that signed their certificates. */
export function kemVectors(): { readonly cacert: Uint8Array; readonly tests: readonly KemVector[] } {
  const files = ['mlkem768', 'mlkem1024'].map((part) => vectorJson(`composite-kem/testvectors-${part}.json`) as { cacert: string; tests: KemVector[] });
  return { cacert: base64(files[0]!.cacert), tests: files.flatMap((file) => file.tests) };
}
