/** The programs of later Debian versions are what they should be, and having them costs nothing the second time. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { haveForeignPrograms, OPENSSL, PQ_TOKEN } from '../../build/foreign.mjs';
import { nssModule, witnessOpenssl } from '../witness.ts';

test('openssl: 3.5 or later, with the algorithms of FIPS 203, 204 and 205, and settings of its own', () => {
  const openssl = (...args: string[]) => execFileSync(witnessOpenssl(), args, { encoding: 'utf8' });
  const [, major, minor] = /^OpenSSL (\d+)\.(\d+)\./.exec(openssl('version')) ?? [];
  assert.ok(Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 5));
  const known = openssl('list', '-signature-algorithms', '-kem-algorithms');
  for (const name of ['ML-DSA-65', 'SLH-DSA-SHAKE-256f', 'ML-KEM-768', 'ED25519']) assert.ok(known.includes(name), name);
  // It answers from any folder, and to users who may not write there.
  assert.match(execFileSync(witnessOpenssl(), ['rand', '-hex', '4'], { encoding: 'utf8', cwd: '/' }), /^[0-9a-f]{8}\n$/);
});

test('the NSS token: every library that it loads lies beside it, and none is called what Electron has already loaded', () => {
  const folder = dirname(nssModule());
  for (const name of ['libsoftokn3.so', 'libfreebl3.so', 'libfreeblpriv3.so', 'libnssutilQ.so']) {
    assert.ok(existsSync(join(folder, name)), name);
    assert.equal(readFileSync(join(folder, name)).includes('libnssutil3.so'), false, name);
  }
  const about = JSON.parse(readFileSync(join(folder, 'about.json'), 'utf8')) as { found: string };
  assert.match(about.found, /^NSS softoken \d+\.\d+ of (forky|sid), \d+ mechanisms: ML-DSA, ML-KEM$/);
});

test('what is there is not fetched again', async () => {
  const times = () => [PQ_TOKEN, OPENSSL].map((path) => statSync(path).mtimeMs);
  const before = times();
  const begun = performance.now();
  await haveForeignPrograms();
  assert.ok(performance.now() - begun < 500);
  assert.deepEqual(times(), before);
});
