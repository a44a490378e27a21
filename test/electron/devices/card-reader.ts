/**
 * Card readers of a test's own, two by two, and SmartCard-HSMs to put into them: pcscd with the driver vpcd, both Debian's, and the
 * cards of smartcard-hsm.ts.
 *
 * Everything but the socket on which PC/SC is spoken lives in namespaces of its own (namespaces(7)): vpcd listens on all
 * interfaces, so it gets a network without any; pcscd knows one place for its socket, so it gets a /run of its own; and it
 * sees no reader of this machine. Several can run at once, and none touches the pcscd of the system.
 *
 * This file is both sides: `openReaders` for tests, and, as a program, what runs in there.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { ATR, SmartCardHsm, type Personalisation } from './smartcard-hsm.ts';

export const OPENSC = '/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so';
const VPCD = '/usr/lib/pcsc/drivers/serial/libifdvpcd.so';
const FIRST_PORT = 35963;
/** pcscd looks at its readers every 400 ms (PCSCLITE_STATUS_POLL_RATE): a card that is out for less was never out. */
const UNTIL_NOTICED = 900;
/** In the private /run. */
const SOCKET = '/run/pcscd/pcscd.comm';

type Slot = number;
/** `card` null: the one that is in is pulled, at once or when a PIN comes. */
/** Readers of this kind are unplugged and plugged in while pcscd is not there: it sees only those on USB come and go. */
type Service = 'stopped' | 'started' | 'without-readers';
type Order =
  | { readonly slot: Slot; readonly card: Personalisation | null; readonly atPin: boolean }
  | { readonly pcscd: Service };
type Task = Order & { readonly id: number };
type Report = { readonly ready: true } | { readonly done: number };

// --- for tests ---------------------------------------------------------------------------------------------------------

export interface Readers {
  /** As in modules.json: the module that reaches these readers and no other. */
  readonly module: { readonly kind: 'pkcs11'; readonly name: 'opensc'; readonly path: string; readonly env: Readonly<Record<string, string>> };
  /** Puts a card in. One that was in before (by its serial number) is what it was when it was pulled. */
  insert(card: Partial<Personalisation> & { readonly serial: string }, slot?: Slot): Promise<void>;
  /** Pulls it, whatever it is doing. */
  pull(slot?: Slot): Promise<void>;
  /** It is pulled when the next PIN is presented to it, before it has answered. */
  pullAtPin(slot?: Slot): Promise<void>;
  /** Kills pcscd; then starts another, with its readers, empty, or with none. */
  pcscd(is: Service): Promise<void>;
  close(): Promise<void>;
}

/** In the private namespaces: the driver out of sight of the system's other drivers, the folder as /run, a network of quick answers. */
const SET_UP = `set -e
mount --bind "$1" /usr/lib/pcsc/drivers
mount --bind "$1" /run
ip link set lo up
# vpcd sends the length and the command apart: without this each command waits 40 ms to be acknowledged.
ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 quickack 1
shift
exec "$@"`;

