/**
 * The sheet of paper that a share lives on: a page to be printed, signed and put into a bag, and the same page left blank for a
 * copy by hand.
 *
 * One HTML file for each share: no scripts, no pictures, nothing fetched; any browser prints it, on A4 and on Letter alike. Not PDF: that
 * takes a library and brings nothing that a custodian sees. The page holds the secret as text, which cannot be wiped: it is
 * made in a short-lived process only, never in the app.
 */

import encodeQR from 'qr';
import { fromBase64url } from '../bytes.ts';
import { BAND, html, Markup, NOTHING, type Part } from '../markup.ts';
import { fingerprintWords } from '../words.ts';
import type { ShareHeader } from './share.ts';
import type { Mnemonic } from './slip39.ts';
import { CHECKSUM_WORDS } from './word-code.ts';

/** So that everything stays on one page: test/e2e/share-sheet.test.ts looks. */
export const LONGEST_PURPOSE = 60;

/** What a sheet says beside the secret. Public. */
export interface SheetFacts {
  readonly rehearsal: boolean;
  /** What the key is for, in the words of whoever prints it; up to `LONGEST_PURPOSE` characters. */
  readonly purpose: string;
  /** YYYY-MM-DD */
  readonly date: string;
  readonly of: { readonly header: ShareHeader } | { readonly mnemonic: Omit<Mnemonic, 'value'> };
}

/** The words by which people compare sheets of one split: the first six for the digest of the set's facts. */
export function setWords(header: ShareHeader): string[] {
  return fingerprintWords(fromBase64url(header.of), 6);
}

/**
 * The modules of the QR code, the quiet zone of four included (ISO/IEC 18004, 5.3.8); true is dark. Level H: 30 % of it may be
 * worn off. The text is one of `shareToQr`, or words in capitals: both are of the alphanumeric mode.
 */
export function sheetQr(text: string): boolean[][] {
  return encodeQR(text, 'raw', { ecc: 'high', encoding: 'alphanumeric', border: 4 });
}

/** The page of one share. `words` are its words in order, `qr` the text for its QR code: both secret. */
export function sheetHtml(facts: SheetFacts, words: readonly string[], qr: string): string {
  const { rehearsal, purpose, date, of } = facts;
  const rows: (readonly [string, Part])[] = 'header' in of
    ? [
        ['Custodian', of.header.custodian],
        ['Needed', html`any <b>${of.header.threshold}</b> of the ${of.header.shares} shares`],
        ['Set', html`<span class="code">${of.header.set}</span>`],
        ['Set in words', setWords(of.header).join(' ')],
        ['Epoch', of.header.epoch],
      ]
    : [
        ['Custodian', line()],
        ['Needed', html`any <b>${of.mnemonic.threshold}</b> of these shares${of.mnemonic.set.groups > 1 ? `, for group ${of.mnemonic.group + 1} of ${of.mnemonic.set.groups}; ${of.mnemonic.set.groupThreshold} groups are needed` : ''}`],
        ['Set', html`SLIP-39, identifier <b>${of.mnemonic.set.identifier}</b>`],
      ];
  const title = 'header' in of ? `Share ${of.header.x} of ${of.header.shares}` : `Share ${of.mnemonic.member + 1}`;
  return page(title, rehearsal, html`<div class="top">
<div>
<table class="facts">${[['For', purpose] as const, ...rows, ['Date', date] as const].map(fact)}</table>
<p class="tell"><b>Secret.</b> Whoever sees this sheet has this share. It stays in its bag; a picture of it is as secret as the sheet.</p>
</div>
${qrPicture(sheetQr(qr))}
</div>
${grid(words)}
<p class="how">Read row by row, number first. The last ${CHECKSUM_WORDS} words are a checksum. To prove this sheet: ${'header' in of ? html`<span class="code">conclave share type --set set.pem</span>. Without Conclave: the code is base32 (RFC 4648) of the share; its last 64 bytes are the payload, as Vault has it for x = ${of.header.x}, and SHA-256 of all before.` : html`<span class="code">conclave share check</span>. Any program that knows SLIP-39 takes the words, and asks for the passphrase if there is one; the code holds the same words.`}</p>
${wet(['Custodian', 'Witness'])}`);
}

/** What stands on a page of `sheetHtml`, read from the page alone: its words by their numbers, and the modules that its picture draws. */
export function readSheetHtml(page: string): { readonly words: readonly string[]; readonly modules: readonly (readonly boolean[])[] } {
  const words: string[] = [];
  for (const [, number, word] of page.matchAll(/<td><span class="number">(\d+)<\/span> ([^<]*)<\/td>/g)) words[Number(number) - 1] = word!;
  const [, side = '0', path = ''] = /<svg class="qr" viewBox="0 0 (\d+) \1".*<path d="([^"]*)"\/><\/svg>/.exec(page) ?? [];
  const modules = Array.from({ length: Number(side) }, () => Array.from({ length: Number(side) }, () => false));
  for (const [, x, y, length] of path.matchAll(/M(\d+) (\d+)h(\d+)v1H\1z/g)) modules[Number(y)]?.fill(true, Number(x), Number(x) + Number(length));
  return { words, modules };
}

