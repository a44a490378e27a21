/**
 * The organisation's key templates: `templates.yaml` in the data folder. It decides what keys are made like, so it is the
 * administrator's file, as modules.json is. Reads, never writes.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readTemplates, type LintedTemplate } from '../../ceremonies/keys/template.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';

/** Empty where there is no file. Throws `Refused` TEMPLATES-FILE-OWNER, and the first fault of a file that cannot be believed, with its line. */
export function organisationTemplates(home: string): readonly LintedTemplate[] {
  const file = join(home, 'templates.yaml');
  if (!existsSync(file)) return [];
  const { mode, uid } = statSync(file);
  if ((uid !== 0 && uid !== process.getuid?.()) || (mode & 0o022) !== 0) {
    throw new Refused(refuse('TEMPLATES-FILE-OWNER', 'templates.yaml owned by you or root, writable by nobody else', `owner ${uid}, mode ${(mode & 0o777).toString(8)}`, 'Correct owner and mode: this file decides what keys are made like.'));
  }
  const { templates, faults } = readTemplates(readFileSync(file, 'utf8'));
  if (templates !== null) return templates;
  const { line, rule, expected, found, next } = faults[0]!;
  throw new Refused(refuse(rule, `line ${line} of templates.yaml: ${expected}`, found, next));
}
