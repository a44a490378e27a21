/**
 * An Electron main process that shows the real page, under its real policy and preload, over a pretended other half.
 * Bundled and started by test/e2e/screens.test.ts; it is no part of the app.
 */
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { app, BrowserWindow, ipcMain, protocol } from 'electron';
import type { Request } from '../../electron/contract.ts';
import { POLICIES, webPreferences } from '../../electron/hardening.ts';
import { PretendBridge, pretendVerdict } from './bridge.ts';
import { pretendDrills, pretendHierarchy, pretendInventory, pretendedKey, object, REHEARSED_FINDINGS } from './pretend-keys.ts';
import { BADLY_PLACED, TWO_WORLDS, WELL_PLACED } from './pretend-custody.ts';
import { peopleFor, ROOT_CA, Room, SCRIPTS } from './pretend.ts';

const { SCREENS_PAGE: folder = '', SCREENS_PRELOAD: preload = '' } = process.env;
const TYPES: Partial<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.woff2': 'font/woff2',
};

let bridge = new PretendBridge();
let window: BrowserWindow | undefined;

function fresh(): PretendBridge {
  bridge = new PretendBridge();
  bridge.onEntries((entries) => window?.webContents.send('conclave:entries', entries));
  bridge.onMoved((moved) => window?.webContents.send('conclave:moved', moved));
  return bridge;
}

const volume = () =>
  new Room(
    {
      people: [{ seat: 'officer', name: 'Security officer (rehearsal)' }],
      bindings: { tokens: {}, cards: { 'identity-card': { officer: { module: 'softhsm', serial: '00000000deadbeef' } } } },
    },
    SCRIPTS['administration'],
  );

const movementRoom = () => new Room({}, SCRIPTS['custody-movement']);

