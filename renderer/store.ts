/**
 * What the page knows: a fold of the record's entries, and which screen is on.
 *
 * Lines come in, `Fold` checks and applies them (the very code that the conductor and the verdict run), and every
 * screen draws the resulting State. The page never decides what may happen: it asks, and shows the answer. It holds no
 * secret; none ever reaches it.
 */
import { createStore, type StoreApi } from 'zustand/vanilla';
import type { Entry, State } from '../ceremonies/ceremony.ts';
import type { Description } from '../ceremonies/describe.ts';
import type { Refusal } from '../ceremonies/refusal.ts';
import type { Fold } from '../ceremonies/transcript.ts';
import type { Verdict } from '../ceremonies/verify.ts';
import type {
  Answer,
  Answers,
  Bridge,
  Call,
  CeremonySummary,
  Compared,
  Entries,
  Estate,
  ModuleReport,
  Moved,
  ReaderReport,
  Request,
  ScriptSummary,
} from '../electron/contract.ts';
import type { Readiness } from '../ceremonies/estate.ts';
import type { cardNotice, Move } from './cards.ts';
import { moves, nameOf, readersSay, tokenKey } from './estate.ts';
import type { AtHand } from './opening.ts';
import type { Kept } from './keys.ts';
import { told, type Told } from './reading.ts';
import { t } from './texts.ts';

export type Screen =
  | { readonly at: 'home' }
  | { readonly at: 'open'; readonly script: string }
  | { readonly at: 'ceremony'; readonly ceremony: string }
  | {
      readonly at: 'replay';
      readonly title: string;
      readonly lines: readonly string[];
      readonly verdict: Verdict | null;
      readonly back: Screen;
      /** Number of the entry that it opens at. */
      readonly entry?: number;
    }
  | { readonly at: 'tokens' }
  /** `key`: identity of the one that is looked at, or at which the hierarchy of all keys begins. */
  | { readonly at: 'keys'; readonly key?: string; readonly hierarchy?: boolean }
  | { readonly at: 'scripts' }
  | { readonly at: 'custody' }
  | {
      readonly at: 'audit';
      /** A record of this machine, to be verified at once. */
      readonly own?: { readonly ceremony: string; readonly title: string };
      /** A verdict that was given already: the way back from its replay. */
      readonly checked?: Checked;
    };

/** A file or record, and what became of it under the auditor's rules. */
export interface Checked {
  readonly name: string;
  readonly verdict: Verdict;
  readonly lines: readonly string[];
}

export type Theme = 'system' | 'paper' | 'night';
export type Problem = Extract<Answer<'act'>, { readonly problem: unknown }>['problem'];

/** Why something that was asked for did not happen: a rule refused it, or a device, the disk or a bug did. */
export interface Trouble {
  readonly call: Call;
  readonly refusal: Refusal | null;
  readonly problem: Problem | null;
}

/** One thing is under way; the room waits for it. `since` is the page's clock, in milliseconds. */
export interface Work {
  readonly call: Call;
  readonly step: string | null;
  readonly since: number;
  /** Somebody asked to stop it; `late`: there was nothing that could be stopped. */
  readonly stopping: 'no' | 'asked' | 'late';
}

/** `at` is the page's clock, in milliseconds. */
export interface Login {
  readonly loggedIn: boolean;
  readonly at: number;
}

/** The record on the screen: every entry so far and the state they add up to. */
export interface Record {
  readonly ceremony: string;
  readonly rows: readonly Told[];
  readonly state: State;
  /** The rule that a line broke: then the page shows nothing after it. */
  readonly broken: Refusal | null;
}

