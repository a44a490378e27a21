/**
 * The calls of PKCS#11 3.2 that pkcs11js does not have, made through koffi beside it: the same loaded module, the same
 * session handles. The ONLY file that imports koffi.
 *
 * koffi believes every word of a declaration, and a wrong one ends the process. So the declarations stand here and nowhere
 * else and take numbers and buffers of this file's own making only; a length that comes back is reported, never believed.
 * What a native call points into is referenced in #running until the call is over. A module is never unloaded. Calls that may
 * take long run in a thread of their own; C_SignInit does not, it is short everywhere.
 *
 * It never finalizes a module, never has a PIN (those calls are made here that take none), never prints.
 */
import koffi from 'koffi';
import { TokenError } from './errors.ts';
import type { Trace } from './trace.ts';
import cryptoki from './cryptoki.json' with { type: 'json' };

/** A CK_ULONG handle as pkcs11js gives it: eight bytes in the machine's order. */
type Handle = Buffer;
/** As `encodeTemplate` of pkcs11.ts makes it. */
export type EncodedTemplate = readonly { readonly type: number; readonly value: boolean | number | Buffer }[];

/** PKCS#11 3.2 section 2.1: CK_ULONG is as wide as a pointer on Linux, structures are not packed. */
const ULONG_BYTES = 8;
const CKR_OK = 0;
/** Section 6.67.5, and what a module does without a parameter: fresh randomness in every signature, where it has any. */
const HEDGED = cryptoki.CKH.CKH_HEDGE_PREFERRED;
/** FIPS 204 algorithm 2 and FIPS 205 algorithm 22: the context's length is one byte. */
const LONGEST_CONTEXT = 255;

koffi.struct('CK_MECHANISM', { mechanism: 'ulong', pParameter: 'void *', ulParameterLen: 'ulong' });
koffi.struct('CK_ATTRIBUTE', { type: 'ulong', pValue: 'void *', ulValueLen: 'ulong' });
const SIGN_CONTEXT = koffi.struct('CK_SIGN_ADDITIONAL_CONTEXT', { hedgeVariant: 'ulong', pContext: 'void *', ulContextLen: 'ulong' });
const INTERFACE = koffi.struct('CK_INTERFACE', { pInterfaceName: 'const char *', pFunctionList: 'void *', flags: 'ulong' });

/** Places in CK_FUNCTION_LIST (version 2.40, and the beginning of every later one), counted after the version. */
const OF_2_40 = { C_InitToken: 9, C_InitPIN: 10, C_SetPIN: 11, C_Login: 18, C_SignInit: 42 } as const;
/** Places in CK_FUNCTION_LIST_3_2: 68 functions of 2.40, 24 of 3.0, then these. */
const OF_3_2 = { C_EncapsulateKey: 92, C_DecapsulateKey: 93 } as const;
/** The version and the padding behind it. */
const VERSION_BYTES = 8;

const PROTOTYPES = {
  C_InitToken: koffi.proto('ulong C_InitToken(ulong slot, void *pin, ulong pinBytes, void *label)'),
  C_InitPIN: koffi.proto('ulong C_InitPIN(ulong session, void *pin, ulong pinBytes)'),
  C_SetPIN: koffi.proto('ulong C_SetPIN(ulong session, void *old, ulong oldBytes, void *pin, ulong pinBytes)'),
  C_Login: koffi.proto('ulong C_Login(ulong session, ulong user, void *pin, ulong pinBytes)'),
  C_SignInit: koffi.proto('ulong C_SignInit(ulong session, CK_MECHANISM *mechanism, ulong key)'),
  C_EncapsulateKey: koffi.proto('ulong C_EncapsulateKey(ulong session, CK_MECHANISM *mechanism, ulong key, CK_ATTRIBUTE *template, ulong count, void *ciphertext, void *length, void *secret)'),
  C_DecapsulateKey: koffi.proto('ulong C_DecapsulateKey(ulong session, CK_MECHANISM *mechanism, ulong key, CK_ATTRIBUTE *template, ulong count, void *ciphertext, ulong length, void *secret)'),
};
type Call = keyof typeof PROTOTYPES;
type Native = ((...args: unknown[]) => number | bigint) & { async: (...args: unknown[]) => void };

/** Whatever was opened: while it is referenced it is never unloaded. */
const OPENED = new Set<unknown>();

/** The module at `path`, which pkcs11js has loaded and initialised already: the loader gives the same one again. */
export class Cryptoki {
  readonly #library: koffi.IKoffiLib;
  readonly #trace: Trace | null;
  #lists: { readonly of240: unknown; readonly of32: unknown } | null = null;
  /** Arguments of calls under way in another thread. */
  readonly #running = new Set<readonly unknown[]>();

