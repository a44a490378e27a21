/**
 * A SmartCard-HSM as far as OpenSC's driver `sc-hsm` talks to it: command APDUs in, response APDUs out (ISO 7816-4).
 * card-reader.ts puts it into a virtual reader.
 *
 * What it does not do it refuses by status word: AES keys, key wrap, key domains, curves other than NIST's. The signatures on
 * its own certificates are random bytes: nothing here proves where a key comes from.
 */
import {
  constants, createHash, createPublicKey, diffieHellman, generateKeyPair, privateDecrypt, privateEncrypt, randomBytes, type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { p256, p384, p521 } from '@noble/curves/nist.js';

/** By which OpenSC knows a SmartCard-HSM. */
export const ATR = Buffer.from('3bfe1800008131fe458031815448534d31738021408107fa', 'hex');

const AID = Buffer.from('e82b0601040181c31f0201', 'hex');
/** Version 3.5, in the last octets of what SELECT answers. */
const SELECTED = Buffer.concat([tlv(0x82, [0x78]), tlv(0x84, AID), tlv(0x85, [0, 0, 0xff, 3, 5])]);
/** The password of the SO of a card that nobody initialised: eight octets, which OpenSC takes as sixteen hex digits. */
const FACTORY_SO_PIN = Buffer.from('3537363231383830', 'hex');
const USER_PIN = 0x81;
const SO_PIN = 0x88;
const SO_TRIES = 15;
const DEVICE_CERTIFICATE = '2f02';
/** PKCS#15 TokenInfo, where the card's label stands. */
const TOKEN_INFO = '2f03';
/** First octet of the names of files that are read only after login. */
const PRIVATE_DATA = 'cd';
const KEY = 'cc';
/** What the two octets of its size can say. */
const LARGEST_FILE = 0xffff;

const SW = {
  done: 0x9000, tries: 0x63c0, notAllowed: 0x6982, blocked: 0x6983, notInitialised: 0x6984, wrongData: 0x6a80, notFound: 0x6a82, wrongParameters: 0x6a86,
  noSuchReference: 0x6a88, wrongOffset: 0x6b00, unknownInstruction: 0x6d00, failed: 0x6f00, more: 0x6100, noMore: 0x6985, noRoom: 0x6a84,
} as const;

const CURVES = [
  { name: 'P-256', field: 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff', ecdsa: p256 },
  { name: 'P-384', field: 'fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff', ecdsa: p384 },
  { name: 'P-521', field: `01${'ff'.repeat(65)}`, ecdsa: p521 },
] as const;

// --- BER-TLV -----------------------------------------------------------------------------------------------------------

function tlv(tag: number, ...values: readonly (Uint8Array | readonly number[])[]): Buffer {
  const value = Buffer.concat(values.map((part) => Buffer.from(part)));
  const length = value.length < 0x80 ? [value.length] : value.length < 0x100 ? [0x81, value.length] : [0x82, value.length >> 8, value.length & 0xff];
  return Buffer.concat([Buffer.from(tag > 0xff ? [tag >> 8, tag & 0xff] : [tag]), Buffer.from(length), value]);
}

/** One level of it, by tag; tags have one or two octets here. */
function readTlv(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length;) {
    let tag = bytes[at++]!;
    if ((tag & 0x1f) === 0x1f) tag = tag * 0x100 + bytes[at++]!;
    let length = bytes[at++]!;
    for (let more = length > 0x80 ? length - 0x80 : 0, first = true; more > 0; more--, first = false) length = (first ? 0 : length * 0x100) + bytes[at++]!;
    found.set(tag, bytes.subarray(at, at + length));
    at += length;
  }
  return found;
}

/** A card-verifiable certificate: the shape that BSI TR-03110 part 3 section C.1 has. */
function cvc(authority: string, publicKey: readonly Buffer[], holder: Uint8Array): Buffer {
  const body = tlv(0x7f4e, tlv(0x5f29, [0]), tlv(0x42, Buffer.from(authority)), tlv(0x7f49, ...publicKey), tlv(0x5f20, holder));
  return tlv(0x7f21, body, tlv(0x5f37, randomBytes(64)));
}

// --- keys --------------------------------------------------------------------------------------------------------------

const made = promisify(generateKeyPair);
const octets = (text: string | undefined) => Buffer.from(text ?? '', 'base64url');

function pointOf(key: KeyObject): Buffer {
  const { x, y } = key.export({ format: 'jwk' });
  return Buffer.concat([Buffer.of(4), octets(x), octets(y)]);
}

/** The digest, or the message of a command that has the card hash it. */
const HASHES: Readonly<Record<number, string>> = { 0x71: 'sha1', 0x72: 'sha224', 0x73: 'sha256' };

function ecdsa(key: KeyObject, how: number, data: Buffer): Buffer {
  const { crv, d } = key.export({ format: 'jwk' });
  const curve = CURVES.find(({ name }) => name === crv)!;
  const hash = HASHES[how];
  const digest = hash === undefined ? data : createHash(hash).update(data).digest();
  return Buffer.from(curve.ecdsa.sign(digest, octets(d), { prehash: false, format: 'der' }));
}

function agreed(key: KeyObject, point: Buffer): Buffer {
  const { crv = '' } = key.export({ format: 'jwk' });
  const width = (point.length - 1) / 2;
  const [x, y] = [point.subarray(1, 1 + width), point.subarray(1 + width)].map((part) => part.toString('base64url'));
  const publicKey = createPublicKey({ format: 'jwk', key: { kty: 'EC', crv, x: x!, y: y! } });
  return Buffer.concat([Buffer.of(4), diffieHellman({ privateKey: key, publicKey })]);
}

// --- the card ----------------------------------------------------------------------------------------------------------

interface Command {
  readonly chained: boolean;
  /** With 0x80 where the class is proprietary: 8050 is INITIALIZE DEVICE. */
  readonly instruction: number;
  readonly p1: number;
  readonly p2: number;
  readonly data: Buffer;
  /** How many octets are expected; 0: none. */
  readonly expected: number;
}

/** ISO 7816-3 section 12.1: short and extended lengths. */
function parseCommand(apdu: Buffer): Command {
  const [cla = 0, ins = 0, p1 = 0, p2 = 0, p3 = 0] = apdu;
  const command = (data: Buffer, expected: number): Command =>
    ({ chained: (cla & 0x10) !== 0, instruction: ((cla & 0x80) << 8) | ins, p1, p2, data, expected });
  if (apdu.length < 5) return command(Buffer.alloc(0), 0);
  if (apdu.length === 5) return command(Buffer.alloc(0), p3 || 0x100);
  if (p3 === 0 && apdu.length === 7) return command(Buffer.alloc(0), apdu.readUInt16BE(5) || 0x10000);
  const [start, length] = p3 === 0 ? [7, apdu.readUInt16BE(5)] : [5, p3];
  const rest = apdu.subarray(start + length);
  const expected = rest.length === 0 ? 0 : rest.length === 1 ? rest[0]! || 0x100 : rest.readUInt16BE() || 0x10000;
  return command(apdu.subarray(start, start + length), expected);
}

/** A status word, or data that was asked for. */
type Response = number | Buffer;

export interface Personalisation {
  /** At most eleven characters: CardContact's are DECC0123456 and the like. */
  readonly serial: string;
  readonly label: string;
  /** Null: as the factory delivers it, without PIN and label. */
  readonly pin: string | null;
  /** Tries that a PIN has. */
  readonly tries: number;
}

export class SmartCardHsm {
  readonly #serial: string;
  readonly #files = new Map<string, Buffer>();
  readonly #keys = new Map<number, KeyObject>();
  #pin: Buffer | null;
  #soPin = FACTORY_SO_PIN;
  #mostTries: number;
  #tries: number;
  #soTries = SO_TRIES;

  #selected = false;
  #loggedIn = false;
  #file = '';
  /** Data of a command that comes in pieces. */
  #chain: Buffer = Buffer.alloc(0);
  /** What of an answer is still to be fetched with GET RESPONSE. */
  #remainder: Buffer = Buffer.alloc(0);

  constructor({ serial, label, pin, tries }: Personalisation) {
    this.#serial = serial;
    this.#pin = pin === null ? null : Buffer.from(pin);
    this.#mostTries = tries;
    this.#tries = pin === null ? 0 : tries;
    const point = Buffer.concat([Buffer.of(4), randomBytes(64)]);
    this.#files.set(DEVICE_CERTIFICATE, cvc('UTSRCACC100001', [tlv(6, Buffer.from('04007f00070202020203', 'hex')), tlv(0x86, point)], this.#holder()));
    if (pin !== null) {
      const flags = tlv(3, [3, 0x08]); // PKCS#15 section 6.9: pinned, writable
      this.#files.set(TOKEN_INFO, tlv(0x30, tlv(2, [0]), tlv(4, Buffer.from(serial)), tlv(0x0c, Buffer.from('CardContact')), tlv(0x80, Buffer.from(label)), flags));
    }
  }

  /** Certificate holder reference: the serial number and a sequence number of five digits. */
  #holder(): Buffer {
    return Buffer.from(`${this.#serial}00001`);
  }

  /** The card loses its power, or gets it again: what is not on a file is forgotten. */
  reset(): void {
    this.#selected = this.#loggedIn = false;
    this.#file = '';
    this.#chain = this.#remainder = Buffer.alloc(0);
  }

  /** The response to one command APDU. Never throws. */
  async respond(apdu: Buffer): Promise<Buffer> {
    const command = parseCommand(apdu);
    if (command.instruction === 0xc0) return this.#remainder.length === 0 ? word(SW.noMore) : this.#piece(command.expected || 0x100);
    this.#remainder = Buffer.alloc(0);
    const data = Buffer.concat([this.#chain, command.data]);
    this.#chain = command.chained ? data : Buffer.alloc(0);
    if (command.chained) return word(SW.done);
    try {
      const response = await this.#carryOut({ ...command, data });
      if (typeof response === 'number') return word(response);
      this.#remainder = response;
      return this.#piece(Math.max(command.expected, 0x100));
    } catch {
      return word(SW.failed);
    }
  }

  #piece(most: number): Buffer {
    const piece = this.#remainder.subarray(0, most);
    this.#remainder = this.#remainder.subarray(most);
    const left = this.#remainder.length;
    return Buffer.concat([piece, word(left === 0 ? SW.done : SW.more | Math.min(left, 0xff))]);
  }

  async #carryOut({ instruction, p1, p2, data, expected }: Command): Promise<Response> {
    if (instruction === 0xa4) return this.#select(p1, p2, data);
    if (!this.#selected) return SW.unknownInstruction;
    const named = p1 !== 0 || p2 !== 0 ? Buffer.of(p1, p2).toString('hex') : this.#file;
    switch (instruction) {
      case 0x20: return p2 === USER_PIN ? this.#verify(data) : p2 === SO_PIN ? this.#verifySo(data) : SW.noSuchReference;
      case 0x24: return p2 === USER_PIN ? this.#changePin(data) : this.#changeSoPin(data);
      case 0x2c: return this.#unblock(data);
      case 0x84: return randomBytes(expected || 0x100);
      case 0x8050: return this.#initialise(readTlv(data));
      case 0x8058: return this.#names();
      case 0xb1: return this.#readFile(named, readTlv(data), expected || 0x100);
    }
    if (!this.#loggedIn) return SW.notAllowed;
    switch (instruction) {
      case 0xd7: return this.#writeFile(named, readTlv(data));
      case 0xe4: return this.#delete(data.toString('hex'));
      case 0x46: return this.#generate(p1, readTlv(data));
      case 0x8068: return this.#withKey(p1, (key) => sign(key, p2, data));
      case 0x8062: return this.#withKey(p1, (key) => decrypt(key, p2, data));
      default: return SW.unknownInstruction;
    }
  }

  // --- files -----------------------------------------------------------------------------------------------------------

  #select(p1: number, p2: number, data: Buffer): Response {
    const quiet = p2 === 0x0c;
    if (p1 === 4) {
      if (!data.equals(AID)) return SW.notFound;
      this.#selected = true;
      this.#loggedIn = false;
      return quiet ? SW.done : tlv(0x6f, SELECTED);
    }
    const name = data.toString('hex') || '3f00';
    const file = name === '3f00' ? Buffer.alloc(0) : this.#files.get(name);
    if (file === undefined) return SW.notFound;
    this.#file = name;
    return quiet ? SW.done : tlv(0x6f, tlv(0x80, [file.length >> 8, file.length & 0xff]), tlv(0x82, [1]), tlv(0x83, Buffer.from(name, 'hex')));
  }

  /** ENUMERATE OBJECTS: two octets each. */
  #names(): Buffer {
    const files = [...this.#files.keys()].filter((name) => !name.startsWith('2f'));
    return Buffer.concat([...[...this.#keys.keys()].map((reference) => Buffer.of(0xcc, reference)), ...files.map((name) => Buffer.from(name, 'hex'))]);
  }

  #readFile(name: string, how: Map<number, Buffer>, most: number): Response {
    const file = this.#files.get(name);
    if (file === undefined) return SW.notFound;
    if (name.startsWith(PRIVATE_DATA) && !this.#loggedIn) return SW.notAllowed;
    this.#file = name;
    const from = how.get(0x54)?.readUInt16BE() ?? 0;
    return from > file.length ? SW.wrongOffset : Buffer.from(file.subarray(from, from + most));
  }

  #writeFile(name: string, how: Map<number, Buffer>): Response {
    const before = this.#files.get(name) ?? Buffer.alloc(0);
    const [from, piece] = [how.get(0x54)?.readUInt16BE() ?? 0, how.get(0x53) ?? Buffer.alloc(0)];
    const file = Buffer.alloc(Math.max(before.length, from + piece.length));
    before.copy(file);
    piece.copy(file, from);
    if (file.length > LARGEST_FILE) return SW.noRoom;
    this.#files.set(name, file);
    this.#file = name;
    return SW.done;
  }

  #delete(name: string): Response {
    if (this.#file === name) this.#file = '';
    const gone = name.startsWith(KEY) ? this.#keys.delete(Number.parseInt(name.slice(2), 16)) : this.#files.delete(name);
    return gone ? SW.done : SW.notFound;
  }

  // --- PINs ------------------------------------------------------------------------------------------------------------

  /** Without data it only tells how many tries are left. */
  #verify(pin: Buffer): Response {
    if (this.#pin === null) return SW.notInitialised;
    if (pin.length === 0 && this.#loggedIn) return SW.done;
    if (this.#tries === 0) return SW.blocked;
    if (pin.length === 0) return SW.tries | this.#tries;
    this.#loggedIn = pin.equals(this.#pin);
    return this.#loggedIn ? this.#accepted() : this.#refused();
  }

  #accepted(): Response {
    this.#tries = this.#mostTries;
    return SW.done;
  }

  #refused(): Response {
    this.#tries--;
    return this.#tries === 0 ? SW.blocked : SW.tries | this.#tries;
  }

  #changePin(data: Buffer): Response {
    if (this.#pin === null) return SW.notInitialised;
    if (this.#tries === 0) return SW.blocked;
    const { length } = this.#pin;
    if (!data.subarray(0, length).equals(this.#pin)) return this.#refused();
    this.#pin = Buffer.from(data.subarray(length));
    return this.#accepted();
  }

  #verifySo(pin: Buffer): Response {
    if (this.#soTries === 0) return SW.blocked;
    if (pin.length === 0) return SW.tries | this.#soTries;
    if (pin.equals(this.#soPin)) {
      this.#soTries = SO_TRIES;
      return SW.done;
    }
    this.#soTries--;
    return this.#soTries === 0 ? SW.blocked : SW.tries | this.#soTries;
  }

  #changeSoPin(data: Buffer): Response {
    const verified = this.#verifySo(data.subarray(0, 8));
    if (verified === SW.done) this.#soPin = Buffer.from(data.subarray(8));
    return verified;
  }

  /** RESET RETRY COUNTER: the SO's PIN, and the user's new one unless the old one is to stay. */
  #unblock(data: Buffer): Response {
    const verified = this.#verifySo(data.subarray(0, 8));
    if (verified !== SW.done) return verified;
    if (data.length > 8) this.#pin = Buffer.from(data.subarray(8));
    return this.#accepted();
  }

  #initialise(how: Map<number, Buffer>): Response {
    const [pin, soPin] = [how.get(0x81), how.get(0x82)];
    if (pin === undefined || soPin === undefined) return SW.wrongData;
    if (this.#pin !== null) {
      const verified = this.#verifySo(soPin);
      if (verified !== SW.done) return verified === SW.blocked ? SW.blocked : SW.notAllowed;
    }
    this.reset();
    this.#selected = true;
    this.#pin = Buffer.from(pin);
    this.#soPin = Buffer.from(soPin);
    this.#soTries = SO_TRIES;
    this.#mostTries = this.#tries = how.get(0x91)?.[0] ?? 3;
    this.#keys.clear();
    for (const name of this.#files.keys()) if (name !== DEVICE_CERTIFICATE) this.#files.delete(name);
    return SW.done;
  }

  // --- keys ------------------------------------------------------------------------------------------------------------

  /** GENERATE ASYMMETRIC KEY PAIR. Answers an authenticated certificate request, from which OpenSC takes the public key. */
  async #generate(reference: number, request: Map<number, Buffer>): Promise<Response> {
    const template = request.get(0x7f49);
    const holder = request.get(0x5f20);
    if (template === undefined || holder === undefined) return SW.wrongData;
    const wanted = readTlv(template);
    const method = tlv(6, wanted.get(6) ?? []);
    const size = wanted.get(2);
    let publicKey: Buffer[];
    if (size !== undefined) {
      const pair = await made('rsa', { modulusLength: Number.parseInt(size.toString('hex'), 16) });
      const { n, e } = pair.publicKey.export({ format: 'jwk' });
      publicKey = [method, tlv(0x81, octets(n)), tlv(0x82, octets(e))];
      this.#keys.set(reference, pair.privateKey);
    } else {
      const field = wanted.get(0x81)?.toString('hex').replace(/^(00)+/, '');
      const curve = CURVES.find((candidate) => candidate.field === field);
      if (curve === undefined) return SW.wrongData;
      const pair = await made('ec', { namedCurve: curve.name });
      const domain = (tags: readonly number[]) => tags.flatMap((tag) => (wanted.has(tag) ? [tlv(tag, wanted.get(tag)!)] : []));
      publicKey = [method, ...domain([0x81, 0x82, 0x83, 0x84, 0x85]), tlv(0x86, pointOf(pair.publicKey)), ...domain([0x87])];
      this.#keys.set(reference, pair.privateKey);
    }
    return tlv(0x67, cvc('UTCA00001', publicKey, holder), tlv(0x42, this.#holder()), tlv(0x5f37, randomBytes(64)));
  }

  #withKey(reference: number, use: (key: KeyObject) => Response): Response {
    const key = this.#keys.get(reference);
    return key === undefined ? SW.noSuchReference : use(key);
  }
}

const word = (status: number): Buffer => Buffer.of(status >> 8, status & 0xff);

/** `how` for RSA: 20 is the block as it is, 30 asks for the padding of PKCS#1 v1.5. */
function sign(key: KeyObject, how: number, data: Buffer): Response {
  if (key.asymmetricKeyType === 'ec') return ecdsa(key, how, data);
  switch (how) {
    case 0x20: return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, data);
    case 0x30: return privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, data);
    default: return SW.wrongParameters;
  }
}

function decrypt(key: KeyObject, how: number, data: Buffer): Response {
  if (how === 0x80) return agreed(key, data);
  return key.asymmetricKeyType === 'rsa' ? privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, data) : SW.wrongParameters;
}
