/**
 * What the page may ask of the conductor, and what it hears. The only file of electron/ that renderer/ may import.
 *
 * Three functions cross the preload: `call(request)`, `onEntries(listener)` and `onMoved(listener)`. A request is one of the union below and is
 * parsed again on the other side; an answer is a value, never a thrown error. Nothing but entries, and who is in which slot or reader, is pushed to the page.
 * No request carries a PIN, a module path or a file path: PINs are typed in the booth, modules come from the machine's
 * administrator, and files are chosen in a dialog that the main process opens.
 */
import * as z from 'zod';
import { KEY_KINDS, InputKind, OrderedAttributes, Placement, SeatId, WrapMethod, type ModuleFacts, type ObjectFact, type StatisticalTest, type TokenFacts } from '../ceremonies/evidence.ts';
import { AttributeWanted, ObjectPlace, type Explanation, type ObjectReading, type Reader, type Readiness, type TokenDetails } from '../ceremonies/estate.ts';
import type { CopyList } from '../ceremonies/destruction.ts';
import type { Fact } from '../ceremonies/inputs.ts';
import type { Inventory, InventoryKey } from '../ceremonies/inventory.ts';
import type { KeyRecord } from '../ceremonies/key-record.ts';
import { KEY_STATES } from '../ceremonies/keys/lifecycle.ts';
import type { Comparison } from '../ceremonies/keys/compare.ts';
import type { LintedTemplate } from '../ceremonies/keys/template.ts';
import type { provenanceOf, risksOf } from '../ceremonies/keys/provenance.ts';
import type { Reconciliation } from '../ceremonies/reconcile.ts';
import type { Refusal } from '../ceremonies/refusal.ts';
import type { Fault } from '../ceremonies/script.ts';
import type { Custody } from '../ceremonies/shares/custody.ts';
import type { PlacementFinding, Site } from '../ceremonies/shares/placement.ts';
import type { Verdict } from '../ceremonies/verify.ts';

const CeremonyId = z.string().regex(/^[0-9a-f]{32}$/);
const sentence = z.string().min(1).max(1000);
const Parameters = z.record(z.string().max(40), z.union([z.string().max(200), z.int()]));
const OneToken = { module: z.string().max(64), token: z.string().max(64) };
const Bound = z.strictObject({ module: z.string().max(64), serial: z.string().max(64) });
export const Bindings = z.strictObject({
  tokens: z.record(z.string().max(40), Bound),
  cards: z.record(z.string().max(40), z.record(SeatId, Bound)),
});
export type Bindings = z.infer<typeof Bindings>;
export const People = z.array(z.strictObject({ seat: SeatId, name: z.string().min(1).max(80) })).min(1).max(300);
export type People = z.infer<typeof People>;

const label = z.string().min(1).max(64);
/** Dangers of the order that the officer was shown and answers for, by rule. */
const despite = z.array(z.string().max(64)).max(16);
const NewKey = { label, kind: z.enum(KEY_KINDS), attributes: OrderedAttributes, despite };

