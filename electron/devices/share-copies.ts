/**
 * Copies of a share in the process of its card: sealed to its holder's own key, or shown to its holder alone and typed again from paper;
 * and out of such a copy again. The share, the holder's private key and the words are in this process (and the words in the booth), and
 * nowhere else; each is wiped as soon as it has served.
 *
 * Nothing that comes out of an envelope or off a sheet is believed: it is a share of this set only where the set's commitment says so.
 * Never tells what a wrong word was, nor what a share holds.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import type { BackupRecord } from '../../ceremonies/backup-record.ts';
import { fromBase64url, toBase64url, toHex } from '../../ceremonies/bytes.ts';
import { agentOf } from '../../ceremonies/escrow-envelope.ts';
import type { EscrowAgent, ShareSet } from '../../ceremonies/evidence.ts';
import { openEnvelope, readEnvelope, sealEnvelope, sealingRandomness, withKemKey } from '../../ceremonies/keys/envelope.ts';
import { importFault, openSealedKey } from '../../ceremonies/keys/import.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { copyFindings, copySealing, recipientOf } from '../../ceremonies/share-envelope.ts';
import { encodeSheetWords, parseSheetWords, SHEET_WORDS, shareOfSheet, type SheetWords } from '../../ceremonies/shares/paper.ts';
import { checkShare, encodeShare, parseShare, shareCommitment, type Share } from '../../ceremonies/shares/share.ts';
import { Fault } from './errors.ts';
import type { Booth, PinDesk } from './login.ts';
import type { Asked } from './protocol.ts';
import { lend, takeBytes } from './secret.ts';
import type { Token } from './tokens.ts';

/** The set as the backup record has it, and which of its shares. */
export interface CopyOf { readonly record: Pick<BackupRecord, 'mode' | 'label' | 'set' | 'shares'>; readonly x: number }

const OTHER_KEY = 'Let the holder choose the key file whose public half was brought to this ceremony. Nothing was changed.';
const OTHER_SHEET = 'Compare the form with the one that was written at the copying, and type it again. Nothing was changed.';

/** Borrows the bytes of a share record. Throws what speaks against it: SHARE-*. */
export async function withOwnShare<T>(bytes: Uint8Array, { record: { set }, x }: CopyOf, use: (share: Share) => T | Promise<T>): Promise<T> {
  const share = parseShare(bytes);
  try {
    const [finding] = checkShare(share, { set, expectedX: x });
    if (finding) throw new Refused(finding);
    return await use(share);
  } finally {
    share.payload.fill(0);
  }
}

// --- envelopes -------------------------------------------------------------------------------------------------------------

/** The envelope of this share (borrowed) to its custodian's own key; read back as far as anybody can who does not open it. `random` fills what it is given. */
export async function sealCopy(
  share: Uint8Array, order: CopyOf & { readonly recipients: string; readonly number: number; readonly of: number; readonly at: string }, random: (length: number) => Promise<Uint8Array>,
): Promise<{ readonly recipient: EscrowAgent; readonly envelope: string }> {
  const { record, x, recipients, number, of, at } = order;
  const to = recipientOf(fromBase64url(recipients), new Date(at), number, of);
  const recipient = agentOf(to);
  const sealed = await lend(await random(sealingRandomness([to])), (randomness) => sealEnvelope({ content: share, recipients: [to], ...copySealing(record, x) }, randomness));
  const [finding] = copyFindings(record, x, sealed, recipient);
  if (finding) throw new Refused(finding);
  return { recipient, envelope: toBase64url(sealed) };
}

/** Lends the share out of its envelope, with the bytes of its record. The password of the holder's key file is typed in the booth. `recipient` null: whoever can open it. Throws `Refused` IMPORT-*, ENVELOPE-*, COPY-ENVELOPE, RECIPIENT-OWN, SHARE-*; Fault PIN_CANCELLED. */
export async function withOpened<T>(
  pins: PinDesk, token: Token, asked: Asked, { envelope, file, recipient, ...of }: CopyOf & { readonly envelope: string; readonly file: string; readonly recipient: string | null },
  use: (share: Share, opener: string, bytes: Uint8Array) => T | Promise<T>,
): Promise<T> {
  const [der, sealed] = [fromBase64url(envelope), fromBase64url(file)];
  const [finding] = [importFault(sealed), ...copyFindings(of.record, of.x, der, null)].filter((one) => one !== null);
  if (finding) throw new Refused(finding);
  const read = readEnvelope(der);
  const content = await pins.ask(token, asked, 'password', async (password, accepted) => {
    const pkcs8 = takeBytes(await openSealedKey(sealed, password!));
    accepted();
    return lend(pkcs8, () => withKemKey(pkcs8, async (held) => {
      const opener = toHex(sha256(held.key.spki));
      if (recipient !== null && opener !== recipient) throw new Refused(refuse('RECIPIENT-OWN', `the key of ${asked.name}, ${recipient}`, `another key, ${opener}`, OTHER_KEY));
      return { opener, bytes: takeBytes((await openEnvelope(read, held)).content) };
    }));
  });
  return lend(content.bytes, () => withOwnShare(content.bytes, of, (share) => use(share, content.opener, content.bytes)));
}