export interface Conclave {
  readonly hello: Answers['hello'] | null;
  readonly ceremonies: readonly CeremonySummary[] | null;
  readonly scripts: readonly ScriptSummary[] | null;
  readonly estate: Estate | null;
  /** Which libraries run, and which were found and do not. */
  readonly modules: ModuleReport | null;
  /** Card readers and what is in them; null until the Tokens room has asked. */
  readonly readers: ReaderReport | null;
  /** Whether somebody was logged in to a token when it last answered, and when that was; by `tokenKey`. */
  readonly logins: Readonly<Partial<globalThis.Record<string, Login>>>;
  /** What tokens were seen to be able to do since the page was opened; by `tokenKey`. */
  readonly probed: Readonly<Partial<globalThis.Record<string, readonly Readiness[]>>>;
  /** Keys as they were last folded from the records, since the page was opened. */
  readonly inventory: Kept | null;
  /** Keys of a look that is under way: how many have come, of how many (0: not known yet). */
  readonly counting: { readonly at: number; readonly of: number } | null;
  /** What tokens held beside the inventory `look`, and when that was. */
  readonly comparison: { readonly at: string; readonly look: number; readonly compared: Compared } | null;
  /** How long each kind of work took last time, in milliseconds. */
  readonly took: Readonly<Partial<globalThis.Record<Call, number>>>;
  readonly screen: Screen;
  readonly theme: Theme;
  readonly record: Record | null;
  readonly work: Work | null;
  readonly trouble: Trouble | null;
  readonly dialog: 'unexpected' | 'help' | null;
  /** What a screen reader hears next. */
  readonly said: string;
  /** Cards that came and went since the step on the stage began. */
  readonly moves: readonly Move[];
  /** Serial number of the card that is waited for in the middle of a step. */
  readonly awaits: string | null;
  /** Tokens of modules where they come and go, as they were when they were last in: a card that is to come later can be chosen now. */
  readonly met: readonly AtHand[];
  /** Ceremonies that this page opened with stand-ins; the record does not say, and the page cannot know of others. */
  readonly standIns: readonly string[];
  /** A device that types like a keyboard was noticed; its keys were swallowed. */
  readonly flooded: boolean;

  start(): Promise<void>;
  go(screen: Screen): void;
  show(dialog: Conclave['dialog']): void;
  setTheme(theme: Theme): void;
  dismiss(): void;
  say(words: string): void;
  /** Asks for something; a refusal becomes `trouble` and null is returned. Only one such thing is under way at a time. */
  ask<R extends Request>(request: R): Promise<Answers[R['call']] | null>;
  /** Ends what a device process computes for the work under way; its own answer then says that it was stopped. */
  stop(ceremony: string): Promise<void>;
  refreshCeremonies(): Promise<void>;
  refreshScripts(): Promise<void>;
  /** Modules, slots and tokens, and in the Tokens room what is known of libraries and card readers. */
  refreshEstate(): Promise<void>;
  /** A token said whether somebody is logged in. */
  noteLogin(module: string, serial: string, loggedIn: boolean): void;
  /** Tries what a token can; the readiness matrix then has a column for it. False where it was refused or failed. */
  probe(module: string, serial: string, standIn: boolean, acceptFinalTry: boolean): Promise<boolean>;
  /** Folds the records again; what was read before stays until then. */
  readInventory(): Promise<void>;
  /** Null where it was refused. */
  compareWithTokens(tokens: Extract<Request, { call: 'reconcile' }>['tokens'], login: Extract<Request, { call: 'reconcile' }>['login']): Promise<Compared | null>;
  watch(ceremony: string): Promise<void>;
  openReplay(ceremony: string, title: string, entry?: number): Promise<void>;
}

/** What the store needs of the world besides the bridge. */
export interface World {
  now(): number;
  /** Lets the page draw between two slices of a long fold. */
  rest(): Promise<void>;
}

/** Keys of the inventory in one answer. */
const KEYS_PAGE = 100;

/** A fold goes on at most this long before the page may draw: no task over 50 ms. */
const SLICE_MS = 12;

