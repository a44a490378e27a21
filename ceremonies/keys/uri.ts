/**
 * PKCS#11 URIs (RFC 7512): the text by which tools name a library, slot, token or object. Read strictly, written in one
 * canonical form, matched against what a module told us.
 *
 * A URI is a pasted line: it chooses among what is there, and nothing it says is followed. `module-path` and `pin-source`
 * are kept as text and never opened (RFC 7512 section 6: either may name a program to run). `pin-value` is refused, and no
 * refusal quotes a value, because the mistake in a line may be that it holds a PIN.
 */
import type { ObjectFact, TokenFacts } from '../evidence.ts';
import { equalBytes, fromHex, fromUtf8, utf8 } from '../bytes.ts';
import { Refused, refuse } from '../refusal.ts';

/** RFC 7512 section 2.3. Names as in the URI. */
const TEXTS = [
  'library-manufacturer', 'library-description', 'slot-manufacturer', 'slot-description', 'token', 'manufacturer', 'model', 'serial', 'object',
] as const;
const TYPES = ['public', 'private', 'cert', 'secret-key', 'data'] as const;
const QUERIES = ['pin-source', 'module-name', 'module-path'] as const;

export type UriType = (typeof TYPES)[number];

export interface Pkcs11Uri {
  readonly texts: Readonly<Partial<Record<(typeof TEXTS)[number], string>>>;
  readonly type: UriType | null;
  /** CKA_ID; empty is another thing than absent. */
  readonly id: Uint8Array | null;
  readonly slotId: number | null;
  readonly libraryVersion: { readonly major: number; readonly minor: number } | null;
  readonly query: Readonly<Partial<Record<(typeof QUERIES)[number], string>>>;
  /** Attributes that the RFC does not define, in their order. In a query the same name may stand there several times. */
  readonly vendor: { readonly path: readonly VendorAttribute[]; readonly query: readonly VendorAttribute[] };
}
export interface VendorAttribute {
  readonly name: string;
  readonly value: Uint8Array;
}

/** The longest URI that is read, in characters. All of CK_INFO, CK_SLOT_INFO, CK_TOKEN_INFO and a label, escaped, is shorter. */
const LONGEST = 8192;
const NEXT = 'Copy the whole URI again, as the other program printed it.';
/** RFC 7512 section 2.3, pk11-v-attr-nm-char; the defined names are of the same characters. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
/** pk11-pchar and pk11-qchar without pct-encoded: what may stand for itself. */
const PATH_PLAIN = /^[A-Za-z0-9\-._~:[\]@!$'()*+,=&]$/;
const QUERY_PLAIN = /^[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]$/;

// --- reading -------------------------------------------------------------------------------------------------------------

/**
 * Reads a PKCS#11 URI. Throws `Refused` URI-LENGTH, URI-SCHEME, URI-SYNTAX, URI-ENCODING (not percent-encoded UTF-8),
 * URI-DUPLICATE, URI-VALUE (a type, version or slot that is none), URI-NO-PIN. Blanks around it are the caller's to remove.
 */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (text.length > LONGEST) throw refusal('URI-LENGTH', `at most ${LONGEST} characters`, `${text.length}`);
  if (!/^pkcs11:/i.test(text)) throw refusal('URI-SCHEME', 'a text that begins with pkcs11:', text === '' ? 'nothing' : 'another beginning');
  const rest = text.slice('pkcs11:'.length);
  const mark = rest.indexOf('?');
  const path = mark < 0 ? rest : rest.slice(0, mark);
  const query = mark < 0 ? '' : rest.slice(mark + 1);
  // Before anything else is judged: whatever is wrong with the rest, this is what must be said.
  const pairs = { path: pairsOf(path, ';'), query: pairsOf(query, '&') };
  for (const { name } of [...pairs.path, ...pairs.query]) {
    if (name?.toLowerCase() === 'pin-value') {
      throw new Refused(refuse('URI-NO-PIN', 'a URI without pin-value', 'a PIN in the URI', 'Remove it, and change that PIN: it has been in a clipboard, perhaps in a file. PINs are typed in the PIN window.'));
    }
  }
  const read: { -readonly [Key in keyof Pkcs11Uri]: Pkcs11Uri[Key] } = { texts: {}, type: null, id: null, slotId: null, libraryVersion: null, query: {}, vendor: { path: [], query: [] } };
  const texts: Partial<Record<string, string>> = {};
  const vendorPath: VendorAttribute[] = [];
  const seen = new Set<string>();
  for (const pair of pairs.path) {
    const name = nameOf(pair);
    // Section 2.3: in the path every attribute may stand once, a vendor's too.
    if (seen.has(name)) throw refusal('URI-DUPLICATE', `${name} once`, 'several times');
    seen.add(name);
    const value = decoded(pair.value, PATH_PLAIN, name);
    switch (name) {
      case 'id': read.id = value; break;
      case 'type': read.type = oneOf(TYPES, textOf(value, name)); break;
      case 'slot-id': read.slotId = slotOf(textOf(value, name)); break;
      case 'library-version': read.libraryVersion = versionOf(textOf(value, name)); break;
      default:
        if ((TEXTS as readonly string[]).includes(name)) texts[name] = textOf(value, name);
        else vendorPath.push({ name, value });
    }
  }
  const known: Partial<Record<string, string>> = {};
  const vendorQuery: VendorAttribute[] = [];
  for (const pair of pairs.query) {
    const name = nameOf(pair);
    const value = decoded(pair.value, QUERY_PLAIN, name);
    if (!(QUERIES as readonly string[]).includes(name)) vendorQuery.push({ name, value });
    else if (known[name] !== undefined) throw refusal('URI-DUPLICATE', `${name} once`, 'several times');
    else known[name] = textOf(value, name);
  }
  return { ...read, texts, query: known, vendor: { path: vendorPath, query: vendorQuery } };
}

