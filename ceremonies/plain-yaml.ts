/**
 * YAML 1.2 as people review it: one document in which every line means what stands there. Scripts and templates are read by it.
 *
 * Refused is whatever lets one place of a file change the meaning of another (anchors, aliases, tags, directives, a key given
 * twice) and whatever a reviewer cannot see. It names every fault with its line and judges no meaning; it never throws on
 * hostile input, and what it takes stays in proportion to the size of the text.
 */
import { CST, Lexer, LineCounter, parseAllDocuments, isMap, isNode, isPair, isScalar, isSeq, visit, type Document } from 'yaml';
import type * as z from 'zod';
import { refuse, type Refusal } from './refusal.ts';
import { plainText } from './text.ts';

/** Something wrong with a file, and where. `line` is 1-based; 0 where the fault has no line of its own. */
export interface YamlFault extends Refusal {
  readonly line: number;
}

/** What the file is, under which rules its faults go, and how large it may be. */
export interface YamlRules {
  readonly what: string;
  readonly yaml: string;
  readonly size: string;
  readonly characters: number;
  readonly tokens: number;
  /** What to do about one that is larger. */
  readonly tooLong: string;
}

export interface PlainYaml {
  readonly value: unknown;
  readonly document: Document.Parsed;
  /** Line of the node at a path; that of the nearest enclosing one where it does not exist. */
  readonly lineOf: (path: readonly PropertyKey[]) => number;
  readonly faults: null;
}

/** More faults than this help nobody. */
const MANY = 100;

function oddities(text: string, rules: YamlRules): YamlFault[] {
  const faults: YamlFault[] = [];
  const forbidden: Partial<Record<string, string>> = {
    anchor: 'an anchor', alias: 'an alias', tag: 'a tag', 'directive-line': 'a directive',
  };
  let line = 1;
  let tokens = 0;
  let inScalar = false;
  for (const token of new Lexer().lex(text)) {
    // A plain scalar follows its mark, and may begin with any of the characters that start something else.
    const what = inScalar ? undefined : forbidden[CST.tokenType(token) ?? ''];
    inScalar = token === CST.SCALAR;
    if (what !== undefined) {
      faults.push({ ...refuse(rules.yaml, 'plain YAML: no anchors, aliases, tags or directives', what, 'Write the value out: a reviewer must see it where it acts.'), line });
    }
    for (let at = token.indexOf('\n'); at >= 0; at = token.indexOf('\n', at + 1)) line += 1;
    tokens += 1;
    if (tokens > rules.tokens) {
      faults.push({ ...refuse(rules.size, `at most ${rules.tokens} YAML tokens`, 'more', rules.tooLong), line });
    }
    if (tokens > rules.tokens || faults.length >= MANY) break;
  }
  return faults;
}

/** Reads a text, or names every fault of its form. */
export function readPlainYaml(text: string, rules: YamlRules): PlainYaml | { readonly faults: YamlFault[] } {
  const faults: YamlFault[] = [];
  const fault = (rule: string, line: number, expected: string, found: string, next: string) =>
    faults.push({ ...refuse(rule, expected, found, next), line });

  if (text.length > rules.characters) {
    fault(rules.size, 0, `at most ${rules.characters.toLocaleString('en')} characters`, `${text.length}`, rules.tooLong);
    return { faults };
  }
  // Comments too: what a reviewer reads must be what is there.
  text.split(/\r?\n/).forEach((line, index) => {
    const refusal = faults.length < MANY ? plainText(`${rules.what} text`, line, 2000) : null;
    if (refusal) faults.push({ ...refusal, line: index + 1 });
  });
  if (faults.length === 0) faults.push(...oddities(text, rules));
  if (faults.length > 0) return { faults };

  const counter = new LineCounter();
  const lineAt = (offset: number | undefined) => (offset === undefined ? 0 : counter.linePos(offset).line);
  // The library's own search for duplicate keys compares every pair of them; below it takes one look at each.
  const documents = parseAllDocuments(text, { lineCounter: counter, strict: true, uniqueKeys: false, version: '1.2', merge: false });
  const document = Array.isArray(documents) ? documents[0] : undefined;
  if (!document || !Array.isArray(documents) || documents.length !== 1) {
    fault(rules.yaml, 0, 'one YAML document', `${Array.isArray(documents) ? documents.length : 0}`, 'Remove the `---` separators.');
    return { faults };
  }
  for (const problem of [...document.errors, ...document.warnings].slice(0, MANY)) {
    fault(rules.yaml, lineAt(problem.pos[0]), 'strict YAML 1.2', problem.message.split('\n')[0]?.slice(0, 200) ?? 'an error', 'Correct this line.');
  }
  if (faults.length > 0) return { faults };
  visit(document, { Map: (_key, node) => {
    const keys = new Set<string>();
    for (const pair of node.items) {
      const key = isScalar(pair.key) && typeof pair.key.value === 'string' ? pair.key.value : null;
      const line = lineAt(isNode(pair.key) ? pair.key.range?.[0] : node.range?.[0]);
      if (key === null) fault(rules.yaml, line, 'keys that are names', 'another key', 'Correct this line.');
      else if (keys.has(key)) fault(rules.yaml, line, 'every key once', `${key.slice(0, 40)} again`, 'Remove one of the two.');
      else keys.add(key);
    }
  }, Scalar: (_key, node) => {
    // Once more, because an escape may stand for what was refused above.
    const refusal = typeof node.value === 'string' && faults.length < MANY ? plainText(`${rules.what} text`, node.value.replace(/\n/g, ' '), 2000) : null;
    if (refusal) faults.push({ ...refusal, line: lineAt(node.range?.[0]) });
  } });
  if (faults.length > 0) return { faults };
  return { value: document.toJS() as unknown, document, lineOf: (path) => lineAt(offsetOf(document, path)), faults: null };
}

/** What a schema finds wrong with the value, each at its line. */
export function shapeFaults(error: z.ZodError, lineOf: PlainYaml['lineOf'], { rule, what, next }: { readonly rule: string; readonly what: string; readonly next: string }): YamlFault[] {
  return flatten(error.issues).map((issue) => {
    const found = issue.code === 'unrecognized_keys' ? `unknown key ${issue.keys.join(', ')}` : issue.message;
    const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path;
    return { ...refuse(rule, `a valid ${issue.path.join('.') || what}`, found, next), line: lineOf(path) };
  });
}

/** The deepest issues of unions are the ones a file's author can act on. */
function flatten(issues: readonly z.core.$ZodIssue[], prefix: PropertyKey[] = []): z.core.$ZodIssue[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [{ ...issue, path }];
    // The branch that got furthest (deepest path, then fewest issues) is the one the author meant.
    const depth = (branch: readonly z.core.$ZodIssue[]) => Math.max(...branch.map((inner) => inner.path.length));
    const best = [...issue.errors].sort((a, b) => depth(b) - depth(a) || a.length - b.length)[0] ?? [];
    return flatten(best, path);
  });
}

/** Where in the text the node at `path` begins; the nearest enclosing node where it does not exist. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = document.contents;
  let offset = isNode(node) ? node.range?.[0] : undefined;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === key);
      if (!pair) return offset;
      offset = isScalar(pair.key) ? pair.key.range?.[0] ?? offset : offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      offset = isNode(node) ? node.range?.[0] ?? offset : offset;
    } else return offset;
  }
  return offset;
}
