/**
 * From a script's wish to a certificate profile: the one place that says what the subject of a root certificate is made of.
 * Used by the conductor before the token signs, and by the verdict afterwards. Never adds what neither script nor mode says.
 */
import type { State } from './ceremony.ts';
import type { Intent } from './evidence.ts';
import { fromBase64url, fromHex } from './bytes.ts';
import { parsePublicKey } from './keys/public-key.ts';
import type { RootProfile } from './keys/x509.ts';
import { Refused, refuse } from './refusal.ts';

/** Marks every certificate of a rehearsal so that nobody can mistake it for a real one. */
export const REHEARSAL_UNIT = 'REHEARSAL - NOT FOR USE';

export function certificateSubject(state: State): RootProfile['subject'] {
  const wish = state.plan?.steps.find((step) => step.do.action === 'issue-certificate')?.do;
  if (wish?.action !== 'issue-certificate') throw new Refused(refuse('AS-SCRIPTED', 'a script that issues a certificate', 'none', 'Choose another script.'));
  const { subject } = wish;
  return {
    commonName: subject['common-name'],
    ...(subject.organization !== undefined && { organization: subject.organization }),
    ...(state.opening?.mode === 'rehearsal' && { organizationalUnit: REHEARSAL_UNIT }),
    ...(subject.country !== undefined && { country: subject.country }),
  };
}

export function certificateProfile(state: State, intent: Intent<'issue-certificate'>): RootProfile {
  if (!state.key) throw new Refused(refuse('KEY-BEFORE-USE', 'a root key', 'none', 'Generate it first.'));
  return {
    subject: certificateSubject(state),
    serialNumber: fromHex(intent.serialNumber),
    notBefore: new Date(intent.notBefore),
    notAfter: new Date(intent.notAfter),
    publicKey: parsePublicKey(fromBase64url(state.key.spki)),
  };
}
