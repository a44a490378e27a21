/**
 * The booth: turns key presses into bytes and gives them to the device process that asked, over a port that leads
 * there and nowhere else. Runs in the sandbox, apart from the page, in which no script runs.
 *
 * It must never put anything about the PIN on the page (not its length either), in a string, or on another channel. A component is
 * put there for its holder alone, digit by digit, and taken away again (component.ts); so are the words of a share (words.ts).
 */
import { ipcRenderer } from 'electron';
import { enterOf, isNew, nameOf, say, visible, wordsOf, type BoothFacts, type Moment } from './asking.ts';
import { componentEnter, componentName, componentSay, ComponentTyping, componentWords, type BoothAsks, type BoothShown, type ComponentFacts, type Heard as ComponentHeard } from './component.ts';
import { PinTyping, type Heard } from './pin.ts';
import { SheetTyping, wordsEnter, wordsName, wordsSay, wordsWords, type SheetHeard, type WordsFacts } from './words.ts';

/** From the main process. 'booth:open': the facts, and the port unless the PIN is typed on a pad. 'booth:cancel': the window is about to be closed by other means than its keys. */
export type BoothChannel = 'booth:open' | 'booth:cancel';

/** On body[data-state]; booth.css draws each. */
type State = 'empty' | 'typing' | 'fits' | 'wrong' | 'given' | 'cancelled' | 'pad' | 'pad-insisted';

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`booth.html has no #${id}`);
  return found;
}
const write = (id: string, text: string) => { element(id).textContent = visible(text); };

/** In groups of four for the eye; the text itself stays the serial number as it is. */
function writeSerial(serial: string): void {
  const groups = visible(serial).match(/.{1,4}/gsu) ?? [];
  element('serial').replaceChildren(...groups.map((group) => {
    const span = document.createElement('span');
    span.textContent = group;
    return span;
  }));
}

function show(facts: BoothFacts, again: boolean, state: State, moment: Moment): void {
  document.body.dataset['state'] = state;
  write('wanted', nameOf(facts, again));
  write('enter', enterOf(facts, again));
  if (isNew(facts) && facts.typed !== null) write('round', again ? '2 of 2' : '1 of 2');
  write('state', `${say(facts, again, moment)}${moment === 'given' || moment === 'pad' ? ' This window closes by itself.' : ''}`);
}

/** What does not change while it is open. */
function writePerson({ who, seat, card }: Pick<BoothFacts, 'who' | 'seat' | 'card'>, words: { readonly room: string; readonly promise: string; readonly please: string; readonly purpose: string }): void {
  write('room', words.room);
  write('promise', words.promise);
  write('who', who);
  write('seat', seat);
  write('act', words.please);
  write('purpose', words.purpose);
  write('label', card.label);
  write('model', card.model);
  writeSerial(card.serial);
}

function writeFacts(facts: BoothFacts): void {
  const words = wordsOf(facts);
  document.body.dataset['wanted'] = facts.wanted;
  writePerson(facts, words);
  write('tries', words.tries);
  element('tries').dataset['attempts'] = words.attempts;
}

/** Keys, and everything else that types, reach neither the page nor its defaults. `press` hears the keys, `release` where one is let go. */
function hear(press: (event: KeyboardEvent) => void, text: () => void, release: (event: KeyboardEvent) => void = () => undefined): HTMLInputElement {
  const field = element('pin') as HTMLInputElement;
  window.addEventListener('keydown', (event) => {
    // Nothing reaches the page; Tab has nowhere to go.
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.isTrusted) press(event);
  }, true);
  window.addEventListener('keyup', (event) => {
    if (event.isTrusted) release(event);
  }, true);
  // The field is there for screen readers, which do not speak what is typed into a password field. It stays empty: what
  // gets as far as this came from no key.
  for (const kind of ['beforeinput', 'input'] as const) {
    window.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
      field.value = '';
      text();
    }, true);
  }
  for (const kind of ['paste', 'copy', 'cut', 'drop', 'dragover', 'contextmenu', 'keyup', 'keypress']) {
    window.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
    }, true);
  }
  window.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    field.focus();
  }, true);
  window.addEventListener('focus', () => field.focus());
  return field;
}

/** The PIN is typed on the token's own pad: this window only says so. Nothing typed here goes anywhere. */
function openPad(facts: BoothFacts): void {
  writeFacts(facts);
  const insist = () => show(facts, false, 'pad-insisted', 'pad-insisted');
  hear(insist, insist);
  ipcRenderer.on('booth:cancel' satisfies BoothChannel, insist);
  show(facts, false, 'pad', 'pad');
}

