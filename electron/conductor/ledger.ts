/**
 * The ledger: the one place where entries are on disk. Append-only by trigger, durable by pragma, both proven at every
 * open. The ONLY importer of better-sqlite3. It knows lines and numbers, never what they mean, and never holds a secret.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type BetterSqlite3 from 'better-sqlite3';
import { Refused, refuse } from '../../ceremonies/refusal.ts';

/**
 * better-sqlite3's WAL default is synchronous=NORMAL, and it comes back at every re-open: a commit could vanish with
 * the power. So everything is set and read back each time. EXTRA also syncs the folder after a journal is removed.
 */
const PRAGMAS: readonly (readonly [name: string, set: string, readBack: string | number])[] = [
  ['journal_mode', 'WAL', 'wal'],
  ['synchronous', 'EXTRA', 3],
  ['secure_delete', 'ON', 1],
  ['temp_store', 'MEMORY', 2],
  ['trusted_schema', 'OFF', 0],
  ['cell_size_check', 'ON', 1],
  ['foreign_keys', 'ON', 1],
];

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entry (
    ceremony TEXT NOT NULL, seq INTEGER NOT NULL, line TEXT NOT NULL, PRIMARY KEY (ceremony, seq)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER IF NOT EXISTS entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'LEDGER-APPEND-ONLY'); END;
  CREATE TRIGGER IF NOT EXISTS entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'LEDGER-APPEND-ONLY'); END;
  CREATE TRIGGER IF NOT EXISTS entry_in_order BEFORE INSERT ON entry
    WHEN NEW.seq <> (SELECT coalesce(max(seq) + 1, 0) FROM entry WHERE ceremony = NEW.ceremony)
    BEGIN SELECT RAISE(ABORT, 'LEDGER-IN-ORDER'); END;
`;

export interface Ledger {
  /** Durable when it returns. Throws `Refused` DISK-WRITE (nothing was written) or LEDGER-IN-ORDER. */
  append(ceremony: string, seq: number, line: string): void;
  lines(ceremony: string, from: number): string[];
  /** Every ceremony with its first and last two lines, oldest first. */
  ceremonies(): { readonly ceremony: string; readonly count: number; readonly first: string; readonly tail: readonly string[] }[];
  close(): void;
}

const REPAIR = 'Free some space or repair the disk, then try again. Everything recorded so far is safe.';

/** Opens (or makes) `folder`/ledger.sqlite. Throws `Refused` where durability cannot be proven. */
export async function openLedger(folder: string): Promise<Ledger> {
  // better-sqlite3 13 needs Node-API 10 and crashes the process on less (it does not throw).
  if (Number(process.versions['napi'] ?? 0) < 10) {
    throw new Refused(refuse('LEDGER-RUNTIME', 'a runtime with Node-API 10', `Node-API ${process.versions['napi'] ?? 'none'}`, 'Run the conductor on Node 22.14 or later.'));
  }
  const { default: Database } = await import('better-sqlite3') as { default: typeof BetterSqlite3 };
  const file = join(folder, 'ledger.sqlite');
  let database = connect(Database, folder, file);

  function prepare() {
    return {
      append: database.prepare('INSERT INTO entry (ceremony, seq, line) VALUES (?, ?, ?)'),
      lines: database.prepare('SELECT line FROM entry WHERE ceremony = ? AND seq >= ? ORDER BY seq').pluck(),
      list: database.prepare('SELECT ceremony, count(*) AS count FROM entry GROUP BY ceremony'),
      line: database.prepare('SELECT line FROM entry WHERE ceremony = ? AND seq = ?').pluck(),
    };
  }
  let statements = prepare();

  return {
    append(ceremony, seq, line) {
      try {
        statements.append.run(ceremony, seq, line);
      } catch (error) {
        const code = (error as { code?: string }).code ?? '';
        const message = (error as Error).message;
        if (message.startsWith('LEDGER-')) throw new Refused(refuse(message, 'the next entry of the record', `number ${seq}`, 'Close the app and open it again.'));
        // After a failed write or sync nobody knows what the file holds until it is opened afresh and read again.
        try {
          database.close();
        } finally {
          database = connect(Database, folder, file);
          statements = prepare();
        }
        // The entry may have reached the disk although the sync failed: then it is recorded, and that is the truth.
        if (statements.line.get(ceremony, seq) === line) return;
        throw new Refused(refuse('DISK-WRITE', 'a durable write to the ledger', code || message, REPAIR));
      }
    },
    lines: (ceremony, from) => statements.lines.all(ceremony, from) as string[],
    ceremonies: () => (statements.list.all() as { ceremony: string; count: number }[]).map(({ ceremony, count }) => ({
      ceremony, count,
      first: statements.line.get(ceremony, 0) as string,
      tail: [count - 2, count - 1].filter((seq) => seq >= 0).map((seq) => statements.line.get(ceremony, seq) as string),
    })).sort((a, b) => openedAt(a.first).localeCompare(openedAt(b.first))),
    close: () => { database.close(); },
  };
}

function openedAt(line: string): string {
  return /"at":"([^"]+)"/.exec(line)?.[1] ?? '';
}

function connect(Database: typeof BetterSqlite3, folder: string, file: string): BetterSqlite3.Database {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const database = new Database(file, { timeout: 2000 });
    for (const [name, value, expected] of PRAGMAS) {
      database.pragma(`${name} = ${value}`);
      const found: unknown = database.pragma(name, { simple: true });
      if (found !== expected) throw new Refused(refuse('LEDGER-PRAGMA', `${name} = ${expected}`, String(found), 'The ledger cannot promise durability here. Use another disk or folder.'));
    }
    database.exec(SCHEMA);
    const verdict: unknown = database.pragma('quick_check', { simple: true });
    if (verdict !== 'ok') throw new Refused(refuse('LEDGER-DAMAGED', 'a sound database', String(verdict).slice(0, 200), 'Keep this folder as it is, and restore a copy.'));
    // The file's name must survive a power cut as well as its content.
    const handle = openSync(folder, 'r');
    fsyncSync(handle);
    closeSync(handle);
    return database;
  } catch (error) {
    if (error instanceof Refused) throw error;
    const { code, message } = error as { code?: string; message: string };
    throw new Refused(refuse('LEDGER-OPEN', `a writable ledger in ${folder}`, code ?? message, 'Check that the folder exists, belongs to you, and is not full or read-only.'));
  }
}
