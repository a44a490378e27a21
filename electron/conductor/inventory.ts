/**
 * The Keys room: every record of the ledger verified and folded into the inventory, and on demand compared with what tokens hold.
 *
 * It only reads, and merges nothing. Both take long on a machine with many records and objects, so other requests come in between.
 * What is kept from one look to the next is kept in this process alone, under a hash of every line that it was made of: a line that
 * somebody edited is judged again, and no file remembers a verdict.
 */
import { alerts } from '../../ceremonies/alerts.ts';
import { utf8 } from '../../ceremonies/bytes.ts';
import { everyObject } from '../../ceremonies/estate.ts';
import { inventoryByEntries, type Inventory, type JudgedRecord } from '../../ceremonies/inventory.ts';
import { reconcile, type TokenNow } from '../../ceremonies/reconcile.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import type { Hasher } from '../../ceremonies/transcript.ts';
import { verifyFile, type Verdict } from '../../ceremonies/verify.ts';
import type { Answers, Compared, Request } from '../contract.ts';
import type { Ledger } from './ledger.ts';
import { look, type LookingWorld } from './looking.ts';

type ReconcileRequest = Extract<Request, { call: 'reconcile' }>;
export type InventoryRequest = Extract<Request, { call: 'inventory' | 'inventory-progress' }> | ReconcileRequest;

/** What this room needs of the house. */
export interface InventoryWorld {
  readonly ledger: Pick<Ledger, 'ceremonies' | 'lines'>;
  readonly hasher: Hasher;
  readonly looking: LookingWorld;
  /** This machine's clock, where it is not the real one. */
  readonly now?: () => Date;
  /** True while the process of this module works or waits for a PIN. */
  readonly busy: (module: string) => boolean;
  /** A refusal or a device's problem as people are told it; null: a fault of the program, which is thrown on. */
  readonly told: (error: unknown) => { readonly code: string; readonly message: string; readonly hint: string } | null;
}

/** An inventory, and what it was made of. */
interface Look {
  readonly number: number;
  readonly hashes: string;
  readonly inventory: Inventory;
}

/** Milliseconds of work after which others are answered first. */
const SLICE = 12;
/** So often, and so many milliseconds apart, a busy module is asked again whether it is free. */
const TRIES = 20;
const PAUSE = 100;
const pause = (milliseconds: number) => new Promise<void>((resolve) => { setTimeout(resolve, milliseconds); });
const breathe = () => new Promise<void>((resolve) => { setImmediate(resolve); });

export type InventoryRoom = ReturnType<typeof inventoryRoom>;