function open(facts: BoothFacts, limits: NonNullable<BoothFacts['typed']>, port: MessagePort): void {
  const { ticket } = facts;
  const typing = new PinTyping({ ...limits, twice: isNew(facts) });
  let over = false;

  writeFacts(facts);
  const tell = (state: State, moment: Moment) => show(facts, typing.again, state, moment);
  const tellTyping = () => {
    if (typing.empty) tell('empty', 'empty');
    else if (typing.fits) tell('fits', 'fits');
    else tell('typing', 'typing');
  };
  const cancel = () => {
    if (over) return;
    over = true;
    typing.wipe();
    port.postMessage({ ticket, cancelled: true });
    tell('cancelled', 'cancelled');
  };
  const answer = (heard: Heard) => {
    switch (heard) {
      case 'nothing':
        break;
      case 'typed':
      case 'erased':
        tellTyping();
        break;
      case 'again':
        tell('empty', heard);
        break;
      case 'too-short':
        if (typing.empty) tellTyping();
        else tell('typing', heard);
        break;
      case 'too-long':
      case 'machine':
      case 'unusable':
      case 'unequal':
        tell('wrong', heard);
        break;
      case 'cancelled':
        cancel();
        break;
      case 'done':
        over = true;
        tell('given', 'given');
        typing.hand((pin) => port.postMessage({ ticket, pin }));
        break;
    }
  };

  const field = hear((event) => {
    if (over) return;
    const { key, timeStamp, repeat } = event;
    const chord = (event.ctrlKey || event.altKey || event.metaKey) && !event.getModifierState('AltGraph');
    answer(typing.press({ key, time: timeStamp, repeat, chord }));
  }, () => {
    if (!over) answer(typing.unusable());
  });
  window.addEventListener('pagehide', cancel);
  ipcRenderer.on('booth:cancel' satisfies BoothChannel, cancel);

  tellTyping();
  field.focus();
}

/** What is shown to its holder alone, or comes from paper, and is typed: a component, or the words of a share. */
interface FormTyping<Heard> {
  readonly phase: string;
  show(bytes: Uint8Array): void;
  press(key: { readonly key: string; readonly time: number; readonly repeat: boolean; readonly chord: boolean }): Heard;
  unusable(): Heard;
  /** Gives what was typed, which the receiver wipes. */
  hand(give: (typed: Uint8Array) => void): void;
  wipe(): void;
}
type Told = 'nothing' | 'show' | 'cancelled' | 'looking';

/** From the first key to the last. `typed`: the phases in which Tab, as long as it is held, shows what was typed. */
function attend<Heard extends string>(ticket: number, port: MessagePort, typing: FormTyping<Heard>, typed: readonly string[], draw: (heard: Heard | Told, looking: boolean) => void): void {
  let looking = false;
  const cancel = () => {
    if (typing.phase === 'over') return;
    typing.wipe();
    port.postMessage({ ticket, cancelled: true });
    draw('cancelled', looking);
  };
  const look = (is: boolean) => {
    if (is === looking || (is && !typed.includes(typing.phase))) return;
    looking = is;
    draw(is ? 'looking' : 'nothing', looking);
  };
  const answer = (heard: Heard) => {
    if (heard === 'show') port.postMessage({ ticket, shows: true } satisfies BoothAsks);
    if (heard === 'cancelled') port.postMessage({ ticket, cancelled: true });
    if (heard === 'done') typing.hand((pin) => port.postMessage({ ticket, pin }));
    if (heard !== 'nothing') looking = false;
    draw(heard, looking);
  };
  // Only this port was asked, and only this booth holds its other end.
  port.onmessage = ({ data }: MessageEvent<BoothShown>) => {
    if (data.ticket !== ticket) return;
    typing.show(data.component);
    draw('show', looking);
  };
  const field = hear((event) => {
    if (event.key === 'Tab') look(true);
    else if (typing.phase !== 'over') {
      const { key, timeStamp, repeat } = event;
      const chord = (event.ctrlKey || event.altKey || event.metaKey) && !event.getModifierState('AltGraph');
      answer(typing.press({ key, time: timeStamp, repeat, chord }));
    }
  }, () => {
    if (typing.phase !== 'over') answer(typing.unusable());
  }, (event) => {
    if (event.key === 'Tab') look(false);
  });
  window.addEventListener('blur', () => look(false));
  window.addEventListener('pagehide', cancel);
  ipcRenderer.on('booth:cancel' satisfies BoothChannel, cancel);
  draw('nothing', looking);
  field.focus();
}

