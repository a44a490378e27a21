/**
 * The serial number of a tamper-evident bag, read from the bag and written down: of the one that is opened now, or of the one that is closed.
 * Of a bag that is opened the register may know the number; another one stops nothing, but everybody sees it.
 */
import { useEffect, useState, type ReactNode } from 'react';
import { cardOf, type State } from '../../ceremonies/ceremony.ts';
import { bagAt, BAG_LENGTH, expectedBag } from '../../ceremonies/putting-away.ts';
import type { PlanStep } from '../../ceremonies/script.ts';
import { bridge } from '../client.ts';
import { t } from '../texts.ts';
import { Field } from './Dialogs.tsx';

/** `undefined`: still asked for. Null: no record says which bag it lies in. */
function useExpected(state: State, what: string | null): string | null | undefined {
  const closedHere = what === null ? undefined : state.away.closed[what];
  const [known, setKnown] = useState<string | null | undefined>(undefined);
  const rehearsal = state.opening?.mode === 'rehearsal';
  const [card = '', seat = ''] = what?.split('/') ?? [];
  const serial = cardOf(state, card, seat) ?? '';
  useEffect(() => {
    if (what === null || closedHere !== undefined) return;
    void bridge.call({ call: 'custody' }).then((answer) => setKnown(answer.ok ? expectedBag(answer.value.things, { serial, rehearsal }) : null));
  }, [what, closedHere, serial, rehearsal]);
  return closedHere ?? known;
}

/** `button`: what goes on with the number; with null as long as there is none. */
export function Bag({ state, step, act, button }: { readonly state: State; readonly step: PlanStep; readonly act: (number: string) => void; readonly button: (press: (() => void) | null) => ReactNode }) {
  const bag = bagAt(state, step);
  const [number, setNumber] = useState('');
  const opened = bag?.way === 'opened';
  const expected = useExpected(state, opened ? bag.what : null);
  const typed = number.trim();
  const other = opened && typed !== '' && typeof expected === 'string' && typed !== expected;
  return (
    <>
      <Field
        label={opened ? t.bags.opened : t.bags.closed}
        value={number}
        set={(value) => setNumber(value.slice(0, BAG_LENGTH))}
        hint={opened ? (expected === undefined ? t.bags.asking : expected === null ? t.bags.unknown : t.bags.expected(expected)) : t.bags.closedHint}
      />
      <p role="status" className={other ? 'lead' : 'hidden'} data-testid="other-bag">
        {other ? t.bags.other : ''}
      </p>
      {button(typed === '' ? null : () => act(typed))}
    </>
  );
}