/** A file that a person chose; its bytes, never its path. */
const File = z.strictObject({ file: z.string().min(1).max(200), bytes: z.instanceof(Uint8Array).refine((bytes) => bytes.length <= 750_000, 'at most 750,000 bytes') });
/** What an officer asks to be changed: the thing pointed at as it stands in the listing, never a handle. */
export const ChangeRequest = z.discriminatedUnion('change', [
  z.strictObject({ change: z.literal('init-token'), ...OneToken, label: z.string().min(1).max(32) }),
  z.strictObject({ change: z.literal('set-user-pin'), ...OneToken }),
  z.strictObject({ change: z.literal('change-pin'), ...OneToken, whose: z.enum(['user', 'so']) }),
  z.strictObject({ change: z.literal('generate-key'), ...OneToken, ...NewKey }),
  /** Encrypted PKCS#8 or PKCS#12, PEM or DER; the password is typed in the booth. */
  z.strictObject({ change: z.literal('import-key'), ...OneToken, ...NewKey, file: File }),
  /** `place`: the key that it belongs to, whose CKA_ID it takes. */
  z.strictObject({ change: z.literal('import-certificate'), ...OneToken, place: ObjectPlace.nullable(), label, file: File }),
  z.strictObject({ change: z.literal('copy-object'), ...OneToken, place: ObjectPlace, label, attributes: OrderedAttributes, despite }),
  /** Null: as it is. */
  z.strictObject({ change: z.literal('edit-object'), ...OneToken, place: ObjectPlace, label: label.nullable(), id: z.string().max(64).regex(/^([0-9a-f]{2})*$/).nullable(), attributes: OrderedAttributes, despite }),
  z.strictObject({ change: z.literal('destroy-object'), ...OneToken, place: ObjectPlace, typed: z.string().max(200) }),
  /** `recipient`: public key or certificate, for hybrid; else `under` is a key of the same token. */
  z.strictObject({ change: z.literal('wrap-key'), ...OneToken, place: ObjectPlace, under: ObjectPlace.nullable(), recipient: File.nullable(), method: WrapMethod }),
  /** `file`: what wrap-key gave. Kind and attributes are those that it had, but for `attributes`; `label` null: its label too. */
  z.strictObject({ change: z.literal('unwrap-key'), ...OneToken, under: ObjectPlace, file: File, label: label.nullable(), attributes: OrderedAttributes, despite }),
  z.strictObject({ change: z.literal('sign-request'), ...OneToken, place: ObjectPlace, subject: z.string().min(1).max(400) }),
  z.strictObject({ change: z.literal('self-sign'), ...OneToken, place: ObjectPlace, subject: z.string().min(1).max(400), days: z.int().min(1).max(14_610) }),
]);
export type ChangeRequest = z.infer<typeof ChangeRequest>;

/** `key`: its identity or label in the inventory, or the beginning of its fingerprint. */
const OfKey = { key: z.string().min(1).max(500), reason: z.string().min(1).max(500) };
const instant = z.string().max(32);
/** What an officer signs of a key without touching a token. In which state it is before, the conductor's inventory says. */
export const StatementRequest = z.discriminatedUnion('change', [
  z.strictObject({ change: z.literal('set-state'), ...OfKey, to: z.enum(KEY_STATES), since: instant.nullable() }),
  z.strictObject({ change: z.literal('set-period'), ...OfKey, notBefore: instant.nullable(), notAfter: instant }),
  z.strictObject({ change: z.literal('set-drill'), ...OfKey, every: z.string().max(8), firstBy: instant }),
]);
export type StatementRequest = z.infer<typeof StatementRequest>;

export const Inputs = z.record(z.string().max(40), File);
export type Inputs = z.infer<typeof Inputs>;

