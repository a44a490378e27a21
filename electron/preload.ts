/**
 * The door between the page and the conductor: three functions, and nothing else crosses (contract.ts, Bridge).
 *
 * It must never hand the page anything of Electron's: no event, no sender, no channel name.
 */
import { contextBridge, ipcRenderer } from 'electron';
import type { Bridge, Entries, Moved } from './contract.ts';

export type CallChannel = 'conclave:call';
export type EntriesChannel = 'conclave:entries';
export type MovedChannel = 'conclave:moved';
type Told = Readonly<Record<EntriesChannel, Entries> & Record<MovedChannel, Moved>>;

/** What the other side tells by itself, without the event that it came with. */
function told<Channel extends keyof Told>(channel: Channel, listener: (message: Told[Channel]) => void): () => void {
  const pass = (_event: unknown, message: Told[Channel]) => listener(message);
  ipcRenderer.on(channel, pass);
  return () => void ipcRenderer.off(channel, pass);
}

const bridge = {
  call: (request: unknown) => ipcRenderer.invoke('conclave:call' satisfies CallChannel, request),
  onEntries: (listener: (entries: Entries) => void) => told('conclave:entries', listener),
  onMoved: (listener: (moved: Moved) => void) => told('conclave:moved', listener),
} satisfies Record<keyof Bridge, unknown>;

contextBridge.exposeInMainWorld('conclave', bridge);
