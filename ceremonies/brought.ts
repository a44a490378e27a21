/** A file of our own that people bring: JSON of its format and of nothing else, or a refusal that says what is wrong with it. */
import type * as z from 'zod';
import { fromUtf8 } from './bytes.ts';
import type { Refused } from './refusal.ts';

/** `what`: the file in words ('a key record'). Throws what `fault` makes of the first thing that is not so. */
export function readBrought<T>(shape: z.ZodType<T>, bytes: Uint8Array, what: string, format: string, fault: (expected: string, found: string) => Refused): T {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    throw fault(`${what} (JSON)`, 'something else');
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw fault(`${what} of the format ${format}`, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}
