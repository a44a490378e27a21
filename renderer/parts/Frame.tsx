/** The quiet rooms (everything but the stage): where one is, the way to the others, the theme. */
import { useEffect, useRef, type ReactNode } from 'react';
import { store, useConclave, useShortcut } from '../page.ts';
import type { Screen, Theme } from '../store.ts';
import { t } from '../texts.ts';

const ROOMS: readonly Extract<Screen['at'], 'home' | 'scripts' | 'tokens' | 'keys' | 'custody' | 'audit'>[] = [
  'home',
  'scripts',
  'tokens',
  'keys',
  'custody',
  'audit',
];

export function Frame({
  children,
  wide = false,
  busy = false,
}: {
  readonly children: ReactNode;
  readonly wide?: boolean;
  readonly busy?: boolean;
}) {
  const at = useConclave((state) => state.screen.at);
  const dialog = useConclave((state) => state.dialog);
  const main = useRef<HTMLElement>(null);
  useShortcut('k', () => store.getState().go({ at: 'keys' }), dialog === null && at !== 'keys');
  // What was pressed to come here is gone: the keyboard, and who hears the screen, begin at the new room.
  useEffect(() => main.current?.focus({ preventScroll: true }), [at]);
  return (
    <div className="frame">
      <header className="top">
        <Wordmark />
        <nav aria-label={t.nav.label}>
          {ROOMS.map((room) => (
            <button
              key={room}
              type="button"
              className="tab"
              {...(at === room ? { 'aria-current': 'page' as const } : {})}
              {...(room === 'keys' ? { 'aria-keyshortcuts': 'K' } : {})}
              onClick={() => store.getState().go({ at: room })}
            >
              {t.nav[room]}
            </button>
          ))}
        </nav>
        <ThemeChoice />
        <button type="button" className="quiet" onClick={() => store.getState().show('help')}>
          {t.nav.help}
          <kbd aria-hidden="true">?</kbd>
        </button>
      </header>
      <main ref={main} tabIndex={-1} className={wide ? 'wide' : ''} data-busy={busy}>
        {children}
      </main>
    </div>
  );
}

function Wordmark() {
  return (
    <span className="wordmark">
      <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
        <circle cx="16" cy="11" r="7" />
        <path d="M16 18v11M16 23h6M16 27.5h4" />
      </svg>
      {t.app}
    </span>
  );
}

export function ThemeChoice() {
  const theme = useConclave((state) => state.theme);
  return (
    <label className="theme">
      <span>{t.theme.label}</span>
      <select value={theme} onChange={(event) => store.getState().setTheme(event.target.value as Theme)}>
        <option value="system">{t.theme.system}</option>
        <option value="paper">{t.theme.paper}</option>
        <option value="night">{t.theme.night}</option>
      </select>
    </label>
  );
}

/** Said on every quiet screen of a development runtime: it rehearses, and nothing more. */
export function DevelopmentWarning() {
  const hello = useConclave((state) => state.hello);
  if (!hello?.runtime.development) return null;
  return (
    <section className="warning" role="note">
      <strong>{t.home.development}.</strong> {t.home.developmentWhy(hello.runtime.electron)}
    </section>
  );
}
