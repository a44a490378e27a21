/**
 * The custody register of this machine: folded from its records, each verified, and judged by where shares may lie. The sites stand in
 * `sites.yaml` in the data folder: public, but it decides what counts as well placed, so it is the administrator's file, as
 * modules.json is. Reads, never writes.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { JudgedRecord } from '../../ceremonies/inventory.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import { foldCustody, placedEnvelopes, placedShares } from '../../ceremonies/shares/custody.ts';
import { lintPlacement, readSites, type Site } from '../../ceremonies/shares/placement.ts';
import type { Hasher } from '../../ceremonies/transcript.ts';
import type { CustodyReport } from '../contract.ts';

export function custodyReport(home: string, records: readonly JudgedRecord[], hasher: Hasher): CustodyReport {
  const custody = foldCustody(records, hasher);
  const read = (): Pick<CustodyReport, 'sites' | 'sitesFault'> => {
    try {
      return { sites: organisationSites(home), sitesFault: null };
    } catch (error) {
      // Things are where they are, whatever is wrong with the list of sites.
      if (error instanceof Refused) return { sites: [], sitesFault: error.refusal };
      throw error;
    }
  };
  const { sites, sitesFault } = read();
  return { ...custody, sites, sitesFault, placement: lintPlacement(custody.sets, placedShares(custody), sites, placedEnvelopes(custody)) };
}

/** Empty where there is no file. Throws `Refused` SITES-FILE-OWNER, and the first fault of a file that cannot be believed, with its line. */
export function organisationSites(home: string): readonly Site[] {
  const file = join(home, 'sites.yaml');
  if (!existsSync(file)) return [];
  const { mode, uid } = statSync(file);
  if ((uid !== 0 && uid !== process.getuid?.()) || (mode & 0o022) !== 0) {
    throw new Refused(refuse('SITES-FILE-OWNER', 'sites.yaml owned by you or root, writable by nobody else', `owner ${uid}, mode ${(mode & 0o777).toString(8)}`, 'Correct owner and mode: this file decides what counts as well placed.'));
  }
  const { sites, faults } = readSites(readFileSync(file, 'utf8'));
  if (sites !== null) return sites;
  const { line, rule, expected, found, next } = faults[0]!;
  throw new Refused(refuse(rule, `line ${line} of sites.yaml: ${expected}`, found, next));
}
