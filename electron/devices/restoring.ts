/**
 * A key out of its backup, onto a token: for good (`restoreKey`), and the backup that a rehearsal needs (`rehearsalBackup`).
 *
 * Tried before anything is written: the key is brought back as session objects, signs, and is destroyed again. So wrapped bytes that
 * are damaged, parts of another key and a token that cannot do it are refused while nothing has changed. Then every part goes onto
 * the token as what cannot leave it again, or is wrapped anew under a key of this token; all of it is read back from a fresh session.
 *
 * Never restores a stateful key (SP 800-208 section 8.1), nor one that is there already. Borrows the backup key; wipes what it opens.
 */
import { randomFillSync } from 'node:crypto';
import { fromBase64url, toBase64url } from '../../ceremonies/bytes.ts';
import type { Evidence, Placement, WrappedPart } from '../../ceremonies/evidence.ts';
import { caAlgorithmNamed } from '../../ceremonies/keys/algorithms.ts';
import { readSubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { Fault, quietly, type Work } from './errors.ts';
import { kindOfPublicKey } from './key-kinds.ts';
import { andThen, idIsFree, inPart, makeKey, mayBeCopied, openKey, partsOf, planWithFreshIds, recoverKey, sealed, tokenRow, unwrapped, withWrappingKey, type Key } from './keys.ts';
import type { KeyReference } from './protocol.ts';
import { scanKeys } from './reading.ts';
import { lend, secretBytes } from './secret.ts';
import type { Session, Token } from './tokens.ts';

interface On { readonly token: Token; readonly session: Session }
/** `ids`: one CKA_ID for every part that goes onto the token, last the wrapping key's. */
export interface RestoreOrder { readonly key: KeyReference; readonly wrapped: readonly WrappedPart[]; readonly ids: readonly string[]; readonly label: string; readonly nonce: string }
export type Restored = Omit<Evidence<'restore-key'>, 'quorum' | 'token'>;

const PAGE = 500;

/**
 * The whole key on the token, read back. Throws `Refused` KEY-THERE, ID-FRESH, STATEFUL-NEVER-COPIED, KEY-BOUND,
 * PROOF-OF-POSSESSION, DESTROYED and TokenError CKR_WRAPPED_KEY_INVALID before anything is written.
 */
export async function restoreKey({ token, session }: On, { key: reference, wrapped, ids, label, nonce }: RestoreOrder, backup: Uint8Array, work: Work): Promise<Restored> {
  mayBeCopied(caAlgorithmNamed(reference.algorithm), 'one to be restored from a backup');
  const parts = partsOf(reference);
  const placed = newReference(reference, ids);
  await keyIsAbsent(session, reference);
  for (const id of ids) await idIsFree(session, id);
  const message = fromBase64url(nonce);
  const trial = await recoverKey(session, reference, wrapped, backup);
  await andThen(() => trial.sign(message, work), () => forgetProven(token, trial));

  if (placed.wrapping !== null) await work.write(() => session.generateWrappingKey({ id: placed.wrapping!, label }));
  const whole: KeyReference['parts'] = [];
  for (const [i, { component, part }] of parts.entries()) {
    whole.push(await inPart(component, async () => {
      const bytes = fromBase64url(wrapped[i]!.wrapped);
      const { id } = placed.parts[i]!;
      if (id === null) {
        const under = { class: 'secret-key', id: placed.wrapping!, lives: 'token' } as const;
        const again = await lend(unwrapped(backup, bytes), (pkcs8) => sealed(session, under, pkcs8));
        return { ...placed.parts[i]!, wrapped: { mechanism: again.mechanism, bytes: toBase64url(again.bytes) } };
      }
      await withWrappingKey(session, Uint8Array.from(backup), (under) =>
        work.write(() => session.unwrap({ wrapped: bytes, under, algorithm: tokenRow(component), id, label, lives: 'token' })));
      const spki = fromBase64url(part.spki);
      const kind = kindOfPublicKey(readSubjectKey(spki));
      if (kind === null) throw new Fault('REQUEST_INVALID', 'At: key.parts (no public half of this kind).');
      await work.write(() => session.importPublicKey({ kind, id, label, other: { CKA_PRIVATE: false, CKA_VERIFY: true, CKA_DERIVE: false }, spki }));
      return placed.parts[i]!;
    }));
  }
  return readRestored({ token, session }, { ...placed, parts: whole }, nonce, work);
}

/** `forget` says nothing of what it could not destroy, so it is looked for from a fresh session. Throws `Refused` DESTROYED. */
export async function forgetProven(token: Token, recovered: Key): Promise<void> {
  const ids = await recovered.forget();
  const fresh = await token.open();
  try {
    for (const id of ids) {
      const left = await fresh.find({ class: 'private-key', id, lives: 'session' });
      if (left.length > 0) {
        throw new Refused(refuse('DESTROYED', 'no recovered key on the token', `${left.length}`, 'Log out of the token: what lives in a session ends with it.'));
      }
    }
  } finally {
    await quietly(fresh.close());
  }
}

/**
 * The restored key as a fresh session finds it: its public halves compared with the record, what the token says of it, a signature of
 * the nonce by every part, and whether the token refuses to give it out again.
 */
export async function readRestored({ token, session: logged }: On, reference: KeyReference, nonce: string, work: Work): Promise<Restored> {
  const session = await token.open();
  try {
    const key = await openKey(session, reference);
    const possession = await key.possess(fromBase64url(nonce), work);
    const facts = await key.facts();
    const enforced = await refusesToWrap(logged, reference);
    return { spki: reference.spki, ...facts, weakTests: key.weakTests(), possession, enforced };
  } finally {
    await quietly(session.close());
  }
}

/** The key of a backup under the CKA_IDs that it has on its new token; wrapped parts are filled in when they are wrapped. */
export function newReference(reference: KeyReference, ids: readonly string[]): KeyReference {
  const left = [...ids];
  const parts = reference.parts.map((part) => ({ ...part, id: part.held === 'token' ? left.shift() ?? '' : null }));
  const wrapping = parts.some(({ held }) => held === 'wrapped') ? left.shift() ?? '' : null;
  if (left.length > 0 || wrapping === '' || parts.some(({ id }) => id === '') || new Set(ids).size !== ids.length) throw new Fault('REQUEST_INVALID', 'At: ids.');
  return { ...reference, parts, wrapping };
}

async function refusesToWrap(session: Session, { parts }: KeyReference): Promise<boolean> {
  let enforced = true;
  for (const { id } of parts) {
    if (id === null) continue;
    enforced = (await withWrappingKey(session, randomFillSync(secretBytes(32)), (under) => session.refusesToWrap({ class: 'private-key', id, lives: 'token' }, under))) && enforced;
  }
  return enforced;
}

/** Two of one key on one token is one too many to account for. Looks at every public key there is, and under the CKA_IDs it once had. */
async function keyIsAbsent(session: Session, reference: KeyReference): Promise<void> {
  const there = (what: string) => new Refused(refuse('KEY-THERE', 'a token that does not hold this key', what, 'Use the key that is there, or choose another token. Nothing was changed.'));
  const ours = new Set([reference.spki, ...reference.parts.map(({ spki }) => spki)]);
  for (let offset = 0, total = 1; offset < total; offset += PAGE) {
    const page = await scanKeys(session, offset, PAGE);
    // Its certificate may well be there; it is no key, and must not hide one behind it.
    const same = page.keys.find(({ object, spki }) => object.class !== 'certificate' && spki !== null && ours.has(spki));
    if (same) throw there(`it is there, as ${same.object.class} "${same.object.label}" with CKA_ID ${same.object.id}`);
    total = page.total;
  }
  for (const id of [...reference.parts.map((part) => part.id), reference.wrapping]) {
    if (id === null) continue;
    for (const kind of ['private-key', 'secret-key'] as const) {
      if ((await session.find({ class: kind, id })).length > 0) throw there(`a ${kind} with CKA_ID ${id}, under which the key once was`);
    }
  }
}

/**
 * For a rehearsal: a key that exists only while it is certified and wrapped under `backup` (borrowed), or is `kept` on its token and locked.
 * What is left of it is what a ceremony would leave.
 */
export async function rehearsalBackup<T>(
  session: Session, { algorithm, place, label, kept = false }: { readonly algorithm: string; readonly place: Placement; readonly label: string; readonly kept?: boolean | undefined }, backup: Uint8Array, work: Work, use: (key: Key) => Promise<T>,
): Promise<{ readonly made: T; readonly key: KeyReference; readonly wrapped: WrappedPart[] }> {
  const { key } = await makeKey(session, planWithFreshIds(algorithm, place), { label, extractable: true, lives: kept ? 'token' : 'session' }, work);
  return andThen(async () => ({ made: await use(key), key: key.reference(), wrapped: await key.wrap(backup) }), async () => { await (kept ? key.lock(work) : key.forget()); });
}
