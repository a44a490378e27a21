/**
 * The door between the page and the conductor: two functions, and nothing else crosses (contract.ts, Bridge).
 *
 * It must never hand the page anything of Electron's: no event, no sender, no channel name.
 */
import { contextBridge, ipcRenderer } from 'electron';
import type { Bridge, Entries } from './contract.ts';

export type CallChannel = 'conclave:call';
export type EntriesChannel = 'conclave:entries';

const bridge = {
  call: (request: unknown) => ipcRenderer.invoke('conclave:call' satisfies CallChannel, request),
  onEntries: (listener: (entries: Entries) => void) => {
    const pass = (_event: unknown, entries: Entries) => listener(entries);
    ipcRenderer.on('conclave:entries' satisfies EntriesChannel, pass);
    return () => void ipcRenderer.off('conclave:entries' satisfies EntriesChannel, pass);
  },
} satisfies Record<keyof Bridge, unknown>;

contextBridge.exposeInMainWorld('conclave', bridge);