/** What the page meets, by name. Each begins from nothing. */
const SCENES: Partial<Record<string, (bridge: PretendBridge) => void>> = {
  first: () => undefined,
  list: (b) => {
    b.add(new Room().toTheEnd());
    b.interrupted.add(b.add(new Room().until('make-root')).ceremony);
    const aborted = b.add(new Room().until('token-out'));
    aborted.abort('officer', 'The serial number on the case is not the one in the script.');
    b.add(new Room().until('certify'));
  },
  release: (b) => {
    b.development = false;
    b.warnings = [];
    b.add(new Room({ mode: 'real', development: false }).until('certify'));
  },
  'custody-empty': () => undefined,
  custody: (b) => {
    b.custody = WELL_PLACED;
  },
  'custody-found': (b) => {
    b.custody = BADLY_PLACED;
  },
  'custody-worlds': (b) => {
    b.custody = TWO_WORLDS;
  },
  'custody-refused': (b) => {
    b.failNext.set('custody', { ok: false, problem: { code: 'CONDUCTOR', message: 'The ledger could not be read.', hint: 'Nothing that was recorded is lost. Close the app and open it again.' } });
  },
  'hand-over': (b) => {
    b.add(movementRoom().until('hand-over/2'));
  },
  'hand-over-received': (b) => {
    const room = b.add(movementRoom().until('hand-over/2'));
    room.finish();
  },
  'compare-movements': (b) => {
    b.add(movementRoom().until('compare-list'));
  },
  words: (b) => {
    b.add(new Room());
  },
  confirm: (b) => {
    b.add(new Room().until('read-hash/custodian-2'));
  },
  enrol: (b) => {
    b.add(new Room().until('enrol/custodian-3'));
  },
  move: (b) => {
    b.add(new Room().until('token-out'));
  },
  generate: (b) => {
    b.add(new Room().until('make-root'));
  },
  working: (b) => {
    b.slowness = 60_000;
    b.add(new Room().until('make-root'));
  },
  quorum: (b) => {
    b.slowness = 60_000;
    b.add(new Room().until('recovery'));
  },
  witness: (b) => {
    const room = b.add(new Room().until('make-root'));
    room.begin();
    room.finish();
    room.witness('custodian-2');
  },
  inventory: (b) => {
    const room = b.add(new Room().until('token-after'));
    room.begin();
    room.finish();
  },
  certificate: (b) => {
    const room = b.add(new Room().until('certify'));
    room.begin();
    room.finish();
  },
  share: (b) => {
    b.add(new Room().until('give-share/custodian-2'));
  },
  seal: (b) => {
    b.add(new Room().until('seal-5/witness'));
  },
  'destroy-list': (b) => {
    b.add(new Room({}, SCRIPTS['key-destruction']).until('compare-list'));
  },
  'destroy-located': (b) => {
    const room = b.add(new Room({}, SCRIPTS['key-destruction']).until('locate'));
    room.begin();
    room.finish();
  },
  'destroy-approve': (b) => {
    b.add(new Room({}, SCRIPTS['key-destruction']).until('approve/custodian-1'));
  },
  'escrow-seal': (b) => {
    b.add(new Room({}, SCRIPTS['escrow-deposit']).until('deposit'));
  },
  'escrow-sealed': (b) => {
    const room = b.add(new Room({}, SCRIPTS['escrow-deposit']).until('deposit'));
    room.begin();
    room.finish();
  },
  'escrow-conditions': (b) => {
    b.add(new Room({}, SCRIPTS['escrow-release']).until('read-conditions'));
  },
  'escrow-approve': (b) => {
    b.add(new Room({}, SCRIPTS['escrow-release']).until('approve/custodian-1'));
  },
  'escrow-release': (b) => {
    b.add(new Room({}, SCRIPTS['escrow-release']).until('release'));
  },
  'escrow-released': (b) => {
    const room = b.add(new Room({}, SCRIPTS['escrow-release']).until('release'));
    room.begin();
    room.finish();
  },
  'destroy-wait': (b) => {
    b.development = false;
    b.add(new Room({ mode: 'real', development: false }, SCRIPTS['key-destruction']).until('wait'));
  },
  'destroy-next': (b) => {
    const room = b.add(new Room({}, SCRIPTS['key-destruction']).until('destroy'));
    room.next();
    room.next();
  },
  'destroy-gone': (b) => {
    const room = b.add(new Room({}, SCRIPTS['key-destruction']).until('confirm'));
    room.begin();
    room.finish();
  },
  'destroy-lies': (b) => {
    const room = b.add(new Room({}, SCRIPTS['key-destruction']).until('confirm'));
    room.lies = true;
    room.begin();
    room.finish();
  },
  refused: (b) => {
    b.add(new Room().until('prove-root'));
    b.failNext.set('act', {
      ok: false,
      refusal: {
        rule: 'ATTRIBUTES-AS-SCRIPTED',
        expected: "the script's truth table",
        found: 'sensitive is false, not true',
        next: 'The value is recorded as found. Record an exception, then repeat the step or abort.',
      },
    });
  },
  failed: (b) => {
    const room = b.add(new Room().until('give-share/custodian-2'));
    room.begin();
    room.fail({
      code: 'CKR_PIN_INCORRECT',
      message: 'The PIN that was typed is wrong.',
      hint: 'The holder looks at the PIN letter and types it once more. The app never tries by itself.',
    });
  },
  final: (b) => {
    b.add(new Room().until('enrol/witness'));
    b.failNext.set('act', {
      ok: false,
      problem: {
        code: 'PIN_FINAL_TRY',
        message: 'One try is left; a wrong PIN locks the token for good.',
        hint: 'Somebody must confirm in words that the last try may be used.',
      },
    });
  },
  decide: (b) => {
    const room = b.add(new Room().until('make-root'));
    room.begin();
    room.lost();
    room.found('present');
  },
  half: (b) => {
    const room = b.add(new Room().until('make-root'));
    room.begin();
    room.lost();
    room.found('half');
  },
  pause: (b) => {
    b.add(new Room().until('certify')).pause(6, 'Lunch');
  },
  interrupted: (b) => {
    const room = b.add(new Room().until('certify'));
    room.lost();
    b.interrupted.add(room.ceremony);
  },
  resumed: (b) => {
    const room = b.add(new Room().until('give-share/custodian-2'));
    room.lost();
    room.resume(['officer', 'custodian-1', 'custodian-2', 'witness'], 'The machine lost power.', {
      name: 'Second Officer (rehearsal)',
      card: { module: 'softhsm', serial: '00000000deadbeef' },
    });
  },
  over: (b) => {
    b.add(new Room().toTheEnd());
  },
  aborted: (b) => {
    b.add(new Room().until('wrap-root')).abort('officer', 'The safe could not be closed.');
  },
  crowd: (b) => {
    b.add(new Room({ parameters: { shares: 40, threshold: 12 } }).until('give-share/custodian-23'));
  },
  names: (b) => {
    const people = peopleFor(ROOT_CA, {}).map((person, index) => ({
      ...person,
      name:
        [
          'Jürgen Łukasiewicz-Ågesen',
          'Ωμέγα Παπαδόπουλος',
          'Юлия Щербакова',
          'Anne-Marie van den Heuvel-Bloemendaal',
          'Nguyễn Thị Ánh',
          'X',
        ][index] ?? person.name,
    }));
    b.add(new Room({ people }).until('make-root'));
  },
  problem: (b) => {
    b.add(new Room().until('make-root'));
    b.problem = {
      code: 'DEVICE_PROCESS_LOST',
      message: 'The library ended the process that loaded it.',
      hint: 'Start it again with “Look again”.',
    };
    b.missing = [b.rooms[0]?.state.opening?.bindings.tokens['root-hsm']?.serial ?? ''];
  },
  composite: (b) => {
    const room = b.add(new Room({}, SCRIPTS['composite-ca']).until('make-root'));
    room.begin();
    room.finish();
    room.witness('custodian-2');
  },
  compare: (b) => {
    b.add(new Room({}, SCRIPTS['intermediate']).until('compare-key'));
  },
  'compare-request': (b) => {
    b.add(new Room({}, SCRIPTS['intermediate']).until('compare-request'));
  },
  'issue-for': (b) => {
    const room = b.add(new Room({}, SCRIPTS['intermediate']).until('certify'));
    room.begin();
    room.finish();
  },
  'open-key': (b) => {
    const room = b.add(new Room({}, SCRIPTS['intermediate']).until('open-ca'));
    room.begin();
    room.finish();
  },
  restore: (b) => {
    b.add(new Room({}, SCRIPTS['recovery']).until('restore'));
  },
  restored: (b) => {
    const room = b.add(new Room({}, SCRIPTS['recovery']).until('restore'));
    room.begin();
    room.finish();
  },
  revocations: (b) => {
    const room = b.add(new Room({}, SCRIPTS['crl']).until('sign-list'));
    room.begin();
    room.finish();
  },
  stoppable: (b) => {
    b.slowness = 60_000;
    b.add(new Room({}, SCRIPTS['composite-ca']).until('make-root'));
  },
  issued: (b) => {
    b.add(new Room({}, SCRIPTS['cross-sign']).toTheEnd());
  },
  made: (b) => {
    b.add(new Room({}, SCRIPTS['composite-ca']).toTheEnd());
  },
  'module-changed': (b) => {
    b.add(new Room().toTheEnd());
    b.changed = true;
    b.problem = {
      code: 'MODULE-CHANGED',
      message: 'The library is another file than the one it was pinned to.',
      hint: 'Ask the administrator whether it was updated.',
    };
  },
  'weak-keys': (b) => {
    b.add(new Room().toTheEnd());
    b.weak = true;
  },
  'slow-token': (b) => {
    b.slowness = 60_000;
    b.add(new Room().toTheEnd());
  },
  'last-try': (b) => {
    b.add(new Room().toTheEnd());
    b.failNext.set('token-login', {
      ok: false,
      problem: {
        code: 'PIN_FINAL_TRY',
        message: 'One try is left; a wrong PIN locks the token for good.',
        hint: 'Somebody must confirm in words that the last try may be used.',
      },
    });
  },
  readers: (b) => {
    const token = b.add(new Room().toTheEnd()).estate().modules.flatMap(({ slots }) => slots.flatMap((slot) => slot.token ?? []))[0]!;
    b.readers = {
      problem: null,
      readers: [
        { name: 'Gemalto PC Twin Reader 00 00', card: true, atr: '3b7f9600008031b865b0850300ef1200f6829000', tokens: [{ module: 'softhsm', token }] },
        { name: 'Gemalto PC Twin Reader 01 00', card: true, atr: '3bfe1800008131fe458031815448534d31738021408107fa', tokens: [] },
        { name: 'Cherry ST-2000 02 00', card: true, atr: null, tokens: [] },
        { name: 'Cherry ST-2000 03 00', card: false, atr: null, tokens: [] },
      ],
    };
  },
  'object-moved': (b) => {
    b.add(new Room().toTheEnd());
    b.failNext.set('object', {
      ok: false,
      refusal: {
        rule: 'OBJECT-MOVED',
        expected: 'public-key “Server key 1” in place 1',
        found: 'another object',
        next: 'List the objects again.',
      },
    });
  },
  'logbook-steps': (b) => {
    b.add(new Room().toTheEnd());
    b.add(volume());
  },
  'logbook-work': (b) => {
    b.add(new Room().toTheEnd());
    b.add(volume().until('work'));
  },
  'logbook-interrupted': (b) => {
    b.add(new Room().toTheEnd());
    const room = b.add(volume().until('work'));
    room.lost();
    b.interrupted.add(room.ceremony);
  },
  'logbook-slow': (b) => {
    b.slowness = 60_000;
    b.add(new Room().toTheEnd());
    b.add(volume().until('work'));
  },
  'logbook-lost': (b) => {
    b.lostAt = 'generate-key';
    b.add(new Room().toTheEnd());
    b.add(volume().until('work'));
  },
  'logbook-refused': (b) => {
    b.add(new Room().toTheEnd());
    b.add(volume().until('work'));
    b.failNext.set('administer', {
      ok: false,
      refusal: {
        rule: 'ATTRIBUTES-AS-ORDERED',
        expected: 'Payments 2027, and the attributes that were ordered',
        found: 'extractable is true, not false',
        next: 'List the objects of the token, and decide what is to become of what is there.',
      },
    });
  },
  keys: (b) => {
    b.add(new Room().toTheEnd());
    b.inventory = pretendInventory();
  },
  'keys-work': (b) => {
    b.add(new Room().toTheEnd());
    b.add(volume().until('work'));
    b.inventory = pretendInventory();
  },
  'keys-alike': (b) => {
    b.add(new Room().toTheEnd());
    const { keys, ...inventory } = pretendInventory();
    b.inventory = { ...inventory, keys: keys.filter(({ believed }) => believed), findings: [], records: { believed: 6, refused: 0 } };
    b.alike = true;
  },
  'keys-slow': (b) => {
    b.slowness = 60_000;
    b.add(new Room().toTheEnd());
    b.inventory = pretendInventory();
  },
  'keys-many': (b) => {
    b.add(new Room().toTheEnd());
    b.inventory = pretendInventory(10_000);
  },
  'keys-rehearsed': (b) => {
    b.add(new Room().toTheEnd());
    const inventory = pretendInventory();
    b.inventory = { ...inventory, findings: [...inventory.findings, ...REHEARSED_FINDINGS] };
  },
  'keys-only-rehearsals': (b) => {
    b.add(new Room().toTheEnd());
    const { keys, ...inventory } = pretendInventory();
    b.inventory = { ...inventory, keys: keys.filter(({ rehearsal }) => rehearsal), findings: REHEARSED_FINDINGS, records: { believed: 6, refused: 0 } };
  },
  'keys-drills': (b) => {
    b.add(new Room().toTheEnd());
    b.inventory = pretendDrills();
  },
  'keys-hierarchy': (b) => {
    b.add(new Room().toTheEnd());
    b.inventory = pretendHierarchy(8);
  },
  'keys-hierarchy-many': (b) => {
    b.add(new Room().toTheEnd());
    b.inventory = pretendHierarchy(300);
  },
  'keys-hierarchy-one': (b) => {
    b.add(new Room().toTheEnd());
    b.inventory = { ...pretendInventory(), keys: [pretendedKey('Example Root CA G1', [object('private-key', 'Example Root CA G1')])], findings: [] };
  },
  broken: (b) => {
    b.add(new Room().toTheEnd());
    b.verdict = pretendVerdict(214, false);
  },
};

Object.assign(globalThis, {
  setScene(name: string): string {
    const set = SCENES[name];
    if (!set) throw new Error(`no scene ${name}`);
    set(fresh());
    return bridge.rooms[0]?.ceremony ?? '';
  },
  pretended: () => bridge,
});

protocol.registerSchemesAsPrivileged([
  { scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true } },
]);
void app.whenReady().then(async () => {
  fresh();
  protocol.handle('app', async (request) => {
    const path = normalize(decodeURIComponent(new URL(request.url).pathname));
    const type = TYPES[extname(path)];
    if (type === undefined) return new Response('', { status: 404 });
    return new Response(await readFile(join(folder, path)), {
      headers: { 'Content-Type': type, 'Content-Security-Policy': POLICIES.page },
    });
  });
  ipcMain.handle('conclave:call', (_event, request: Request) => bridge.call(request));
  // The partition of the real windows has its own protocol handlers; this one shows the page in the default session.
  const { partition: _own, ...preferences } = webPreferences(preload, false);
  window = new BrowserWindow({ width: 1280, height: 800, useContentSize: true, webPreferences: preferences });
  await window.loadURL('app://page/index.html');
});
