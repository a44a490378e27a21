/**
 * The minutes: a record as a document that can be printed, read and signed with a pen.
 *
 * One HTML file without scripts, pictures or anything fetched; the same lines give the same bytes. Every page carries the
 * words of the transcript's SHA-512 and, in a rehearsal, the word REHEARSAL under a hatch. The minutes prove nothing:
 * they are bound to the transcript, and the transcript is what is verified. All text goes through `html`, none around it.
 */
import { sha512 } from '@noble/hashes/sha2.js';
import { fromBase64url, toHex, utf8 } from './bytes.ts';
import { currentAct, signersOf, type Data, type Entry, type Person, type State } from './ceremony.ts';
import { describe, digestGroups, hexGroups, MARKS, personName, signerWords, type Mark } from './describe.ts';
import { REHEARSAL_WAIT } from './approvals.ts';
import { claimsOn, LEVELS } from './destruction.ts';
import type { Evidence, Intent, TokenFacts } from './evidence.ts';
import { thumbprint } from './keys/public-key.ts';
import { BAND, html, Markup, NOTHING, type Part } from './markup.ts';
import { bagAt } from './putting-away.ts';
import { oldShares, type Renewal } from './renewal.ts';
import { Refused, type Refusal } from './refusal.ts';
import { Fold, parseLine, type Hasher } from './transcript.ts';
import { fingerprintWords } from './words.ts';

/** Raised whenever the same record would be printed differently: a bundle's minutes are compared only under the same edition. */
export const MINUTES_EDITION = 2;

// --- a record, folded once ------------------------------------------------------------------------------------------

/** One line of a record with the state in front of it. */
export interface Row {
  readonly entry: Entry;
  readonly before: State;
  /** The rule it breaks; null in an honest record. */
  readonly refusal: Refusal | null;
}

export interface FoldedRecord {
  readonly lines: readonly string[];
  readonly rows: readonly Row[];
  /** Why the lines after the last row could not be read; null where all were. */
  readonly unread: Refusal | null;
  readonly state: State;
  /** SHA-512 of the transcript as a file, hex: what `sha512sum` prints. */
  readonly sha512: string;
  /** RFC 6962 Merkle root over the rows, base64url. */
  readonly root: string;
}

/** Folds the lines of a transcript, keeping every state. Passes over entries that break a rule; stops at a line that is no entry. */
export function foldRecord(lines: readonly string[], hasher?: Hasher): FoldedRecord {
  const fold = new Fold(hasher);
  const rows: Row[] = [];
  const digest = sha512.create();
  let unread: Refusal | null = null;
  for (const line of lines) {
    // A line with half a surrogate pair is no text at all; it is refused when it is parsed.
    digest.update(utf8(`${line.toWellFormed()}\n`));
    if (unread) continue;
    try {
      const entry = parseLine(line);
      const before = fold.state;
      const refusal = fold.push(entry, utf8(line));
      if (refusal) fold.skip(utf8(line));
      rows.push({ entry, before, refusal });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      unread = error.refusal;
    }
  }
  return { lines, rows, unread, state: fold.state, sha512: toHex(digest.digest()), root: fold.root() };
}

/** The words for a whole transcript file, shown on every page of its minutes. */
export function transcriptWords(record: FoldedRecord): string[] {
  return fingerprintWords(fromHexDigest(record.sha512), 12);
}

function fromHexDigest(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

// --- markup ------------------------------------------------------------------------------------------------------------

function mark(value: Mark | null): Markup {
  return value === null ? NOTHING : html`<span class="mark ${value}">${MARKS[value].shape} ${MARKS[value].word}</span>`;
}

/** Without zero-width tricks: long hashes break between their groups because those are separated by blanks. */
function code(text: string): Markup {
  return html`<span class="code">${text}</span>`;
}

function facts(rows: readonly (readonly [string, Part])[]): Markup {
  return html`<table class="facts">${rows.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>
`)}</table>
`;
}

function table(kind: string, heads: readonly string[], rows: readonly (readonly Part[])[]): Markup {
  return html`<table class="${kind}"><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>
${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>
`)}</tbody></table>
`;
}

function section(title: string, ...content: readonly Part[]): Markup {
  return html`<section><h2>${title}</h2>
${content}</section>
`;
}

const none = (text: string): Markup => html`<p class="none">${text}</p>
`;

// --- the document --------------------------------------------------------------------------------------------------------

