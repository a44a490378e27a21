/**
 * What a new key on a token shall be: its kind, what it is for, and every attribute it is made with; and why a template is
 * dangerous, said before the key exists.
 *
 * What is dangerous is judged by the rules that judge keys which exist already (`risksOf`); the rules here are about the wish
 * alone. A `refused` template makes no key. The administrator may accept a named danger in the templates file, with a
 * sentence that says why, and then it is told and no longer refused; what no sentence makes right stays refused. Nothing here
 * touches a token: what it made of a template is read back and judged again.
 *
 * Sources: PKCS#11 3.2 sections 4.7 to 4.10 (attributes), 5.7.2 (copies), 6 (which mechanism does what); SP 800-57 Part 1 Rev. 5
 * sections 5.1.1 (kinds of keys) and 5.2 (one key, one use); SP 800-131A Rev. 2; those of provenance.ts.
 */
import * as z from 'zod';
import { KEY_KINDS, type KeyKind } from '../evidence.ts';
import { readPlainYaml, shapeFaults, type YamlFault } from '../plain-yaml.ts';
import { refuse } from '../refusal.ts';
import { ML_KEMS, SLH_DSAS } from './algorithms.ts';
import { risksOf, RISKS, type Judgeable } from './provenance.ts';

// --- kinds -----------------------------------------------------------------------------------------------------------

/** Attributes that let a key do something; in a pair the first of each couple belongs to the private half. */
export const USAGES = ['sign', 'verify', 'decrypt', 'encrypt', 'unwrap', 'wrap', 'derive', 'decapsulate', 'encapsulate'] as const;
export type Usage = (typeof USAGES)[number];
const PUBLIC_USAGES: readonly Usage[] = ['verify', 'encrypt', 'wrap', 'encapsulate'];

export interface KindRow {
  readonly label: string;
  /** As PKCS#11 names it. */
  readonly keyType: string;
  /** A key pair, or one secret key. */
  readonly pair: boolean;
  /** What mechanisms of PKCS#11 3.2 do with it. Whether a token has them, only trying tells. */
  readonly uses: readonly Usage[];
}

const rsa = (bits: number): KindRow => ({ label: `RSA ${bits}`, keyType: 'CKK_RSA', pair: true, uses: ['sign', 'verify', 'decrypt', 'encrypt', 'unwrap', 'wrap', 'decapsulate', 'encapsulate'] });
// Section 6.3: CKM_ECDH_AES_KEY_WRAP wraps, CKM_ECDH1_DERIVE derives and encapsulates. Nothing encrypts with a curve.
const ec = (curve: string): KindRow => ({ label: `EC ${curve}`, keyType: 'CKK_EC', pair: true, uses: ['sign', 'verify', 'unwrap', 'wrap', 'derive', 'decapsulate', 'encapsulate'] });
const aes = (bits: number): KindRow => ({ label: `AES-${bits}`, keyType: 'CKK_AES', pair: false, uses: ['sign', 'verify', 'decrypt', 'encrypt', 'unwrap', 'wrap', 'derive'] });
const hmac = (bits: number): KindRow => ({ label: `HMAC ${bits}`, keyType: 'CKK_GENERIC_SECRET', pair: false, uses: ['sign', 'verify', 'derive'] });
const signer = (label: string, keyType: string): KindRow => ({ label, keyType, pair: true, uses: ['sign', 'verify'] });

function byName<Row extends { readonly name: string }>(rows: readonly Row[], kindOfRow: (row: Row) => KindRow): Record<Row['name'], KindRow> {
  return Object.fromEntries(rows.map((row) => [row.name, kindOfRow(row)])) as Record<Row['name'], KindRow>;
}

