/** A list of any length of which only what is in sight is drawn. Arrow keys go through it; Enter, Space or a press chooses. */
import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';

const AROUND = 8;

interface Props {
  readonly label: string;
  readonly total: number;
  /** Pixels of one row, and how many rows are in sight. */
  readonly height: number;
  readonly rows: number;
  /** Where the list begins; it is moved there whenever this changes. */
  readonly startAt: number;
  readonly className?: string;
  readonly row: (number: number) => { readonly className: string; readonly content: ReactNode };
  readonly choose: (number: number) => void;
  /** What is drawn now: from this row to the one before that. */
  readonly visible?: (first: number, end: number) => void;
}

export function Windowed({ label, total, height, rows, startAt, className = '', row, choose, visible }: Props) {
  const [top, setTop] = useState(Math.max(0, startAt - 2) * height);
  const [wanted, setAt] = useState(startAt);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const tall = rows * height;
  const at = Math.max(0, Math.min(wanted, total - 1));
  const first = Math.max(0, Math.min(Math.floor(top / height), Math.max(0, total - rows)) - AROUND);
  const end = Math.min(total, Math.ceil((top + tall) / height) + AROUND);
  useEffect(() => visible?.(first, end), [visible, first, end]);

  // The list that begins in the middle: it can only be moved there once it is as tall as that.
  useEffect(() => {
    setAt(startAt);
    const box = list.current;
    if (box && (startAt * height < box.scrollTop || (startAt + 1) * height > box.scrollTop + box.clientHeight)) box.scrollTop = Math.max(0, startAt - 2) * height;
  }, [startAt, height]);

  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      choose(at);
      return;
    }
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: rows, PageUp: -rows, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(total - 1, at + by));
    setAt(next);
    const box = list.current;
    if (!box) return;
    if (next * height < box.scrollTop) box.scrollTop = next * height;
    if ((next + 1) * height > box.scrollTop + tall) box.scrollTop = (next + 1) * height - tall;
  };

  if (total === 0) return null;
  return (
    <div
      className={`window ${className}`}
      ref={list}
      role="listbox"
      aria-label={label}
      tabIndex={0}
      aria-activedescendant={`${id}-${at}`}
      onKeyDown={onKey}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
    >
      <svg className="tall" width="1" height={total * height} aria-hidden="true" />
      <div
        className="slice"
        role="presentation"
        ref={(element) => {
          if (element) element.style.transform = `translateY(${first * height}px)`;
        }}
      >
        {Array.from({ length: Math.max(0, end - first) }, (_, index) => {
          const number = first + index;
          const { className: look, content } = row(number);
          return (
            <div
              key={number}
              id={`${id}-${number}`}
              role="option"
              aria-selected={number === at}
              aria-setsize={total}
              aria-posinset={number + 1}
              className={look}
              onClick={() => {
                setAt(number);
                choose(number);
              }}
            >
              {content}
            </div>
          );
        })}
      </div>
    </div>
  );
}
