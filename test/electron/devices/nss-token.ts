/**
 * Tokens of NSS for tests: PKCS#11 3.2 with ML-DSA and ML-KEM, in folders of their own, with the published rehearsal PIN.
 *
 * NSS knows its tokens from `libraryParameters`, when it is initialised: one module has all the tokens it will ever have.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pkcs11js from 'pkcs11js';
import { REHEARSAL_PIN } from '../../../electron/devices/protocol.ts';
import { nssModule } from '../../witness.ts';

export interface NssTokens {
  /** As in modules.json. */
  readonly module: { readonly kind: 'pkcs11'; readonly name: string; readonly path: string; readonly parameters: string; readonly env: Readonly<Record<string, never>> };
  /** By which the app knows each of them, in the order of the labels (quirks/nss.json: `identity`). */
  readonly serials: readonly string[];
}

const CKF_OS_LOCKING_OK = 0x2;
const CKF_RW_SESSION = 0x2;
const CKF_SERIAL_SESSION = 0x4;
const CKF_USER_PIN_INITIALIZED = 0x8;
const CKU_SO = 0;

/** For modules.json: the tokens with these labels, each in a folder of its own under `folder`. Labels: at most 32 bytes, no quotes. */
export function nssParameters(folder: string, labels: readonly string[]): string {
  const placeOf = (index: number) => `configdir='sql:${join(folder, `nss-${index}`)}'`;
  if (labels.length === 1) return `${placeOf(0)} dbTokenDescription='${labels[0]!}' minPWLen=4`;
  // A list takes the place of the one token of the plain form; its slots begin with 4.
  return `tokens=<${labels.map((label, index) => `0x${(index + 4).toString(16)}=[${placeOf(index)} tokenDescription='${label}' minPWLen=4]`).join(' ')}>`;
}

/** Makes the tokens and sets their PIN, in the calling process; the module is finalized again. */
export function makeNssTokens(folder: string, labels: readonly string[] = ['REHEARSAL NSS'], pin = REHEARSAL_PIN): NssTokens {
  labels.forEach((_, index) => mkdirSync(join(folder, `nss-${index}`), { recursive: true }));
  const path = nssModule();
  const parameters = nssParameters(folder, labels);
  const native = new pkcs11js.PKCS11();
  native.load(path);
  native.C_Initialize({ libraryParameters: `${parameters} `, flags: CKF_OS_LOCKING_OK }); // the blank: pkcs11js drops the last character
  try {
    for (const slot of native.C_GetSlotList(true)) {
      const info = native.C_GetTokenInfo(slot);
      if (!labels.includes(info.label.trimEnd()) || (info.flags & CKF_USER_PIN_INITIALIZED) !== 0) continue;
      const session = native.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
      // The SO's PIN is empty, and gone with the first PIN of the user.
      native.C_Login(session, CKU_SO, '');
      native.C_InitPIN(session, pin);
      native.C_Logout(session);
      native.C_CloseSession(session);
    }
  } finally {
    native.C_Finalize();
  }
  return { module: { kind: 'pkcs11', name: 'nss', path, parameters, env: {} }, serials: labels.map((label) => `label:${label}`) };
}