export function createConclave(bridge: Bridge, world: World): StoreApi<Conclave> {
  let fold: Fold | null = null;
  /** What is said of cards; it comes with the code that folds a record. */
  let noticeOf: typeof cardNotice | null = null;
  /** Lines are taken one batch after the other, whatever order the answers come in. */
  let queue: Promise<void> = Promise.resolve();

  const store = createStore<Conclave>()((set, get) => ({
    hello: null,
    ceremonies: null,
    scripts: null,
    estate: null,
    modules: null,
    readers: null,
    logins: {},
    probed: {},
    inventory: null,
    counting: null,
    comparison: null,
    took: {},
    screen: { at: 'home' },
    theme: 'system',
    record: null,
    work: null,
    trouble: null,
    dialog: null,
    said: '',
    moves: [],
    awaits: null,
    met: [],
    standIns: [],
    flooded: false,

    async start() {
      bridge.onEntries((entries) => {
        queue = queue.then(() => take(entries));
      });
      bridge.onMoved(moved);
      const [answer] = await Promise.all([bridge.call({ call: 'hello' }), get().refreshCeremonies()]);
      if (answer.ok) set({ hello: answer.value });
      else set({ trouble: troubleOf('hello', answer) });
    },

    go(screen) {
      set({ screen, trouble: null, dialog: null });
      if (screen.at === 'home') void get().refreshCeremonies();
      if (screen.at === 'ceremony') void get().watch(screen.ceremony);
    },
    show: (dialog) => set({ dialog }),
    setTheme: (theme) => set({ theme }),
    dismiss: () => set({ trouble: null }),
    say: (said) => set({ said }),

    async ask(request) {
      if (get().work !== null) return null;
      const step = ('step' in request ? request.step : null) ?? null;
      set({ work: { call: request.call, step, since: world.now(), stopping: 'no' }, trouble: null });
      const since = world.now();
      const answer = await bridge.call(request);
      if (answer.ok) set({ took: { ...get().took, [request.call]: world.now() - since } });
      // What was written for this answer is on the screen before the button is back; its lines may be pushed after it.
      const watched = get().record?.ceremony;
      if ('ceremony' in request && request.ceremony === watched) queue = queue.then(() => catchUp(watched));
      await queue;
      set({ work: null, trouble: answer.ok ? null : troubleOf(request.call, answer) });
      // Some refusals mean that the record was interrupted: the list knows.
      if (!answer.ok) void get().refreshCeremonies();
      return answer.ok ? answer.value : null;
    },

    async stop(ceremony) {
      const { work } = get();
      if (work === null || work.stopping === 'asked') return;
      const asked: Work = { ...work, stopping: 'asked' };
      set({ work: asked });
      const answer = await bridge.call({ call: 'cancel', ceremony });
      if (get().work === asked && !(answer.ok && answer.value.cancelled)) set({ work: { ...work, stopping: 'late' } });
    },

    async refreshCeremonies() {
      const answer = await bridge.call({ call: 'ceremonies' });
      if (answer.ok) set({ ceremonies: answer.value });
      else set({ trouble: troubleOf('ceremonies', answer) });
    },
    async refreshScripts() {
      const answer = await bridge.call({ call: 'scripts' });
      if (answer.ok) set({ scripts: answer.value });
      else set({ trouble: troubleOf('scripts', answer) });
    },
    async refreshEstate() {
      const answer = await bridge.call({ call: 'estate' });
      if (answer.ok) look(answer.value);
      else if (get().screen.at === 'tokens') set({ trouble: troubleOf('estate', answer) });
      if (get().screen.at !== 'tokens') return;
      const asked = bridge.call({ call: 'readers' });
      const modules = await bridge.call({ call: 'token-modules' });
      if (modules.ok) set({ modules: modules.value });
      else set({ trouble: troubleOf('token-modules', modules) });
      const readers = await asked;
      if (readers.ok) set({ readers: readers.value });
      else set({ trouble: troubleOf('readers', readers) });
    },
    noteLogin(module, serial, loggedIn) {
      set({ logins: { ...get().logins, [tokenKey(module, serial)]: { loggedIn, at: world.now() } } });
    },
    async probe(module, serial, standIn, acceptFinalTry) {
      const answer = await get().ask({ call: 'probe', module, token: serial, standIn, acceptFinalTry });
      if (answer) set({ probed: { ...get().probed, [tokenKey(module, serial)]: answer.readiness } });
      return answer !== null;
    },

    async readInventory() {
      if (get().counting !== null) return;
      set({ counting: { at: 0, of: 0 } });
      const trouble = await keepInventory();
      set({ counting: null, ...(trouble && get().screen.at === 'keys' && { trouble }) });
    },
    async compareWithTokens(tokens, login) {
      const compared = await get().ask({ call: 'reconcile', tokens: [...tokens], login });
      // The conductor compares with the records as they are then; so does the page from here on.
      if (compared === null) return null;
      await get().readInventory();
      set({ comparison: { at: new Date().toISOString(), look: get().inventory?.look ?? 0, compared } });
      return compared;
    },

    async watch(ceremony) {
      const loaded = queue.then(async () => {
        if (get().record?.ceremony === ceremony) return;
        fold = null;
        set({ record: null });
        await catchUp(ceremony);
      });
      queue = loaded;
      await Promise.all([loaded, get().refreshCeremonies()]);
    },

    async openReplay(ceremony, title, entry) {
      const back = get().screen;
      const answer = await get().ask({ call: 'verify-own', ceremony });
      if (answer) set({ screen: { at: 'replay', title, lines: answer.lines, verdict: answer.verdict, back, ...(entry !== undefined && { entry }) } });
    },
  }));

  /** Page by page, so that ten thousand keys hold nothing up. Begins anew where the records grew meanwhile. */
  async function keepInventory(): Promise<Trouble | null> {
    const { Keeping } = await import('./keys.ts');
    for (;;) {
      const keeping = new Keeping();
      const { rows } = keeping;
      let look = -1;
      let rest: Kept['rest'] | null = null;
      for (;;) {
        const answer = await bridge.call({ call: 'inventory', from: rows.length, limit: KEYS_PAGE });
        if (!answer.ok) return troubleOf('inventory', answer);
        const page = answer.value;
        if (rows.length === 0) {
          ({ look, rest } = page);
          if (look === store.getState().inventory?.look) return null;
        } else if (page.look !== look) break;
        keeping.add(page.keys);
        store.setState({ counting: { at: rows.length, of: page.total } });
        if (rows.length >= page.total || page.keys.length === 0) {
          if (rest !== null) store.setState({ inventory: keeping.kept(look, rest) });
          return null;
        }
        await world.rest();
      }
    }
  }

  /** Lines that were pushed. Those of other records are not ours to draw; those we have already are not taken twice. */
  async function take({ ceremony, from, lines }: Entries): Promise<void> {
    const { record } = store.getState();
    if (record?.ceremony !== ceremony) return;
    const have = record.rows.length;
    if (from > have) await catchUp(ceremony);
    else await append(ceremony, lines.slice(have - from));
  }

  /** Tokens, cards or readers came or went. Where nobody has asked for the estate yet, nobody is told. */
  function moved(what: Moved): void {
    if ('readers' in what) {
      const said = readersSay(store.getState().readers, what.readers);
      store.setState({ readers: what.readers, ...(said !== '' && { said }) });
      return;
    }
    const { module: name, slots, awaits } = what;
    const { estate } = store.getState();
    if (!estate?.modules.some((module) => module.name === name)) return;
    // A card that served is not in the way of the next one.
    if (awaits !== store.getState().awaits) store.setState({ awaits, moves: [] });
    look({ modules: estate.modules.map((module) => (module.name === name ? { ...module, slots } : module)) }, name);
  }

  /** The estate as it is now. Who came and went is said where tokens do, and of the module that told it; whichever of the two is first. */
  function look(now: Estate, teller?: string): void {
    const { estate, logins, met, moves: earlier, record, screen, awaits } = store.getState();
    const changes = now.modules.flatMap(({ name, slots, moves: come }) => {
      const before = estate?.modules.find((module) => module.name === name);
      return before && (come || name === teller) ? [{ name, ...moves(before.slots, slots) }] : [];
    });
    const [went, came] = [changes.flatMap((change) => change.went), changes.flatMap((change) => change.came)];
    const since = [...earlier, ...went.map(({ serial }): Move => ({ serial, how: 'went' })), ...came.map(({ serial }): Move => ({ serial, how: 'came' }))];
    // On the stage it is said as what it is there: the card that the step needs, or another one.
    const notice = record !== null && screen.at === 'ceremony' ? noticeOf?.(record.state, now, since, awaits) ?? null : null;
    // A login ends with the card that it was for.
    const ended = changes.flatMap(({ name, went: gone }) => gone.map(({ serial }) => [tokenKey(name, serial), { loggedIn: false, at: world.now() }] as const));
    store.setState({
      estate: now, moves: since, met: metBy(met, now),
      logins: { ...logins, ...Object.fromEntries(ended) },
      ...((came.length + went.length > 0 || (teller !== undefined && awaits !== null)) && {
        said: notice ? `${notice.text} ${notice.next}`.trim() : [...(went.length > 0 ? [t.tokens.went(went.map(nameOf))] : []), ...(came.length > 0 ? [t.tokens.came(came.map(nameOf))] : [])].join(' '),
      }),
    });
  }

  async function catchUp(ceremony: string): Promise<void> {
    const { record } = store.getState();
    const have = record?.ceremony === ceremony ? record.rows.length : 0;
    const answer = await bridge.call({ call: 'entries', ceremony, from: have });
    if (answer.ok) await append(ceremony, answer.value.lines);
    else store.setState({ trouble: troubleOf('entries', answer) });
  }

  async function append(ceremony: string, lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const code = await foldCode();
    noticeOf = code.cardNotice;
    const { record } = store.getState();
    const before = record?.ceremony === ceremony ? record : null;
    if (before?.broken) return;
    fold ??= new code.Fold();
    const added: Told[] = [];
    let broken: Refusal | null = null;
    let slice = world.now();
    for (const line of lines) {
      broken = pushed(code, fold, line, added);
      if (broken) break;
      if (world.now() - slice > SLICE_MS) {
        await world.rest();
        slice = world.now();
      }
    }
    store.setState({
      record: { ceremony, rows: [...(before?.rows ?? []), ...added], state: fold.state, broken },
      // One sentence for a whole batch; checkpoints are the app's own bookkeeping and are not read aloud.
      ...(before ? { said: announced(added) ?? store.getState().said } : {}),
      // What moved belongs to the step in which it did.
      ...(before?.state.current?.step.id === fold.state.current?.step.id ? {} : { moves: [] }),
    });
    if (added.some(({ entry }) => ['lost', 'resumed', 'aborted', 'closed'].includes(entry.kind)))
      void store.getState().refreshCeremonies();
  }

  return store;
}

