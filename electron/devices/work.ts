/**
 * SLH-DSA in a thread of its own: noble's pure code takes seconds for one key or signature, and the device process must
 * hear its booth and its parent meanwhile. One task a thread, given as `workerData`; the one answer is the result's bytes.
 *
 * Started by providers.ts, never imported for its code: importing it in the main thread does nothing. The secret it is
 * given was moved here, is borrowed from nobody, and is overwritten before the answer leaves. A thread that is ended in
 * the middle of its work wipes nothing; its memory is freed as a whole.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { SlhDsaName } from '../../ceremonies/keys/algorithms.ts';
import { SLH_DSA } from '../../ceremonies/keys/subject-key.ts';
import { takeBytes } from './secret.ts';

export type Task =
  /** `secret`: SK.seed || SK.prf || PK.seed (FIPS 205 algorithm 18), 3n octets. Answers the private key, 4n octets. */
  | { readonly work: 'make'; readonly name: SlhDsaName; readonly secret: Uint8Array<ArrayBuffer> }
  /** `secret`: the private key. Hedged with `randomness`, n octets. Answers the signature (FIPS 205 algorithm 22). */
  | {
    readonly work: 'sign'; readonly name: SlhDsaName; readonly secret: Uint8Array<ArrayBuffer>; readonly randomness: Uint8Array<ArrayBuffer>;
    readonly message: Uint8Array; readonly context: Uint8Array;
  };

function perform(task: Task): Uint8Array<ArrayBuffer> {
  const scheme = SLH_DSA[task.name];
  try {
    return takeBytes(task.work === 'make'
      ? scheme.keygen(task.secret).secretKey
      : scheme.sign(task.message, task.secret, { context: task.context, extraEntropy: task.randomness }));
  } finally {
    task.secret.fill(0);
    if (task.work === 'sign') task.randomness.fill(0);
  }
}

if (parentPort !== null) {
  const answer = perform(workerData as Task);
  parentPort.postMessage(answer, [answer.buffer]);
}
