/**
 * What travels between the processes of the house: types only, no code.
 *
 *   page / terminal ──call──▶ hub (processes.ts, in the parent) ──▶ conductor ──▶ hub ──▶ one device process per module
 *
 * The hub starts and watches processes and passes messages on; requests, answers and evidence are opaque to it. Nothing
 * here can carry a PIN: PIN bytes go from the booth to a device process on a port of their own (devices/protocol.ts,
 * BoothMessage), which neither the hub nor the conductor ever holds.
 *
 * How a program finds its parent: in a utility process `process.parentPort` ('message' events carry `data` and
 * `ports`), in a plain Node process `process.send` and process.on('message'). Everything is cloned structurally
 * (bytes arrive as Uint8Array). A program whose parent is gone ('disconnect') ends by itself.
 */
import type { Refusal } from '../ceremonies/refusal.ts';
import type { Entries, Moved } from './contract.ts';
import type { DeviceMessage, DeviceReply } from './devices/protocol.ts';

/** The conductor's first message. Nothing else is sent to it before it has answered `ready`. */
export interface Start {
  readonly from: 'parent';
  readonly kind: 'start';
  /** The data folder, absolute. Created by the parent (mode 0700) where that is possible. */
  readonly home: string;
  readonly app: { readonly version: string; readonly build: string };
  /** The parent's runtime; `electron` is null in a terminal. `development`: no real ceremonies. */
  readonly runtime: { readonly node: string; readonly electron: string | null; readonly development: boolean };
  /** Where the ceremonies that ship stand as *.yaml, absolute. */
  readonly scriptsFolder: string;
}

export type ToConductor =
  | Start
  /** Close the ledger and end with exit code 0. A conductor that takes too long over it is killed. */
  | { readonly from: 'parent'; readonly kind: 'stop' }
  /** contract.ts' Request, not parsed yet: the conductor parses it. `id` is unique for the conductor's lifetime. */
  | { readonly from: 'client'; readonly id: number; readonly request: unknown }
  /** An answer or a notice of a device process. Notices go to the booth as well; this is for the record and for timing. */
  | { readonly from: 'device'; readonly module: string; readonly message: DeviceReply }
  /** The device process of `module` is gone, and with it every request it had not answered. Sent once per process. */
  | { readonly from: 'device'; readonly module: string; readonly lost: Lost };

export type FromConductor =
  /** The data folder is open, every pragma read back: calls may come. */
  | { readonly to: 'parent'; readonly kind: 'ready' }
  /** It cannot start on this data folder, and ends. People are shown the refusal in place of the app. */
  | { readonly to: 'parent'; readonly kind: 'refused'; readonly refusal: Refusal }
  /** contract.ts' Answer. Exactly one for each request. */
  | { readonly to: 'client'; readonly id: number; readonly answer: unknown }
  /** New lines of a record, once they are durable. */
  | { readonly to: 'client'; readonly entries: Entries }
  /** A token, a card or a reader has come or gone. */
  | { readonly to: 'client'; readonly moved: Moved }
  /**
   * For the device process of `module`; the first message starts one, and so does the first after a loss was reported.
   * (Messages sent between a process's end and the report of its loss are lost with it.) Which library it loads stands
   * in its own `start` request.
   */
  | { readonly to: 'device'; readonly module: string; readonly message: DeviceMessage }
  /**
   * Ends the device process of `module` at once; nothing but `lost` comes from it after that. Without such a process
   * nothing happens.
   */
  | { readonly to: 'device'; readonly module: string; readonly kill: true };

/**
 * How a process ended. `killed`: we asked for it (a time-out, the end of a ceremony), whatever the system then reported.
 * A crash is `exited` with a signal, or with a code where the platform gives no signal (a utility process).
 */
export interface Lost {
  readonly how: 'exited' | 'killed';
  readonly code: number | null;
  readonly signal: string | null;
}

/**
 * To a device process: requests, and, in a utility process only, `booth` with a port for BoothMessages in the event's
 * `ports`; there may be several such ports in its life, one for each time a PIN is wanted, and all of them count.
 *
 * In a plain Node device process the booth is file descriptor 4 instead, a stream of frames:
 *   u32 BE ticket · u32 BE length, or 0xffffffff for "cancelled" · that many bytes, the PIN.
 */
export type ToDevice = DeviceMessage | { readonly kind: 'booth' };
