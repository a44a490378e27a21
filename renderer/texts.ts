/**
 * Every sentence that the screens say, in one place, so that another language is another file with this shape.
 *
 * Plain words that a nervous person understands standing three metres away. Names of rules, CKR_* codes and PKCS#11
 * flags are never translated. This file never decides anything: it only says what was decided elsewhere.
 */
import type { Pending } from '../ceremonies/ceremony.ts';
import type { ActionName } from '../ceremonies/evidence.ts';
import type { Place, Role } from '../ceremonies/script.ts';

/** What the one button of a step says, and what is said while the step runs. */
export interface ActionText {
  readonly button: string;
  /** The single-letter shortcut: the first letter of the button. */
  readonly key: string;
  readonly working: string;
  /** Whose PIN the booth asks for: the person's who acts, every member's of the drawn quorum, the person's if need be, nobody's. */
  readonly pin: 'doer' | 'quorum' | 'maybe' | 'none';
}

const plural = (n: number, one: string, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

const ACTIONS: Record<ActionName, ActionText> = {
  'confirm-script': { button: 'They are the same words', key: 'T', working: 'Writing down that the words are the same.', pin: 'none' },
  enrol: { button: 'Prove presence', key: 'P', working: 'The card signs a fresh challenge with both identity keys.', pin: 'doer' },
  'inspect-token': { button: 'Identify the token', key: 'I', working: 'Every operation that the script needs is tried on the token.', pin: 'doer' },
  'test-random': { button: 'Test the random source', key: 'T', working: 'Random bytes are read from the token and counted.', pin: 'none' },
  'take-inventory': { button: 'List the objects', key: 'L', working: 'Every object on the token is listed.', pin: 'maybe' },
  'generate-key': { button: 'Generate the key', key: 'G', working: 'The token generates the key pair.', pin: 'maybe' },
  'prove-key': { button: 'Let the key prove itself', key: 'L', working: 'The key is read back and signs a fresh message, which is checked without the token.', pin: 'maybe' },
  'issue-certificate': { button: 'Issue the certificate', key: 'I', working: 'The certificate is linted, signed by the token and verified.', pin: 'maybe' },
  'make-backup-key': { button: 'Make and split the backup key', key: 'M', working: 'The backup key is made, split, and put together again from every quorum that is tried.', pin: 'maybe' },
  'wrap-key': { button: 'Wrap the root key', key: 'W', working: 'The root key is wrapped on the token.', pin: 'maybe' },
  'give-share': { button: 'Receive the share', key: 'R', working: 'The share is written to the card.', pin: 'doer' },
  'read-back-share': { button: 'Read the share back', key: 'R', working: 'The share is read from the card and compared with its commitment.', pin: 'doer' },
  'prove-recovery': { button: 'Prove the recovery', key: 'P', working: 'The drawn quorum recovers the key once, for the proof only.', pin: 'quorum' },
  'lock-key': { button: 'Lock the root key', key: 'L', working: 'The key is made non-extractable and read back.', pin: 'maybe' },
  'wipe-backup-key': { button: 'Wipe the backup key', key: 'W', working: 'The memory that held the backup key is overwritten.', pin: 'none' },
  'put-away': { button: 'It is put away', key: 'I', working: 'Writing down that it is put away.', pin: 'none' },
  'sign-seal': { button: 'Sign the record', key: 'S', working: 'The card signs the head of the record with both identity keys.', pin: 'doer' },
  'sign-resume': { button: 'Sign the continuation', key: 'S', working: 'The card signs the old head and the new recorder key.', pin: 'doer' },
};

const ROLES: Record<Role, string> = { officer: 'Officer', custodian: 'Custodian', witness: 'Witness', auditor: 'Auditor' };
const PLACES: Record<Place, string> = { safe: 'the safe', table: 'the table', holder: 'the holder’s hand', reader: 'the reader', bag: 'its bag' };

/** `custodian-2` → `Custodian 2`. */
export function seatTitle(seat: string): string {
  const [role = '', number = ''] = seat.split(/-(?=\d+$)/);
  return `${role in ROLES ? ROLES[role as Role] : role}${number === '' ? '' : ` ${number}`}`;
}

/** `share-card/custodian-1` → `the share card of Custodian 1`; a token keeps the script's own name. */
export function thingTitle(what: string): string {
  const [thing = '', seat] = what.split('/');
  return seat === undefined ? thing : `${thing.replaceAll('-', ' ')} of ${seatTitle(seat)}`;
}

/** A person once: rehearsal names say the seat already, real ones do not. */
export function personTitle(seat: string, name: string): string {
  const title = seatTitle(seat);
  return name.startsWith(title) ? name : `${title}, ${name}`;
}

export const t = {
  app: 'Conclave',
  roles: ROLES,
  actions: ACTIONS,
  plural,
  close: 'Close',
  cancel: 'Cancel',
  back: 'Back',
  loading: 'Reading the record.',
  loadingScreen: 'Opening.',
  yes: 'yes',
  no: 'no',
  unknown: 'not answered',
  utc: 'UTC',

  mode: { rehearsal: 'Rehearsal', real: 'Real ceremony' },
  nav: { home: 'Ceremonies', scripts: 'Scripts', tokens: 'Tokens', audit: 'Audit', help: 'Keys', label: 'Rooms' },
  theme: { label: 'Theme', paper: 'Paper', night: 'Night', system: 'As the system' },

  verdicts: {
    verified: 'verified', reported: 'reported', refused: 'refused', said: 'said', begun: 'begun', signed: 'signed',
    checkpoint: 'checkpoint', pause: 'pause', plain: 'entry', 'not-reached': 'not reached',
  },
  proofs: {
    attested: 'The maker’s certificate chain was verified.',
    verified: 'We checked it ourselves, in software.',
    reported: 'The token’s word only.',
  },

  home: {
    firstTitle: 'Nothing has been recorded here yet.',
    first: [
      'Conclave leads a room full of people through a key ceremony, one instruction at a time.',
      'Everything that happens is written into a record that everybody present signs and anybody can check years later.',
      'Begin with a rehearsal: it makes its own blank tokens and cards and touches nothing of yours.',
    ],
    rehearse: 'Rehearse a root CA ceremony',
    title: 'Ceremonies',
    none: 'No ceremony has been recorded here yet.',
    new: 'New rehearsal',
    open: 'Under way',
    over: 'Ended',
    interrupted: 'Interrupted',
    interruptedWhy: 'The machine or the app stopped. Nothing is lost; people must sign before it goes on.',
    state: { open: 'open', closed: 'closed and sealed', aborted: 'aborted' },
    continue: 'Continue',
    resume: 'Resume',
    watch: 'View',
    replay: 'Replay',
    began: 'Began',
    last: 'Last entry',
    entries: (n: number) => plural(n, 'entry', 'entries'),
    development: 'Development runtime: real ceremonies are refused',
    developmentWhy: (electron: string | null) =>
      `${electron === null ? 'This runtime' : `Electron ${electron}`} carries a Chromium that is out of support. It is good enough to rehearse with. A real ceremony needs the release build.`,
    warnings: 'What this machine should not have',
  },

  open: {
    title: 'Open a ceremony',
    script: 'Script',
    parameters: 'What is to be made',
    people: 'Who sits where',
    peopleHint: 'One person, one seat: every name must be different.',
    tokens: 'Which token and which cards',
    module: 'Module',
    make: 'Make rehearsal tokens and cards',
    making: 'Making blank tokens and cards.',
    makeHint: 'Makes new blank ones with a published PIN. Nothing that exists is touched.',
    choose: 'choose',
    gone: 'not there now',
    purpose: 'For',
    standIns: 'Stand-ins type the published rehearsal PIN',
    standInsHint: (pin: string) => `Without this, each holder types the PIN in the booth. Rehearsal cards open with ${pin}; it protects nothing.`,
    mode: 'Rehearsal or real',
    realRefused: 'Refused on a development runtime.',
    words: 'The script’s words',
    wordsHint: 'The same words stand on every paper script. Everybody will compare them first.',
    model: 'Walked through a model of the room',
    modelFine: (steps: number, minutes: number) => `${plural(steps, 'step')}, about ${plural(minutes, 'minute')}; everything is put away at the end.`,
    modelWaits: 'Walking through the room.',
    go: 'Open the rehearsal',
    goReal: 'Open the real ceremony',
    opening: 'Opening the record.',
    missing: (n: number) => `${plural(n, 'token or card', 'tokens and cards')} still to be chosen.`,
    noScript: 'This script has faults and cannot be opened.',
    min: (min: number, max: number) => `${min} to ${max}`,
  },

  ceremony: {
    rehearsal: 'REHEARSAL',
    real: 'CEREMONY',
    act: (n: number, of: number, title: string) => `act ${n} of ${of}: ${title}`,
    opened: (time: string) => `${time} since start`,
    clock: (time: string) => `${time} UTC`,
    acts: 'Acts',
    actState: { done: 'done', now: 'now', later: 'to come' },
    say: 'Say',
    see: 'See',
    move: (what: string, from: Place, to: Place) => `Take ${what} from ${PLACES[from]} to ${PLACES[to]}.`,
    with: 'With',
    serial: 'serial',
    next: 'Next',
    nothingNext: 'Then the record is closed.',
    seats: 'Seats',
    seatMarks: {
      empty: 'not here yet', present: 'presence proven', given: 'share received', proven: 'share read back', signed: 'signed this act', saw: 'saw it',
      acting: 'acts now', voidShare: 'a share there would not count',
    },
    present: 'present',
    shares: 'shares proven',
    signatures: 'signed',
    unexpected: 'Something unexpected?',
    writing: 'Writing the record.',
    leave: 'Leave this screen',
    leaveHint: 'The ceremony stays open.',
    recorderFirst: 'First, the officer reads aloud the fingerprint of the recorder key:',
    recorderAgain: 'The fingerprint of the new recorder key:',
    scriptWords: 'Then everybody compares the words of the script:',
    quorum: 'Drawn by lot',
    witnessTitle: 'Who saw it?',
    witnessHint: (missing: string) => `Still wanted: ${missing}.`,
    again: 'Try again',
    saw: 'I saw it',
    decideTitle: 'The officer decides',
    decideWhy: 'Why',
    keep: 'Keep what is there and go on',
    clear: 'Destroy what is there and begin the step again',
    keepHalf: 'Half a key pair cannot be kept.',
    clearHint: 'Clearing destroys objects on the token. Officer and witness must agree.',
    found: { none: 'There was nothing to look for.', absent: 'Nothing was left behind.', present: 'The objects are there, whole.', half: 'Half of it is there.' },
    lookTitle: 'Nobody knows how this step ended',
    lookWhy: 'It was begun and has no outcome. Nothing is repeated by itself: first look at the token.',
    look: 'Look at the token',
    clearTitle: 'Destroy what was left behind',
    clearNow: 'Destroy it now',
    outcomeTitle: 'This step has begun',
    outcomeWhy: 'It has no outcome yet. Carry it through with what is on the token.',
    outcome: 'Carry it through',
    backTitle: 'Break',
    backWhy: (n: number) => `${plural(n, 'person', 'people')} were counted before the break. The same ${plural(n, 'person', 'people')} must be back.`,
    backCount: 'People in the room now',
    back: 'Everybody is back',
    closing: 'The last seal is signed. The record is being closed.',
    closed: 'The record is closed and sealed.',
    closedWhy: 'Every participant signed it. Export the bundle and give a copy to everybody who keeps one.',
    aborted: 'The ceremony was aborted.',
    abortedWhy: 'The record says by whom, why, and what was left on the token. It stays as it is.',
    export: 'Export the bundle',
    exporting: 'Writing the bundle.',
    exported: 'The bundle was written to',
    exportedHash: 'Its SHA-256, to be written on paper',
    replay: 'Replay',
    verify: 'Verify now',
    verifying: 'Checking every line, signature and certificate.',
    home: 'All ceremonies',
  },

  foot: {
    connected: 'connected',
    gone: 'not there',
    cards: (name: string, count: number | null, of: number) => (count === null ? `${name}s: ${of}` : `${name}s: ${count} of ${of} there`),
    clock: (source: string) => `clock: ${source}`,
  },

  work: {
    since: (time: string, seconds: number) => `Since ${time} UTC, ${plural(seconds, 'second')}.`,
    last: (seconds: string) => `Last time in this record it took ${seconds} s.`,
    first: 'This is the first time in this record.',
    stop: 'It cannot be stopped here: the device finishes by itself. If the machine fails now, the record says where, and nothing is repeated by itself.',
    booth: 'Look at the booth',
    boothWho: (who: string) => `${who} types the PIN there. Nobody else looks.`,
    boothQuorum: 'Each named custodian types a PIN there, one after the other.',
    boothMaybe: (who: string) => `If the booth opens, ${who} types the PIN there.`,
    standIns: 'Stand-ins type the published PIN by themselves.',
  },

  record: {
    title: 'The record',
    older: (n: number) => `Show ${n} older`,
    head: 'Head in words',
    raw: 'As recorded',
    at: 'At',
    by: 'By',
    step: 'Step',
    empty: 'Nothing yet.',
    saw: (what: string) => `Saw it: ${what}`,
    note: (words: string) => `Note: ${words}`,
    exception: (number: number, what: string) => `Exception ${number}: ${what}`,
    pause: (reason: string) => `Break: ${reason}`,
    disagreed: (who: string) => `${who} does not agree`,
    checkpoint: 'Checkpoint',
    resumed: (reason: string) => `Resumed: ${reason}`,
    aborted: (reason: string) => `Aborted: ${reason}`,
    newEntry: (seq: number, title: string) => `Entry ${seq}: ${title}`,
    broken: 'The record cannot be read further',
  },

  refusal: {
    refused: 'Refused',
    failed: 'It did not work',
    expected: 'Expected',
    found: 'Found',
    next: 'Do now',
    nothingLost: 'Nothing was lost. The record stands as it was.',
    whoDecides: 'Officer and witness decide together.',
    nothingChanged: 'The device says nothing was changed.',
    maybeChanged: 'The device may have been changed: it will be looked at before anything else.',
    finalTry: 'This is the last try. If this PIN is wrong, the card locks.',
    finalTryType: (sentence: string) => `To go on, type: ${sentence}`,
    finalTrySentence: 'use the final try',
    finalTryGo: 'Use the final try',
    bridge: 'The app’s other half did not answer.',
    bridgeHint: 'Wait a moment and try again. If it stays so, restart the app: the record is safe.',
  },

  unexpected: {
    title: 'Something unexpected',
    lead: 'Choose what it is. All of it becomes part of the record.',
    by: 'Who says so',
    exception: 'An exception',
    exceptionHint: 'Something went otherwise than the script says.',
    expected: 'What was expected',
    happened: 'What happened',
    decided: 'What was decided',
    writeException: 'Record the exception',
    pause: 'A break',
    pauseHint: 'Heads are counted before and after.',
    present: 'People in the room',
    reason: 'Reason',
    writePause: 'Begin the break',
    disagree: 'I do not agree',
    disagreeHint: 'Any participant may say so. It is signed and never hidden.',
    words: 'In your own words',
    writeDisagree: 'Sign that I do not agree',
    note: 'A note',
    noteHint: 'Something an auditor should know.',
    text: 'Note',
    writeNote: 'Record the note',
    abort: 'Abort the ceremony',
    abortHint: 'Ends this record for good. A new ceremony must be opened.',
    abortWarn: 'The record ends here and cannot be continued. What is on the token stays there and is listed.',
    abortType: (word: string) => `To abort, type ${word}`,
    abortWord: 'ABORT',
    writeAbort: 'Abort the ceremony',
  },

  resume: {
    title: 'Resume this ceremony',
    lead: 'Nothing is lost. Before anything else happens, the people who are present sign the old head and a new recorder key.',
    stopped: (step: string) => `It stopped at: ${step}`,
    present: 'Who is present now',
    officer: 'Officer',
    same: (name: string) => `The same officer, ${name}`,
    other: 'Another officer takes over',
    name: 'Name of the new officer',
    card: 'Their own card',
    reason: 'What interrupted the ceremony',
    go: 'Resume',
    busy: 'Continuing the record.',
    standIns: 'Stand-ins type the published rehearsal PIN',
  },

  replay: {
    title: 'Replay',
    script: 'The script',
    record: 'The record says',
    checked: 'Re-verified just now',
    nothingChecked: 'Chain and order of the entry. Nothing more is to be verified here.',
    notVerified: 'This record has not been verified.',
    position: 'Entry',
    of: (at: number, of: number) => `Entry ${at} of ${of}`,
    play: 'Play',
    pause: 'Pause',
    first: 'First entry',
    last: 'Last entry',
    back: 'One back',
    forward: 'One forward',
    line: (n: number) => `line ${n}`,
    noLine: 'Added by the app; not in the script.',
    beforeStart: 'Before the first entry.',
    broken: (n: number) => `The replay ends at entry ${n}: what follows breaks a rule.`,
    reading: 'Folding the record.',
  },

  audit: {
    title: 'Audit',
    lead: 'Drop a bundle or a transcript here. Nothing of it is trusted until it has been checked, from top to bottom.',
    drop: 'Drop a bundle (.zip) or transcript (.jsonl) here',
    choose: 'Choose a file',
    verifying: (name: string) => `Checking ${name}.`,
    too: 'This file is larger than 256 MB.',
    verdict: {
      valid: 'Valid', open: 'Open: this record was never closed', aborted: 'Aborted: this record ended early', refused: 'Refused',
    },
    pinned: 'The signers were compared with a trust file.',
    unpinned: 'Self-consistent, signers not pinned: compare the words below with what you were given on paper.',
    checks: 'Checklist of trust',
    findings: 'Broken rules',
    noFindings: 'No rule is broken.',
    remarks: 'To be read by you',
    noRemarks: 'No exceptions, disagreements or interruptions.',
    signers: 'Who signed',
    entry: (seq: number) => `entry ${seq}`,
    whole: 'the record as a whole',
    print: 'Print',
    replay: 'Open in the replay',
    another: 'Check another',
    classical: 'classical key',
    pq: 'ML-DSA key',
    clause: { verified: 'verified', reported: 'reported', refused: 'refused', 'not-reached': 'not reached' },
  },

  tokens: {
    title: 'Tokens',
    readOnly: 'Read-only: nothing on this screen changes a token.',
    refresh: 'Look again',
    modules: 'Modules and tokens',
    none: 'No module is set up on this machine.',
    emptySlot: 'no token',
    slot: (n: number) => `slot ${n}`,
    choose: 'Choose a token at the left.',
    facts: 'Facts',
    flags: 'What the token says of itself',
    objects: 'Objects',
    objectCount: (n: number) => `${n.toLocaleString('en')} ${n === 1 ? 'object' : 'objects'}`,
    publicOnly: 'Nobody is logged in: private objects are not listed.',
    loggedIn: 'Somebody is logged in: private objects are listed too.',
    mechanisms: 'Mechanisms',
    mechanismCount: (n: number) => plural(n, 'mechanism'),
    name: 'Name', number: 'Number', keys: 'Key sizes', uses: 'Uses',
    serial: 'Serial', label: 'Label', model: 'Model', maker: 'Manufacturer', firmware: 'Firmware', hardware: 'Hardware',
    path: 'File', sha256: 'SHA-256', library: 'Library', version: 'Version', kind: 'Kind',
    software: 'embedded software token: rehearsals only', pkcs11: 'PKCS#11',
    class: 'Class', id: 'Id', keyType: 'Key type',
    list: 'List the objects', listMechanisms: 'Show the mechanisms',
    reading: 'Asking the token.',
  },

  scripts: {
    title: 'Scripts',
    list: 'Installed',
    text: 'Text',
    edit: 'Edit a copy',
    editing: 'A copy, linted as you type; it is not saved',
    discard: 'Discard the copy',
    fine: 'No faults.',
    faults: (n: number) => plural(n, 'fault'),
    line: (n: number) => (n === 0 ? 'whole script' : `line ${n}`),
    parameters: 'Parameters',
    model: 'Rehearse on the model',
    modelBusy: 'Walking through the room.',
    modelFine: (steps: number, minutes: number) => `The script can be carried out: ${plural(steps, 'step')}, about ${plural(minutes, 'minute')}, everything put away at the end.`,
    start: 'Start a rehearsal',
    words: 'Fingerprint in words',
    none: 'No scripts are installed.',
  },

  help: {
    title: 'Keys',
    lead: 'Letters work where no text is being written. A token that types like a keyboard is noticed and ignored.',
    keys: [
      ['Tab', 'go to the next thing'],
      ['Enter, Space', 'press what has the frame'],
      ['the letter on a button', 'press that button'],
      ['1 … 9', 'the witness with that number says “I saw it”'],
      ['X', 'something unexpected'],
      ['← →', 'replay: one entry back or forward'],
      ['Space', 'replay: play or pause'],
      ['Home, End', 'replay: first or last entry'],
      ['Esc', 'close a dialog'],
      ['?', 'this page'],
    ] as const,
    ignored: 'Many keys at once were ignored: is a token typing?',
  },
} as const;

/** The sentence that stands for a pending kind where there is nothing to press. */
export const PENDING_TITLES: Record<Pending['kind'], string> = {
  opening: t.loading, checkpoint: t.ceremony.writing, back: t.ceremony.backTitle, step: '', outcome: t.ceremony.outcomeTitle, look: t.ceremony.lookTitle,
  decide: t.ceremony.decideTitle, clear: t.ceremony.clearTitle, witness: t.ceremony.witnessTitle, close: t.ceremony.closing, over: '',
};

/** PKCS#11 CKF_* token flags in words (PKCS#11 3.2 section 3.2, CK_TOKEN_INFO). */
export const FLAGS: Record<string, { readonly words: string; readonly mark: 'plain' | 'reported' | 'refused' }> = {
  CKF_RNG: { words: 'has its own random source', mark: 'plain' },
  CKF_WRITE_PROTECTED: { words: 'is write-protected: nothing can be made on it', mark: 'reported' },
  CKF_LOGIN_REQUIRED: { words: 'asks for a PIN before private objects are used', mark: 'plain' },
  CKF_USER_PIN_INITIALIZED: { words: 'the user’s PIN is set', mark: 'plain' },
  CKF_RESTORE_KEY_NOT_NEEDED: { words: 'a saved session needs no keys to be restored', mark: 'plain' },
  CKF_CLOCK_ON_TOKEN: { words: 'has its own clock', mark: 'plain' },
  CKF_PROTECTED_AUTHENTICATION_PATH: { words: 'takes the PIN on its own keypad', mark: 'plain' },
  CKF_DUAL_CRYPTO_OPERATIONS: { words: 'can do two operations in one call', mark: 'plain' },
  CKF_TOKEN_INITIALIZED: { words: 'has been initialised', mark: 'plain' },
  CKF_SECONDARY_AUTHENTICATION: { words: 'asks a second time for some keys (deprecated)', mark: 'plain' },
  CKF_USER_PIN_COUNT_LOW: { words: 'a wrong user PIN has been typed since the last good one', mark: 'reported' },
  CKF_USER_PIN_FINAL_TRY: { words: 'one more wrong user PIN will lock it', mark: 'refused' },
  CKF_USER_PIN_LOCKED: { words: 'the user’s PIN is locked', mark: 'refused' },
  CKF_USER_PIN_TO_BE_CHANGED: { words: 'the user’s PIN must be changed first', mark: 'reported' },
  CKF_SO_PIN_COUNT_LOW: { words: 'a wrong security-officer PIN has been typed', mark: 'reported' },
  CKF_SO_PIN_FINAL_TRY: { words: 'one more wrong security-officer PIN will lock it', mark: 'refused' },
  CKF_SO_PIN_LOCKED: { words: 'the security officer’s PIN is locked', mark: 'refused' },
  CKF_SO_PIN_TO_BE_CHANGED: { words: 'the security officer’s PIN must be changed first', mark: 'reported' },
  CKF_ERROR_STATE: { words: 'failed its own self-test', mark: 'refused' },
};

/** Published on the screen of every rehearsal: it protects nothing. The device process types it for stand-ins. */
export const PUBLISHED_PIN = '271828';
