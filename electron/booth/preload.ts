/**
 * The booth: turns key presses into bytes and gives them to the device process that asked, over a port that leads
 * there and nowhere else. Runs in the sandbox, apart from the page, in which no script runs.
 *
 * It must never put anything about the PIN on the page (not its length either), in a string, or on another channel.
 */
import { ipcRenderer } from 'electron';
import { enterOf, isNew, nameOf, say, visible, wordsOf, type BoothFacts, type Moment } from './asking.ts';
import { PinTyping, type Heard } from './pin.ts';

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
function writeFacts(facts: BoothFacts): void {
  const words = wordsOf(facts);
  document.body.dataset['wanted'] = facts.wanted;
  write('room', words.room);
  write('promise', words.promise);
  write('who', facts.who);
  write('seat', facts.seat);
  write('act', words.please);
  write('purpose', words.purpose);
  write('label', facts.card.label);
  write('model', facts.card.model);
  writeSerial(facts.card.serial);
  write('tries', words.tries);
  element('tries').dataset['attempts'] = words.attempts;
}

/** Keys, and everything else that types, reach neither the page nor its defaults. `press` hears the keys. */
function hear(press: (event: KeyboardEvent) => void, text: () => void): HTMLInputElement {
  const field = element('pin') as HTMLInputElement;
  window.addEventListener('keydown', (event) => {
    // Nothing reaches the page; Tab has nowhere to go.
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.isTrusted) press(event);
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

ipcRenderer.once('booth:open' satisfies BoothChannel, (event, facts: BoothFacts) => {
  const [port] = event.ports;
  const { typed } = facts;
  const begin = () => {
    try {
      if (typed === null) openPad(facts);
      else if (port !== undefined) open(facts, typed, port);
    } catch (error) {
      port?.postMessage({ ticket: facts.ticket, cancelled: true }); // a booth that cannot be shown must not hold up the room
      throw error;
    }
  };
  if (document.readyState === 'loading') window.addEventListener('DOMContentLoaded', begin, { once: true });
  else begin();
});
