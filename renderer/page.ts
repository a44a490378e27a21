/** The one store of this page, and how screens read it. */
import { useEffect, useState } from 'react';
import { useStore } from 'zustand';
import { bridge } from './client.ts';
import { createConclave, type Conclave, type World } from './store.ts';

export const world: World = {
  now: () => performance.now(),
  // A task of its own, so that typing and drawing come first.
  rest: () =>
    new Promise((resolve) => {
      setTimeout(resolve);
    }),
};

export const store = createConclave(bridge, world);

/** Select what does not change by itself: a new array from the selector would draw for ever. */
export function useConclave<T>(select: (state: Conclave) => T): T {
  return useStore(store, select);
}

/** The page's clock, read again every `every` milliseconds. */
export function useClock(every: number): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => setNow(new Date()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** The letters and digits that press something on the screen that is on, besides those of the whole app. */
const pressed = new Map<string, () => void>();

/** While the component is drawn and `on`, this key does that. */
export function useShortcut(key: string, act: () => void, on = true): void {
  useEffect(() => {
    if (!on) return undefined;
    const name = key.length === 1 ? key.toLowerCase() : key;
    pressed.set(name, act);
    return () => {
      if (pressed.get(name) === act) pressed.delete(name);
    };
  });
}

export function pressShortcut(key: string): boolean {
  const act = pressed.get(key.length === 1 ? key.toLowerCase() : key);
  act?.();
  return act !== undefined;
}
