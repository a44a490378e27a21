/**
 * The card readers of this machine beside what the modules tell: which of their tokens is in which reader, and which card none
 * of them knows. It asks PC/SC through a device process of its own, and modules only who is in their slots: nothing is
 * sent to a card here.
 */
import type { TokenFacts } from '../../ceremonies/evidence.ts';
import type { Estate, ReaderReport } from '../contract.ts';
import type { Answer, ModuleConfig, Operation, Request, Slots } from '../devices/protocol.ts';

const READERS: ModuleConfig = { kind: 'readers', name: 'readers' };
/** CK_SLOT_INFO.slotDescription holds that many bytes (PKCS#11 3.2, 3.2); a reader's name may be longer. */
const DESCRIPTION = 64;
/** Nobody waits for what is told by itself, so nothing may be thrown there. */
const FAULT: ReaderReport['problem'] = { code: 'READERS', message: 'Readers cannot be watched: what watches them did not answer as agreed.', hint: 'Everything else works. Report this: it is a fault of the program.' };

export interface ReadersWorld {
  call<O extends Operation>(module: ModuleConfig, operation: O, body: Request<O>): Promise<Answer<O>>;
  busy(module: string): boolean;
  /** What to tell people of an error of `call`; null for a fault of this program. */
  problemOf(error: unknown): ReaderReport['problem'];
  readonly modules: readonly ModuleConfig[];
  /** As it was last read; no module has been asked yet where it is empty. */
  readonly estate: () => Estate;
  readonly refresh: () => Promise<unknown>;
  readonly noteSlots: (module: string, slots: Slots) => void;
  readonly tell: (readers: ReaderReport) => void;
}

/** Silent until somebody asks for the readers; from then on every change is told. */
export class ReaderWatch {
  readonly #world: ReadersWorld;
  /** What was told last; null where nobody has asked. */
  #told: string | null = null;

  constructor(world: ReadersWorld) {
    this.#world = world;
  }

  async report(): Promise<ReaderReport> {
    if (this.#world.estate().modules.length === 0) await this.#world.refresh();
    const report = await this.#look();
    this.#told = JSON.stringify(report);
    return report;
  }

  /** Readers or cards have come or gone: modules are asked now, so that a card is told of together with what it is. */
  async moved(): Promise<void> {
    await Promise.all(this.#asked().map(async (module) => {
      // Who is typing a PIN there is not disturbed; the module's own look follows within a second of the end.
      if (this.#world.busy(module.name)) return;
      try {
        const { slots } = await this.#world.call(module, 'moved', {});
        if (slots !== null) this.#world.noteSlots(module.name, slots);
      } catch {
        // Whoever asks the module for something is told why.
      }
    }));
    await this.tell();
  }

  /** Tells what is different from what was told last. */
  async tell(): Promise<void> {
    if (this.#told === null) return;
    const report = await this.#look();
    const now = JSON.stringify(report);
    if (now === this.#told) return;
    this.#told = now;
    this.#world.tell(report);
  }

  /** Modules whose tokens can be in a reader, and that run. */
  #asked(): ModuleConfig[] {
    const running = new Set(this.#world.estate().modules.flatMap(({ name, problem }) => (problem === null ? [name] : [])));
    return this.#world.modules.filter(({ kind, name }) => kind === 'pkcs11' && running.has(name));
  }

  async #look(): Promise<ReaderReport> {
    try {
      const { readers } = await this.#world.call(READERS, 'readers', {});
      const waits = this.#asked().some(({ name }) => this.#world.busy(name));
      return {
        problem: null,
        readers: readers.map((reader) => {
          const tokens = reader.card ? this.#tokensIn(reader.name) : [];
          return { ...reader, tokens: tokens.length === 0 && reader.card && waits ? null : tokens };
        }),
      };
    } catch (error) {
      return { problem: this.#world.problemOf(error) ?? FAULT, readers: [] };
    }
  }

  /** By the name of the slot, which modules for cards take from the reader. */
  #tokensIn(reader: string): { readonly module: string; readonly token: TokenFacts }[] {
    const name = reader.slice(0, DESCRIPTION).trim();
    return this.#world.estate().modules.flatMap(({ name: module, slots }) =>
      slots.flatMap(({ description, token }) => (token !== null && description === name ? [{ module, token }] : [])));
  }
}