export const KINDS: Readonly<Record<KeyKind, KindRow>> = {
  'rsa-2048': rsa(2048), 'rsa-3072': rsa(3072), 'rsa-4096': rsa(4096),
  'ec-p256': ec('P-256'), 'ec-p384': ec('P-384'), 'ec-p521': ec('P-521'),
  'ed25519': signer('Ed25519', 'CKK_EC_EDWARDS'),
  'x25519': { label: 'X25519', keyType: 'CKK_EC_MONTGOMERY', pair: true, uses: ['unwrap', 'wrap', 'derive', 'decapsulate', 'encapsulate'] },
  'aes-128': aes(128), 'aes-192': aes(192), 'aes-256': aes(256),
  // SP 800-107 Rev. 1 section 5.3.2: a key longer than the hash adds nothing.
  'hmac-256': hmac(256), 'hmac-384': hmac(384), 'hmac-512': hmac(512),
  'ml-dsa-44': signer('ML-DSA-44', 'CKK_ML_DSA'), 'ml-dsa-65': signer('ML-DSA-65', 'CKK_ML_DSA'), 'ml-dsa-87': signer('ML-DSA-87', 'CKK_ML_DSA'),
  ...byName(Object.values(ML_KEMS), ({ label }): KindRow => ({ label, keyType: 'CKK_ML_KEM', pair: true, uses: ['decapsulate', 'encapsulate'] })),
  ...byName(SLH_DSAS, ({ label }) => signer(label, 'CKK_SLH_DSA')),
};

// --- purposes --------------------------------------------------------------------------------------------------------

/** SP 800-57 Part 1 section 5.1.1, in fewer words. A pair has both halves of each use. */
const PURPOSES = {
  'signing': { words: 'signs, and its public half verifies', uses: ['sign', 'verify'], types: ['CKK_RSA', 'CKK_EC', 'CKK_EC_EDWARDS', 'CKK_ML_DSA', 'CKK_SLH_DSA'] },
  'mac': { words: 'makes and checks message authentication codes', uses: ['sign', 'verify'], types: ['CKK_AES', 'CKK_GENERIC_SECRET'] },
  'data-encryption': { words: 'encrypts and decrypts data, and no keys', uses: ['decrypt', 'encrypt'], types: ['CKK_AES', 'CKK_RSA'] },
  'key-encryption': { words: 'wraps and unwraps keys, and no data', uses: ['unwrap', 'wrap'], types: ['CKK_AES', 'CKK_RSA'] },
  'agreement': { words: 'agrees on keys with somebody else', uses: ['derive'], types: ['CKK_EC', 'CKK_EC_MONTGOMERY'] },
  'encapsulation': { words: 'opens keys that others encapsulate to its public half', uses: ['decapsulate', 'encapsulate'], types: ['CKK_ML_KEM'] },
} as const satisfies Record<string, PurposeRow>;

interface PurposeRow {
  readonly words: string;
  readonly uses: readonly Usage[];
  /** Key types for which a template ships; others that can do it too may be written down in templates.yaml. */
  readonly types: readonly string[];
}
export type Purpose = keyof typeof PURPOSES;
export const PURPOSE_NAMES = Object.keys(PURPOSES) as [Purpose, ...Purpose[]];

const flag = z.boolean();
export const TemplateAttributes = z.strictObject({
  token: flag, private: flag, sensitive: flag, extractable: flag, modifiable: flag, copyable: flag, destroyable: flag,
  wrapWithTrusted: flag, trusted: flag, alwaysAuthenticate: flag,
  sign: flag, verify: flag, decrypt: flag, encrypt: flag, unwrap: flag, wrap: flag, derive: flag, decapsulate: flag, encapsulate: flag,
});
export type TemplateAttributes = z.infer<typeof TemplateAttributes>;

const name = z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, 'a short lower-case name such as code-signing');
const words = z.string().min(1).max(300);
/** Dangers that only breaking the key's purpose would accept. */
const NEVER_ACCEPTED: readonly string[] = ['KEY-WRAP-DECRYPT', 'KEY-NOT-SENSITIVE', 'KEY-STATEFUL-COPY'];
const Accepts = z.partialRecord(z.enum(RISKS.filter((rule) => !NEVER_ACCEPTED.includes(rule))), words);

export const KeyTemplate = z.strictObject({
  name,
  /** What the organisation uses it for, in its own words. */
  note: words.optional(),
  purpose: z.enum(PURPOSE_NAMES),
  kind: z.enum(KEY_KINDS),
  attributes: TemplateAttributes,
  /** Dangers that the administrator takes on, by rule name, each with the reason. */
  accepts: Accepts.default({}),
});
export type KeyTemplate = z.infer<typeof KeyTemplate>;