export const Request = z.discriminatedUnion('call', [
  /** What this machine is: once, at the start. */
  z.strictObject({ call: z.literal('hello') }),
  /** Modules, slots, tokens as they are now. */
  z.strictObject({ call: z.literal('estate') }),
  /** The card readers as they are now. From the first time on, changes are told by themselves (`Moved`). */
  z.strictObject({ call: z.literal('readers') }),
  z.strictObject({ call: z.literal('objects'), module: z.string().max(64), token: z.string().max(64), offset: z.int().min(0), limit: z.int().min(1).max(500) }),
  z.strictObject({ call: z.literal('mechanisms'), module: z.string().max(64), token: z.string().max(64) }),

  /** The modules that run, and the libraries of this machine that could: only modules.json makes one run. */
  z.strictObject({ call: z.literal('token-modules') }),
  /** Everything a token tells of itself: flags, PIN state, limits, interfaces. */
  z.strictObject({ call: z.literal('token-details'), ...OneToken }),
  /** Token objects with all these attribute values; `positions` are those of `objects`, counted from 0 in the whole listing. */
  z.strictObject({ call: z.literal('search-objects'), ...OneToken, where: z.array(AttributeWanted).min(1).max(16), offset: z.int().min(0), limit: z.int().min(1).max(500) }),
  /** A PKCS#11 URI (RFC 7512): every token and object here that it names. Other paths and PINs in it are refused. */
  z.strictObject({ call: z.literal('find-uri'), uri: z.string().min(1).max(4000) }),
  /** One object in full. Refused (OBJECT-MOVED) where another one stands in its place by now: list again. */
  z.strictObject({ call: z.literal('object'), ...OneToken, place: ObjectPlace }),
  /** The readiness matrix of one token, tried with session objects. Asks for the PIN where nobody is logged in. Takes seconds. */
  z.strictObject({ call: z.literal('probe'), ...OneToken, standIn: z.boolean(), acceptFinalTry: z.boolean() }),
  /** Weak-key tests of every public key on these tokens, alone and compared with each other; all tokens where the list is empty. */
  z.strictObject({ call: z.literal('scan-keys'), tokens: z.array(z.strictObject(OneToken)).max(64) }),
  /** Which keys are on both tokens, and what differs. What nobody logged in could not see is among the findings. Reads every object in full. */
  z.strictObject({ call: z.literal('compare-tokens'), one: z.strictObject(OneToken), other: z.strictObject(OneToken) }),
  z.strictObject({ call: z.literal('random-test'), ...OneToken, bytes: z.int().min(2048).max(16_777_216) }),
  /** Logs in to look at private objects, until `token-log-out` or ten idle minutes. */
  z.strictObject({ call: z.literal('token-login'), ...OneToken, standIn: z.boolean(), acceptFinalTry: z.boolean() }),
  z.strictObject({ call: z.literal('token-log-out'), ...OneToken }),
  /** Whether a key works: each of its uses tried with session objects and compared with software. */
  z.strictObject({ call: z.literal('self-test'), ...OneToken, place: ObjectPlace, standIn: z.boolean(), acceptFinalTry: z.boolean() }),
  /** Keys, copies, people and events, folded from every record of this machine, each verified. `from` 0 looks at the records; later pages are of the look before. */
  z.strictObject({ call: z.literal('inventory'), from: z.int().min(0), limit: z.int().min(1).max(500) }),
  /**
   * The inventory beside what these tokens hold now; all tokens where the list is empty. `login`: as they are; each after its PIN was asked for;
   * rehearsal tokens by a stand-in. Whoever was logged in stays so, nobody else does. Reads every object in full.
   */
  z.strictObject({ call: z.literal('reconcile'), tokens: z.array(z.strictObject(OneToken)).max(64), login: z.enum(['none', 'ask', 'stand-in']) }),
  /** The list of a key's copies, by which `key-destruction` is carried out; written into the data folder where `save`. `people`: copies that no record knows, and how they are destroyed before everybody. */
  z.strictObject({
    call: z.literal('plan-destruction'), key: z.string().min(1).max(500), despite: z.string().max(300), people: z.array(z.strictObject({ what: z.string().min(1).max(300), how: z.string().min(1).max(300) })).max(50), save: z.boolean(),
  }),
  /** The record of a key that no ceremony made, of either half of it: what ceremonies bring it by (key.json); written into the data folder where `save`. */
  z.strictObject({ call: z.literal('key-record'), ...OneToken, place: ObjectPlace, save: z.boolean() }),
  /** How far reading the records or a comparison is. `stop` ends a comparison before the next object. */
  z.strictObject({ call: z.literal('inventory-progress'), stop: z.boolean() }),
  /** The organisation's key templates (templates.yaml), with what speaks against each; those that ship the page knows. */
  z.strictObject({ call: z.literal('templates') }),
  /** What a CKR_* or a code of this program means; all of them where `code` is null. */
  z.strictObject({ call: z.literal('explain'), code: z.string().max(64).nullable() }),

  z.strictObject({ call: z.literal('scripts') }),
  z.strictObject({ call: z.literal('lint'), text: z.string().max(200_000) }),
  /** Walks the script through a model of the room with these parameters; touches nothing. */
  z.strictObject({ call: z.literal('rehearse-model'), script: z.string().max(40), parameters: Parameters }),

  /** What a file says and what is wrong with it: before a ceremony is opened with it, and when people compare it. */
  z.strictObject({ call: z.literal('read-input'), kind: InputKind, file: File }),

  /** Makes blank rehearsal tokens and cards for a script and says which is whose. For a script that asks for
   *  files it makes them too: a CA of its own (`ca`, default: a composite one), requests, another CA. Touches no token that exists,
   *  but for the CA's key on one that people name in `tokens`, and only where stand-ins may open it and it is not in production. */
  z.strictObject({
    call: z.literal('provision'), script: z.string().max(40), parameters: Parameters, module: z.string().max(64),
    ca: z.strictObject({ algorithm: z.string().max(48), place: Placement }).optional(),
    /** The KEM whose key is certified in the rehearsal of a ceremony for encryption keys (default: ML-KEM-768). */
    kem: z.string().max(48).optional(),
    /** Tokens of the script that exist already, and inputs that people bring: none is made for those. */
    tokens: z.record(z.string().max(40), Bound).optional(),
    /** Cards that exist already, by name and seat. */
    cards: z.record(z.string().max(40), z.record(SeatId, Bound)).optional(),
    brought: z.array(z.string().max(40)).max(20).optional(),
  }),
  z.strictObject({
    call: z.literal('open'), script: z.string().max(40), parameters: Parameters, people: People, bindings: Bindings, inputs: Inputs.default({}),
    mode: z.enum(['rehearsal', 'real']),
    /** Rehearsal cards type their published PIN themselves. */
    standIns: z.boolean(),
  }),
  /**
   * Opens the logbook: a record of one officer, in which `administer` writes. `card` null: in a rehearsal, the officer's
   * rehearsal card on `module`, made where there is none. The two steps before the work are carried out with `act`.
   */
  z.strictObject({ call: z.literal('log-in'), name: z.string().min(1).max(80), module: z.string().max(64), card: Bound.nullable(), mode: z.enum(['rehearsal', 'real']), standIns: z.boolean() }),
  /** One change to one token, written down before it is touched and after it was read back; or one statement on a key. */
  z.strictObject({ call: z.literal('administer'), ceremony: CeremonyId, request: z.union([ChangeRequest, StatementRequest]), acceptFinalTry: z.boolean().default(false) }),
  /** Ends the work: what is left is the officer's signature (`act` of the seal). */
  z.strictObject({ call: z.literal('log-out'), ceremony: CeremonyId }),
  /** Writes what a change gave (a wrapped key, a request, a certificate) into the data folder, as the record has it. `entry`: number of the change's `done`. */
  z.strictObject({ call: z.literal('save-file'), ceremony: CeremonyId, entry: z.int().min(0) }),
  z.strictObject({ call: z.literal('ceremonies') }),
  /** All lines of a ceremony from number `from` on; later ones arrive through onEntries. */
  z.strictObject({ call: z.literal('entries'), ceremony: CeremonyId, from: z.int().min(0) }),

  /** Carries out the pending step on behalf of the person whose step it is. */
  z.strictObject({ call: z.literal('act'), ceremony: CeremonyId, step: z.string().max(80), acceptFinalTry: z.boolean().default(false), /** What the step asks the person to write out. */ typed: z.string().max(200).optional(), /** Of a release from escrow: the agent's encrypted key file. */ file: File.optional() }),
  /** The copy that is to be destroyed now is left as it is, and why: its token is not here, its place is not known. */
  z.strictObject({ call: z.literal('leave-copy'), ceremony: CeremonyId, step: z.string().max(80), reason: z.string().min(1).max(300) }),
  /** Ends what a device process computes by itself for the step under way. A token is not interrupted. */
  z.strictObject({ call: z.literal('cancel'), ceremony: CeremonyId }),
  z.strictObject({ call: z.literal('witness'), ceremony: CeremonyId, step: z.string().max(80), seat: SeatId }),
  z.strictObject({ call: z.literal('decide'), ceremony: CeremonyId, decision: z.enum(['keep', 'clear']), why: sentence }),
  z.strictObject({ call: z.literal('note'), ceremony: CeremonyId, seat: SeatId, text: sentence }),
  z.strictObject({ call: z.literal('exception'), ceremony: CeremonyId, seat: SeatId, expected: sentence, happened: sentence, decided: sentence, /** The thing of this step is not handed over: that ends the step. */ step: z.string().max(80).optional() }),
  z.strictObject({ call: z.literal('break'), ceremony: CeremonyId, present: z.int().min(1).max(1000), reason: sentence }),
  z.strictObject({ call: z.literal('back'), ceremony: CeremonyId, present: z.int().min(1).max(1000) }),
  z.strictObject({ call: z.literal('disagree'), ceremony: CeremonyId, seat: SeatId, words: sentence }),
  z.strictObject({ call: z.literal('abort'), ceremony: CeremonyId, seat: SeatId, reason: sentence }),
  /** Continues an interrupted record under a new recorder key. `officer`: another person takes the officer's seat. */
  z.strictObject({
    call: z.literal('resume'), ceremony: CeremonyId, present: z.array(SeatId).min(1).max(300), reason: sentence,
    officer: z.strictObject({ name: z.string().min(1).max(80), card: Bound }).nullable(), standIns: z.boolean(),
  }),
  /** Writes the bundle into the data folder and says where. */
  z.strictObject({ call: z.literal('export'), ceremony: CeremonyId }),
  /** The certificate of destruction of a closed record, as it stands in the bundle. */
  z.strictObject({ call: z.literal('certificate'), ceremony: CeremonyId }),
  /** The same printed as a PDF file, where the person chooses. Answered by the window, which has a printer; never by the conductor. */
  z.strictObject({ call: z.literal('print-certificate'), ceremony: CeremonyId }),
  /** The auditor's verdict on a bundle or transcript the person dropped or chose. */
  z.strictObject({ call: z.literal('verify'), name: z.string().max(200), bytes: z.instanceof(Uint8Array).refine((bytes) => bytes.length <= 268_435_456) }),
  /** The verdict on a record of this machine. */
  z.strictObject({ call: z.literal('verify-own'), ceremony: CeremonyId }),
  /** Who has what and where, folded from every record of this machine, each verified; and whether shares lie well. */
  z.strictObject({ call: z.literal('custody') }),
]);
export type Request = z.infer<typeof Request>;
export type Call = Request['call'];

