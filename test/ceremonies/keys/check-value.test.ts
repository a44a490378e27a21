/** Check values of AES keys against published vectors, and as people write them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '../../../ceremonies/bytes.ts';
import { checkBlock, checkDigits, checkValue } from '../../../ceremonies/keys/check-value.ts';

/**
 * NIST SP 800-38B appendix D (and RFC 4493 section 4): AES-128, -192, -256; L = E_K(0), which is the whole block of `ecb-zero`. The last row: NIST
 * CAVP AESAVS, all-zero key, `E_K(0)` of GCM's H (McGrew and Viega, test cases 1, 7 and 13).
 */
const ZEROS: readonly { readonly key: string; readonly block: string }[] = [
  { key: '2b7e151628aed2a6abf7158809cf4f3c', block: '7df76b0c1ab899b33e42f047b91b546f' },
  { key: '8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b', block: '22452d8e49a8a5939f7321ceea6d514b' },
  { key: '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4', block: 'e568f68194cf76d6174d4cc04310a854' },
  { key: '00'.repeat(16), block: '66e94bd4ef8a2c3b884cfa59ca342b2e' },
  { key: '00'.repeat(24), block: 'aae06992acbf52a3e8f4a96ec9300bd7' },
  { key: '00'.repeat(32), block: 'dc95c078a2408989ad48a21492842087' },
];
for (const { key, block } of ZEROS) {
  test(`ecb-zero of ${key.slice(0, 8)}…, ${key.length * 4} bits: ${block.slice(0, 6)}`, () => {
    assert.equal(toHex(checkBlock('ecb-zero', fromHex(key))), block);
    assert.equal(checkValue('ecb-zero', fromHex(key)), block.slice(0, 6));
  });
}

/** K1 of SP 800-38B appendix D: of one block of zeros, CMAC is E_K(K1). Decrypted again, the value must give the published K1. */
const SUBKEYS: readonly { readonly key: string; readonly k1: string }[] = [
  { key: '2b7e151628aed2a6abf7158809cf4f3c', k1: 'fbeed618357133667c85e08f7236a8de' },
  { key: '8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b', k1: '448a5b1c93514b273ee6439dd4daa296' },
  { key: '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4', k1: 'cad1ed03299eedac2e9a99808621502f' },
];
for (const { key, k1 } of SUBKEYS) {
  test(`cmac of ${key.slice(0, 8)}…, ${key.length * 4} bits: the published subkey, encrypted`, async () => {
    const { createDecipheriv } = await import('node:crypto');
    const cipher = createDecipheriv(`aes-${key.length * 4}-ecb`, fromHex(key), null).setAutoPadding(false);
    assert.equal(toHex(Uint8Array.from(Buffer.concat([cipher.update(checkBlock('cmac', fromHex(key))), cipher.final()]))), k1);
    assert.equal(checkValue('cmac', fromHex(key)), toHex(checkBlock('cmac', fromHex(key))).slice(0, 6));
  });
}

const WRITTEN: readonly (readonly [string, string | null])[] = [
  ['A1B2C3', 'a1b2c3'], ['a1 b2 c3', 'a1b2c3'], ['A1B2-C3D4', 'a1b2c3d4'], ['a1b2c3d4e5', 'a1b2c3d4e5'],
  ['a1b2c', null], ['a1b2c3d4e5f', null], ['a1b2cg', null], ['', null], ['none', null],
];
for (const [written, digits] of WRITTEN) test(`"${written}" is ${digits ?? 'no check value'}`, () => assert.equal(checkDigits(written), digits));