/** `pairs`: the driver makes two readers of each copy of itself that is loaded. */
export async function openReaders(pairs = 1): Promise<Readers> {
  if (!existsSync(VPCD) || !existsSync(OPENSC)) throw new Error(`${VPCD} or ${OPENSC} is missing. Run: node build/setup.mjs --for-tests`);
  const folder = mkdtempSync(join(tmpdir(), 'conclave-readers-'));
  mkdirSync(join(folder, 'pcscd'));
  mkdirSync(join(folder, 'readers'));
  const readers = Array.from({ length: pairs }, (_, pair) => {
    copyFileSync(VPCD, join(folder, `vpcd${pair}.so`));
    const port = `0x${(FIRST_PORT + 2 * pair).toString(16)}`;
    return `FRIENDLYNAME "Virtual reader ${pair}"\nDEVICENAME /dev/null:${port}\nLIBPATH /run/vpcd${pair}.so\nCHANNELID ${port}\n`;
  });
  writeFileSync(join(folder, 'readers', 'vpcd'), readers.join('\n'));
  // Where there are many, one token for each, as there are sixteen slots in all. No cache: a later card with the serial number of an earlier one is another card here.
  writeFileSync(join(folder, 'opensc.conf'), `app default {\n  framework pkcs15 {\n    use_file_caching = no;\n  }\n}\n${pairs > 1 ? 'app opensc-pkcs11 {\n  pkcs11 {\n    slots_per_card = 1;\n  }\n}\n' : ''}`);
  mkdirSync(join(folder, 'none'));
  const child = spawn('unshare', ['--map-root-user', '--mount', '--net', 'sh', '-c', SET_UP, 'sh', folder, process.execPath, import.meta.filename], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const ended = exited.then(() => Promise.reject(new Error('the virtual readers ended: can this user make namespaces (unshare --map-root-user)?')));
  ended.catch(() => undefined);
  await Promise.race([ended, reported(child, (report) => 'ready' in report)]);
  let next = 1;
  const task = async (order: Order) => {
    const id = next++;
    const done = reported(child, (report) => 'done' in report && report.done === id);
    child.send({ id, ...order } satisfies Task);
    await Promise.race([ended, done]);
  };
  return {
    module: {
      kind: 'pkcs11', name: 'opensc', path: OPENSC,
      env: { PCSCLITE_CSOCK_NAME: join(folder, 'pcscd', 'pcscd.comm'), OPENSC_CONF: join(folder, 'opensc.conf') },
    },
    insert: ({ serial, label = `REHEARSAL ${serial}`, pin = REHEARSAL_PIN, tries = 3 }, slot = 0) => task({ slot, card: { serial, label, pin, tries }, atPin: false }),
    pull: (slot = 0) => task({ slot, card: null, atPin: false }),
    pcscd: (is) => task({ pcscd: is }),
    pullAtPin: (slot = 0) => task({ slot, card: null, atPin: true }),
    close: async () => {
      child.kill();
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function reported(child: ChildProcess, fits: (report: Report) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const hear = (report: Report) => {
      if (!fits(report)) return;
      child.off('message', hear);
      resolve();
    };
    child.on('message', hear);
  });
}

// --- the program ---------------------------------------------------------------------------------------------------------

/** vpcd's control messages are one octet long; everything longer is a command APDU. */
const GET_ATR = 4;
/** ISO 7816-4 section 7.5.6, VERIFY; without data it only asks how many tries are left. */
const VERIFY = 0x20;

/** A card in a reader: two octets of length before every message, either way. */
class Link {
  readonly #socket: Socket;
  readonly #card: SmartCardHsm;
  #received = Buffer.alloc(0);
  /** Messages are answered one after the other. */
  #queue = Promise.resolve();
  pullsAtPin = false;

  constructor(socket: Socket, card: SmartCardHsm) {
    this.#socket = socket;
    this.#card = card;
    socket.setNoDelay(true);
    socket.on('error', () => undefined); // pulled while the reader was speaking
    socket.on('data', (chunk) => this.#take(chunk));
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 2) {
      const end = 2 + this.#received.readUInt16BE();
      if (this.#received.length < end) return;
      const message = Buffer.from(this.#received.subarray(2, end));
      this.#received = this.#received.subarray(end);
      this.#queue = this.#queue.then(() => this.#answer(message));
    }
  }

  async #answer(message: Buffer): Promise<void> {
    if (this.pullsAtPin && message[1] === VERIFY && message.length > 5) this.#socket.destroy();
    else if (message.length > 1) this.#send(await this.#card.respond(message));
    else if (message[0] === GET_ATR) this.#send(ATR);
    else this.#card.reset(); // power off, power on, reset
  }

  #send(message: Buffer): void {
    if (this.#socket.destroyed) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    this.#socket.write(Buffer.concat([length, message]));
  }

  async pull(): Promise<void> {
    if (this.#socket.destroyed) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.destroy();
    this.#card.reset();
    await closed;
  }
}

/** Connects as soon as the driver listens. */
async function connected(port: number): Promise<Socket> {
  for (let tries = 0; ; tries++) {
    try {
      return await new Promise((resolve, reject) => {
        const socket = connect(port, '127.0.0.1', () => resolve(socket));
        socket.once('error', reject);
      });
    } catch (error) {
      if (tries === 100) throw error;
      await wait(50);
    }
  }
}

async function serve(): Promise<void> {
  let pcscd = await startPcscd(true);
  const cards = new Map<string, SmartCardHsm>();
  const links = new Map<Slot, Link>();
  const carryOut = async (task: Task) => {
    if ('pcscd' in task) {
      const ended = new Promise((resolve) => pcscd.removeAllListeners('exit').once('exit', resolve));
      if (pcscd.exitCode === null && pcscd.signalCode === null) {
        pcscd.kill('SIGKILL');
        await ended;
      }
      links.clear();
      if (task.pcscd !== 'stopped') pcscd = await startPcscd(task.pcscd === 'started');
      return;
    }
    const { slot, card, atPin } = task;
    const link = links.get(slot);
    if (link !== undefined && atPin) {
      link.pullsAtPin = true;
      return;
    }
    if (link !== undefined) {
      await link.pull();
      links.delete(slot);
      await wait(UNTIL_NOTICED);
    }
    if (card === null) return;
    const known = cards.get(card.serial) ?? new SmartCardHsm(card);
    cards.set(card.serial, known);
    links.set(slot, new Link(await connected(FIRST_PORT + slot), known));
  };
  let queue = Promise.resolve();
  process.on('message', (task: Task) => {
    queue = queue.then(async () => {
      await carryOut(task);
      process.send?.({ done: task.id } satisfies Report);
    });
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.({ ready: true } satisfies Report);
}

async function startPcscd(withReaders: boolean): Promise<ChildProcess> {
  rmSync(SOCKET, { force: true }); // of one that was killed
  rmSync('/run/pcscd/pcscd.pid', { force: true });
  // setpriv: it ends when we do, however we end.
  const pcscd = spawn('setpriv', ['--pdeathsig', 'KILL', 'pcscd', '--foreground', '--critical', '--config', withReaders ? '/run/readers' : '/run/none'], { stdio: ['ignore', 'inherit', 'inherit'] })
    .once('exit', () => process.exit(1));
  while (!existsSync(SOCKET)) await wait(20);
  return pcscd;
}

if (process.argv[1] === import.meta.filename) await serve();