export interface ScriptSummary {
  readonly name: string;
  readonly text: string;
  readonly faults: readonly Fault[];
}

/** The register, the sites of sites.yaml (or what is wrong with that file), and what is wrong with where shares lie. */
export interface CustodyReport extends Custody {
  readonly sites: readonly Site[];
  readonly sitesFault: Refusal | null;
  readonly placement: readonly PlacementFinding[];
}

export interface CeremonySummary {
  readonly ceremony: string;
  /** Name of its script; `administration`: a volume of the logbook. */
  readonly script: string;
  readonly title: string;
  readonly mode: 'rehearsal' | 'real';
  readonly state: 'open' | 'closed' | 'aborted';
  /** True where the record is open but its recorder key is gone: it must be resumed before anything else. */
  readonly interrupted: boolean;
  readonly entries: number;
  readonly openedAt: string;
  readonly lastAt: string;
}

export interface Estate {
  readonly modules: readonly {
    readonly name: string;
    readonly facts: ModuleFacts | null;
    /** Why the module is not there: one line, with its code. */
    readonly problem: { readonly code: string; readonly message: string; readonly hint: string } | null;
    /** Its tokens are put in and taken out. */
    readonly moves: boolean;
    readonly slots: readonly { readonly slot: number; readonly description: string; readonly token: TokenFacts | null }[];
  }[];
}

