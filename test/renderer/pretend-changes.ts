/**
 * Changes to tokens, pretended: what an order of each kind says, what is known afterwards, and what is then listed. Results
 * are of the shape and consistency that `check` asks for; their bytes are made up. It must never be imported outside test/.
 */
import { randomBytes } from 'node:crypto';
import { sha256 } from '@noble/hashes/sha2.js';
import { toBase64url, toHex } from '../../ceremonies/bytes.ts';
import { WrappedKeyFile, type ChangeOrder, type ChangeResult, type Intent, type KeyAttributes, type KeyCheck, type KeyKind, type ObjectFact, type ObjectReference, type OrderedAttributes, type TokenFacts } from '../../ceremonies/evidence.ts';
import type { ObjectPlace } from '../../ceremonies/estate.ts';
import { KINDS } from '../../ceremonies/keys/template.ts';
import type { ChangeRequest } from '../../electron/contract.ts';

type Change = Extract<Intent<'administer'>, { token: string }>;
const fresh = () => randomBytes(16).toString('hex');
const b64 = (bytes: number) => randomBytes(bytes).toString('base64url');

function referred({ object }: ObjectPlace): ObjectReference {
  return { ...object, check: checkOf(object.class === 'secret-key', object.id) };
}

function checkOf(secret: boolean, of: string): KeyCheck {
  const digest = toHex(sha256(new TextEncoder().encode(of)));
  return secret ? { method: 'CMAC of zeros, 3 bytes (ANSI X9.24-1)', value: digest.slice(0, 6) } : { method: 'SHA-256 of SubjectPublicKeyInfo', value: digest };
}

export function pretendOrder(request: ChangeRequest, seen: TokenFacts): Change {
  const { change, module, token } = request;
  const ordered = (order: object): Change => ({ change, module, token, order: order as Record<string, unknown> });
  switch (request.change) {
    case 'init-token': return ordered({ label: request.label, seen });
    case 'set-user-pin': return ordered({});
    case 'change-pin': return ordered({ whose: request.whose });
    case 'generate-key': {
      const { label, kind, attributes, despite } = request;
      return ordered({ id: fresh(), label, kind, attributes, despite });
    }
    case 'import-key': {
      const { label, kind, attributes, despite, file } = request;
      return ordered({ id: fresh(), label, kind, attributes, despite, file: file.file, sha256: toHex(sha256(file.bytes)) });
    }
    case 'import-certificate': return ordered({ id: request.place?.object.id ?? fresh(), label: request.label, certificate: toBase64url(request.file.bytes) });
    case 'copy-object': return ordered({ object: referred(request.place), id: fresh(), label: request.label, attributes: request.attributes, despite: request.despite });
    case 'edit-object': return ordered({ object: referred(request.place), label: request.label, id: request.id, attributes: request.attributes, despite: request.despite });
    case 'destroy-object': return ordered({ object: referred(request.place), typed: request.typed });
    case 'wrap-key': return ordered({ key: referred(request.place), under: request.under && referred(request.under), recipient: request.recipient && toBase64url(request.recipient.bytes), method: request.method });
    case 'unwrap-key': {
      const file = WrappedKeyFile.parse(JSON.parse(new TextDecoder().decode(request.file.bytes)));
      const { label, kind, attributes } = file.key;
      return ordered({ id: fresh(), label: request.label ?? label, kind, attributes: { ...attributes, ...request.attributes }, despite: request.despite, file, under: referred(request.under) });
    }
    case 'sign-request': return ordered({ key: referred(request.place), subject: request.subject });
    case 'self-sign': return ordered({ key: referred(request.place), subject: request.subject, serialNumber: fresh(), notBefore: '2026-11-21T00:00:00Z', notAfter: '2027-11-21T00:00:00Z' });
  }
}

function readBack(kind: KeyKind, id: string, label: string, attributes: OrderedAttributes, local: boolean): ChangeResult<'unwrap-key'> {
  const { keyType, pair } = KINDS[kind];
  const { sensitive = true, extractable = false } = attributes;
  const own: KeyAttributes = {
    class: pair ? 'private-key' : 'secret-key', keyType, id, label, token: true, private: attributes.private ?? true, sensitive, extractable, alwaysSensitive: local && sensitive,
    neverExtractable: local && !extractable, local, modifiable: attributes.modifiable ?? false, sign: attributes.sign ?? null, verify: attributes.verify ?? null, encrypt: attributes.encrypt ?? null,
    decrypt: attributes.decrypt ?? null, wrap: attributes.wrap ?? null, unwrap: attributes.unwrap ?? null, derive: attributes.derive ?? null, generatedBy: local ? (pair ? 'CKM_EC_KEY_PAIR_GEN' : 'CKM_AES_KEY_GEN') : null, keysRemaining: null,
  };
  const publicHalf: KeyAttributes = { ...own, class: 'public-key', private: false, sensitive: null, extractable: null, alwaysSensitive: null, neverExtractable: null };
  return {
    private: pair ? own : null, public: pair ? publicHalf : null, secret: pair ? null : own, spki: pair ? b64(91) : null, check: checkOf(!pair, id),
    more: { copyable: null, destroyable: null, wrapWithTrusted: null, alwaysAuthenticate: null, encapsulate: null, decapsulate: null },
    weakTests: pair ? ['point on curve', 'known weak keys'] : [],
    tried: [{ name: pair ? 'sign and verify' : 'encrypt and decrypt', detail: 'a fresh message, compared with software' }],
  };
}