interface FoldCode {
  readonly Fold: typeof Fold;
  readonly parseLine: (line: string) => Entry;
  readonly describe: (entry: Entry, before: State) => Description;
  readonly cardNotice: typeof cardNotice;
}

/** Loaded only when a record is looked at: the first screen needs neither YAML nor zod nor hashes. */
async function foldCode(): Promise<FoldCode> {
  await import('./jitless.ts');
  const [{ Fold, parseLine }, { describe }, cards] = await Promise.all([
    import('../ceremonies/transcript.ts'),
    import('../ceremonies/describe.ts'),
    import('./cards.ts'),
  ]);
  return { Fold, parseLine, describe, cardNotice: cards.cardNotice };
}

function announced(added: readonly Told[]): string | null {
  const row = added.findLast(({ entry }) => entry.kind !== 'checkpoint');
  return row ? t.record.newEntry(row.entry.seq, row.title) : null;
}

/** Pushes one line; what breaks a rule is returned, never thrown. An entry is told in front of the state it came to. */
function pushed({ parseLine, describe }: FoldCode, fold: Fold, line: string, added: Told[]): Refusal | null {
  try {
    const entry = parseLine(line);
    const before = fold.state;
    const refusal = fold.push(entry, new TextEncoder().encode(line));
    if (refusal === null) added.push(told(entry, before, describe(entry, before)));
    return refusal;
  } catch (error) {
    if (error instanceof Error && 'refusal' in error) return error.refusal as Refusal;
    throw error;
  }
}