/** What the minutes print of a verdict; the shape is that of verify.ts, which imports this file's reader. */
export interface PrintedVerdict {
  readonly verdict: 'valid' | 'open' | 'aborted' | 'refused';
  readonly pinned: boolean;
  readonly findings: readonly (Refusal & { readonly seq: number | null })[];
}

/** The minutes of a record. Without a verdict they say what the record says, and that nobody has judged it here. */
export function minutesHtml(record: FoldedRecord, options: { readonly verdict?: PrintedVerdict } = {}): string {
  const { state } = record;
  const rehearsal = state.opening?.mode !== 'real';
  const title = state.plan?.title ?? 'A record that cannot be read';
  return sheet(record, 'Minutes', title, html`${cover(record, rehearsal, title, transcriptWords(record))}${verdictSection(options.verdict)}${peopleSection(record)}${thingsSection(record)}${resultSection(record)}${actSections(record)}${listSections(record)}${sealSection(record)}${closing(record)}${limits(rehearsal, options.verdict)}${signatures(record)}`);
}

/** A printed document about one record, bound to it on every page. */
function sheet(record: FoldedRecord, kind: string, title: string, content: Markup): string {
  const { state } = record;
  const rehearsal = state.opening?.mode !== 'real';
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="generator" content="${edition()}">
<title>${rehearsal ? 'REHEARSAL: ' : ''}${kind} of ${title}, ${state.ceremony}</title>
<style>
${new Markup(STYLE)}</style>
</head>
<body class="${rehearsal ? 'rehearsal' : 'real'}">
<table class="sheet">
<thead><tr><td>${rehearsal ? BAND : NOTHING}<div class="running"><span><b>${rehearsal ? 'REHEARSAL' : kind}</b> ${title}</span><span>${record.lines.length} entries</span></div>
<div class="running words"><span>transcript: ${transcriptWords(record).join(' ')}</span></div></td></tr></thead>
<tfoot><tr><td><div class="running"><span>ceremony ${hexGroups(state.ceremony)}</span><span>head ${head(record).join(' ')}</span></div>${rehearsal ? BAND : NOTHING}</td></tr></tfoot>
<tbody><tr><td><main>
${content}</main></td></tr></tbody>
</table>
</body>
</html>
`;
  return page.text;
}

/**
 * The certificate of destruction, once every copy has been looked for again; null before that, and for records that destroy
 * nothing. It claims of each copy no more than its level, and says what it does not prove.
 */
export function destructionCertificateHtml(record: FoldedRecord): string | null {
  const { state } = record;
  const { destruction: { list, confirmed }, consent: { approvals } } = state;
  if (list === null || !confirmed || state.phase !== 'closed') return null;
  const rehearsal = state.opening?.mode !== 'real';
  const { claims, level, verdict } = claimsOn(state.destruction);
  const wait = state.plan?.steps.find((step) => step.do.action === 'wait')?.do;
  return sheet(record, 'Certificate of destruction', list.key.label, html`<header class="cover"><p class="kind">Certificate of destruction</p>
<h1>${list.key.label}</h1>
<p class="mode">${rehearsal ? 'REHEARSAL: nothing of value was destroyed' : level === null ? 'NOT DESTROYED' : `Destroyed, ${level}`}</p>
<p class="${level === null ? 'verdict alarm' : 'verdict'}">${mark(level === null ? 'refused' : 'reported')} ${verdict}</p>
${facts([
    ['Key', list.key.label], ['Algorithm', list.key.algorithm], ['Known as', code(list.key.identity)],
    ['Approved by', approvals.map(({ seat, at }) => html`${personName(state, seat)}, ${utc(at)}<br>`)],
    ['Waiting period', wait?.action === 'wait' ? rehearsal ? `${REHEARSAL_WAIT} seconds, because it was a rehearsal; ${wait.hours} hours otherwise` : `${wait.hours} hours after the last approval` : 'none'],
    ...list.dependants.length === 0 ? [] : [['Depended on it', list.dependants.join('; ')], ['Destroyed all the same', list.despite]] as const,
    ['Not known', list.unknown.length === 0 ? 'The list names no copy that may be elsewhere.' : list.unknown.join('; ')],
  ])}</header>
${section('Copy by copy', table('list', ['Copy', 'What', 'Level', 'What is known'], claims.map(({ number, what, secret, level: own, words }): Part[] => [
    number, secret ? what : html`${what}<br>holds no secret`, own === null ? mark('refused') : html`${own}<br>${LEVELS[own]}`, words,
  ])))}${section('What this certificate belongs to', html`<p>Exactly one transcript: <span class="code">sha512sum transcript.jsonl</span> gives</p>
<p>${code(hexGroups(record.sha512))}</p>
${facts([['Entries', record.lines.length], ['Hash of the last entry', code(hexGroups(toHex(fromBase64url(state.lastHash))))], ['The same in words', code(head(record).join(' '))]])}`)}${section('What this certificate does not prove', html`<ul class="limits"><li>That there was no copy that nobody named: a list can only hold what somebody knew of.</li>
<li>That a token erased the bits: L1 means that software looked and found nothing, and that a use was refused. A token that lies well enough is not caught by it.</li>
<li>That nobody used the key, or copied it, before.</li>
<li>That this record is genuine: only a verdict over the transcript says so (<span class="code">conclave verify</span>).</li>
</ul>
`)}${signatures(record)}`);
}

/** How the minutes name their own layout; a bundle's reader looks for it. */
export function edition(): string {
  return `conclave-minutes/${MINUTES_EDITION}`;
}

/** First words of the head: what the screen showed at the end. */
function head(record: FoldedRecord): string[] {
  return record.state.lastHash === '' ? [] : fingerprintWords(fromBase64url(record.state.lastHash), 4);
}

/** `2026-03-02 09:00:00 UTC`; an entry's time is text, and stays text. */
function utc(at: string): Markup {
  return at === '' ? NOTHING : html`<span class="time">${at.slice(0, 10)} ${at.slice(11, 19)} UTC</span>`;
}

function cover(record: FoldedRecord, rehearsal: boolean, title: string, words: readonly string[]): Markup {
  const { state, rows } = record;
  const { opening, script } = state;
  const last = rows.at(-1)?.entry;
  return html`<header class="cover"><p class="kind">Minutes of a key ceremony</p>
<h1>${title}</h1>
<p class="mode">${rehearsal ? 'REHEARSAL: nothing made here may be used' : 'Real ceremony'}</p>
${facts([
    ['Ceremony', code(hexGroups(state.ceremony))],
    ['Opened', utc(rows[0]?.entry.at ?? '')],
    ['Last entry', utc(last?.at ?? '')],
    ['State', STATES[state.phase]],
    ['Script', html`${script?.name ?? ''}, version ${script?.version ?? ''}: ${script?.purpose.replace(/\s+/g, ' ') ?? ''}`],
    ['Script\'s words', code(script?.words.join(' ') ?? '')],
    ['Script\'s SHA-512', code(script ? hexGroups(toHex(fromBase64url(script.hash))) : '')],
    ...Object.entries(opening?.parameters ?? {}).map(([name, value]): [string, Part] => [script?.parameters[name]?.ask ?? name, value]),
    ['Application', html`Conclave ${opening?.app.version ?? ''}, build ${code(hexGroups(opening?.app.build ?? ''))}`],
    ['Runtime', html`Node ${opening?.runtime.node ?? ''}${opening?.runtime.electron ? `, Electron ${opening.runtime.electron}` : ', without Electron'}${opening?.runtime.development === true ? ' (development runtime)' : ''}`],
    ['Clock', opening?.clock ?? ''],
    ['The machine', opening?.warnings.length === 0 ? 'no warnings at the opening' : opening?.warnings.map((warning) => html`${mark('reported')} ${warning} `) ?? ''],
  ])}<div class="binding"><h2>What these minutes belong to</h2>
<p>Exactly one transcript. Anyone who has the file can compare: <span class="code">sha512sum transcript.jsonl</span></p>
${facts([
    ['Entries', record.lines.length],
    ['SHA-512 of the file', code(hexGroups(record.sha512))],
    ['The same in words', code(words.join(' '))],
    ['Merkle root', code(hexGroups(toHex(fromBase64url(record.root))))],
    ['Hash of the last entry', code(state.lastHash === '' ? '' : hexGroups(toHex(fromBase64url(state.lastHash))))],
  ])}</div>
${record.unread ? html`<p class="alarm">${mark('refused')} The record cannot be read beyond entry ${rows.length - 1}: ${record.unread.rule}, ${record.unread.found}.</p>
` : NOTHING}</header>
`;
}

const STATES: Readonly<Record<State['phase'], string>> = {
  empty: 'never opened', open: 'OPEN: unfinished, or cut short', aborted: 'ABORTED', closed: 'closed',
};

function verdictSection(verdict: PrintedVerdict | undefined): Markup {
  if (!verdict) {
    return section('Verdict', html`<p>These minutes repeat what the record says. Whether it is genuine says <span class="code">conclave verify</span>, or VERIFY.md without this program. Marks: ${mark('verified')} checked in software when it was written; ${mark('reported')} the word of a token or of a person; ${mark('refused')} an attempt that failed.</p>
`);
  }
  const good = verdict.verdict === 'valid';
  return section('Verdict', html`<p class="${good ? 'verdict' : 'verdict alarm'}">${mark(good ? 'verified' : verdict.verdict === 'refused' ? 'refused' : 'reported')} ${VERDICTS[verdict.verdict]}${verdict.pinned ? ' The signers are those of the auditor\'s trust file.' : ' Self-consistent, signers not pinned: compare every fingerprint with its owner.'}</p>
`, verdict.findings.length === 0 ? NOTHING : table('list', ['Entry', 'Rule', 'Expected', 'Found'], verdict.findings.map((finding) => [finding.seq ?? '', finding.rule, finding.expected, finding.found])));
}

const VERDICTS: Readonly<Record<PrintedVerdict['verdict'], string>> = {
  valid: 'Valid: closed, sealed by everyone, every rule kept.', open: 'Open: not closed, not valid.',
  aborted: 'Aborted: ended before its end, as recorded.', refused: 'REFUSED: rules are broken. Do not rely on this record.',
};

interface Enrolled {
  readonly person: Person;
  readonly card: string;
  readonly seq: number;
}

/** Everybody who ever enrolled, a replaced officer too. */
function enrolled(record: FoldedRecord): Enrolled[] {
  return record.rows.flatMap(({ entry, before, refusal }, index) => {
    if (refusal || entry.kind !== 'done' || before.current?.step.do.action !== 'enrol') return [];
    const after = record.rows[index + 1]?.before ?? record.state;
    const person = after.people.find((candidate) => candidate.seat === before.current?.step.who);
    return person ? [{ person, card: ((entry.data as Data<'done'>).evidence as Evidence<'enrol'>).card.serial, seq: entry.seq }] : [];
  });
}

function peopleSection(record: FoldedRecord): Markup {
  const present = enrolled(record);
  const absent = record.state.people.filter((person) => !present.some((one) => one.person.seat === person.seat && one.person.name === person.name));
  return section('People', table('list', ['Seat', 'Name', 'Identity card', 'Keys (RFC 7638 thumbprints) and their words'], [
    ...present.map(({ person, card, seq }): Part[] => {
      const [classical, pq] = person.identity?.thumbprints ?? ['', ''];
      return [
        html`<span class="time">${person.seat}</span>`, person.name, html`${card}<br>enrolled in entry ${seq}`,
        html`<span class="key">classical ${code(classical)}</span><br><span class="key">ML-DSA ${code(pq)}</span><br>${code(signerWords({ classical, pq }).join(' '))}`,
      ];
    }),
    ...absent.map((person): Part[] => [person.seat, person.name, 'never enrolled', '']),
  ]));
}

/** Every bag that was opened or closed, in this order; nothing where bags have no numbers. */
function bagRows(record: FoldedRecord): Markup[] {
  const rows = record.rows.flatMap(({ entry, before, refusal }): Part[][] => {
    const action = before.current?.step.do.action;
    const bag = before.current && !refusal ? bagAt(before, before.current.step) : null;
    if (bag?.way === 'opened' && entry.kind === 'begun' && (action === 'give-share' || action === 'read-back-share')) {
      const { number = '', expected = null } = ((entry.data as Data<'begun'>).intent as Intent<'read-back-share'>).bag ?? {};
      return [[entry.seq, 'opened', code(number), bag.what, expected === null ? 'no record of this machine names one' : expected === number ? 'the bag that the records expect' : ['the records of this machine expect another bag: ', code(expected)]]];
    }
    return bag?.way === 'closed' && entry.kind === 'done' ? [[entry.seq, 'closed', code(((entry.data as Data<'done'>).evidence as Evidence<'put-away'>).bag ?? ''), bag.what, '']] : [];
  });
  return rows.length === 0 ? [] : [table('list', ['Entry', 'Bag', 'Serial number', 'What lay or lies in it', 'Before'], rows)];
}

function thingsSection(record: FoldedRecord): Markup {
  const { opening } = record.state;
  const seen = new Map<string, TokenFacts>();
  for (const { entry, before, refusal } of record.rows) {
    if (refusal || entry.kind !== 'done') continue;
    const action = before.current?.step.do.action;
    if (action === 'inspect-token') {
      const { token } = (entry.data as Data<'done'>).evidence as Evidence<'inspect-token'>;
      seen.set(token.serial, token);
    } else if (action === 'enrol' || action === 'give-share') {
      const { card } = (entry.data as Data<'done'>).evidence as Evidence<'enrol'>;
      seen.set(card.serial, card);
    }
  }
  const row = (what: string, bound: { module: string; serial: string }): Part[] => {
    const token = seen.get(bound.serial);
    return [what, code(bound.serial), token ? `${token.manufacturer} ${token.model}, firmware ${token.firmware}, "${token.label}"` : 'not seen', bound.module];
  };
  return section('Tokens, cards and modules',
    table('list', ['Thing', 'Serial number', 'As it names itself', 'Module'], [
      ...Object.entries(opening?.bindings.tokens ?? {}).map(([token, bound]) => row(token, bound)),
      ...Object.entries(opening?.bindings.cards ?? {}).flatMap(([card, seats]) => Object.entries(seats).map(([seat, bound]) => row(`${card} of ${seat}`, bound))),
    ]),
    ...bagRows(record),
    table('list', ['Module', 'Library', 'File', 'SHA-256'], (opening?.modules ?? []).map((module) => [module.name, `${module.library} ${module.version} (${module.kind})`, module.path, code(hexGroups(module.sha256))])),
    table('list', ['Recorder key', 'From entry', 'Thumbprint'], record.rows.filter(({ entry }) => entry.kind === 'opened' || entry.kind === 'resumed')
      .map(({ entry }, index) => [index + 1, entry.seq, code(thumbprint((entry.data as Data<'opened' | 'resumed'>).recorder))])));
}

function resultSection(record: FoldedRecord): Markup {
  const { key, backup, issued, components: { formed, entered } } = record.state;
  if (!key && record.state.renewal && backup) return renewalSection(record.state, record.state.renewal, backup);
  if (formed) {
    return section('What was made', facts([
      ['Key', html`"${formed.label}", ${formed.kind.toUpperCase()}, on token ${code(formed.token)}, CKA_ID ${code(hexGroups(formed.id))}; formed of ${Object.keys(entered).length} components`],
      ['Check value', html`${code(formed.check.value.toUpperCase())}, ${formed.check.method} ${mark('verified')}`],
    ]), table('list', ['Custodian', 'Component', 'Check value'], Object.entries(entered).map(([seat, { number, check }]) => [personName(record.state, seat), number, code(check.value.toUpperCase())])));
  }
  const share = (seat: string) => {
    const [given, unread] = [backup?.given[seat], backup?.unread[seat]];
    if (unread) return [personName(record.state, seat), unread.x, code(unread.card), html`${mark('refused')} not read: an exception says why. The card is doubtful`];
    return given ? [personName(record.state, seat), given.x, code(given.card), given.readBack ? html`${mark('verified')} read back` : html`${mark('reported')} given, not read back`] : [];
  };
  const shares = backup ? table('list', ['Custodian', 'Share', 'Card', 'Share is on its card'], Object.keys({ ...backup.given, ...backup.unread }).map(share)) : NOTHING;
  if (!key) return section('What was made', none('No key was made or used.'), shares);
  return section('What was made',
    facts([
      ['Key', html`"${key.label}", ${key.algorithm}, on token ${code(key.token)}${key.made ? '' : key.restored ? '; restored onto it out of its backup' : '; it was there before'}`],
      ...key.parts.map((part): [string, Part] => [
        part.part === 'key' ? 'Held' : part.part === 'ml-dsa' ? 'ML-DSA half' : 'Classical half',
        part.held === 'token' ? html`${part.algorithm} on the token, CKA_ID ${code(hexGroups(part.id ?? ''))} ${mark('reported')}` : html`${part.algorithm}, wrapped under the token's AES-256 key ${code(hexGroups(key.wrapping ?? ''))} ${mark('verified')}`,
      ]),
      ['Public key SHA-256', code(digestGroups(key.spki))],
      ['Proof of possession', key.proven ? mark('verified') : 'none'],
      ['Certificate SHA-256', key.certificate === null ? 'none' : code(digestGroups(key.certificate))],
      ['Extractable at the end', key.parts.some((part) => part.private?.extractable === true) ? html`yes ${mark('reported')}` : html`no ${mark('reported')}`],
      ...issued.map((one): [string, Part] => [one.kind === 'crl' ? 'CRL signed, SHA-256' : 'Certificate issued, SHA-256', code(digestGroups(one.bytes))]),
      ...(key.wrapped ?? []).map((part): [string, Part] => ['Wrapped key SHA-256', code(digestGroups(part.wrapped))]),
      ['Backup', backup ? html`${backup.set.threshold} of ${backup.set.shares}, set ${code(backup.set.id)}, epoch ${backup.set.epoch}; ${key.recoveryProven ? html`recovery proven ${mark('verified')}` : 'recovery not proven'}; ${backup.wiped ? html`source wiped ${mark('reported')}` : 'source not wiped'}` : 'none'],
    ]),
    shares);
}

