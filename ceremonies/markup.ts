/**
 * Text into HTML for what people print: the minutes of a ceremony, and sheets of paper with shares.
 *
 * Documents of ours are files without scripts, pictures or anything fetched. All text goes through `escaped`, none around it:
 * only `html` makes markup, and a string that it is given is text.
 */

/** Markup that a source of ours wrote. Everything else is text. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** The one way from text to markup. What a reader could not see is spelled out: U+202E may be in a record, not on paper. */
function escaped(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => `[U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`)
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export type Part = string | number | Markup | readonly Part[];

function markupOf(part: Part): string {
  if (part instanceof Markup) return part.text;
  return typeof part === 'object' ? part.map(markupOf).join('') : escaped(String(part));
}

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.map((string, index) => string + (index < parts.length ? markupOf(parts[index] ?? '') : '')).join(''));
}

export const NOTHING = html``;

/** A hatch drawn as a picture, because printers leave backgrounds out. */
export const BAND = html`<svg class="band" width="100%" height="10" aria-hidden="true"><defs><pattern id="hatch" width="10" height="10" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="5" height="10" fill="#000"/></pattern></defs><rect width="100%" height="10" fill="url(#hatch)"/></svg>`;