export interface Timeline {
  readonly rows: readonly Told[];
  /** States after 0, 1, 2 … entries: one more than there are rows. */
  readonly states: readonly State[];
  readonly broken: Refusal | null;
}

/** Every state a record went through, for the replay. Stops at the first line that breaks a rule and says which. */
export async function timeline(lines: readonly string[], world: World): Promise<Timeline> {
  const code = await foldCode();
  const fold = new code.Fold();
  const rows: Told[] = [];
  const states: State[] = [fold.state];
  let slice = world.now();
  for (const line of lines) {
    const broken = pushed(code, fold, line, rows);
    if (broken) return { rows, states, broken };
    states.push(fold.state);
    if (world.now() - slice > SLICE_MS) {
      await world.rest();
      slice = world.now();
    }
  }
  return { rows, states, broken: null };
}

export function troubleOf(call: Call, answer: Exclude<Answer<Call>, { readonly ok: true }>): Trouble {
  return 'refusal' in answer
    ? { call, refusal: answer.refusal, problem: null }
    : { call, refusal: null, problem: answer.problem };
}

/** Name of the script whose records are the volumes of the logbook. */
export const LOGBOOK = 'administration';

/** A record of changes to tokens, not of a ceremony. */
export function isVolume({ script }: Pick<CeremonySummary, 'script'>): boolean {
  return script === LOGBOOK;
}

/** The list's line about the record on the screen. */
export function summaryOf(state: Pick<Conclave, 'ceremonies'>, ceremony: string): CeremonySummary | undefined {
  return state.ceremonies?.find((candidate) => candidate.ceremony === ceremony);
}

/** What is in a slot now where tokens come and go, and what was. */
function metBy(met: readonly AtHand[], estate: Estate): readonly AtHand[] {
  const here = estate.modules.flatMap((module) => (module.moves ? module.slots.flatMap(({ token }) => (token ? [{ module: module.name, serial: token.serial, label: token.label }] : [])) : []));
  const others = met.filter((one) => here.every((other) => other.serial !== one.serial || other.module !== one.module));
  return here.length === 0 ? met : [...others, ...here];
}

/** Who is at hand as a token or card now, by serial number; null where the estate has not been asked for yet. */
export function presentSerials(estate: Estate | null): ReadonlyMap<string, string> | null {
  return (
    estate &&
    new Map(
      estate.modules.flatMap((module) =>
        module.slots.flatMap((slot) => (slot.token ? [[slot.token.serial, slot.token.label] as const] : [])),
      ),
    )
  );
}