/** The new set, and what became of every share of the old one. */
function renewalSection(state: State, { old, proven }: Renewal, { set, given, wiped }: NonNullable<State['backup']>): Markup {
  const { shares, left, enough } = oldShares(state);
  const words = left === 0 ? 'none' : `${left} of ${old.set.shares}, of which ${old.set.threshold} make the backup key: ${enough ? 'ENOUGH. What keeps them out is that this program refuses them. Find these cards and have them destroyed' : 'too few'}`;
  return section('What was made',
    facts([
      ['Shares until now', html`${old.set.threshold} of ${old.set.shares}, set ${code(old.set.id)}, epoch ${old.set.epoch}`],
      ['New shares', html`${set.threshold} of ${set.shares}, set ${code(set.id)}, epoch ${set.epoch}; ${proven ? html`recovery proven ${mark('verified')}: only they count from now on` : 'recovery not proven: the old ones are still in force'}; ${wiped ? html`source wiped ${mark('reported')}` : 'source not wiped'}`],
      ['Backup key', html`the same: both sets commit to it alike ${mark('verified')}`],
      ...(proven ? [['Old shares not erased', html`${words} ${mark(enough ? 'refused' : 'reported')}`] as [string, Part]] : []),
    ]),
    table('list', ['Custodian', 'New share', 'Card', 'Share is on its card'], Object.entries(given).map(([seat, { x, card, readBack }]) => [personName(state, seat), x, code(card), readBack ? html`${mark('verified')} read back` : html`${mark('reported')} given, not read back`])),
    table('list', ['Holder', 'Old share', 'Card', 'What became of it'], shares.map(({ x, card, holder, erased, seat }) => [holder, x, code(card),
      erased ? html`erased, not found in a fresh session ${mark('reported')}` : !proven ? 'still in force' : seat === null ? html`its card was not here: declared dead, NOT ERASED ${mark('refused')}` : html`declared dead, NOT ERASED ${mark('refused')}`])));
}

