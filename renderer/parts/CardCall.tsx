/** The card that the step waits for, beside what is in the readers. It says so by itself when one comes or goes (store.ts). */
import { cardNotice } from '../cards.ts';
import { useConclave } from '../page.ts';
import type { State } from '../../ceremonies/ceremony.ts';
import { Mark } from './Mark.tsx';

const MARKS = { here: 'verified', insert: 'reported', other: 'refused', gone: 'refused' } as const;

export function CardCall({ state }: { readonly state: State }) {
  const estate = useConclave((conclave) => conclave.estate);
  const moves = useConclave((conclave) => conclave.moves);
  const awaits = useConclave((conclave) => conclave.awaits);
  const notice = cardNotice(state, estate, moves, awaits);
  if (notice === null) return null;
  return (
    <p className={`card-call card-call-${notice.kind}`} data-testid="card-call" data-kind={notice.kind}>
      <Mark name={MARKS[notice.kind]} quiet /> <strong>{notice.text}</strong> {notice.next}
    </p>
  );
}