/** Attributes with which a key of this purpose is made where nobody says otherwise. */
export function safeAttributes(purpose: Purpose): TemplateAttributes {
  const uses: readonly Usage[] = PURPOSES[purpose].uses;
  return {
    token: true, private: true, sensitive: true, extractable: false, modifiable: false, copyable: false, destroyable: true,
    // Binding for the day on which EXTRACTABLE would be wished for: it can be set at creation only.
    wrapWithTrusted: true, trusted: false, alwaysAuthenticate: false,
    ...Object.fromEntries(USAGES.map((usage) => [usage, uses.includes(usage)])) as Record<Usage, boolean>,
  };
}

/** The template of one purpose and one kind; null where none ships. */
function safeTemplate(purpose: Purpose, kind: KeyKind): KeyTemplate | null {
  const { types }: PurposeRow = PURPOSES[purpose];
  if (!types.includes(KINDS[kind].keyType)) return null;
  return { name: `${purpose}-${kind}`, purpose, kind, attributes: safeAttributes(purpose), accepts: {} };
}

/** The templates that ship: one for each purpose and each kind that fits it, none of them with a finding that refuses it. */
export const SHIPPED_TEMPLATES: readonly KeyTemplate[] = PURPOSE_NAMES.flatMap((purpose) => KEY_KINDS.flatMap((kind) => safeTemplate(purpose, kind) ?? []));

// --- what goes to the token --------------------------------------------------------------------------------------------

/** One object that a template makes: its class, and the attributes that PKCS#11 has for that class. */
export interface TemplateObject {
  readonly class: 'private-key' | 'public-key' | 'secret-key';
  /** By their PKCS#11 names, such as CKA_SENSITIVE. */
  readonly attributes: Readonly<Record<string, boolean>>;
}

const STORAGE = ['token', 'modifiable', 'copyable', 'destroyable'] as const;
const SECRECY = ['sensitive', 'extractable', 'wrapWithTrusted'] as const;

/** The objects a template makes, private half first. A public half is never private, and TRUSTED is left out unless it is wished: only the SO may set it. */
export function objectsOf({ kind, attributes }: KeyTemplate): TemplateObject[] {
  const { pair } = KINDS[kind];
  const pick = (of: readonly (keyof TemplateAttributes)[]) => Object.fromEntries(of.map((attribute) => [attributeName(attribute), attributes[attribute]]));
  const trusted = attributes.trusted ? pick(['trusted']) : {};
  if (!pair) return [{ class: 'secret-key', attributes: { ...pick([...STORAGE, 'private', ...SECRECY, 'sign', 'verify', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'derive']), ...trusted } }];
  return [
    { class: 'private-key', attributes: pick([...STORAGE, 'private', ...SECRECY, 'alwaysAuthenticate', ...USAGES.filter((usage) => !PUBLIC_USAGES.includes(usage) && usage !== 'decapsulate'), ...kem(attributes.decapsulate, 'decapsulate')]) },
    { class: 'public-key', attributes: { ...pick([...STORAGE, 'verify', 'encrypt', 'wrap', ...kem(attributes.encapsulate, 'encapsulate')]), CKA_PRIVATE: false, ...trusted } },
  ];
}

/** Attributes of PKCS#11 3.2: a token of before refuses a template that names them, also as false. */
const kem = (wished: boolean, usage: Usage): Usage[] => (wished ? [usage] : []);

/** `wrapWithTrusted` → `CKA_WRAP_WITH_TRUSTED`. */
export function attributeName(attribute: keyof TemplateAttributes): string {
  return `CKA_${attribute.replace(/[A-Z]/g, (capital) => `_${capital}`).toUpperCase()}`;
}

// --- lint ------------------------------------------------------------------------------------------------------------

export interface TemplateFinding {
  readonly rule: (typeof TEMPLATE_RULES)[number];
  /** `refused`: no key is made. `warning`: said, and a person decides. */
  readonly severity: 'refused' | 'warning';
  readonly why: string;
  /** What to do instead. */
  readonly next: string;
  /** The administrator's reason, where a danger was accepted. */
  readonly accepted: string | null;
}