// --- act by act ----------------------------------------------------------------------------------------------------------

function actSections(record: FoldedRecord): Markup {
  const acts = record.state.plan?.acts ?? [];
  const rows = acts.map((): Part[][] => []);
  let checkpoints = 0;
  for (const [index, row] of record.rows.entries()) {
    const { entry, before, refusal } = row;
    if (entry.kind === 'checkpoint' && !refusal) {
      checkpoints += 1;
      continue;
    }
    if (!refusal && answeredAtOnce(record, index)) continue;
    rows[before.phase === 'empty' ? 0 : currentAct(before)]?.push(actRow(row));
  }
  return html`${acts.map((act, index) => section(`Act ${index + 1}: ${act.title}`,
    table('acts', ['Entry', 'UTC', 'What happened', 'Worth'], rows[index] ?? [])))}<p class="none">Not listed: ${checkpoints} checkpoints, the recorder's signatures over everything before them.</p>
`;
}

/** A `begun` whose outcome is the next entry is told with it. */
function answeredAtOnce(record: FoldedRecord, index: number): boolean {
  const entry = record.rows[index]?.entry;
  const next = record.rows[index + 1];
  return entry?.kind === 'begun' && next?.entry.kind === 'done' && next.refusal === null && (next.entry.data as Data<'done'>).begun === entry.seq;
}

