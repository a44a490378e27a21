/**
 * The device program: one process per PKCS#11 module (and one for the recorder key, one for the card readers), so that a vendor library that crashes
 * or hangs is one line in the minutes. Runs as Electron's utility process and as a plain Node program.
 *
 * Requests are carried out one at a time in the order in which they were sent, but for `cancel`, which ends what is under
 * way; answers and notices go back on the same channel (protocol.ts). PINs come in on the booth: a port in a utility process, file descriptor 4 in a plain Node process.
 *
 * Never prints (a vendor library's own output aside), never lets an exception's text out, and ends with its parent.
 */
import { fstatSync, read } from 'node:fs';
import { Fault } from './errors.ts';
import { BoothFrames } from './frames.ts';
import { Operations } from './operations.ts';
import type { BoothAsks, BoothMessage, BoothShown, DeviceReply } from './protocol.ts';
import { Secret, secretBytes } from './secret.ts';

/** How long a booth may stay silent before the request is given up. */
const BOOTH_PATIENCE = 3 * 60_000;
/** A component is written down by hand, or typed from paper, unhurried; within the time that the conductor gives a request. */
const COMPONENT_PATIENCE = 12 * 60_000;
const BOOTH_FD = 4;
/** How long a call that is under way when the parent ends may still take. */
const LAST_WORK = 10_000;
/**
 * How often it is looked whether a token has come or gone. By asking, not by C_WaitForSlotEvent: where that waits, it waits in
 * a thread that nothing but C_Finalize ends, and where it does not wait, many modules have never implemented it.
 */
const WATCH_PERIOD = 1_000;
/** Exit code after an exception that nothing was prepared for (sysexits.h EX_SOFTWARE). */
const BROKEN = 70;

/** What of Electron's utility process is used here; importing `electron` would tie this program to it. */
interface Port { on(event: 'message', listener: (event: { data: unknown }) => void): void; postMessage(message: BoothShown): void; start(): void }
interface ParentPort {
  on(event: 'message', listener: (event: { data: unknown; ports: readonly Port[] }) => void): void;
  postMessage(message: DeviceReply): void;
}
const { parentPort } = process as unknown as { readonly parentPort?: ParentPort };

/**
 * Ends this process. exit() waits for the threads of asynchronous calls, so it would hang behind a hanging module or a
 * booth that is being listened to; then nothing but a signal to itself ends it. There is nothing left to tidy up.
 */
function leave(code: number): void {
  if (threadsBusy()) process.kill(process.pid, 'SIGKILL');
  else process.exit(code);
}

// No text of any exception leaves this process: a library may have put anything into it.
process.on('uncaughtException', () => leave(BROKEN));
process.on('unhandledRejection', () => leave(BROKEN));
// Nor does a warning of the runtime's.
process.removeAllListeners('warning');
// Ctrl-C in a terminal goes to every process of the group; when to end is the parent's decision.
process.on('SIGINT', () => undefined);

function post(reply: DeviceReply): void {
  if (parentPort) parentPort.postMessage(reply);
  else if (process.connected) process.send?.(reply);
}

// --- the booth -------------------------------------------------------------------------------------------------------

let waiting: { readonly ticket: number; readonly settle: (pin: Secret | null) => void; readonly shown: Uint8Array | null } | null = null;

/** Takes over what a booth sent. Answers to anything but the question that is open are wiped and forgotten. */
function fromBooth(message: BoothMessage): void {
  const pin = 'pin' in message ? new Secret(message.pin) : null;
  if (waiting?.ticket === message.ticket) waiting.settle(pin);
  else pin?.wipe();
}

let listening = !parentPort && boothPipeIsThere();
if (listening) listen(new BoothFrames(fromBooth), secretBytes(512));

function boothPipeIsThere(): boolean {
  try {
    // Node makes its extra stdio pipes as socket pairs; the runtime's own descriptors are never sockets.
    return fstatSync(BOOTH_FD).isSocket();
  } catch {
    return false;
  }
}

