/**
 * The page's only door: nothing else in renderer/ may touch `window.conclave`.
 *
 * An answer is always a value. Where the other half of the app does not answer at all, that too becomes a problem with a
 * code and a sentence, so that no screen has to know how a call can fail.
 */
import type { Answer, Bridge, Request } from '../electron/contract.ts';
import { t } from './texts.ts';

declare global {
  interface Window {
    readonly conclave: Bridge;
  }
}

export const bridge: Bridge = {
  async call<R extends Request>(request: R): Promise<Answer<R['call']>> {
    try {
      return await window.conclave.call(request);
    } catch {
      return { ok: false, problem: { code: 'BRIDGE', message: t.refusal.bridge, hint: t.refusal.bridgeHint } };
    }
  },
  onEntries: (listener) => window.conclave.onEntries(listener),
  onMoved: (listener) => window.conclave.onMoved(listener),
};