const SIGNING: readonly string[] = ['sign-seal', 'sign-resume'];

function actRow({ entry, before, refusal }: Row): Part[] {
  const begun = entry.kind === 'done' ? (entry.data as Data<'done'>).begun : null;
  const number = begun === null || begun !== entry.seq - 1 ? `${entry.seq}` : `${begun}, ${entry.seq}`;
  const time = entry.at.slice(11, 19);
  if (refusal) {
    return [number, time, html`<b>${entry.kind}</b><br>breaks ${refusal.rule}: expected ${refusal.expected}; found ${refusal.found}`, mark('refused')];
  }
  const { title, detail, mark: worth } = describe(entry, before);
  // Witnesses and signers are many and say one thing each: a line is enough.
  const brief = entry.kind === 'witnessed' || (entry.kind === 'done' && entry.step !== undefined && SIGNING.includes(before.current?.step.do.action ?? ''));
  const lines = brief ? [] : detail.map((item) => html`<li>${item.text}${item.mark === null || item.mark === worth ? NOTHING : html` ${mark(item.mark)}`}</li>`);
  return [number, time, html`${title}${lines.length > 0 ? html`<ul>${lines}</ul>` : NOTHING}`, mark(worth)];
}

// --- what was not as planned -----------------------------------------------------------------------------------------------