const kindOf = (object: ObjectFact): KeyKind => (object.class === 'secret-key' ? 'aes-256' : object.keyType === 'CKK_RSA' ? 'rsa-2048' : 'ec-p256');

/** What a token that does as it is told would have come to. `objects`: how many were listed before. */
export function pretendResult({ change, order }: Change, seen: TokenFacts, objects: number): Record<string, unknown> {
  switch (change) {
    case 'init-token': return { before: seen, after: { ...seen, serial: seen.serial === '' ? '00000000feedface' : seen.serial, label: (order as ChangeOrder<'init-token'>).label, flags: ['CKF_RNG', 'CKF_LOGIN_REQUIRED', 'CKF_TOKEN_INITIALIZED'] }, objects };
    case 'set-user-pin': case 'change-pin': return { before: seen, after: { ...seen, flags: [...new Set([...seen.flags, 'CKF_USER_PIN_INITIALIZED'])] } };
    case 'generate-key': {
      const { kind, id, label, attributes } = order as ChangeOrder<'generate-key'>;
      return { mechanism: KINDS[kind].pair ? 'CKM_EC_KEY_PAIR_GEN' : 'CKM_AES_KEY_GEN', ...readBack(kind, id, label, attributes, true) };
    }
    case 'import-key': case 'unwrap-key': {
      const { kind, id, label, attributes } = order as ChangeOrder<'import-key'>;
      return readBack(kind, id, label, attributes, false);
    }
    case 'copy-object': {
      const { object, id, label, attributes } = order as ChangeOrder<'copy-object'>;
      // The same key: its check value is that of the one it was copied from.
      const copy = { ...readBack(kindOf(object), id, label, attributes, true), check: object.check };
      return object.class === 'public-key' ? { ...copy, private: null } : copy;
    }
    case 'import-certificate': {
      const { id, label, certificate } = order as ChangeOrder<'import-certificate'>;
      return { object: { class: 'certificate', id, label, keyType: 'X.509' }, sha256: toHex(sha256(Buffer.from(certificate, 'base64url'))), key: 'fits' };
    }
    case 'edit-object': {
      const { object: { check: _said, ...before }, label, id, attributes } = order as ChangeOrder<'edit-object'>;
      const changed = [
        ...(label === null ? [] : [{ attribute: 'CKA_LABEL', from: before.label, to: label }]),
        ...(id === null ? [] : [{ attribute: 'CKA_ID', from: before.id, to: id }]),
        ...Object.entries(attributes).map(([name, value]) => ({ attribute: `CKA_${name.toUpperCase()}`, from: String(!value), to: String(value) })),
      ];
      return { before, after: { ...before, label: label ?? before.label, id: id ?? before.id }, changed };
    }
    case 'destroy-object': {
      const { object: { check: _said, ...object } } = order as ChangeOrder<'destroy-object'>;
      return { object, before: 1, after: 0 };
    }
    case 'wrap-key': {
      const { key, under, method } = order as ChangeOrder<'wrap-key'>;
      const kind = kindOf(key);
      const file: WrappedKeyFile = {
        format: 'conclave-token-key/1', method, mechanism: method === 'RSA-OAEP' ? 'CKM_RSA_PKCS_OAEP' : 'CKM_AES_KEY_WRAP_KWP',
        key: { id: key.id.padEnd(32, '0'), label: key.label, kind, attributes: { sensitive: true, extractable: true, sign: true }, check: key.check, spki: KINDS[kind].pair ? b64(91) : null },
        under: { token: seen.serial, id: under?.id ?? '', label: under?.label ?? 'a recipient', check: under?.check ?? checkOf(false, 'recipient') },
        encapsulation: method === 'hybrid' ? { algorithm: 'MLKEM768-X25519-SHA3-256', ciphertext: b64(1120) } : null, wrapped: b64(80),
      };
      return method === 'hybrid'
        ? { file, rehearsed: null, why: 'The recipient’s private key is not on this token.' }
        : { file, rehearsed: { compared: 'check value and attributes of the unwrapped copy', wiped: true }, why: null };
    }
    case 'sign-request': return { request: b64(300) };
    case 'self-sign': return { certificate: b64(600) };
  }
}

/** What is listed afterwards. */
export function listedAfter({ change, order }: Change, result: Record<string, unknown>, before: readonly ObjectFact[]): ObjectFact[] {
  const same = (object: ObjectFact) => (one: ObjectFact) => one.class === object.class && one.id === object.id && one.label === object.label;
  const halves = () => {
    const { private: own, public: other, secret } = result as ChangeResult<'unwrap-key'>;
    return [own, other, secret].flatMap((key) => (key ? [{ class: key.class, id: key.id, label: key.label, keyType: key.keyType }] : []));
  };
  switch (change) {
    case 'init-token': return [];
    case 'generate-key': case 'import-key': case 'unwrap-key': case 'copy-object': return [...halves(), ...before];
    case 'import-certificate': return [(result as ChangeResult<'import-certificate'>).object, ...before];
    case 'edit-object': {
      const { before: was, after } = result as ChangeResult<'edit-object'>;
      return before.map((object) => (same(was)(object) ? after : object));
    }
    case 'destroy-object': return before.filter((object) => !same((order as ChangeOrder<'destroy-object'>).object)(object));
    case 'set-user-pin': case 'change-pin': case 'wrap-key': case 'sign-request': case 'self-sign': return [...before];
  }
}