  constructor(path: string, trace: Trace | null = null) {
    this.#trace = trace;
    // At once, while the file is the one that pkcs11js has loaded; what the module offers is looked up when it is needed.
    this.#library = koffi.load(path);
    OPENED.add(this.#library);
  }

  /** Whether the module offers the function list of PKCS#11 3.2. */
  get knows32(): boolean {
    return this.#found().of32 !== null;
  }

  /** C_GetInterfaceList (section 5.4.5), in the module's order; empty for a module before 3.0, which does not have it. */
  interfaces(): { readonly name: string; readonly version: string; readonly forkSafe: boolean }[] {
    return interfacesOf(this.#library);
  }

  /**
   * C_SignInit with CK_SIGN_ADDITIONAL_CONTEXT, hedged; C_Sign through pkcs11js follows. `context`: 1 to 255 bytes, copied.
   * Returns what the module may still point into: the caller keeps it until C_Sign is over. Throws TokenError.
   */
  signInit(session: Handle, mechanism: number, context: Uint8Array, key: Handle): readonly Buffer[] {
    if (context.length > LONGEST_CONTEXT) throw new TokenError('CKR_MECHANISM_PARAM_INVALID', 'C_SignInit');
    const bytes = Buffer.from(context);
    const parameter = Buffer.alloc(koffi.sizeof(SIGN_CONTEXT));
    koffi.encode(parameter, SIGN_CONTEXT, { hedgeVariant: HEDGED, pContext: bytes, ulContextLen: bytes.length });
    const call = this.#native('C_SignInit', OF_2_40.C_SignInit, this.#found().of240);
    const begun = performance.now();
    const value = Number(call(ulong(session), { mechanism, pParameter: parameter, ulParameterLen: parameter.length }, ulong(key)));
    this.#trace?.line('C_SignInit', ulong(session), value, performance.now() - begun);
    checked('C_SignInit', value);
    return [bytes, parameter];
  }

  /**
   * C_EncapsulateKey (section 5.18.8). Returns the handle of a session object, which the caller destroys, the ciphertext, and
   * the length that the module says it has: the caller refuses any other than `ciphertextBytes`. Throws TokenError.
   */
  async encapsulate(session: Handle, mechanism: number, key: Handle, template: EncodedTemplate, ciphertextBytes: number): Promise<{ ciphertext: Uint8Array; length: number; secret: Handle }> {
    // Room for a module that writes more than it should: what it then says of the length is still refused.
    const room = Buffer.alloc(2 * ciphertextBytes);
    const length = Buffer.alloc(ULONG_BYTES);
    length.writeBigUInt64LE(BigInt(ciphertextBytes));
    const secret = Buffer.alloc(ULONG_BYTES);
    const attributes = attributesOf(template);
    const call = this.#native('C_EncapsulateKey', OF_3_2.C_EncapsulateKey, this.#found().of32);
    await this.#apart('C_EncapsulateKey', call, [ulong(session), plainMechanism(mechanism), ulong(key), attributes, attributes.length, room, length, secret], [room, length, secret]);
    return { ciphertext: Uint8Array.from(room.subarray(0, ciphertextBytes)), length: Number(length.readBigUInt64LE()), secret };
  }

  /** C_DecapsulateKey (section 5.18.9). Returns the handle of a session object that the caller destroys. Throws TokenError. */
  async decapsulate(session: Handle, mechanism: number, key: Handle, template: EncodedTemplate, ciphertext: Uint8Array): Promise<Handle> {
    const bytes = Buffer.from(ciphertext);
    const secret = Buffer.alloc(ULONG_BYTES);
    const attributes = attributesOf(template);
    const call = this.#native('C_DecapsulateKey', OF_3_2.C_DecapsulateKey, this.#found().of32);
    await this.#apart('C_DecapsulateKey', call, [ulong(session), plainMechanism(mechanism), ulong(key), attributes, attributes.length, bytes, bytes.length, secret], [bytes, secret]);
    return secret;
  }

  // Calls without a PIN, for tokens with a pad of their own (CKF_PROTECTED_AUTHENTICATION_PATH): NULL in its place. They block
  // until somebody has typed, so each has a thread of its own.

  /** `label`: 32 bytes. */
  padInitToken(slot: Handle, label: Uint8Array): Promise<void> {
    const bytes = Buffer.from(label);
    return this.#atPad('C_InitToken', [ulong(slot), null, 0, bytes], [bytes]);
  }

  padInitPin(session: Handle): Promise<void> {
    return this.#atPad('C_InitPIN', [ulong(session), null, 0]);
  }

  padSetPin(session: Handle): Promise<void> {
    return this.#atPad('C_SetPIN', [ulong(session), null, 0, null, 0]);
  }

  padLogin(session: Handle, user: number): Promise<void> {
    return this.#atPad('C_Login', [ulong(session), user, null, 0]);
  }

  async #atPad(name: keyof typeof OF_2_40, args: readonly unknown[], buffers: readonly Buffer[] = []): Promise<void> {
    await this.#apart(name, this.#native(name, OF_2_40[name], this.#found().of240), args, buffers);
  }

  /** In a thread of its own. `args` are referenced until it is over, and with them every buffer that they point into. */
  async #apart(name: Call, call: Native, args: readonly unknown[], buffers: readonly Buffer[]): Promise<void> {
    const entry = [...args, ...buffers];
    this.#running.add(entry);
    const begun = performance.now();
    try {
      const value = await new Promise<number | bigint>((resolve, reject) => {
        call.async(...args, (error: Error | null, result: number | bigint) => (error === null ? resolve(result) : reject(error)));
      });
      this.#trace?.line(name, BigInt(args[0] as number | bigint), Number(value), performance.now() - begun);
      checked(name, value);
    } finally {
      this.#running.delete(entry);
    }
  }