interface Pair { readonly name: string | null; readonly value: string }

function pairsOf(component: string, separator: ';' | '&'): Pair[] {
  if (component === '') return [];
  return component.split(separator).map((part) => {
    const equals = part.indexOf('=');
    return equals < 0 ? { name: null, value: part } : { name: part.slice(0, equals), value: part.slice(equals + 1) };
  });
}

function nameOf({ name }: Pair): string {
  if (name === null) throw refusal('URI-SYNTAX', 'attributes of the form name=value', 'one without =');
  if (!NAME.test(name)) throw refusal('URI-SYNTAX', 'names of letters, digits, - and _', 'another name');
  return name;
}

function decoded(value: string, plain: RegExp, name: string): Uint8Array {
  const bytes: number[] = [];
  for (let i = 0; i < value.length; i += 1) {
    const character = value[i]!;
    if (character === '%') {
      const digits = value.slice(i + 1, i + 3);
      if (!/^[0-9A-Fa-f]{2}$/.test(digits)) throw refusal('URI-ENCODING', `${name}: % and two hexadecimal digits`, 'something else after %');
      bytes.push(Number.parseInt(digits, 16));
      i += 2;
    } else if (plain.test(character)) bytes.push(character.charCodeAt(0));
    else throw refusal('URI-SYNTAX', `${name}: blanks and special characters written as % and two digits`, 'one written as itself');
  }
  return Uint8Array.from(bytes);
}

function textOf(bytes: Uint8Array, name: string): string {
  try {
    return fromUtf8(bytes);
  } catch {
    throw refusal('URI-ENCODING', `${name}: UTF-8`, 'other bytes');
  }
}

function oneOf(types: readonly UriType[], value: string): UriType {
  const type = types.find((one) => one === value);
  if (type === undefined) throw refusal('URI-VALUE', `type: ${types.join(', ')}`, 'another');
  return type;
}

/** CK_SLOT_ID as a decimal number. Leading zeros mean nothing. */
function slotOf(value: string): number {
  const slot = /^[0-9]{1,20}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(slot)) throw refusal('URI-VALUE', 'slot-id: a decimal number below 2^53', 'something else');
  return slot;
}

/** CK_VERSION: two octets. Section 2.3: without a minor number it is 0. */
function versionOf(value: string): { readonly major: number; readonly minor: number } {
  const match = /^([0-9]{1,3})(?:\.([0-9]{1,3}))?$/.exec(value);
  const [major, minor] = [Number(match?.[1]), Number(match?.[2] ?? 0)];
  if (!match || major > 255 || minor > 255) throw refusal('URI-VALUE', 'library-version: major, or major.minor, each at most 255', 'something else');
  return { major, minor };
}

function refusal(rule: string, expected: string, found: string): Refused {
  return new Refused(refuse(rule, expected, found, NEXT));
}

// --- writing -------------------------------------------------------------------------------------------------------------

/**
 * The one canonical text of a URI: library, slot, token, object, vendor attributes by name; capitals in escapes; the id
 * escaped throughout (RFC 7512 section 2.4). Two URIs that say the same thing have the same text.
 */
export function writePkcs11Uri(uri: Pkcs11Uri): string {
  const { texts } = uri;
  const path = [
    ...textPairs(texts, ['library-manufacturer', 'library-description']),
    ...uri.libraryVersion === null ? [] : [`library-version=${uri.libraryVersion.major}.${uri.libraryVersion.minor}`],
    ...textPairs(texts, ['slot-manufacturer', 'slot-description']),
    ...uri.slotId === null ? [] : [`slot-id=${uri.slotId}`],
    ...textPairs(texts, ['token', 'manufacturer', 'model', 'serial', 'object']),
    ...uri.type === null ? [] : [`type=${uri.type}`],
    ...uri.id === null ? [] : [`id=${[...uri.id].map(escape).join('')}`],
    ...byName(uri.vendor.path).map(({ name, value }) => `${name}=${encoded(value, PATH_PLAIN)}`),
  ];
  const query = [
    ...QUERIES.flatMap((name) => uri.query[name] === undefined ? [] : [`${name}=${encoded(utf8(uri.query[name]), QUERY_PLAIN)}`]),
    ...byName(uri.vendor.query).map(({ name, value }) => `${name}=${encoded(value, QUERY_PLAIN)}`),
  ];
  return `pkcs11:${path.join(';')}${query.length > 0 ? `?${query.join('&')}` : ''}`;
}

