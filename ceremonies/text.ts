/**
 * Text that people will read on a screen, on paper and in a certificate, and must all read the same.
 *
 * Scripts, labels, names and certificate subjects pass through `plainText`. Refused is whatever could make two people see
 * different things for the same bytes, or the same thing for different bytes: controls, direction overrides, invisible
 * characters, exotic blanks, unpaired surrogates, private-use and non-characters, and text not in normal form C. The
 * list is written out as code points, not taken from the runtime's Unicode tables: an auditor in ten years must get
 * the verdict of today.
 */

import { refuse, type Refusal } from './refusal.ts';

const FIX = 'Type the text again; do not paste it.';

/** First and last code point, and what to call it. */
const UNPRINTABLE: readonly (readonly [number, number, string])[] = [
  [0x0000, 0x001f, 'a control character'],
  [0x007f, 0x009f, 'a control character'],
  [0x00a0, 0x00a0, 'a blank other than the space bar'],
  [0x00ad, 0x00ad, 'an invisible character (soft hyphen)'],
  [0x034f, 0x034f, 'an invisible character (grapheme joiner)'],
  [0x061c, 0x061c, 'a text direction mark'],
  [0x115f, 0x1160, 'an invisible character (Hangul filler)'],
  [0x1680, 0x1680, 'a blank other than the space bar'],
  [0x17b4, 0x17b5, 'an invisible character (Khmer vowel)'],
  [0x180b, 0x180f, 'an invisible character (Mongolian selector)'],
  [0x2000, 0x200a, 'a blank other than the space bar'],
  [0x200b, 0x200d, 'an invisible character (zero width)'],
  [0x200e, 0x200f, 'a text direction mark'],
  [0x2028, 0x2029, 'a line separator'],
  [0x202a, 0x202e, 'a text direction override'],
  [0x202f, 0x202f, 'a blank other than the space bar'],
  [0x205f, 0x205f, 'a blank other than the space bar'],
  [0x2060, 0x2065, 'an invisible character (zero width)'],
  [0x2066, 0x2069, 'a text direction isolate'],
  [0x206a, 0x206f, 'an invisible character (deprecated format)'],
  [0x2800, 0x2800, 'an invisible character (blank Braille pattern)'],
  [0x3000, 0x3000, 'a blank other than the space bar'],
  [0x3164, 0x3164, 'an invisible character (Hangul filler)'],
  [0xd800, 0xdfff, 'an unpaired surrogate'],
  [0xe000, 0xf8ff, 'a private-use character'],
  [0xfdd0, 0xfdef, 'a non-character'],
  [0xfe00, 0xfe0f, 'an invisible character (variation selector)'],
  [0xfeff, 0xfeff, 'an invisible character (byte order mark)'],
  [0xffa0, 0xffa0, 'an invisible character (Hangul filler)'],
  [0xfff0, 0xfffb, 'an invisible character (annotation)'],
  [0x13430, 0x1345f, 'an invisible character (hieroglyph format)'],
  [0x1bca0, 0x1bca3, 'an invisible character (shorthand format)'],
  [0x1d173, 0x1d17a, 'an invisible character (musical format)'],
  [0xe0000, 0xe0fff, 'an invisible character (tag)'],
  [0xf0000, 0x10ffff, 'a private-use character'],
];

/**
 * Null when `text` is one line of plain text of at most `max` UTF-16 units; otherwise the refusal:
 * TEXT-LENGTH, TEXT-PRINTABLE (with code point and place), or TEXT-NORMAL-FORM (Unicode NFC). Empty text passes.
 * The found text is never quoted: it may be what breaks the screen that shows the refusal.
 */
export function plainText(field: string, text: string, max: number): Refusal | null {
  if (text.length > max) return refuse('TEXT-LENGTH', `${field}: at most ${max} characters`, `${text.length}`, 'Shorten the text.');
  if (/^[\x20-\x7e]*$/.test(text)) return null; // most text by far: the rest finds nothing in it
  let place = 0;
  for (const character of text) {
    place++;
    const code = character.codePointAt(0)!;
    // U+xxFFFE and U+xxFFFF are non-characters in every plane (Unicode 16.0 section 23.7).
    const what = (code & 0xfffe) === 0xfffe ? 'a non-character' : UNPRINTABLE.find(([first, last]) => code >= first && code <= last)?.[2];
    if (what !== undefined) {
      const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
      return refuse('TEXT-PRINTABLE', `${field}: printable text`, `${what}, ${name}, at character ${place}`, FIX);
    }
  }
  // Normal forms are stable across Unicode versions (UAX 15 section 3), so this verdict does not age either.
  if (text.normalize('NFC') !== text) {
    return refuse('TEXT-NORMAL-FORM', `${field}: Unicode normal form C`, 'letters composed in another way', FIX);
  }
  return null;
}
