/**
 * A list of keys that are known to be broken (Debian's of 2008 and others), as a file that the administrator pinned by its
 * SHA-256 in modules.json. Read only, and never fetched.
 *
 * Format of badkeys (github.com/badkeys/badkeys): records of 16 bytes in ascending order, 15 of a hash (scan.ts) and one that
 * names the list.
 */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { BLOCKLIST_HASH_BYTES } from '../../ceremonies/keys/scan.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';

const RECORD_BYTES = BLOCKLIST_HASH_BYTES + 1;
const NEXT = 'Have the administrator get the file again, compare its SHA-256, and correct modules.json.';

export interface Blocklist {
  readonly file: string;
  readonly sha256: string;
  readonly entries: number;
  /** The number of the list that has a key with this hash; null where none has. */
  find(hash: Uint8Array): number | null;
}

/** Reads the whole file (some 60 MB). Throws `Refused` BLOCKLIST-FILE, BLOCKLIST-CHANGED. */
export function openBlocklist({ path, sha256 }: { readonly path: string; readonly sha256: string }): Blocklist {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new Refused(refuse('BLOCKLIST-FILE', `a blocklist at ${path}`, (error as NodeJS.ErrnoException).code ?? 'an error', NEXT));
  }
  const found = hash('sha256', bytes);
  if (found !== sha256.toLowerCase()) throw new Refused(refuse('BLOCKLIST-CHANGED', `${path} with SHA-256 ${sha256}`, `SHA-256 ${found}`, NEXT));
  if (bytes.length === 0 || bytes.length % RECORD_BYTES !== 0) throw new Refused(refuse('BLOCKLIST-FILE', `records of ${RECORD_BYTES} bytes`, `${bytes.length} bytes`, NEXT));
  const entries = bytes.length / RECORD_BYTES;
  return {
    file: basename(path), sha256: found, entries,
    find: (wanted) => {
      let [low, high] = [0, entries - 1];
      while (low <= high) {
        const middle = (low + high) >> 1;
        const at = middle * RECORD_BYTES;
        const order = bytes.compare(wanted, 0, BLOCKLIST_HASH_BYTES, at, at + BLOCKLIST_HASH_BYTES);
        if (order === 0) return bytes[at + BLOCKLIST_HASH_BYTES] ?? 0;
        if (order < 0) low = middle + 1;
        else high = middle - 1;
      }
      return null;
    },
  };
}