/** The card readers of this machine, whatever module may use them. `problem`: why they cannot be seen. */
export interface ReaderReport {
  readonly problem: Estate['modules'][number]['problem'];
  /** `tokens`: what modules say they have in this reader; null while a module is at work and cannot be asked. */
  readonly readers: readonly (Reader & { readonly tokens: readonly { readonly module: string; readonly token: TokenFacts }[] | null })[];
}

/** A PKCS#11 library as a file. What is wrong with it stands in `refusal`, and then it is never loaded. */
export interface Library {
  readonly path: string;
  /** Where the path leads in the end; null where there is no such file. */
  readonly file: string | null;
  readonly sha256: string | null;
  readonly refusal: Refusal | null;
}

export interface ModuleReport {
  /** Modules of modules.json. `library` null: the embedded software token. */
  readonly configured: readonly {
    readonly name: string;
    readonly library: Library | null;
    /** What it was pinned to, and when that was; null where it has not been used yet. */
    readonly pinned: { readonly sha256: string; readonly since: string } | null;
    /** Variables in force in its process: those of modules.json, and of the surroundings those that PKCS#11 libraries are known to read. */
    readonly environment: readonly { readonly name: string; readonly value: string; readonly from: 'modules.json' | 'surroundings' }[];
  }[];
  /** Libraries that were found and do not run. Adding one to modules.json is the administrator's decision. */
  readonly candidates: readonly {
    readonly name: string;
    /** The p11-kit *.module file that names it, or 'well-known path'. */
    readonly from: string;
    readonly library: Library;
    /** Why it is not offered: a duplicate, pkcs11-spy, p11-kit-proxy, not enabled for this program. Null: it could be added. */
    readonly skipped: string | null;
    /** The name under which modules.json has it already. */
    readonly configuredAs: string | null;
  }[];
}

