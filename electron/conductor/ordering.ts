/**
 * From what an officer points at and wishes to an order that can be recorded: references instead of places, fresh CKA_IDs,
 * serial numbers and dates. It reads from the token and never changes it; whether the order is allowed is `check`'s part.
 */
import { createHash } from 'node:crypto';
import { fromUtf8, toBase64url, toHex } from '../../ceremonies/bytes.ts';
import { WrappedKeyFile, type ChangeOrder, type Intent, type ObjectReference } from '../../ceremonies/evidence.ts';
import type { ObjectPlace } from '../../ceremonies/estate.ts';
import { readCertificate } from '../../ceremonies/keys/chain.ts';
import { importFault } from '../../ceremonies/keys/import.ts';
import { derParts, readDer, TAG } from '../../ceremonies/keys/der.ts';
import { derOf, readPem } from '../../ceremonies/keys/signed.ts';
import { readSubjectKey } from '../../ceremonies/keys/subject-key.ts';
import { Refused, refuse } from '../../ceremonies/refusal.ts';
import type { ChangeRequest } from '../contract.ts';
import type { Answer as DeviceAnswer, Operation, Request as DeviceRequest } from '../devices/protocol.ts';

export interface OrderingWorld {
  /** Asks the process of the token's module. */
  readonly call: <O extends Operation>(operation: O, body: DeviceRequest<O>) => Promise<DeviceAnswer<O>>;
  readonly random: (bytes: number) => Uint8Array;
  readonly now: () => Date;
}

export interface Ordered {
  readonly intent: Intent<'administer'>;
  /** Encrypted, for the device process alone: only its digest stands in the order. */
  readonly file: Uint8Array | null;
}

/** Throws `Refused` OBJECT-MOVED, TOKEN-PRESENT, IMPORT-ENCRYPTED, WRAPPED-KEY-FILE, PEM. */
export async function orderOf(request: ChangeRequest, { call, random, now }: OrderingWorld): Promise<Ordered> {
  const { token } = request;
  const refer = (place: ObjectPlace): Promise<ObjectReference> => call('refer', { token, place });
  const fresh = () => toHex(random(16));
  const ordered = (order: ChangeOrder, file: Uint8Array | null = null): Ordered => ({ intent: { change: request.change, module: request.module, token, order }, file });
  switch (request.change) {
    case 'init-token': {
      const { slots } = await call('slots', {});
      const seen = slots.find((slot) => slot.token?.serial === token)?.token;
      if (!seen) throw new Refused(refuse('TOKEN-PRESENT', `token ${token}`, 'no such token', 'Put it in, and look at the list of tokens.'));
      return ordered({ label: request.label, seen });
    }
    case 'set-user-pin': return ordered({});
    case 'change-pin': return ordered({ whose: request.whose });
    case 'generate-key': {
      const { label, kind, attributes, despite } = request;
      return ordered({ id: fresh(), label, kind, attributes, despite });
    }
    case 'import-key': {
      const { label, kind, attributes, despite, file: { file, bytes } } = request;
      const fault = importFault(bytes);
      if (fault !== null) throw new Refused(fault);
      return ordered({ id: fresh(), label, kind, attributes, despite, file, sha256: createHash('sha256').update(bytes).digest('hex') }, bytes);
    }
    case 'import-certificate': {
      const key = request.place === null ? null : await refer(request.place);
      return ordered({ id: key?.id ?? fresh(), label: request.label, certificate: toBase64url(derOf(request.file.bytes, 'certificate')) });
    }
    case 'copy-object': return ordered({ object: await refer(request.place), id: fresh(), label: request.label, attributes: request.attributes, despite: request.despite });
    case 'edit-object': return ordered({ object: await refer(request.place), label: request.label, id: request.id, attributes: request.attributes, despite: request.despite });
    case 'destroy-object': return ordered({ object: await refer(request.place), typed: request.typed });
    case 'wrap-key': {
      const { place, under, recipient, method } = request;
      return ordered({ key: await refer(place), under: under === null ? null : await refer(under), recipient: recipient === null ? null : toBase64url(recipientKey(recipient.bytes)), method });
    }
    case 'unwrap-key': {
      const file = wrappedKeyFile(request.file.bytes);
      const { label, kind, attributes } = file.key;
      return ordered({ id: fresh(), label: request.label ?? label.slice(0, 64), kind, attributes: { ...attributes, ...request.attributes }, despite: request.despite, file, under: await refer(request.under) });
    }
    case 'sign-request': return ordered({ key: await refer(request.place), subject: request.subject });
    case 'self-sign': {
      // RFC 5280, 4.1.2.2: positive, at most 20 octets; CA/Browser Forum: at least 64 bits from a random source.
      const serial = random(16);
      serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
      const from = new Date(Math.floor(now().getTime() / 1000) * 1000);
      const to = new Date(from.getTime() + request.days * 86_400_000 - 1000);
      return ordered({ key: await refer(request.place), subject: request.subject, serialNumber: toHex(serial), notBefore: from.toISOString(), notAfter: to.toISOString() });
    }
  }
}

/** SubjectPublicKeyInfo of a public key or a certificate, PEM or DER. Whose it is was the officer's to compare. */
function recipientKey(file: Uint8Array): Uint8Array {
  const der = file[0] === TAG.sequence ? file : readPem(file, ['PUBLIC KEY', 'CERTIFICATE'])[0]?.der ?? file;
  const bare = derParts(derParts(readDer(der, 'recipient'), 'recipient')[0]!, 'recipient')[0]?.tag === TAG.oid;
  return bare ? readSubjectKey(der).spki : readCertificate(der).key.spki;
}

function wrappedKeyFile(bytes: Uint8Array): WrappedKeyFile {
  const fault = (found: string) => new Refused(refuse('WRAPPED-KEY-FILE', 'a wrapped key as `wrap-key` gives it', found, 'Choose the file that was written when the key was wrapped.'));
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    throw fault('no JSON');
  }
  const parsed = WrappedKeyFile.safeParse(value);
  if (!parsed.success) throw fault(`${parsed.error.issues[0]?.path.join('.') ?? ''}: ${parsed.error.issues[0]?.message ?? ''}`);
  return parsed.data;
}