  #native(name: Call, place: number, list: unknown): Native {
    if (list === null) throw new TokenError('CKR_FUNCTION_NOT_SUPPORTED', name);
    const pointer: unknown = koffi.decode(list, VERSION_BYTES + place * ULONG_BYTES, 'void *');
    if (pointer === null) throw new TokenError('CKR_FUNCTION_NOT_SUPPORTED', name);
    return koffi.decode(pointer, PROTOTYPES[name]) as Native;
  }

  #found(): { readonly of240: unknown; readonly of32: unknown } {
    if (this.#lists !== null) return this.#lists;
    const out: unknown[] = [null];
    const getFunctionList = this.#library.func('ulong C_GetFunctionList(_Out_ void **list)') as Native;
    checked('C_GetFunctionList', getFunctionList(out));
    this.#lists = { of240: out[0] ?? null, of32: functionsOf32(this.#library) };
    return this.#lists;
  }
}

/** The function list of 3.2, or null: modules before 3.0 have no C_GetInterface, others answer with an older version. */
function functionsOf32(library: koffi.IKoffiLib): unknown {
  let getInterface: Native;
  try {
    getInterface = library.func('ulong C_GetInterface(const char *name, void *version, _Out_ void **interface, ulong flags)') as Native;
  } catch {
    return null;
  }
  const out: unknown[] = [null];
  if (Number(getInterface('PKCS 11', Buffer.from([3, 2]), out, 0)) !== CKR_OK || out[0] === null) return null;
  const { pFunctionList: list } = koffi.decode(out[0], INTERFACE) as { pFunctionList: unknown };
  if (list === null) return null;
  const [major = 0, minor = 0] = koffi.decode(list, koffi.array('uint8_t', 2)) as ArrayLike<number> & Iterable<number>;
  // A module that ignores the version it was asked for gives a shorter list: reading behind its end would be a call to anywhere.
  return major === 3 && minor >= 2 ? list : null;
}

/** No module has been seen with more; a count beyond it is not believed. */
const MOST_INTERFACES = 32;
const CKF_INTERFACE_FORK_SAFE = 0x1;
/** Both versions are in the first two bytes of every function list. */
const FUNCTION_LIST_VERSION = koffi.array('uint8_t', 2);

function interfacesOf(library: koffi.IKoffiLib): { name: string; version: string; forkSafe: boolean }[] {
  let getInterfaceList: Native;
  try {
    getInterfaceList = library.func('ulong C_GetInterfaceList(void *interfaces, void *count)') as Native;
  } catch {
    return [];
  }
  const count = Buffer.alloc(ULONG_BYTES);
  checked('C_GetInterfaceList', getInterfaceList(null, count));
  const wanted = Number(count.readBigUInt64LE());
  if (wanted === 0 || wanted > MOST_INTERFACES) return [];
  const list = Buffer.alloc(wanted * koffi.sizeof(INTERFACE));
  checked('C_GetInterfaceList', getInterfaceList(list, count));
  const told = Math.min(Number(count.readBigUInt64LE()), wanted);
  return Array.from({ length: told }, (_, i) => {
    const { pInterfaceName, pFunctionList, flags } = koffi.decode(list, i * koffi.sizeof(INTERFACE), INTERFACE) as { pInterfaceName: string | null; pFunctionList: unknown; flags: number | bigint };
    const version = pFunctionList === null ? [] : koffi.decode(pFunctionList, FUNCTION_LIST_VERSION) as Iterable<number>;
    return { name: pInterfaceName ?? '', version: [...version].join('.'), forkSafe: (Number(flags) & CKF_INTERFACE_FORK_SAFE) !== 0 };
  });
}

const plainMechanism = (mechanism: number) => ({ mechanism, pParameter: null, ulParameterLen: 0 });

function attributesOf(template: EncodedTemplate): { type: number; pValue: Buffer; ulValueLen: number }[] {
  return template.map(({ type, value }) => {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.alloc(typeof value === 'boolean' ? 1 : ULONG_BYTES);
    if (typeof value === 'boolean') bytes[0] = value ? 1 : 0;
    else if (typeof value === 'number') bytes.writeBigUInt64LE(BigInt(value));
    return { type, pValue: bytes, ulValueLen: bytes.length };
  });
}

function ulong(handle: Handle): bigint {
  return handle.readBigUInt64LE();
}

function checked(call: string, value: number | bigint): void {
  if (Number(value) !== CKR_OK) throw new TokenError(Number(value), call);
}