/** Every rule of `lintTemplate`: those of keys, and those of wishes. */
export const TEMPLATE_RULES = [
  ...RISKS,
  'TEMPLATE-NO-USE', 'TEMPLATE-USE-UNFIT', 'TEMPLATE-PURPOSE', 'TEMPLATE-UNWRAP-PUBLIC', 'TEMPLATE-AUTHENTICATE', 'TEMPLATE-TRUSTED', 'TEMPLATE-COPYABLE',
  'TEMPLATE-INDESTRUCTIBLE', 'TEMPLATE-SESSION', 'TEMPLATE-STRENGTH',
] as const;

/** Everything that speaks against a template, in the order of `TEMPLATE_RULES`; empty where nothing does. */
export function lintTemplate({ purpose, kind, attributes, accepts }: KeyTemplate): TemplateFinding[] {
  const { label, pair, uses } = KINDS[kind];
  const found: TemplateFinding[] = risksOf(asKey(kind, attributes)).map(({ rule, weight, why, next }) => {
    const accepted = accepts[rule] ?? null;
    return { rule, severity: weight === 'danger' && accepted === null ? 'refused' : 'warning', why, next, accepted };
  });
  const find = (rule: TemplateFinding['rule'], severity: TemplateFinding['severity'], why: string, next: string): number => found.push({ rule, severity, why, next, accepted: null });
  const wished = USAGES.filter((usage) => attributes[usage]);
  const unfit = wished.filter((usage) => !uses.includes(usage));
  const beyond = wished.filter((usage) => uses.includes(usage) && !(PURPOSES[purpose].uses as readonly Usage[]).includes(usage));
  if (wished.length === 0) find('TEMPLATE-NO-USE', 'refused', 'The key could do nothing.', `For ${purpose}, set ${PURPOSES[purpose].uses.join(' and ')}.`);
  if (unfit.length > 0) {
    find('TEMPLATE-USE-UNFIT', 'refused', `${label} cannot ${unfit.join(', ')}: no mechanism of PKCS#11 does that with it. Some tokens refuse such a template, others make a key that says more than it can.`,
      `Clear ${unfit.join(', ')}. ${label} can ${uses.join(', ')}.`);
  }
  if (beyond.length > 0) {
    find('TEMPLATE-PURPOSE', 'warning', `It is for ${purpose} (${PURPOSES[purpose].words}), and may also ${beyond.join(', ')}. What is learnt from one use can break the other, and the two end at different times (SP 800-57 Part 1 section 5.2).`,
      'Make a key for each use.');
  }
  if (pair && attributes.unwrap && uses.includes('unwrap')) {
    find('TEMPLATE-UNWRAP-PUBLIC', 'warning', 'Everybody who has its public half can wrap a key of their own choice for it: what it unwraps is confidential, and nothing says who sent it.',
      'Unwrap only what is signed or comes by a way you trust, or use an AES key to wrap and unwrap.');
  }
  if (attributes.alwaysAuthenticate && !(pair && attributes.private)) {
    find('TEMPLATE-AUTHENTICATE', 'refused', 'ALWAYS_AUTHENTICATE is for private keys with PRIVATE true (PKCS#11 section 4.9).', pair ? 'Set PRIVATE true, or clear ALWAYS_AUTHENTICATE.' : 'Clear ALWAYS_AUTHENTICATE.');
  }
  if (attributes.trusted) {
    if (attributes.wrap && uses.includes('wrap')) find('TEMPLATE-TRUSTED', 'warning', 'Only the SO may mark a key as TRUSTED: a token refuses this template to the user.', 'Make the key without it, and have the SO mark it once it is proven.');
    else find('TEMPLATE-TRUSTED', 'refused', 'TRUSTED says that a key may wrap others, and this one does not wrap.', 'Clear TRUSTED.');
  }
  if (attributes.copyable) {
    find('TEMPLATE-COPYABLE', 'warning', 'A copy may be made with MODIFIABLE true (C_CopyObject, PKCS#11 section 5.7.2), and then given other usages: MODIFIABLE false protects this object, and not the key.',
      'Set COPYABLE false, unless the token has no such attribute.');
  }
  if (!attributes.destroyable) {
    find('TEMPLATE-INDESTRUCTIBLE', 'warning', 'Nobody can destroy it again by itself: only initialising the whole token ends it.', 'Set DESTROYABLE true, unless that is what is wanted.');
  }
  if (!attributes.token) find('TEMPLATE-SESSION', 'warning', 'It ends with the session in which it is made.', 'Set TOKEN true for a key that is to stay.');
  if (kind === 'rsa-2048') {
    find('TEMPLATE-STRENGTH', 'warning', '112 bits of strength: not for anything that must hold beyond 2030 (SP 800-57 Part 1 table 4, NIST IR 8547).', 'Take rsa-3072 or more, or a curve.');
  }
  return found;
}

