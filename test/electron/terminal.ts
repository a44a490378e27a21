/** For tests: a program on a real pseudo-terminal (util-linux' script), with a person who waits for words and then types. */
import { spawn } from 'node:child_process';

export type Person = (screen: { readonly until: (words: RegExp) => Promise<void>; readonly type: (keys: string) => void }) => Promise<void>;

const quoted = (word: string) => `'${word.replaceAll("'", String.raw`'\''`)}'`;
const PATIENCE = 20_000;

/** Everything the terminal showed, and how the program ended. Keys are typed one by one, as fast as people do. */
export async function onTerminal(command: readonly string[], person: Person): Promise<{ readonly code: number | null; readonly shown: string }> {
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', command.map(quoted).join(' '), '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let shown = '';
  let seen = 0;
  let look = () => {};
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    look();
  });
  const over = new Promise<number | null>((resolve) => child.once('close', resolve));
  let pause = Promise.resolve();
  try {
    await person({
      // What was waited for before does not count again.
      until: async (words) => {
        await pause;
        await new Promise<void>((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`waited for ${String(words)}, and saw:\n${shown.slice(seen)}`)), PATIENCE);
          look = () => {
            const found = words.exec(shown.slice(seen));
            if (found === null) return;
            clearTimeout(timer);
            seen += found.index + found[0].length;
            look = () => {};
            resolve();
          };
          look();
        });
      },
      type: (keys) => {
        pause = pause.then(async () => {
          for (const key of keys.startsWith('\x1b') ? [keys] : keys) {
            child.stdin.write(key);
            await new Promise((later) => setTimeout(later, 35));
          }
        });
      },
    });
    await pause;
    return { code: await over, shown };
  } finally {
    child.kill('SIGKILL');
    child.stdin.destroy();
  }
}