/** One group of four beside the other; each digit is a node of its own. */
function digitCells(id: string, count: number): HTMLElement[] {
  const cells = Array.from({ length: count }, () => document.createElement('i'));
  const groups = Array.from({ length: Math.ceil(count / 4) }, (_, at) => {
    const group = document.createElement('span');
    group.append(...cells.slice(at * 4, at * 4 + 4));
    return group;
  });
  element(id).replaceChildren(...groups);
  return cells;
}

/** What a masked digit, and a place that is still empty, look like. */
const DOT = '•';
const EMPTY = '_';

function openComponent(facts: ComponentFacts, port: MessagePort): void {
  const { ticket, component } = facts;
  const typing = new ComponentTyping(component);
  const words = componentWords(facts);
  document.body.dataset['wanted'] = 'component';
  writePerson(facts, words);
  write('tries', words.costs);
  const digits = digitCells('digits', component.digits);
  const check = digitCells('check', 10);

  const draw = (heard: ComponentHeard | 'looking', looking: boolean) => {
    const { phase } = typing;
    const open = phase === 'shown' || looking;
    document.body.dataset['state'] = heard === 'no-digit' || heard === 'short' || heard === 'machine' ? 'wrong' : typing.fits ? 'fits' : phase === 'over' ? 'given' : 'typing';
    document.body.dataset['phase'] = phase;
    digits.forEach((cell, at) => {
      const code = typing.digit(at);
      cell.textContent = code === null ? EMPTY : open ? String.fromCharCode(code).toUpperCase() : DOT;
      cell.className = phase === 'component' && at === typing.typed ? 'next' : '';
    });
    check.forEach((cell, at) => {
      const code = typing.digit(component.digits + at);
      cell.textContent = code === null ? (at < 6 ? EMPTY : '') : String.fromCharCode(code).toUpperCase();
      cell.className = phase === 'check' && at === typing.checkTyped ? 'next' : '';
    });
    write('wanted', componentName(facts, phase));
    write('enter', componentEnter(phase));
    write('state', componentSay(typing, heard));
  };
  attend<ComponentHeard>(ticket, port, typing, ['component', 'check'], draw);
}

/** Each word behind its number, as on the form. */
function wordCells(count: number): HTMLElement[] {
  const cells = Array.from({ length: count }, () => document.createElement('i'));
  element('digits').replaceChildren(...cells.map((cell, at) => {
    const row = document.createElement('span');
    const number = document.createElement('small');
    number.textContent = String(at + 1);
    row.append(number, ' ', cell);
    return row;
  }));
  return cells;
}

/** What a word that is in, and a place that is still empty, look like. */
const WORD_IN = '••••';
const NO_WORD = '____';

function openWords(facts: WordsFacts, port: MessagePort): void {
  const { ticket } = facts;
  const typing = new SheetTyping(facts.words);
  const words = wordsWords(facts);
  document.body.dataset['wanted'] = 'words';
  writePerson(facts, words);
  write('tries', words.costs);
  const cells = wordCells(facts.words.count);

  const draw = (heard: SheetHeard | 'looking', looking: boolean) => {
    const { phase, places, number, empty } = typing;
    const open = phase === 'shown' || looking;
    const wrong = heard === 'unknown' || heard === 'one-wrong' || heard === 'more-wrong' || heard === 'machine';
    document.body.dataset['state'] = wrong ? 'wrong' : phase === 'over' ? 'given' : phase === 'words' && empty ? 'typing' : 'fits';
    document.body.dataset['phase'] = phase;
    cells.forEach((cell, at) => {
      const word = places[at] ?? null;
      cell.textContent = word === null ? NO_WORD : open ? word : WORD_IN;
      cell.className = phase === 'words' && at === number - 1 ? 'next' : '';
    });
    write('wanted', wordsName(facts, phase));
    write('enter', wordsEnter(phase));
    write('state', wordsSay(typing, heard));
  };
  attend<SheetHeard>(ticket, port, typing, ['words'], draw);
}

ipcRenderer.once('booth:open' satisfies BoothChannel, (event, facts: BoothFacts | ComponentFacts | WordsFacts) => {
  const [port] = event.ports;
  const begin = () => {
    try {
      if ('component' in facts) {
        if (port !== undefined) openComponent(facts, port);
      } else if ('words' in facts) {
        if (port !== undefined) openWords(facts, port);
      } else if (facts.typed === null) openPad(facts);
      else if (port !== undefined) open(facts, facts.typed, port);
    } catch (error) {
      port?.postMessage({ ticket: facts.ticket, cancelled: true }); // a booth that cannot be shown must not hold up the room
      throw error;
    }
  };
  if (document.readyState === 'loading') window.addEventListener('DOMContentLoaded', begin, { once: true });
  else begin();
});