/** The template as the key it would make. A pair is judged as one: what its public half wraps or encrypts, its private half can open. */
function asKey(kind: KeyKind, attributes: TemplateAttributes): Judgeable {
  const { keyType, pair } = KINDS[kind];
  const { token, private: needsLogin, sensitive, extractable, modifiable, wrapWithTrusted, trusted, sign, verify, encrypt, decrypt, wrap, unwrap, derive } = attributes;
  return {
    class: pair ? 'private-key' : 'secret-key', keyType, id: '', label: '', local: true, generatedBy: null, keysRemaining: null, alwaysSensitive: sensitive, neverExtractable: !extractable,
    token, private: needsLogin, sensitive, extractable, modifiable, wrapWithTrusted, trusted, sign, verify, encrypt, decrypt, wrap, unwrap, derive,
  };
}

// --- templates.yaml --------------------------------------------------------------------------------------------------

const WrittenTemplate = z.strictObject({
  name, note: words.optional(), purpose: z.enum(PURPOSE_NAMES), kind: z.enum(KEY_KINDS),
  /** What differs from the safe attributes of the purpose. */
  attributes: TemplateAttributes.partial().default({}), accepts: Accepts.optional(),
});
const TemplatesFile = z.strictObject({ 'conclave-templates': z.literal(1), templates: z.array(WrittenTemplate).min(1).max(200) });

const YAML_RULES = {
  what: 'templates', yaml: 'TEMPLATES-YAML', size: 'TEMPLATES-SIZE', characters: 200_000, tokens: 30_000, tooLong: 'A file of templates is a few pages. Check that this is one.',
} as const;

export interface LintedTemplate {
  readonly template: KeyTemplate;
  readonly findings: readonly TemplateFinding[];
  readonly line: number;
}

/**
 * Reads the organisation's templates. Faults (the file cannot be believed at all): TEMPLATES-YAML, TEMPLATES-SIZE,
 * TEMPLATES-SHAPE, TEMPLATES-NAME. What speaks against a template that can be read stands in its findings.
 */
export function readTemplates(text: string): { readonly templates: readonly LintedTemplate[]; readonly faults: [] } | { readonly templates: null; readonly faults: YamlFault[] } {
  const yaml = readPlainYaml(text, YAML_RULES);
  if (yaml.faults !== null) return { templates: null, faults: yaml.faults };
  const shape = { rule: 'TEMPLATES-SHAPE', what: 'templates file', next: 'Correct this line; `conclave key template --help` shows the form.' };
  const { data, error } = TemplatesFile.safeParse(yaml.value);
  if (data === undefined) return { templates: null, faults: shapeFaults(error, yaml.lineOf, shape) };
  const faults: YamlFault[] = [];
  const templates: LintedTemplate[] = [];
  const taken = new Set(SHIPPED_TEMPLATES.map((one) => one.name));
  data.templates.forEach((written, i) => {
    const line = yaml.lineOf(['templates', i]);
    if (taken.has(written.name)) faults.push({ ...refuse('TEMPLATES-NAME', 'every name once, and none of those that ship', `${written.name} again`, 'Rename this template.'), line });
    taken.add(written.name);
    const whole = KeyTemplate.safeParse({ ...written, attributes: { ...safeAttributes(written.purpose), ...written.attributes } });
    if (whole.success) templates.push({ template: whole.data, findings: lintTemplate(whole.data), line });
    else faults.push(...shapeFaults(whole.error, (path) => yaml.lineOf(['templates', i, ...path]), shape));
  });
  return faults.length > 0 ? { templates: null, faults } : { templates, faults: [] };
}