function listSections(record: FoldedRecord): Markup {
  const honest = record.rows.filter((row) => row.refusal === null);
  const of = (...kinds: Entry['kind'][]) => honest.filter(({ entry }) => kinds.includes(entry.kind));
  const list = (title: string, empty: string, heads: readonly string[], rows: readonly (readonly Part[])[]) => section(title, rows.length === 0 ? none(empty) : table('list', heads, rows));
  const told = ({ entry, before }: Row): Part => {
    const { title, detail } = describe(entry, before);
    return html`${title}${detail.map((item) => html`<br>${item.text}`)}`;
  };
  return html`${list('Exceptions', 'No exception was recorded.', ['No.', 'Entry', 'Expected', 'Happened', 'Decided', 'By'], of('exception').map(({ entry, before }) => {
    const data = entry.data as Data<'exception'>;
    return [data.number, entry.seq, data.expected, data.happened, data.decided, personName(before, entry.by)];
  }))}${list('Breaks', 'No break was taken.', ['Entry', 'UTC', 'People present', 'Why'], of('break', 'back').map(({ entry }) => {
    const data = entry.data as Partial<Data<'break'>>;
    return [entry.seq, utc(entry.at), data.present ?? '', entry.kind === 'break' ? `it began: ${data.reason ?? ''}` : 'it ended, heads counted'];
  }))}${list('Failed attempts', 'No attempt failed.', ['Entry', 'UTC', 'What failed'], of('failed').map((row) => [row.entry.seq, utc(row.entry.at), told(row)]))}${
    list('Interruptions', 'The record was never interrupted.', ['Entry', 'UTC', 'What happened'], of('lost', 'resumed', 'found', 'decided', 'cleared', 'aborted').map((row) => [row.entry.seq, utc(row.entry.at), told(row)]))}${
    list('Disagreements', 'Nobody disagreed.', ['Entry', 'Who', 'In their words'], of('disagreed').map(({ entry, before }) => [entry.seq, personName(before, entry.by), (entry.data as Data<'disagreed'>).words]))}`;
}