function textPairs(texts: Pkcs11Uri['texts'], names: readonly (typeof TEXTS)[number][]): string[] {
  return names.flatMap((name) => texts[name] === undefined ? [] : [`${name}=${encoded(utf8(texts[name]), PATH_PLAIN)}`]);
}

/** Values of one name keep their order: what a repetition means is the vendor's to say. */
function byName(attributes: readonly VendorAttribute[]): VendorAttribute[] {
  return attributes.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function encoded(bytes: Uint8Array, plain: RegExp): string {
  return [...bytes].map((byte) => {
    const character = String.fromCharCode(byte);
    return byte < 0x80 && plain.test(character) ? character : escape(byte);
  }).join('');
}

function escape(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}

// --- what it names -------------------------------------------------------------------------------------------------------

/** What a module told of the place that an object stands in. A level that is not known is left out. */
export interface UriFacts {
  readonly library?: { readonly manufacturer: string; readonly description: string; readonly version: { readonly major: number; readonly minor: number } };
  readonly slot?: { readonly id: number; readonly description: string; readonly manufacturer: string };
  readonly token?: Pick<TokenFacts, 'serial' | 'label' | 'model' | 'manufacturer'>;
  readonly object?: Pick<ObjectFact, 'class' | 'id' | 'label'>;
}

const TYPE_OF: Partial<Record<ObjectFact['class'], UriType>> = {
  'private-key': 'private', 'public-key': 'public', certificate: 'cert', 'secret-key': 'secret-key', data: 'data',
};

/** How this house names a token whose serial number names nothing, such as one of zeros (devices/quirks). */
const BY_LABEL = /^label:/;

/** The URI of a token, or of an object on it, without slot and library: those move. */
export function uriOf({ token, object }: Pick<UriFacts, 'object'> & { readonly token: NonNullable<UriFacts['token']> }): Pkcs11Uri {
  return {
    texts: {
      token: token.label, manufacturer: token.manufacturer, model: token.model,
      ...!BY_LABEL.test(token.serial) && { serial: token.serial },
      ...object !== undefined && object.label !== '' && { object: object.label },
    },
    type: object === undefined ? null : TYPE_OF[object.class] ?? null,
    id: object === undefined || object.id === '' ? null : fromHex(object.id),
    slotId: null, libraryVersion: null, query: {}, vendor: { path: [], query: [] },
  };
}

/**
 * Does the URI name this? Every attribute of its path must hold (RFC 7512 section 2.5): one of a level that the facts leave
 * out does not, and a vendor's never does, because nobody here knows what it says. Only where no object is given are the
 * object's attributes not judged, so that the URI of an object finds its token. The query chooses nothing here.
 */
export function matches(uri: Pkcs11Uri, { library, slot, token, object }: UriFacts): boolean {
  const { texts } = uri;
  const text = (wanted: string | undefined, found: string | undefined): boolean => wanted === undefined || (found !== undefined && wanted === trimmed(found));
  const serial = texts.serial === undefined || text(texts.serial, token?.serial) || (token !== undefined && BY_LABEL.test(token.serial) && /^0*$/.test(texts.serial));
  return uri.vendor.path.length === 0
    && text(texts['library-manufacturer'], library?.manufacturer) && text(texts['library-description'], library?.description)
    && (uri.libraryVersion === null || (library !== undefined && uri.libraryVersion.major === library.version.major && uri.libraryVersion.minor === library.version.minor))
    && text(texts['slot-manufacturer'], slot?.manufacturer) && text(texts['slot-description'], slot?.description)
    && (uri.slotId === null || uri.slotId === slot?.id)
    && text(texts.token, token?.label) && text(texts.manufacturer, token?.manufacturer) && text(texts.model, token?.model) && serial
    && (object === undefined || (
      (texts.object === undefined || texts.object === object.label)
      && (uri.type === null || uri.type === TYPE_OF[object.class])
      && (uri.id === null || equalBytes(uri.id, fromHex(object.id)))));
}

/** Fields of CK_INFO, CK_SLOT_INFO and CK_TOKEN_INFO are padded with blanks, which are no part of the value. */
function trimmed(field: string): string {
  return field.replace(/ +$/, '');
}
