/**
 * The record of a key that no ceremony made, so that ceremonies can find it again: made of what its token shows to everybody.
 *
 * It only reads, and it proves nothing: whoever opens the key with it compares it with the token and has the key sign. What a ceremony
 * would refuse of the record is refused here, while there is still somebody at the token.
 */
import { fromHex, toBase64url } from '../../ceremonies/bytes.ts';
import type { ObjectPlace } from '../../ceremonies/estate.ts';
import { inputFindings } from '../../ceremonies/inputs.ts';
import { keyRecordFile, profileOfKey, type KeyRecord } from '../../ceremonies/key-record.ts';
import { CA_ALGORITHMS, caAlgorithmNamed, componentsOf } from '../../ceremonies/keys/algorithms.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import type { LookingWorld } from './looking.ts';

/** More certificates of one CKA_ID than this are not looked through. */
const MOST_CERTIFICATES = 20;
/** PKCS#11 sets no limit to CKA_ID; a key record has room for this many bytes. */
const LONGEST_ID = 32;

/** Throws `Refused` KEY-RECORD-POSSIBLE, ONE-MATCH, OBJECT-MOVED, and what a ceremony would refuse of the record. */
export async function recordOfKey({ module: name, token, place }: { readonly module: string; readonly token: string; readonly place: ObjectPlace }, world: Pick<LookingWorld, 'call' | 'module'>): Promise<KeyRecord> {
  const module = world.module(name);
  const { object } = place;
  const impossible = (expected: string, found: string, next: string) => new Refused(refuse('KEY-RECORD-POSSIBLE', expected, found, next));
  const named = await world.call(module, 'object', { token, place });
  if (object.class !== 'private-key' && object.class !== 'public-key') throw impossible('a private key, or its public half', object.class, 'Choose one of the two halves of the key.');
  if (object.id === '' || object.id.length > 2 * LONGEST_ID) throw impossible(`a CKA_ID of 1 to ${LONGEST_ID} bytes: by it a ceremony finds the key again`, object.id === '' ? 'none' : `${object.id.length / 2} bytes`, 'Give both halves of the key the same CKA_ID first.');
  const ofThisId = async (kind: string) => {
    const found = await world.call(module, 'search-objects', { token, where: [{ attribute: 'CKA_CLASS', value: kind }, { attribute: 'CKA_ID', value: object.id }], offset: 0, limit: MOST_CERTIFICATES });
    const readings = [];
    for (const [i, position] of found.positions.entries()) readings.push(await world.call(module, 'object', { token, place: { position, object: found.objects[i]! } }));
    return { total: found.total, readings };
  };
  const { total, readings: [half] } = await ofThisId('CKO_PUBLIC_KEY');
  if (total !== 1) throw new Refused(refuse('ONE-MATCH', `exactly one public key with CKA_ID ${object.id}: ceremonies compare the key by it`, total === 0 ? 'none' : `${total}`, total === 0 ? 'Put the public half of the key onto the token first.' : 'Give the keys CKA_IDs of their own first.'));
  const spki = half?.publicKey?.spki ?? null;
  if (spki === null || (named.publicKey !== null && named.publicKey.spki !== spki)) throw impossible('one public key, in both halves the same', spki === null ? 'one that cannot be read' : 'two different ones', 'Have the token looked at: this pair is none.');
  const algorithm = CA_ALGORITHMS.map((one) => caAlgorithmNamed(one)).find((row) => componentsOf(row).length === 1 && row.label === half?.publicKey?.label);
  if (algorithm === undefined) throw impossible('a key of an algorithm in which ceremonies sign', half?.publicKey?.label ?? 'none', 'Only keys that sign have a record, and RSA keys from 3072 bits on. Of other keys the Tokens room wraps a copy.');
  const certificates = (await ofThisId('CKO_CERTIFICATE')).readings.filter(({ publicKey, certificate }) => certificate !== null && publicKey?.spki === spki);
  const [der] = certificates.length === 1 ? certificates[0]!.attributes.flatMap((one) => (one.name === 'CKA_VALUE' ? [one.hex] : [])) : [];
  const record: KeyRecord = {
    format: 'conclave-key/1', label: object.label.slice(0, 64), token, profile: profileOfKey(algorithm.name),
    key: { algorithm: algorithm.name, spki, wrapping: null, parts: [{ part: 'key', held: 'token', spki, id: object.id, wrapped: null }] },
    certificate: der === undefined ? null : toBase64url(fromHex(der)),
  };
  const [finding] = await inputFindings({ kind: 'key', file: 'key.json', bytes: toBase64url(keyRecordFile(record)) });
  if (finding !== undefined) throw new Refused(finding);
  return record;
}