/** The page for a copy by hand: the same places, all of them empty. */
export function blankSheetHtml(words: number, rehearsal: boolean): string {
  const lines: readonly (readonly [string, Part])[] = [['For', line()], ['Custodian', line()], ['Share', html`${short()} of ${short()}, any ${short()} of them needed`], ['Set', line()], ['Set in words', line()], ['Epoch', short()], ['Date', line()]];
  return page('A share, copied by hand', rehearsal, html`<table class="facts">${lines.map(fact)}</table>
<p class="tell"><b>Secret</b> as soon as it is filled in. Write in capitals, with a pen that does not press through onto the sheet beneath. No photograph, no copy.</p>
${grid(Array.from({ length: words }, () => null))}
<p class="how">The last ${CHECKSUM_WORDS} words are a checksum. To prove the copy, type it in from this sheet, not from the one it was copied from: <span class="code">conclave share type --set set.pem</span>. A wrong word is named by its number.</p>
${wet(['Written by', 'Compared by'])}`);
}

function page(title: string, rehearsal: boolean, content: Markup): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="generator" content="conclave-sheet/1">
<title>${rehearsal ? 'REHEARSAL: ' : ''}${title}</title>
<style>
${new Markup(STYLE)}</style>
</head>
<body>
<main>
${rehearsal ? html`${BAND}<p class="rehearsal">REHEARSAL: nothing on this sheet may be used</p>` : NOTHING}
<h1>${title}</h1>
${content}${rehearsal ? html`<p class="rehearsal">REHEARSAL</p>${BAND}` : NOTHING}
</main>
</body>
</html>
`.text;
}

function fact([name, value]: readonly [string, Part]): Markup {
  return html`<tr><th scope="row">${name}</th><td>${value}</td></tr>
`;
}

const line = (): Markup => html`<span class="line"></span>`;
const short = (): Markup => html`<span class="line short"></span>`;

/** Rows of three, the number before each word; longer lists in rows of four, so that a page is enough. A null is left blank. */
function grid(words: readonly (string | null)[]): Markup {
  const columns = words.length > 36 ? 4 : 3;
  const rows = Array.from({ length: Math.ceil(words.length / columns) }, (_, row) => words.slice(row * columns, (row + 1) * columns).map((word, i) => ({ number: row * columns + i + 1, word })));
  const blank = words.includes(null);
  return html`<table class="words${blank ? ' blank' : ''} ${columns === 3 ? 'three' : 'four'}">
${rows.map((row) => html`<tr>${row.map(({ number, word }) => html`<td><span class="number">${number}</span> ${word ?? line()}</td>`)}</tr>
`)}</table>`;
}

function wet(people: readonly string[]): Markup {
  return html`<table class="wet">
${people.map((person) => html`<tr><td>${person}, name and signature</td><td>Date</td></tr>
`)}<tr><td>Bag, serial number</td><td>Sealed by</td></tr>
</table>
`;
}

/** One path, so that no printer draws a hair between two modules. */
function qrPicture(modules: readonly (readonly boolean[])[]): Markup {
  const runs = modules.flatMap((row, y) => row.flatMap((dark, x) => (dark && row[x - 1] !== true ? [`M${x} ${y}h${row.slice(x).indexOf(false)}v1H${x}z`] : [])));
  return html`<svg class="qr" viewBox="0 0 ${modules.length} ${modules.length}" role="img" aria-label="QR code of this share" shape-rendering="crispEdges"><rect width="100%" height="100%" fill="#fff"/><path d="${runs.join('')}"/></svg>`;
}

const STYLE = `:root { color-scheme: light; }
@page { margin: 8mm 12mm; }
* { box-sizing: border-box; }
body { margin: 0; color: #000; background: #fff; font: 11.5pt/1.35 "IBM Plex Sans", system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { width: 184mm; margin: 0 auto; }
.code, .words { font-family: "IBM Plex Mono", ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.code { font-size: 0.92em; overflow-wrap: anywhere; }
h1 { font-size: 22pt; line-height: 1; margin: 1mm 0 1.5mm; }
table { border-collapse: collapse; width: 100%; }
.band { display: block; }
.rehearsal { margin: 0.6mm 0; line-height: 1.1; font-weight: 700; text-align: center; letter-spacing: 0.04em; }
.top { display: flex; gap: 4mm; align-items: flex-start; justify-content: space-between; }
.facts th { text-align: left; font-weight: 600; vertical-align: top; width: 27mm; padding: 0.7mm 2mm 0.7mm 0; }
.facts td { vertical-align: top; padding: 0.7mm 0; overflow-wrap: anywhere; }
.qr { flex: none; width: 88mm; height: 88mm; }
.tell { margin: 2mm 0 3mm; border: 0.5mm solid #000; padding: 1.2mm 2.5mm; }
.words td { width: 33.3%; font-size: 16pt; line-height: 1; padding: 1.35mm 0; border-bottom: 0.2mm solid #777; white-space: nowrap; font-weight: 500; }
.words.four td { width: 25%; font-size: 13pt; }
.words tr:first-child td { border-top: 0.2mm solid #777; }
.number { display: inline-block; width: 2.4ch; text-align: right; margin-right: 0.5ch; font-size: 0.72em; font-weight: 400; }
.words.blank td { padding: 4.2mm 3mm 0 0; border-bottom: 0; }
.words.blank.four td { padding-top: 2.4mm; }
.words.blank tr:first-child td { border-top: 0; }
.line { display: inline-block; width: calc(100% - 4ch); border-bottom: 0.3mm solid #000; height: 1em; }
.facts .line { width: 100%; }
.line.short, .facts .line.short { width: 14mm; }
.how { font-size: 9pt; line-height: 1.25; margin: 1.6mm 0; }
.wet td { width: 70%; height: 9.5mm; vertical-align: top; border: 0.2mm solid #777; padding: 0.8mm 2mm; font-size: 9pt; }
.wet td + td { width: 30%; }
@media screen { body { background: #eee; } main { background: #fff; padding: 10mm 12mm; width: 208mm; margin: 6mm auto; } }
`;
