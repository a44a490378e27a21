/**
 * The objects of a token: found by a label, by attributes or by a pasted PKCS#11 URI. Ten thousand are asked for and
 * drawn a page at a time.
 */
import { useCallback, useEffect, useId, useRef, useState } from 'react';
import type { ObjectPlace } from '../../ceremonies/estate.ts';
import type { ObjectFact } from '../../ceremonies/evidence.ts';
import type { Answer, FoundByUri } from '../../electron/contract.ts';
import { bridge } from '../client.ts';
import { queryOf, type Query } from '../estate.ts';
import { store } from '../page.ts';
import { groups } from '../reading.ts';
import { troubleOf, type Trouble } from '../store.ts';
import { t } from '../texts.ts';
import { TroublePanel } from './Trouble.tsx';
import { Windowed } from './Windowed.tsx';

/** One object, or with `place` null a token by itself, which only a URI finds. */
export interface Spot {
  readonly module: string;
  readonly serial: string;
  readonly place: ObjectPlace | null;
}

interface Row extends Spot {
  /** Said where rows of several tokens stand together. */
  readonly token: string | null;
}
interface Page {
  /** How many can be listed. */
  readonly total: number;
  /** How many there are, where that is more. */
  readonly found?: number;
  readonly rows: readonly Row[];
}
/** Null where it was refused; then the trouble is shown already. */
type Load = (offset: number, limit: number) => Promise<Page | null>;

const PAGE = 200;
const ROW = 36;

interface Props {
  readonly module: string;
  readonly serial: string;
  /** The object that is shown beside the list; the list begins at it. */
  readonly chosen: ObjectPlace | null;
  readonly choose: (spot: Spot) => void;
}

/** To be drawn anew (by `key`) when somebody logged in or out: then there are other objects. */
export function Objects({ module, serial, chosen, choose }: Props) {
  const [typed, setTyped] = useState('');
  const [query, setQuery] = useState<Query>({ kind: 'all' });
  const [total, setTotal] = useState<number | null>(null);
  const [found, setFound] = useState(0);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  /** Counts the listings: the same search again is a new one. */
  const [listing, setListing] = useState(0);
  const hint = useId();

  const search = (line: string) => {
    setTyped(line);
    setQuery(queryOf(line));
    setTotal(null);
    setTrouble(null);
    setListing((before) => before + 1);
  };

  const load = useCallback<Load>(
    async (offset, limit) => {
      const page = await asked(query, module, serial, offset, limit);
      if ('call' in page) {
        setTrouble(page);
        return null;
      }
      setTotal(page.total);
      setFound(page.found ?? page.total);
      if (offset === 0 && query.kind !== 'all') store.getState().say(t.tokens.foundCount(page.found ?? page.total));
      return page;
    },
    [query, module, serial],
  );

  return (
    <section className="objects">
      <div className="search" role="search">
        <label className="field">
          {t.tokens.searchLabel}
          <input
            name="search"
            value={typed}
            autoComplete="off"
            spellCheck={false}
            maxLength={4000}
            aria-describedby={hint}
            onChange={(event) => setTyped(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === 'Enter') search(typed);
            }}
          />
        </label>
        <button type="button" onClick={() => search(typed)}>
          {t.tokens.search}
        </button>
        {query.kind === 'all' ? null : (
          <button type="button" className="quiet" onClick={() => search('')}>
            {t.tokens.searchAll}
          </button>
        )}
        <p className="note" id={hint}>
          {t.tokens.searchHint}
        </p>
      </div>
      {trouble ? (
        <TroublePanel refusal={trouble.refusal} problem={trouble.problem} />
      ) : (
        <>
          <h3>
            {total === null ? t.tokens.objects : query.kind === 'all' ? t.tokens.objectCount(total) : t.tokens.foundCount(found)}
            {total === null || total === 0 ? null : (
              <span className="note">
                {' '}
                {found > total ? t.tokens.foundShown(total) : null} {t.tokens.listKeys}
              </span>
            )}
          </h3>
          <List
            key={listing}
            load={load}
            rows={chosen === null ? 12 : 5}
            chosen={chosen}
            serial={serial}
            startAt={query.kind === 'all' ? (chosen?.position ?? 0) : 0}
            choose={choose}
          />
        </>
      )}
    </section>
  );
}

