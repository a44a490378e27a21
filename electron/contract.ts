/**
 * What the page may ask of the conductor, and what it hears. The only file of electron/ that renderer/ may import.
 *
 * Two functions cross the preload: `call(request)` and `onEntries(listener)`. A request is one of the union below and is
 * parsed again on the other side; an answer is a value, never a thrown error. Nothing but entries is pushed to the page.
 * No request carries a PIN, a module path or a file path: PINs are typed in the booth, modules come from the machine's
 * administrator, and files are chosen in a dialog that the main process opens.
 */
import * as z from 'zod';
import { SeatId, type ModuleFacts, type ObjectFact, type TokenFacts } from '../ceremonies/evidence.ts';
import type { Refusal } from '../ceremonies/refusal.ts';
import type { Fault } from '../ceremonies/script.ts';
import type { Verdict } from '../ceremonies/verify.ts';

const CeremonyId = z.string().regex(/^[0-9a-f]{32}$/);
const sentence = z.string().min(1).max(1000);
const Parameters = z.record(z.string().max(40), z.union([z.string().max(200), z.int()]));
const Bound = z.strictObject({ module: z.string().max(64), serial: z.string().max(64) });
export const Bindings = z.strictObject({
  tokens: z.record(z.string().max(40), Bound),
  cards: z.record(z.string().max(40), z.record(SeatId, Bound)),
});
export type Bindings = z.infer<typeof Bindings>;
export const People = z.array(z.strictObject({ seat: SeatId, name: z.string().min(1).max(80) })).min(1).max(300);
export type People = z.infer<typeof People>;

export const Request = z.discriminatedUnion('call', [
  /** What this machine is: once, at the start. */
  z.strictObject({ call: z.literal('hello') }),
  /** Modules, slots, tokens as they are now. */
  z.strictObject({ call: z.literal('estate') }),
  z.strictObject({ call: z.literal('objects'), module: z.string().max(64), token: z.string().max(64), offset: z.int().min(0), limit: z.int().min(1).max(500) }),
  z.strictObject({ call: z.literal('mechanisms'), module: z.string().max(64), token: z.string().max(64) }),

  z.strictObject({ call: z.literal('scripts') }),
  z.strictObject({ call: z.literal('lint'), text: z.string().max(200_000) }),
  /** Walks the script through a model of the room with these parameters; touches nothing. */
  z.strictObject({ call: z.literal('rehearse-model'), script: z.string().max(40), parameters: Parameters }),

  /** Makes blank rehearsal tokens and cards for a script and says which is whose. Never touches an existing token. */
  z.strictObject({ call: z.literal('provision'), script: z.string().max(40), parameters: Parameters, module: z.string().max(64) }),
  z.strictObject({
    call: z.literal('open'), script: z.string().max(40), parameters: Parameters, people: People, bindings: Bindings,
    mode: z.enum(['rehearsal', 'real']),
    /** Rehearsal cards type their published PIN themselves. */
    standIns: z.boolean(),
  }),
  z.strictObject({ call: z.literal('ceremonies') }),
  /** All lines of a ceremony from number `from` on; later ones arrive through onEntries. */
  z.strictObject({ call: z.literal('entries'), ceremony: CeremonyId, from: z.int().min(0) }),

  /** Carries out the pending step on behalf of the person whose step it is. */
  z.strictObject({ call: z.literal('act'), ceremony: CeremonyId, step: z.string().max(80), acceptFinalTry: z.boolean().default(false) }),
  z.strictObject({ call: z.literal('witness'), ceremony: CeremonyId, step: z.string().max(80), seat: SeatId }),
  z.strictObject({ call: z.literal('decide'), ceremony: CeremonyId, decision: z.enum(['keep', 'clear']), why: sentence }),
  z.strictObject({ call: z.literal('note'), ceremony: CeremonyId, seat: SeatId, text: sentence }),
  z.strictObject({ call: z.literal('exception'), ceremony: CeremonyId, seat: SeatId, expected: sentence, happened: sentence, decided: sentence }),
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
  /** The auditor's verdict on a bundle or transcript the person dropped or chose. */
  z.strictObject({ call: z.literal('verify'), name: z.string().max(200), bytes: z.instanceof(Uint8Array).refine((bytes) => bytes.length <= 268_435_456) }),
  /** The verdict on a record of this machine. */
  z.strictObject({ call: z.literal('verify-own'), ceremony: CeremonyId }),
]);
export type Request = z.infer<typeof Request>;
export type Call = Request['call'];

export interface ScriptSummary {
  readonly name: string;
  readonly text: string;
  readonly faults: readonly Fault[];
}

export interface CeremonySummary {
  readonly ceremony: string;
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
    readonly slots: readonly { readonly slot: number; readonly description: string; readonly token: TokenFacts | null }[];
  }[];
}

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
  objects: { readonly total: number; readonly objects: readonly ObjectFact[]; readonly loggedIn: boolean };
  mechanisms: { readonly mechanisms: readonly { readonly name: string; readonly number: number; readonly min: number; readonly max: number; readonly flags: readonly string[] }[] };
  scripts: readonly ScriptSummary[];
  lint: { readonly faults: readonly Fault[]; readonly words: readonly string[] };
  'rehearse-model': { readonly faults: readonly Fault[]; readonly steps: number; readonly minutes: number };
  provision: { readonly bindings: Bindings };
  open: { readonly ceremony: string };
  ceremonies: readonly CeremonySummary[];
  entries: { readonly lines: readonly string[] };
  act: null; witness: null; decide: null; note: null; exception: null; break: null; back: null; disagree: null; abort: null; resume: null;
  export: { readonly path: string; readonly sha256: string };
  verify: { readonly verdict: Verdict; readonly lines: readonly string[] };
  'verify-own': { readonly verdict: Verdict; readonly lines: readonly string[] };
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

/** What the preload puts on `window.conclave`: nothing else crosses. */
export interface Bridge {
  call<R extends Request>(request: R): Promise<Answer<R['call']>>;
  onEntries(listener: (entries: Entries) => void): () => void;
}
