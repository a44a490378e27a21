import assert from 'node:assert/strict';
import test from 'node:test';
import { fromHex, toHex } from '../../../ceremonies/bytes.ts';
import { ML_KEMS } from '../../../ceremonies/keys/algorithms.ts';
import { decapsulate, kemPublicFromPrivate } from '../../../ceremonies/keys/kem.ts';
import { keyFindings, readSubjectKey, signatureFindings, type SubjectKey } from '../../../ceremonies/keys/subject-key.ts';
import { Refused } from '../../../ceremonies/refusal.ts';
import { vectorJson } from './vectors.ts';

interface Case { readonly tcId: number; readonly flags: readonly string[]; readonly result: 'valid' | 'invalid' }
interface SignatureGroup { readonly publicKeyDer: string | null; readonly tests: readonly (Case & { msg: string; sig: string; ctx?: string })[] }
interface KemGroup { readonly tests: readonly (Case & { seed: string; ek: string; c: string; K: string })[] }

for (const name of ['65', '87']) {
  test(`Wycheproof ML-DSA-${name} verify`, async () => {
    const { testGroups } = vectorJson(`wycheproof/mldsa_${name}_verify_test.json`) as { testGroups: SignatureGroup[] };
    let seen = 0;
    for (const group of testGroups) {
      let key: SubjectKey | null = null;
      try {
        key = readSubjectKey(fromHex(group.publicKeyDer ?? ''));
      } catch (error) {
        assert.ok(error instanceof Refused);
      }
      for (const one of group.tests) {
        seen++;
        const valid = key !== null && (await signatureFindings(key, null, fromHex(one.msg), fromHex(one.sig), fromHex(one.ctx ?? ''))).length === 0;
        assert.equal(valid, one.result === 'valid', `case ${one.tcId}: ${one.flags.join(', ')}`);
        if (one.flags.includes('ZeroPublicKey') && key !== null) assert.deepEqual(keyFindings(key).map((finding) => finding.rule), ['WEAK-ZERO-KEY']);
      }
    }
    assert.ok(seen >= 12);
  });
}

test('Wycheproof ML-KEM-768', async () => {
  const { testGroups } = vectorJson('wycheproof/mlkem_768_test.json') as { testGroups: KemGroup[] };
  const row = ML_KEMS['ml-kem-768'];
  for (const one of testGroups.flatMap((group) => group.tests)) {
    if (one.result === 'valid') {
      assert.equal(toHex(kemPublicFromPrivate(row, fromHex(one.seed))), one.ek);
      assert.equal(toHex(await decapsulate(row, fromHex(one.seed), fromHex(one.c))), one.K, `case ${one.tcId}`);
    } else await assert.rejects(decapsulate(row, fromHex(one.seed), fromHex(one.c)), (error) => error instanceof Refused, `case ${one.tcId}`);
  }
});
