/**
 * The booth: turns key presses into bytes and gives them to the device process that asked, over a port that leads
 * there and nowhere else. Runs in the sandbox, apart from the page, in which no script runs.
 *
 * It must never put anything about the PIN on the page (not its length either), in a string, or on another channel.
 */
import { ipcRenderer } from 'electron';
import { PinTyping, type Heard } from './pin.ts';

/** What the booth shows: nothing secret. Sent on 'booth:open' together with the port. */
export interface BoothFacts {
  readonly ticket: number;
  readonly who: string;
  readonly seat: string;
  readonly purpose: string;
  readonly card: { readonly label: string; readonly serial: string; readonly model: string };
  readonly attempts: 'fine' | 'low' | 'final' | 'unknown';
  readonly min: number;
  readonly max: number;
}
/** From the main process. 'booth:cancel': the window is about to be closed by other means than its keys. */
export type BoothChannel = 'booth:open' | 'booth:cancel';

/** On body[data-state]; booth.css draws each. */
type State = 'empty' | 'typing' | 'fits' | 'wrong' | 'given' | 'cancelled';

/** PKCS#11 v3.2 section 3.2, CKF_USER_PIN_*: a token says that a wrong PIN was entered, and that one try is left; never a number. */
const TRIES: Readonly<Record<BoothFacts['attempts'], string>> = {
  fine: 'No wrong PIN is reported since the last right one.',
  low: '! A wrong PIN has been entered since the last right one. Not all tries are left.',
  final: '✕ This is the last try. A wrong PIN locks it.',
  unknown: 'It does not say how many tries are left.',
};

const FORGOTTEN = 'Nothing was sent, and all of it is forgotten. Press Backspace, then type the PIN by hand.';

/** Control and direction characters, which could make one card look like another, become visible. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

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

function open(facts: BoothFacts, port: MessagePort): void {
  const { ticket } = facts;
  const typing = new PinTyping(facts);
  let over = false;

  write('who', facts.who);
  write('seat', facts.seat);
  write('act', `Please type the PIN of ${facts.card.label === '' ? 'this token' : facts.card.label},`);
  write('purpose', facts.purpose.startsWith('to ') ? facts.purpose : `to ${facts.purpose}`);
  write('label', facts.card.label);
  write('model', facts.card.model);
  writeSerial(facts.card.serial);
  write('tries', TRIES[facts.attempts]);
  element('tries').dataset['attempts'] = facts.attempts;

  const show = (state: State, words: string) => {
    document.body.dataset['state'] = state;
    write('state', words);
  };
  const showTyping = () => {
    if (typing.empty) show('empty', 'Nothing typed yet.');
    else if (typing.fits) show('fits', 'Press Enter when the PIN is complete.');
    else show('typing', 'Typing …');
  };
  const cancel = () => {
    if (over) return;
    over = true;
    typing.wipe();
    port.postMessage({ ticket, cancelled: true });
    show('cancelled', 'Cancelled. Only the cancelling is recorded.');
  };
  const answer = (heard: Heard) => {
    switch (heard) {
      case 'nothing':
        break;
      case 'typed':
      case 'erased':
        showTyping();
        break;
      case 'too-short':
        if (typing.empty) showTyping();
        else show('typing', 'This is shorter than any PIN of it. Type on; nothing was sent.');
        break;
      case 'too-long':
        show('wrong', `! That is longer than any PIN of it. ${FORGOTTEN}`);
        break;
      case 'machine':
        show('wrong', `! A device typed that, not a person. ${FORGOTTEN}`);
        break;
      case 'unusable':
        show('wrong', `! That was no single key, and cannot be part of a PIN here. ${FORGOTTEN}`);
        break;
      case 'cancelled':
        cancel();
        break;
      case 'done':
        over = true;
        typing.hand((pin) => port.postMessage({ ticket, pin }));
        show('given', 'The PIN is being checked. This window closes by itself.');
        break;
    }
  };

  const field = element('pin') as HTMLInputElement;
  window.addEventListener('keydown', (event) => {
    const { key, timeStamp, repeat } = event;
    // Nothing reaches the page; Tab has nowhere to go.
    event.preventDefault();
    event.stopImmediatePropagation();
    if (over || !event.isTrusted) return;
    const chord = (event.ctrlKey || event.altKey || event.metaKey) && !event.getModifierState('AltGraph');
    answer(typing.press({ key, time: timeStamp, repeat, chord }));
  }, true);
  // The field is there for screen readers, which do not speak what is typed into a password field. It stays empty: what
  // gets as far as this came from no key.
  for (const kind of ['beforeinput', 'input'] as const) {
    window.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
      field.value = '';
      if (!over) answer(typing.unusable());
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
  window.addEventListener('pagehide', cancel);
  ipcRenderer.on('booth:cancel' satisfies BoothChannel, cancel);

  showTyping();
  field.focus();
}

ipcRenderer.once('booth:open' satisfies BoothChannel, (event, facts: BoothFacts) => {
  const [port] = event.ports;
  if (port === undefined) return;
  const begin = () => {
    try {
      open(facts, port);
    } catch (error) {
      port.postMessage({ ticket: facts.ticket, cancelled: true }); // a booth that cannot be shown must not hold up the room
      throw error;
    }
  };
  if (document.readyState === 'loading') window.addEventListener('DOMContentLoaded', begin, { once: true });
  else begin();
});