async function asked(query: Query, module: string, serial: string, offset: number, limit: number): Promise<Page | Trouble> {
  const rowsOf = (objects: readonly ObjectFact[], position: (index: number) => number): Row[] =>
    objects.map((object, index) => ({ module, serial, token: null, place: { position: position(index), object } }));
  const told = (answer: { readonly loggedIn: boolean }) => store.getState().noteLogin(module, serial, answer.loggedIn);
  switch (query.kind) {
    case 'all': {
      const answer = await bridge.call({ call: 'objects', module, token: serial, offset, limit });
      if (!answer.ok) return troubleOf('objects', answer);
      told(answer.value);
      return { total: answer.value.total, rows: rowsOf(answer.value.objects, (index) => offset + index) };
    }
    case 'where': {
      const { where } = query;
      const answer = await bridge.call({ call: 'search-objects', module, token: serial, where, offset, limit });
      if (!answer.ok) return troubleOf('search-objects', answer);
      told(answer.value);
      const { total, objects, positions } = answer.value;
      return { total, rows: rowsOf(objects, (index) => positions[index] ?? 0) };
    }
    case 'uri': {
      // At most 500 per token are ever told, and all of them in one answer.
      const answer: Answer<'find-uri'> = await bridge.call({ call: 'find-uri', uri: query.uri });
      if (!answer.ok) return troubleOf('find-uri', answer);
      const rows = answer.value.found.flatMap(rowsFound);
      const found = answer.value.found.reduce((sum, { objects, total }) => sum + Math.max(objects.length === 0 ? 1 : 0, total), 0);
      return { total: rows.length, found, rows: rows.slice(offset, offset + limit) };
    }
  }
}

function rowsFound({ module, token, objects }: FoundByUri): Row[] {
  const spot = { module, serial: token.serial, token: token.label === '' ? groups(token.serial) : token.label };
  return objects.length === 0 ? [{ ...spot, place: null }] : objects.map((place) => ({ ...spot, place }));
}

// --- the list, windowed ------------------------------------------------------------------------------------------------

interface ListProps {
  readonly load: Load;
  /** How many rows are in sight. */
  readonly rows: number;
  readonly chosen: ObjectPlace | null;
  /** The token that `chosen` is on. */
  readonly serial: string;
  readonly startAt: number;
  readonly choose: (spot: Spot) => void;
}

function List({ load, rows, chosen, serial, startAt, choose }: ListProps) {
  const [total, setTotal] = useState<number | null>(null);
  const [pages, setPages] = useState<ReadonlyMap<number, readonly Row[]>>(new Map());
  const asking = useRef(new Set<number>());

  const ask = useCallback(
    async (page: number) => {
      if (asking.current.has(page)) return;
      asking.current.add(page);
      const answer = await load(page * PAGE, PAGE);
      if (answer === null) return;
      setTotal(answer.total);
      setPages((before) => new Map(before).set(page, answer.rows));
    },
    [load],
  );
  const visible = useCallback(
    (first: number, end: number) => {
      void ask(Math.floor(first / PAGE));
      if (end > 0) void ask(Math.floor((end - 1) / PAGE));
    },
    [ask],
  );
  // How long the list is, its first page says: that of the row where it begins.
  useEffect(() => void ask(Math.floor(Math.max(0, startAt - 2) / PAGE)), [ask, startAt]);

  if (total === null) return <p className="note">{t.tokens.reading}</p>;
  const at = (number: number) => pages.get(Math.floor(number / PAGE))?.[number % PAGE];
  return (
    <Windowed
      label={t.tokens.objects}
      total={total}
      height={ROW}
      rows={rows}
      startAt={startAt}
      className={rows < 12 ? 'short' : ''}
      visible={visible}
      choose={(number) => {
        const row = at(number);
        if (row) choose(row);
      }}
      row={(number) => {
        const row = at(number);
        const isChosen = chosen !== null && row?.serial === serial && row.place?.position === chosen.position;
        return {
          className: `object${row?.place?.object.class === 'unreadable' ? ' unreadable' : ''}${isChosen ? ' shown' : ''}`,
          content: (
            <>
              <span className="seq">{row?.place ? row.place.position + 1 : number + 1}</span>
              {row ? <Cells row={row} /> : <span className="note">{t.tokens.reading}</span>}
            </>
          ),
        };
      }}
    />
  );
}

function Cells({ row: { token, place } }: { readonly row: Row }) {
  if (place === null)
    return (
      <>
        <span className="note">{t.tokens.tokenItself}</span>
        <span />
        <span>{token}</span>
        <span />
      </>
    );
  const { object } = place;
  return (
    <>
      <span>{object.class}</span>
      <span>{object.keyType}</span>
      <span>{object.label}</span>
      {token === null ? <code>{groups(object.id)}</code> : <span className="note">{token}</span>}
    </>
  );
}
