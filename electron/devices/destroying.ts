/**
 * One copy of a key, destroyed on its token, and what the token then still shows and still does.
 *
 * A success code is no proof: the object is looked for in a fresh session, and used under a handle from before. What comes of
 * both is evidence, good or bad, and never an error: that a token lies is a fact for the record. Destroys nothing but the one
 * object that fits; never repeats a call.
 */
import { randomFillSync } from 'node:crypto';
import { fromHex } from '../../ceremonies/bytes.ts';
import type { CopyDestroyed, KeyCheck, ObjectFact } from '../../ceremonies/evidence.ts';
import { Refused } from '../../ceremonies/refusal.ts';
import { checkOf, CLASSES, theOne } from './administration.ts';
import { Fault, isTokenError, quietly, tokenIsGone, type Work } from './errors.ts';
import { kindOfPublicKey } from './key-kinds.ts';
import { listedAs, named, readPublicKey } from './reading.ts';
import { secretBytes } from './secret.ts';
import type { ObjectAt, Session, Token, TokenAlgorithm } from './tokens.ts';

/** A copy as the list names it. */
export interface Target extends ObjectFact {
  readonly check: KeyCheck;
}

/** Whatever may be this copy, as far as the token tells: by its CKA_ID, or where the records have none by its label. In doubt it is counted, for a copy that may be there is not gone; `certain`: in doubt it is not, for nothing else may be destroyed. */
async function fitting(session: Session, { class: kind, id, label, keyType, check }: Target, certain = false): Promise<ObjectAt[]> {
  const objectClass = CLASSES[kind];
  if (objectClass === undefined || (id === '' && label === '')) throw new Fault('REQUEST_INVALID', 'At: copies.');
  await session.list(0, 0);
  const fits: ObjectAt[] = [];
  for (const position of await session.search({ CKA_CLASS: objectClass, ...(id === '' ? { CKA_LABEL: label } : { CKA_ID: fromHex(id) }) })) {
    const here = await listedAs(session, position);
    if (keyType !== '' && here.keyType !== '' && here.keyType !== keyType) continue;
    const own = await checkOf(session, { position }, here);
    const same = own.method === check.method && own.value === check.value;
    if (check.method === 'none' || same || (!certain && own.method !== check.method)) fits.push({ position });
  }
  return fits;
}

/** How many objects of each copy there are, seen from a session of its own. */
export async function countCopies(token: Token, targets: readonly Target[]): Promise<number[]> {
  const session = await token.open();
  try {
    const found = [];
    for (const target of targets) found.push((await fitting(session, target)).length);
    return found;
  } finally {
    await quietly(session.close());
  }
}

/** Throws `Refused` ONE-MATCH where several fit, and what the token says where it does not destroy. */
export async function destroyCopy(token: Token, session: Session, target: Target, work: Work): Promise<CopyDestroyed> {
  const fits = await fitting(session, target, true);
  if (fits.length === 0) return { before: 0, after: 0, use: { tried: 'nothing: there was no object', worked: false, answer: '' } };
  const which = theOne(fits, named(target));
  // Another session keeps its handle of the object across the destruction.
  const keeper = await token.open();
  try {
    const [kept] = await fitting(keeper, target);
    const use = await useOf(keeper, kept ?? which, target);
    await work.write(() => session.destroy(which));
    const used = await tried(use.run) ?? await tried(attributesOf(keeper, kept ?? which).run) ?? { worked: false, answer: '' };
    const [after = 0] = await countCopies(token, [target]);
    return { before: fits.length, after, use: { tried: use.what, ...used } };
  } finally {
    await quietly(keeper.close());
  }
}

interface Use {
  readonly what: string;
  readonly run: () => Promise<unknown>;
}

/** What this object does: a key signs; of anything else an attribute is read, which no token answers for an object that is gone. */
async function useOf(session: Session, which: ObjectAt, target: Target): Promise<Use> {
  const algorithm = target.class === 'private-key' ? await signsWith(session, which, target) : null;
  return algorithm === null ? attributesOf(session, which) : { what: 'a signature under the old handle', run: () => session.sign(which, algorithm, randomFillSync(secretBytes(32))) };
}

function attributesOf(session: Session, which: ObjectAt): Use {
  return { what: 'its attributes read under the old handle', run: async () => shown((await session.read(which, ['CKA_CLASS', 'CKA_LABEL'])).size) };
}

async function signsWith(session: Session, which: ObjectAt, target: Target): Promise<TokenAlgorithm | null> {
  try {
    const key = await readPublicKey(session, which, target);
    const kind = key === null ? null : kindOfPublicKey(key);
    const attributes = await session.attributes({ ...which, class: 'private-key' });
    return kind === null || attributes.sign !== true || kind.algorithm.family === 'ml-kem' || kind.algorithm.family === 'xdh' ? null : kind.algorithm;
  } catch (thrown) {
    if (thrown instanceof Refused) return null; // public values that make no key: its attributes will do
    throw thrown;
  }
}

function shown(answered: number): void {
  if (answered === 0) throw new Error(GONE);
}
const GONE = 'no attribute was answered';

/** These say that there is no such object; any other answer may have another cause, and tells nothing: null. */
const NO_OBJECT = ['CKR_OBJECT_HANDLE_INVALID', 'CKR_KEY_HANDLE_INVALID'];

async function tried(run: Use['run']): Promise<Pick<CopyDestroyed['use'], 'worked' | 'answer'> | null> {
  try {
    await run();
    return { worked: true, answer: 'CKR_OK' };
  } catch (thrown) {
    if (tokenIsGone(thrown)) throw thrown;
    if (isTokenError(thrown, ...NO_OBJECT)) return { worked: false, answer: thrown.code };
    return thrown instanceof Error && thrown.message === GONE ? { worked: false, answer: GONE } : null;
  }
}