/** One for the life of the conductor. */
export function inventoryRoom({ ledger, hasher, looking, busy, told, now = () => new Date() }: InventoryWorld) {
  const verdicts = new Map<string, { readonly hash: string; readonly verdict: Verdict }>();
  let last: Look | null = null;
  let underWay: Promise<Look> | null = null;
  let records: Answers['inventory-progress'] = null;
  let tokens: Answers['inventory-progress'] = null;
  let stopped = false;

  /** The verdict on a record as it stands, made afresh unless every line of it is the one that was judged. */
  async function judge(ceremony: string): Promise<JudgedRecord & { readonly verdict: Verdict; readonly hash: string }> {
    const lines = ledger.lines(ceremony, 0);
    const bytes = utf8(lines.map((line) => `${line}\n`).join(''));
    const hash = hasher.entry(bytes);
    const known = verdicts.get(ceremony);
    if (known?.hash === hash) return { ...known, lines };
    const { verdict } = await verifyFile(bytes, { hasher });
    verdicts.set(ceremony, { hash, verdict });
    return { verdict, lines, hash };
  }

  /** Every record of the ledger; those under way count as far as they go. */
  async function judgeAll(): Promise<Awaited<ReturnType<typeof judge>>[]> {
    const judged: Awaited<ReturnType<typeof judge>>[] = [];
    const list = ledger.ceremonies();
    try {
      for (const [index, { ceremony }] of list.entries()) {
        records = { doing: 'records', at: index + 1, of: list.length };
        judged.push(await judge(ceremony));
        await breathe();
      }
    } finally {
      records = null;
    }
    return judged;
  }

  async function readRecords(): Promise<Look> {
    const judged = await judgeAll();
    const hashes = judged.map(({ hash }) => hash).join(' ');
    if (last?.hashes === hashes) return last;
    const folding = inventoryByEntries(judged, hasher);
    for (let since = performance.now(); ;) {
      const { done, value } = folding.next();
      if (done === true) return (last = { number: (last?.number ?? 0) + 1, hashes, inventory: value });
      if (performance.now() - since > SLICE) {
        await breathe();
        since = performance.now();
      }
    }
  }

  /** As the records are now. Who asks while it is being made gets the same one. */
  const current = () => (underWay ??= readRecords().finally(() => { underWay = null; }));

  async function page({ from, limit }: Extract<InventoryRequest, { call: 'inventory' }>): Promise<Answers['inventory']> {
    const { number, inventory: { keys, ...rest } } = from === 0 || last === null ? await current() : last;
    // What is due today is said with the first page: the look itself knows no clock.
    return { look: number, total: keys.length, keys: keys.slice(from, from + limit), rest: from === 0 ? { ...rest, findings: [...rest.findings, ...alerts({ keys }, now())] } : null };
  }

  // --- beside the tokens -------------------------------------------------------------------------------------------------

  async function compare({ tokens: wanted, login }: ReconcileRequest): Promise<Compared> {
    if (tokens !== null) throw new Refused(refuse('RECONCILE-ONCE', 'one comparison at a time', 'one that is under way', 'Wait for it, or stop it.'));
    stopped = false;
    tokens = { doing: 'tokens', label: '', at: 0, of: 0, objects: 0, total: 0 };
    try {
      const { modules } = await looking.estate();
      const there = modules.flatMap(({ name, slots }) => slots.flatMap(({ token }) => (token?.flags.includes('CKF_TOKEN_INITIALIZED') === true ? [{ module: name, token: token.serial, label: token.label }] : [])));
      const chosen = there.filter((one) => wanted.length === 0 || wanted.some(({ module, token }) => module === one.module && token === one.token));
      const missing = wanted.find(({ module, token }) => !there.some((one) => one.module === module && one.token === token));
      if (missing) throw new Refused(refuse('TOKEN-PRESENT', `token ${missing.token} on ${missing.module}`, 'no such token', 'Put it in, and look at the list of tokens.'));
      const { inventory } = await current();
      const failed: Compared['failed'][number][] = [];
      const seen: TokenNow[] = [];
      for (const [index, one] of chosen.entries()) {
        tokens = { doing: 'tokens', label: one.label, at: index + 1, of: chosen.length, objects: 0, total: 0 };
        const failing = (error: unknown): void => {
          const why = told(error);
          if (why === null) throw error;
          failed.push({ ...one, code: why.code, message: why.message, hint: why.hint });
        };
        await read(one, login, failing).then((now) => { seen.push(now); }, failing);
      }
      await breathe();
      const { notSeen, ...found } = reconcile(inventory, seen);
      const without = wanted.length > 0 ? [] : modules.flatMap(({ name, problem }) => (problem === null ? [] : [`module ${name}: ${problem.code}`]));
      return { ...found, notSeen: [...without, ...notSeen], failed };
    } finally {
      tokens = null;
    }
  }

  /** What one token holds now. A login that was asked for and refused is told to `failing`; then what is public is read all the same. */
  async function read(one: Omit<TokenNow, 'loggedIn' | 'readings' | 'rest'>, login: ReconcileRequest['login'], failing: (error: unknown) => void): Promise<TokenNow> {
    const { module: name, token } = one;
    const module = looking.module(name);
    for (let tries = 0; busy(name); tries += 1) {
      if (tries === TRIES) throw new Refused(refuse('MODULE-BUSY', `an answer of module ${name}`, 'it works, or waits for a PIN', 'Finish what is under way, then compare again.'));
      await pause(PAUSE);
    }
    const asked = <T>(ask: () => Promise<T>): Promise<T> => {
      if (stopped) throw new Refused(refuse('WORK_CANCELLED', 'the whole token', 'a comparison that was stopped', 'Compare again when there is time. Nothing was changed.'));
      return ask();
    };
    const before = await asked(() => looking.call(module, 'objects', { token, offset: 0, limit: 1 }));
    // A ceremony logs in and out of its token by itself, and a person who is logged in stays so.
    const logsIn = login !== 'none' && !before.loggedIn && looking.inCeremony(token) === null
      && await look({ call: 'token-login', module: name, token, standIn: login === 'stand-in', acceptFinalTry: false }, looking).then(() => true, (error: unknown) => { failing(error); return false; });
    try {
      const count = (more: { readonly objects?: number; readonly total?: number }): void => {
        if (tokens?.doing === 'tokens') tokens = { ...tokens, ...more };
      };
      let read = 0;
      const { readings, rest, loggedIn } = await everyObject({
        page: async (offset, limit) => {
          const listed = await asked(() => looking.call(module, 'objects', { token, offset, limit }));
          count({ total: listed.total });
          return listed;
        },
        object: (place) => {
          count({ objects: read += 1 });
          return asked(() => looking.call(module, 'object', { token, place }));
        },
      });
      return { ...one, loggedIn, readings, rest };
    } finally {
      if (logsIn) await look({ call: 'token-log-out', module: name, token }, looking);
    }
  }

  return {
    judge,
    judgeAll,
    /** Not a look that was begun before the latest entry: a statement or a list is made of this one. */
    inventory: async () => {
      await underWay?.catch(() => undefined);
      return (await current()).inventory;
    },
    async answer(request: InventoryRequest): Promise<Answers[InventoryRequest['call']]> {
      switch (request.call) {
        case 'inventory': return page(request);
        case 'reconcile': return compare(request);
        case 'inventory-progress':
          if (request.stop) stopped = true;
          return records ?? tokens;
      }
    },
  };
}
