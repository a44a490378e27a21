/**
 * The page: one root, one screen at a time, dialogs above. Only what the first screen needs is loaded at the start; the
 * fold and the other screens come when they are asked for.
 */
import '@fontsource/ibm-plex-sans/400.css';
import '@fontsource/ibm-plex-sans/600.css';
import '@fontsource/ibm-plex-mono/400.css';
import '@fontsource/ibm-plex-mono/600.css';
import './theme.css';
import { lazy, StrictMode, Suspense, useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { listen } from './keyboard.ts';
import { Hatch } from './parts/Band.tsx';
import { Help, Unexpected } from './parts/Dialogs.tsx';
import { pressShortcut, store, useConclave, useShortcut } from './page.ts';
import { Home } from './screens/Home.tsx';
import { LOGBOOK, type Conclave } from './store.ts';
import { t } from './texts.ts';

/** Screens that read records or scripts bring zod with them: it is told first that this page forbids code from strings. */
const screen = async <T,>(load: () => Promise<T>): Promise<T> => {
  await import('./jitless.ts');
  return load();
};
const Open = lazy(() => screen(async () => ({ default: (await import('./screens/Open.tsx')).Open })));
const Ceremony = lazy(() => screen(async () => ({ default: (await import('./screens/Ceremony.tsx')).Ceremony })));
const Replay = lazy(() => screen(async () => ({ default: (await import('./screens/Replay.tsx')).Replay })));
const Tokens = lazy(() => screen(async () => ({ default: (await import('./screens/Tokens.tsx')).Tokens })));
const Keys = lazy(() => screen(async () => ({ default: (await import('./screens/Keys.tsx')).Keys })));
const Scripts = lazy(() => screen(async () => ({ default: (await import('./screens/Scripts.tsx')).Scripts })));
const Custody = lazy(() => screen(async () => ({ default: (await import('./screens/Custody.tsx')).Custody })));
const Audit = lazy(() => screen(async () => ({ default: (await import('./screens/Audit.tsx')).Audit })));

function Page() {
  const screen = useConclave((state) => state.screen);
  switch (screen.at) {
    case 'home':
      return <Home />;
    case 'open':
      return <Open key={screen.script} name={screen.script} />;
    case 'ceremony':
      return <Ceremony key={screen.ceremony} ceremony={screen.ceremony} />;
    case 'replay':
      return <Replay screen={screen} />;
    case 'tokens':
      return <Tokens />;
    case 'keys':
      return <Keys chosen={screen.key ?? null} hierarchy={screen.hierarchy === true} />;
    case 'scripts':
      return <Scripts />;
    case 'custody':
      return <Custody />;
    case 'audit':
      return <Audit key={screen.own?.ceremony ?? ''} screen={screen} />;
  }
}

/** The key that is looked at. */
function keyOn({ screen, inventory }: Conclave) {
  return screen.at === 'keys' && screen.key !== undefined ? inventory?.byIdentity.get(screen.key)?.key : undefined;
}

/** Rehearsals are hatched on every screen that shows one, and where an officer works under a rehearsed logbook. */
function useHatched(): boolean {
  return useConclave((state) =>
    state.screen.at === 'ceremony'
      ? state.record?.state.opening?.mode === 'rehearsal'
      : state.screen.at === 'tokens'
        ? state.record?.state.opening?.mode === 'rehearsal' && state.record.state.phase === 'open' && state.record.state.script?.name === LOGBOOK
      : state.screen.at === 'keys'
        ? keyOn(state)?.rehearsal === true
      : state.screen.at === 'replay'
        ? state.screen.verdict?.mode !== 'real'
        : false,
  );
}

function App() {
  const dialog = useConclave((state) => state.dialog);
  const said = useConclave((state) => state.said);
  const theme = useConclave((state) => state.theme);
  const record = useConclave((state) => state.record);
  const flooded = useConclave((state) => state.flooded);
  const hatched = useHatched();
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme;
  }, [theme]);
  useEffect(() => {
    document.documentElement.dataset['mode'] = hatched ? 'rehearsal' : '';
  }, [hatched]);
  useShortcut('?', () => store.getState().show('help'), dialog === null);
  const close = () => store.getState().show(null);
  return (
    <>
      <Suspense
        fallback={
          <main className="waiting">
            <p>{t.loadingScreen}</p>
          </main>
        }
      >
        <Page />
      </Suspense>
      {hatched ? <Hatch /> : null}
      {dialog === 'help' ? <Help onClose={close} /> : null}
      {dialog === 'unexpected' && record ? (
        <Unexpected ceremony={record.ceremony} people={record.state.people} onClose={close} />
      ) : null}
      {flooded ? (
        <p className="flooded" role="alert">
          {t.help.ignored}{' '}
          <button type="button" onClick={() => store.setState({ flooded: false })}>
            {t.close}
          </button>
        </p>
      ) : null}
      <p className="hidden" role="status" aria-live="polite">
        {said}
      </p>
    </>
  );
}

listen(document, () => ({ press: pressShortcut, flooded: () => store.setState({ flooded: true }) }));
const root = document.getElementById('root');
if (root)
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
void store.getState().start();