// --- paper -----------------------------------------------------------------------------------------------------------------

export class PaperDesk {
  readonly #booth: Booth;
  readonly #ticket: () => number;

  constructor(booth: Booth, ticket: () => number) {
    this.#booth = booth;
    this.#ticket = ticket;
  }

  /** Shows the words of this share (borrowed) to its holder, who writes them down and types them again from the form. Throws `Refused` SHARE-WORDS, SHARE-CHECKSUM, SHARE-FOREIGN-SET, COPY-PAPER; Fault WORDS_CANCELLED. */
  async write(token: Token, share: Share, { record: { set }, sheet }: CopyOf & { readonly sheet: string }, asked: Asked): Promise<void> {
    await lend(encodeSheetWords(share), async (words) => {
      // A stand-in has written down what was shown.
      const typed = asked.standIn ? await writtenByStandIn(token, words) : await this.#ask(token, asked, sheet, words);
      await lend(typed, () => {
        const back = shareOfSheet(parseSheetWords(typed), { set, custodians: set.commitments.map(() => share.header.custodian) });
        const same = shareCommitment(back) === shareCommitment(share);
        back.payload.fill(0);
        if (!same) throw new Refused(refuse('COPY-PAPER', 'the words that were shown', 'other ones, whose checksum fits', 'Destroy this form. The words are shown again when the step is repeated.'));
      });
    });
  }

  /** Lends the share that its holder types from paper, with the bytes of its record. `copied` (borrowed): what a stand-in, who has no paper, types. Throws as `write`. */
  async withTyped<T>(token: Token, { record: { set }, x }: CopyOf, copied: Share | null, asked: Asked, use: (share: Share, bytes: Uint8Array) => T | Promise<T>): Promise<T> {
    const typed = copied ? await lend(encodeSheetWords(copied), (words) => writtenByStandIn(token, words)) : await this.#ask(token, asked, null, null);
    return lend(typed, async () => {
      const sheet = parseSheetWords(typed);
      try {
        if (sheet.x !== x || sheet.epoch !== set.epoch) throw new Refused(refuse('SHARE-SWAPPED', `share ${x} of epoch ${set.epoch} on this sheet`, `share ${sheet.x} of epoch ${sheet.epoch}`, OTHER_SHEET));
        const share = seatedShare(sheet, set);
        return await lend(encodeShare(share), (bytes) => use(share, bytes));
      } finally {
        sheet.payload.fill(0);
      }
    });
  }

  async #ask(token: Token, asked: Asked, sheet: string | null, shown: Uint8Array | null): Promise<Uint8Array> {
    const ticket = this.#ticket();
    const facts = await token.facts();
    const answer = this.#booth.component(ticket, shown);
    this.#booth.notify({ kind: 'words-wanted', ticket, token: facts, asked, words: { count: SHEET_WORDS, sheet, shows: shown !== null } });
    const typed = await answer;
    this.#booth.notify({ kind: 'pin-settled', ticket, outcome: typed === null ? 'cancelled' : 'accepted' });
    if (typed === null) throw new Fault('WORDS_CANCELLED');
    return typed.bytes;
  }
}

async function writtenByStandIn(token: Token, words: Uint8Array): Promise<Uint8Array> {
  if (!(await token.isRehearsal())) throw new Fault('STAND_IN_REFUSED');
  return takeBytes(Uint8Array.from(words));
}

/** The words leave out for which seat the share was made, and the commitment has it: one of the seats that a set can have fits. */
function seatedShare(sheet: SheetWords, set: ShareSet): Share {
  for (let seat = 1; seat <= 255; seat += 1) {
    const share = shareOfSheet(sheet, { set, custodians: set.commitments.map(() => `custodian-${seat}`) });
    if (shareCommitment(share) === set.commitments[sheet.x - 1]) return share;
  }
  throw new Refused(refuse('SHARE-FOREIGN-SET', `share ${sheet.x} as the record knows it`, 'words that bear the name of this set and are not of it', OTHER_SHEET));
}
