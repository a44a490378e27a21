/**
 * The second form of envelope: an age file (C2SP age-encryption.org/v1) to hybrid recipients, `age1pq1…`: X-Wing (ML-KEM-768 with
 * X25519) under HPKE, ChaCha20-Poly1305. Whoever has `age` 1.3 or later opens it without this program.
 *
 * Format and cryptography are the library's, whose author also keeps the format; it draws its own randomness from the system.
 * Nothing is sealed to a recipient that a quantum computer breaks (`age1…`, a password); a file that has one beside is opened, and
 * `ageFacts` tells. An identity is text, which cannot be wiped: only the command line comes here, and ends afterwards. age has no
 * place for words about the content.
 */
import { armor, Decrypter, Encrypter } from 'age-encryption';
import { fromUtf8, utf8 } from '../ceremonies/bytes.ts';
import { Refused, refuse } from '../ceremonies/refusal.ts';

const INTRO = 'age-encryption.org/v1\n';
const ARMOR = '-----BEGIN AGE ENCRYPTED FILE-----';
const HYBRID = 'mlkem768x25519';
const RECIPIENT = /^age1pq1[02-9ac-hj-np-z]{1900,2000}$/;
const IDENTITY = /^AGE-SECRET-KEY-PQ-1[02-9AC-HJ-NP-Z]{50,70}$/;
/** The header of a file for 64 recipients has about 110,000 bytes. */
const LONGEST_HEADER = 200_000;

export interface AgeFacts {
  /** The type of each stanza, in their order. Which key it is, an age file does not say. */
  readonly recipients: readonly string[];
  /** Hybrid recipients alone. */
  readonly quantumSafe: boolean;
  readonly armored: boolean;
}

/** Is this file a list of age recipients or identities? */
export function isAgeKey(file: Uint8Array): boolean {
  return linesOf(file).some((line) => /^age1|^AGE-SECRET-KEY-/i.test(line));
}

/** Is this file one that age wrote? */
export function isAgeFile(file: Uint8Array): boolean {
  const start = new TextDecoder('latin1').decode(file.subarray(0, 100)).trimStart();
  return start.startsWith(INTRO) || start.startsWith(ARMOR);
}

/** The recipients in a file: one on each line, beside comments. Throws `Refused` AGE-RECIPIENT. */
export function readAgeRecipients(file: Uint8Array): string[] {
  return keysIn(file, 'AGE-RECIPIENT', 'hybrid recipients, age1pq1…, one on each line', RECIPIENT, 'Have the recipient make one: age-keygen -pq.');
}

/** Any one of the recipients opens it. The caller wipes the content. Throws `Refused` AGE-RECIPIENT. */
export async function sealAge(content: Uint8Array, recipients: readonly string[], armored: boolean): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch {
      throw fault('AGE-RECIPIENT', 'a whole age1pq1… recipient', 'one whose checksum or length is wrong', 'Copy the recipient again, all of it.');
    }
  }
  const sealed = await encrypter.encrypt(content);
  return armored ? utf8(armor.encode(sealed)) : sealed;
}

/** The content, SECRET: the caller wipes it. `identities`: the file of an age identity. Throws `Refused` AGE-IDENTITY, AGE-FILE, AGE-KEY. */
export async function openAge(file: Uint8Array, identities: Uint8Array): Promise<Uint8Array> {
  const keys = keysIn(identities, 'AGE-IDENTITY', 'hybrid identities, AGE-SECRET-KEY-PQ-1…', IDENTITY, 'Give the identity file that age-keygen -pq wrote.');
  const { bytes } = unarmored(file);
  ageFacts(file);
  const decrypter = new Decrypter();
  try {
    for (const key of keys) decrypter.addIdentity(key);
  } catch {
    throw fault('AGE-IDENTITY', 'a whole identity', 'one whose checksum or length is wrong', 'Give the identity file that age-keygen -pq wrote.');
  }
  try {
    return await decrypter.decrypt(bytes);
  } catch {
    // The library tells its reasons as text alone; a foreign file and an altered one are the same to whoever holds the wrong key.
    throw fault('AGE-KEY', 'a file that this identity opens', 'one that it does not open', 'Use the identity of one of the recipients. If it is that one, the file was altered.');
  }
}

/** What an age file says without being opened. Throws `Refused` AGE-FILE. */
export function ageFacts(file: Uint8Array): AgeFacts {
  const { bytes, armored } = unarmored(file);
  const text = new TextDecoder('latin1').decode(bytes.subarray(0, LONGEST_HEADER));
  const end = text.indexOf('\n--- ');
  if (!text.startsWith(INTRO) || end < 0) throw fault('AGE-FILE', 'an age file with its header', 'something else');
  const recipients = text.slice(INTRO.length, end).split('\n').flatMap((line) => /^-> ([\x21-\x7e]{1,64})(?: |$)/.exec(line)?.[1] ?? []);
  if (recipients.length === 0) throw fault('AGE-FILE', 'an age file with a recipient', 'one without');
  return { recipients, quantumSafe: recipients.every((type) => type === HYBRID), armored };
}

function unarmored(file: Uint8Array): { bytes: Uint8Array; armored: boolean } {
  const armored = new TextDecoder('latin1').decode(file.subarray(0, 100)).trimStart().startsWith(ARMOR);
  if (!armored) return { bytes: file, armored };
  try {
    return { bytes: armor.decode(fromUtf8(file)), armored };
  } catch {
    throw fault('AGE-FILE', 'an age file in its text form', 'one that is cut off or altered');
  }
}

function keysIn(file: Uint8Array, rule: string, expected: string, pattern: RegExp, next: string): string[] {
  const keys = linesOf(file).filter((line) => line !== '' && !line.startsWith('#'));
  const wrong = keys.findIndex((line) => !pattern.test(line));
  // A line may be a secret: its place is said, never what it is.
  if (keys.length === 0 || keys.length > 64 || wrong >= 0) throw fault(rule, expected, wrong >= 0 ? `something else, at key ${wrong + 1}` : `${keys.length} keys`, next);
  return keys;
}

function linesOf(file: Uint8Array): string[] {
  return file.length > LONGEST_HEADER ? [] : new TextDecoder('latin1').decode(file).split(/\r?\n/).map((line) => line.trim());
}

function fault(rule: string, expected: string, found: string, next = 'Have it sent again.'): Refused {
  return new Refused(refuse(rule, expected, found, next));
}