export interface FoundByUri {
  readonly module: string;
  readonly token: TokenFacts;
  /** Empty where the URI names the token alone. */
  readonly objects: readonly ObjectPlace[];
  /** How many fit; at most 500 are listed. */
  readonly total: number;
}

/** A key of a scan: where it is. */
export type KeyPlace = ObjectPlace & { readonly module: string; readonly token: string; readonly label: string; readonly sha256: string | null };

export interface KeyScan {
  readonly tokens: readonly {
    readonly module: string; readonly token: string; readonly tokenLabel: string;
    readonly keys: number;
    /** Public keys and certificates whose key could not be read; each is among the findings. */
    readonly unread: number;
    readonly loggedIn: boolean;
  }[];
  /** Rule names of the tests that were run. */
  readonly tests: readonly string[];
  /** Worst first. `keys`: one, or all that share what was found. */
  readonly findings: readonly (Refusal & { readonly keys: readonly KeyPlace[] })[];
  readonly blocklist: { readonly file: string; readonly sha256: string; readonly entries: number } | null;
}

/** `failed`: tokens that were not read, or only what is public of them although a login was asked for; and why. */
export type Compared = Reconciliation & {
  readonly failed: readonly { readonly module: string; readonly token: string; readonly label: string; readonly code: string; readonly message: string; readonly hint: string }[];
};