function sealSection(record: FoldedRecord): Markup {
  const { state } = record;
  const signers = signersOf(state);
  const acts = state.plan?.acts ?? [];
  return section('Seals', html`<p>The seal of an act covers everything before it. A signature is a pair, classical and ML-DSA; both or none.</p>
`, table('list', ['Signer', ...acts.map((_, act) => `Act ${act + 1}`)], signers.map((signer) => [
    personName(state, signer.seat),
    ...acts.map((_, act) => state.seals.some((seal) => seal.act === act && seal.signatures[signer.seat] !== undefined) ? '✓✓ both' : '–– none'),
  ])));
}

function closing(record: FoldedRecord): Markup {
  const { state, rows } = record;
  const end = rows.findLast(({ entry }) => entry.kind === 'closed' || entry.kind === 'aborted');
  const sealed = (state.plan?.acts ?? []).every((_, act) => signersOf(state).every((signer) => state.seals.some((seal) => seal.act === act && seal.signatures[signer.seat] !== undefined)));
  const text = state.phase === 'closed'
    ? html`The record was closed at ${utc(end?.entry.at ?? '')}, in entry ${end?.entry.seq ?? ''}. ${sealed ? 'Every act is sealed by everyone.' : 'Not every act is sealed by everyone.'}`
    : state.phase === 'aborted'
      ? html`The ceremony was aborted at ${utc(end?.entry.at ?? '')}: ${(end?.entry.data as Partial<Data<'aborted'>> | undefined)?.reason ?? ''} What was made may only be used if the record of a later ceremony takes it over.`
      : html`The record has no end. It stands at entry ${record.lines.length - 1}, step ${state.current?.step.id ?? 'none'}, and can be resumed.`;
  return section('Closing statement', html`<p>${text}</p>
`);
}