/** Reads on a thread of the pool: a file read, because nothing of this program may load the network's module. */
function listen(frames: BoothFrames, buffer: Uint8Array): void {
  read(BOOTH_FD, buffer, 0, buffer.length, null, (error, length) => {
    if (error === null && length > 0 && frames.push(buffer.subarray(0, length))) {
      listen(frames, buffer);
      return;
    }
    // Closed, or not what it should be: nobody will answer any more.
    listening = false;
    waiting?.settle(null);
  });
}

/** A component goes to the booth that asks for it, on the port that it asks on, while its question is open. (No terminal asks: its scrollback would keep it.) */
function show(port: Port, { ticket }: BoothAsks): void {
  if (waiting?.ticket === ticket && waiting.shown !== null) port.postMessage({ ticket, component: waiting.shown });
}

function askBooth(ticket: number, patience = BOOTH_PATIENCE, shown: Uint8Array | null = null): Promise<Secret | null> {
  if (!parentPort && !listening) throw new Fault('BOOTH_MISSING');
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle(null), patience);
    const settle = (pin: Secret | null) => {
      clearTimeout(timer);
      waiting = null;
      resolve(pin);
    };
    waiting = { ticket, settle, shown };
  });
}

// --- requests --------------------------------------------------------------------------------------------------------

const operations = new Operations({
  notify: (notice) => post({ kind: 'notice', notice }),
  pin: (ticket) => askBooth(ticket),
  component: (ticket, shown) => askBooth(ticket, COMPONENT_PATIENCE, shown),
  readersMoved: () => post({ kind: 'readers' }),
  program: process.argv[1] ?? '',
});

let queue: Promise<void> = Promise.resolve();
let working = 0;
let leaving = false;

function threadsBusy(): boolean {
  return listening || working > 0;
}

function receive(message: unknown, ports: readonly Port[]): void {
  if (typeof message !== 'object' || message === null || !('kind' in message)) return;
  if (message.kind === 'booth') {
    for (const port of ports) {
      port.on('message', ({ data }) => {
        if (isBoothMessage(data)) fromBooth(data);
        else if (isBoothAsking(data)) show(port, data);
      });
      port.start();
    }
    return;
  }
  if (message.kind !== 'request' || !('id' in message) || typeof message.id !== 'number') return;
  const { id } = message;
  const operation = 'operation' in message ? message.operation : undefined;
  const body = 'body' in message ? message.body : undefined;
  if (operation === 'cancel') {
    // Not behind the work that it is to end.
    void operations.answer(operation, body).then((answer) => post({ kind: 'answer', id, ...answer }));
    return;
  }
  working++;
  queue = queue.then(async () => {
    if (!leaving) post({ kind: 'answer', id, ...(await operations.answer(operation, body)) });
    working--;
  });
}

/** Between requests, and while a PIN is awaited: a token at work is not disturbed. */
setInterval(() => {
  if (leaving) return;
  if (waiting !== null) {
    void operations.glance().then((slots) => { if (slots !== null) post({ kind: 'moved', slots }); });
    return;
  }
  if (working > 0) return;
  working++;
  queue = queue.then(async () => {
    const slots = await operations.watch();
    if (slots !== null) post({ kind: 'moved', slots });
    working--;
  });
}, WATCH_PERIOD).unref();

function isBoothMessage(data: unknown): data is BoothMessage {
  if (typeof data !== 'object' || data === null || !('ticket' in data) || typeof data.ticket !== 'number') return false;
  return ('pin' in data && data.pin instanceof Uint8Array) || ('cancelled' in data && data.cancelled === true);
}

function isBoothAsking(data: unknown): data is BoothAsks {
  return typeof data === 'object' && data !== null && 'ticket' in data && typeof data.ticket === 'number' && 'shows' in data && data.shows === true;
}

if (parentPort) parentPort.on('message', ({ data, ports }) => receive(data, ports));
else {
  process.on('message', (message: unknown) => receive(message, []));
  process.on('disconnect', () => {
    // The parent is gone. What a token is doing just now is let finish, within limits: half-written is worse than unheard.
    leaving = true;
    waiting?.settle(null);
    setTimeout(() => leave(BROKEN), LAST_WORK);
    void queue.then(() => operations.close()).finally(() => leave(0));
  });
}
