/**
 * What is special about a module, as data: quirks/*.json, checked here, chosen by what the module says of itself.
 *
 * Code asks "does this token wrap that kind of key?", never "is this SoftHSM?". A module without a file of its own gets
 * standard.json. Data cannot grant what a token does not list: mechanisms are still looked up in the token's own list.
 */
import * as z from 'zod';
import cryptoki from './cryptoki.json' with { type: 'json' };
import softhsm2 from './quirks/softhsm2.json' with { type: 'json' };
import software from './quirks/software.json' with { type: 'json' };
import standard from './quirks/standard.json' with { type: 'json' };

const mechanism = z.string().refine((name) => name in cryptoki.CKM, 'a mechanism of cryptoki.json');

const Quirks = z.strictObject({
  about: z.string(),
  /** Beginning of CK_INFO.manufacturerID; absent for files that are not chosen by it. */
  manufacturer: z.string().min(4).optional(),
  /** Mechanisms that do RFC 5649 (AES key wrap with padding) on this module, best first. */
  keyWrap: z.array(mechanism).min(1),
  /** How CKA_EC_PARAMS names an Edwards curve: by OID, or by PrintableString. */
  edwardsParameters: z.enum(['oid', 'name']),
  /** Key types that the module does not wrap, with the words to show. */
  notWrappable: z.record(z.string().refine((name) => name in cryptoki.CKK), z.string().max(150)),
  /** Tokens whose PIN a stand-in may type: every one of the module, none, or those whose label begins so. */
  rehearsal: z.union([z.enum(['always', 'never']), z.strictObject({ labelPrefix: z.string().min(4) })]),
  /** Whether blank tokens may be made on the module's free slot. */
  provisions: z.boolean(),
});
export type Quirks = z.infer<typeof Quirks>;

const CHOICES = [softhsm2].map((data) => Quirks.parse(data));
const STANDARD = Quirks.parse(standard);

/** Of the embedded software token. */
export const SOFTWARE_QUIRKS = Quirks.parse(software);

/** The quirks of a module whose CK_INFO names this manufacturer. */
export function quirksOf(manufacturer: string): Quirks {
  return CHOICES.find((quirks) => quirks.manufacturer !== undefined && manufacturer.startsWith(quirks.manufacturer)) ?? STANDARD;
}

/** Whether the stand-in PIN of rehearsals may be typed into a token with this label. */
export function isRehearsalToken(quirks: Quirks, label: string): boolean {
  if (quirks.rehearsal === 'always') return true;
  if (quirks.rehearsal === 'never') return false;
  return label.startsWith(quirks.rehearsal.labelPrefix);
}