export interface Answers {
  hello: {
    readonly version: string; readonly build: string; readonly home: string;
    readonly runtime: { readonly electron: string | null; readonly node: string; readonly development: boolean };
    readonly warnings: readonly string[];
    readonly modules: readonly string[];
    /** First start: nothing has ever been recorded here. */
    readonly first: boolean;
  };
  estate: Estate;
  readers: ReaderReport;
  objects: { readonly total: number; readonly objects: readonly ObjectFact[]; readonly loggedIn: boolean };
  mechanisms: { readonly mechanisms: readonly { readonly name: string; readonly number: number; readonly min: number; readonly max: number; readonly flags: readonly string[] }[] };
  'token-modules': ModuleReport;
  'token-details': TokenDetails;
  'search-objects': { readonly total: number; readonly objects: readonly ObjectFact[]; readonly positions: readonly number[]; readonly loggedIn: boolean };
  'find-uri': { readonly found: readonly FoundByUri[] };
  object: ObjectReading & { readonly uri: string; readonly provenance: ReturnType<typeof provenanceOf> | null; readonly risks: ReturnType<typeof risksOf> };
  probe: { readonly readiness: readonly Readiness[] };
  'scan-keys': KeyScan;
  'compare-tokens': Comparison;
  'random-test': { readonly bytes: number; readonly tests: readonly z.infer<typeof StatisticalTest>[]; readonly claim: string };
  'self-test': { readonly tried: readonly { readonly name: string; readonly passed: boolean; readonly detail: string }[] };
  /** Pages with the same `look` are of one inventory; `rest` comes with the first. */
  inventory: { readonly look: number; readonly total: number; readonly keys: readonly InventoryKey[]; readonly rest: Omit<Inventory, 'keys'> | null };
  reconcile: Compared;
  'inventory-progress':
    | { readonly doing: 'records'; readonly at: number; readonly of: number }
    | { readonly doing: 'tokens'; readonly label: string; readonly at: number; readonly of: number; readonly objects: number; readonly total: number }
    | null;
  templates: { readonly templates: readonly LintedTemplate[] };
  'token-login': null; 'token-log-out': null;
  explain: { readonly explanations: readonly Explanation[] };
  scripts: readonly ScriptSummary[];
  lint: { readonly faults: readonly Fault[]; readonly words: readonly string[] };
  'rehearse-model': { readonly faults: readonly Fault[]; readonly steps: number; readonly minutes: number };
  'read-input': { readonly sha256: string; readonly facts: readonly Fact[]; readonly findings: readonly Refusal[] };
  /** `inputs` by the script's names, in the shape in which `open` wants them. */
  provision: { readonly bindings: Bindings; readonly inputs: Inputs };
  open: { readonly ceremony: string };
  'log-in': { readonly ceremony: string };
  /** What is known afterwards, of the change's own shape (CHANGES), as the record has it. */
  administer: { readonly result: Readonly<Record<string, unknown>> };
  'log-out': null;
  'save-file': { readonly path: string; readonly sha256: string };
  ceremonies: readonly CeremonySummary[];
  entries: { readonly lines: readonly string[] };
  act: null; 'leave-copy': null; cancel: { readonly cancelled: boolean }; witness: null; decide: null; note: null; exception: null; break: null; back: null; disagree: null; abort: null; resume: null;
  'plan-destruction': { readonly list: CopyList; readonly file: { readonly path: string; readonly sha256: string } | null };
  'key-record': { readonly record: KeyRecord; readonly file: { readonly path: string; readonly sha256: string } | null };
  export: { readonly path: string; readonly sha256: string };
  certificate: { readonly name: string; readonly html: string };
  /** Null: the person chose no file. */
  'print-certificate': { readonly path: string; readonly sha256: string } | null;
  verify: { readonly verdict: Verdict; readonly lines: readonly string[] };
  'verify-own': { readonly verdict: Verdict; readonly lines: readonly string[] };
  custody: CustodyReport;
}

/** A refusal names its rule; a problem (a device, the disk, a bug) has a code. Either says what to do next. */
export type Answer<C extends Call> =
  | { readonly ok: true; readonly value: Answers[C] }
  | { readonly ok: false; readonly refusal: Refusal }
  | { readonly ok: false; readonly problem: { readonly code: string; readonly message: string; readonly hint: string } };

/** New lines of a ceremony's record, in order. `from` is the number of the first. */
export interface Entries {
  readonly ceremony: string;
  readonly from: number;
  readonly lines: readonly string[];
}

/** Who is in the slots of a module, since a token has come or gone; or the readers, since one of them or a card has. */
export type Moved =
  | {
      readonly module: string;
      readonly slots: Estate['modules'][number]['slots'];
      /** Serial number of the card that is waited for in the middle of a step; null where none is. */
      readonly awaits: string | null;
    }
  | { readonly readers: ReaderReport };

/** What the preload puts on `window.conclave`: nothing else crosses. */
export interface Bridge {
  call<R extends Request>(request: R): Promise<Answer<R['call']>>;
  onEntries(listener: (entries: Entries) => void): () => void;
  onMoved(listener: (moved: Moved) => void): () => void;
}