function limits(rehearsal: boolean, verdict: PrintedVerdict | undefined): Markup {
  const items = [
    ...rehearsal ? ['It is a rehearsal: keys, shares and certificate of it protect nothing and must not be used.'] : [],
    'That the people named are who they say: their keys were present, their faces were not checked by a machine.',
    'That nobody copied a key or a share by means this record does not see, before, during or after the ceremony.',
    'That a token tells the truth where a mark says "reported": attributes, inventories and its own description are its word.',
    'That a wiped secret left no trace in memory: the program that held it ended, and more cannot be promised.',
    'The time of day: it is that of the machine\'s clock. The order of the entries is proven, their hour is not.',
    'What people said, saw and carried: moves, words read aloud and witnesses are their word, under their signatures.',
    ...verdict ? [] : ['That the record is genuine: only a verdict over the transcript says so, not this paper.'],
  ];
  return section('What this record does not prove', html`<ul class="limits">${items.map((item) => html`<li>${item}</li>
`)}</ul>
`);
}

function signatures(record: FoldedRecord): Markup {
  return section('Signed by hand', html`<p>I was present. I compared the words at the head of this page with those on the screen.</p>
`, table('wet', ['Seat', 'Name', 'Date', 'Signature'], record.state.people.map((person) => [person.seat, person.name, '', ''])));
}

const STYLE = `:root { color-scheme: light; --ink: #111; --rule: #999; --faint: #555; }
@page { margin: 12mm 14mm; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 10.5pt/1.4 "IBM Plex Sans", system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
.code, .words { font-family: "IBM Plex Mono", ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.88em; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
.sheet > thead > tr > td, .sheet > tfoot > tr > td, .sheet > tbody > tr > td { padding: 0; }
thead { display: table-header-group; }
tfoot { display: table-footer-group; }
.running { display: flex; justify-content: space-between; gap: 1em; font-size: 8.5pt; color: var(--faint); padding: 1mm 0; }
.sheet > thead .words { border-bottom: 0.3mm solid var(--rule); margin-bottom: 4mm; }
.sheet > tfoot .running { border-top: 0.3mm solid var(--rule); margin-top: 4mm; }
.band { display: block; }
main { display: block; }
h1 { font-size: 24pt; line-height: 1.15; margin: 2mm 0 4mm; }
h2 { font-size: 13pt; margin: 7mm 0 2mm; break-after: avoid; }
.kind { margin: 6mm 0 0; color: var(--faint); }
.mode { font-size: 13pt; font-weight: 600; border: 0.6mm solid var(--ink); padding: 2mm 3mm; display: inline-block; margin: 0 0 4mm; }
.binding { border: 0.4mm solid var(--ink); padding: 0 4mm 3mm; margin-top: 5mm; break-inside: avoid; }
.facts th { text-align: left; font-weight: 600; vertical-align: top; width: 44mm; padding: 0.6mm 3mm 0.6mm 0; }
.facts td { vertical-align: top; padding: 0.6mm 0; }
.list, .acts, .wet { margin: 2mm 0 3mm; }
.list th, .acts th, .wet th { text-align: left; font-size: 9pt; border-bottom: 0.3mm solid var(--ink); padding: 0.8mm 2mm 0.8mm 0; }
.list td, .acts td, .wet td { vertical-align: top; border-bottom: 0.15mm solid var(--rule); padding: 1mm 3mm 1mm 0; overflow-wrap: break-word; }
.list tr, .acts tr, .wet tr { break-inside: avoid; }
.acts td:nth-child(1), .acts td:nth-child(2), .time, .key { white-space: nowrap; }
.acts td:nth-child(1), .acts td:nth-child(2) { width: 1%; }
.acts td:nth-child(4) { white-space: nowrap; width: 1%; }
.acts ul { margin: 0.5mm 0 0; padding-left: 4.5mm; color: var(--faint); font-size: 9.5pt; }
.mark { white-space: nowrap; font-weight: 600; }
.mark.verified { color: #14532d; }
.mark.reported { color: #713f12; }
.mark.refused { color: #7f1d1d; }
.alarm { border: 0.6mm solid #7f1d1d; padding: 2mm 3mm; }
.none { color: var(--faint); }
.wet td { height: 14mm; }
.wet th:nth-child(4) { width: 40%; }
@media screen { body { background: #eee; } .sheet { max-width: 200mm; margin: 6mm auto; background: #fff; } .sheet > thead > tr > td, .sheet > tfoot > tr > td, .sheet > tbody > tr > td { padding: 0 12mm; } }
`;
