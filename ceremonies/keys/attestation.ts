/**
 * What a vendor's device attests of a key that it holds, verified without any network against an anchor that the administrator
 * supplies: YubiKey PIV and YubiHSM 2 (X.509 with Yubico's extensions), SmartCard-HSM and its kin (card-verifiable certificates).
 *
 * With an unbroken chain to the anchor and no finding, and only then, facts are `attested`; else they are what a file says.
 * A chain proves what the vendor's device signed; whether the anchor is the vendor's, whoever supplied it knows. A certificate
 * that is no CA issues nothing here: else a key that was itself attested could attest others.
 *
 * Sources: developers.yubico.com, PIV attestation, and YubiHSM 2 attestation; BSI TR-03110 part 3 annex C.3 (outer signature).
 */
import { equalBytes, fromUtf8, toHex } from '../bytes.ts';
import type { Proof } from '../evidence.ts';
import { Refused, refuse, type Refusal } from '../refusal.ts';
import { certificateSignatureFindings, readCertificate, type CertificateReading } from './chain.ts';
import { cardDateFault, cardSignatureFault, cardSubjectKey, isCardFile, readCardFile, type CardCertificate } from './cvc.ts';
import { derFault, expectTag, readDer, readUnsigned, TAG } from './der.ts';
import { nameText, readExtensionList, readPem, readSigned } from './signed.ts';
import { keyFindings, type SubjectKey } from './subject-key.ts';

export interface AttestedFact {
  readonly name: string;
  readonly value: string;
  readonly proof: Proof;
}

export interface Attestation {
  readonly vendor: 'YubiKey PIV' | 'YubiHSM 2' | 'SmartCard-HSM';
  /** Empty: the chain holds, and the key was made on the device. */
  readonly findings: readonly Refusal[];
  readonly facts: readonly AttestedFact[];
  /** The key of which it speaks. */
  readonly key: SubjectKey;
  /** From the key up to the anchor, as far as it goes, in words. */
  readonly chain: readonly string[];
}

const MISTRUST = 'Do not rely on this attestation: take what the token says of the key as its word only.';

/** Does a sound attestation speak of this very key? */
export function attestedKey(spki: Uint8Array, { findings, key }: Attestation): boolean {
  return findings.length === 0 && equalBytes(key.spki, spki);
}

/**
 * Judges the files of one attestation. Throws `Refused` ATTEST-FORMAT, PEM, DER-STRUCTURE or what a key breaks, where they
 * cannot be read; everything else is a finding: ATTEST-CHAIN, ATTEST-SIGNATURE, ATTEST-CA, ATTEST-DATES, ATTEST-CRITICAL,
 * ATTEST-GENERATED, SIGNATURE-* and WEAK-*. `at`: the moment at which every certificate must hold.
 */
export async function verifyAttestation(files: readonly Uint8Array[], anchor: Uint8Array, at: Date): Promise<Attestation> {
  const card = files.some(isCardFile);
  if (card !== isCardFile(anchor)) throw noFormat(`an anchor of ${card ? 'card-verifiable' : 'X.509'} certificates`, 'one of the other kind');
  const told = card ? await verifyCard(files, anchor, at) : await verifyYubico(files, anchor, at);
  const findings = [...told.findings, ...keyFindings(told.key)];
  return { ...told, findings, facts: told.facts.map(([name, value]) => ({ name, value, proof: findings.length === 0 ? 'attested' : 'reported' })) };
}

type Told = Omit<Attestation, 'facts'> & { readonly facts: readonly (readonly [name: string, value: string])[] };

function noFormat(expected: string, found: string): Refused {
  return new Refused(refuse('ATTEST-FORMAT', expected, found, 'Check that these are the files of one attestation, and of its vendor.'));
}

/** No vendor has as many. */
const LONGEST = 8;

// --- Yubico --------------------------------------------------------------------------------------------------------------

const PIV = '1.3.6.1.4.1.41482.3.';
const HSM = '1.3.6.1.4.1.41482.4.';
/** What every attestation of a key has, and no certificate of a device: PIN and touch policy; origin. */
const MARKS = [`${PIV}8`, `${HSM}3`];

type Vendor = ReadonlyMap<string, Uint8Array>;

function vendorExtensions(der: Uint8Array): Vendor {
  const wrapper = readSigned(der, 'certificate').body.find(({ tag }) => tag === 0xa3);
  const list = wrapper === undefined ? [] : readExtensionList(readDer(wrapper.content, 'certificate.extensions'), 'certificate.extensions');
  return new Map(list.filter(({ oid }) => oid.startsWith(PIV) || oid.startsWith(HSM)).map(({ oid, content }) => [oid, content]));
}

async function verifyYubico(files: readonly Uint8Array[], anchor: Uint8Array, at: Date): Promise<Told> {
  const certificates = files.flatMap((file) => readPem(file, ['CERTIFICATE'])).map(({ der }) => ({ reading: readCertificate(der), vendor: vendorExtensions(der) }));
  const anchors = readPem(anchor, ['CERTIFICATE']).map(({ der }) => readCertificate(der));
  const marked = certificates.filter(({ vendor }) => MARKS.some((oid) => vendor.has(oid)));
  const leaves = marked.filter(({ reading }) => !certificates.some((other) => other.reading !== reading && equalBytes(other.reading.issuer, reading.subject)));
  const [leaf] = leaves;
  if (leaf === undefined || leaves.length > 1) throw noFormat('one certificate with Yubico\'s extensions of a key', `${leaves.length}`);
  const { path, findings } = await climb(leaf.reading, certificates.map(({ reading }) => reading), anchors, at);
  const piv = leaf.vendor.has(MARKS[0]!);
  const { facts, findings: own } = piv ? pivFacts(leaf.reading, leaf.vendor) : hsmFacts(leaf.vendor);
  return { vendor: piv ? 'YubiKey PIV' : 'YubiHSM 2', key: leaf.reading.key, chain: path.map(({ subject }) => nameText(subject)), facts, findings: [...findings, ...own] };
}

/** From the attestation to an anchor, by name and signature. An anchor is trusted as it is, its dates too; everything between must be a CA. */
async function climb(leaf: CertificateReading, known: readonly CertificateReading[], anchors: readonly CertificateReading[], at: Date): Promise<{ readonly path: CertificateReading[]; readonly findings: Refusal[] }> {
  const path = [leaf];
  const findings: Refusal[] = [];
  for (let current = leaf; ;) {
    const name = nameText(current.subject);
    if (current.notBefore > at || at > current.notAfter) findings.push(refuse('ATTEST-DATES', `${name}: valid at ${at.toISOString()}`, `${current.notBefore.toISOString()} to ${current.notAfter.toISOString()}`, MISTRUST));
    if (current.unknownCritical.length > 0) findings.push(refuse('ATTEST-CRITICAL', `${name}: no critical extension that is not understood`, current.unknownCritical.join(', '), MISTRUST));
    const named = [...anchors, ...known.filter((one) => !path.includes(one))].filter((one) => equalBytes(one.subject, current.issuer));
    if (named.length === 0 || path.length > LONGEST) {
      findings.push(refuse('ATTEST-CHAIN', `${name}: a chain to the anchor`, `no certificate of ${nameText(current.issuer)}`, 'Give the certificates between, and the anchor of this vendor. Without them the token\'s word is all there is.'));
      return { path, findings };
    }
    let issuer: CertificateReading | undefined;
    let faults: readonly Refusal[] = [];
    for (const one of named) {
      faults = await certificateSignatureFindings(current, one.key);
      if (faults.length > 0) continue;
      issuer = one;
      break;
    }
    if (issuer === undefined) return { path, findings: [...findings, ...faults] };
    path.push(issuer);
    if (anchors.includes(issuer)) return { path, findings };
    const below = path.length - 2; // CAs between this one and the attestation
    if (!issuer.ca || (issuer.keyUsage !== null && !issuer.keyUsage.includes('keyCertSign')) || (issuer.pathLength !== null && issuer.pathLength < below)) {
      findings.push(refuse('ATTEST-CA', `${nameText(issuer.subject)}: a CA that may issue this`, 'one that may not', MISTRUST));
    }
    current = issuer;
  }
}

const named = (names: Readonly<Record<number, string>>, number: number | undefined): string => names[number ?? -1] ?? `unknown (${number ?? 'none'})`;
const PIN_POLICY = { 1: 'never', 2: 'once per session', 3: 'always', 4: 'fingerprint or PIN, once', 5: 'fingerprint or PIN, always' };
const TOUCH_POLICY = { 1: 'never', 2: 'always', 3: 'always, remembered for 15 seconds' };
const FORM_FACTOR = { 1: 'USB-A keychain', 2: 'USB-A nano', 3: 'USB-C keychain', 4: 'USB-C nano', 5: 'Lightning and USB-C', 6: 'USB-A with fingerprint', 7: 'USB-C with fingerprint' };

/** Firmware, policies and form factor are bare octets there, only the serial number is DER. A YubiKey attests no key that it did not make. */
function pivFacts(leaf: CertificateReading, vendor: Vendor): Pick<Told, 'facts' | 'findings'> {
  const octets = (arc: number, length: number): Uint8Array | null => {
    const content = vendor.get(`${PIV}${arc}`);
    if (content === undefined) return null;
    if (content.length < length) throw derFault(`${PIV}${arc}`, `${length} octets`, `${content.length}`);
    return content;
  };
  const [firmware, policy, form] = [octets(3, 3), octets(8, 2), octets(9, 1)];
  const serial = vendor.get(`${PIV}7`);
  const slot = /YubiKey PIV Attestation ([0-9a-f]{2})\b/i.exec(nameText(leaf.subject))?.[1];
  return {
    findings: [],
    facts: [
      ['origin', 'generated on the device'],
      ...slot === undefined ? [] : [['slot', slot] as const],
      ...firmware === null ? [] : [['firmware', firmware.subarray(0, 3).join('.')] as const],
      ...serial === undefined ? [] : [['serial', decimal(serial, `${PIV}7`)] as const],
      ...policy === null ? [] : [['PIN', named(PIN_POLICY, policy[0])], ['touch', named(TOUCH_POLICY, policy[1])]] as const,
      // The upper two bits say FIPS and Security Key series.
      ...form === null ? [] : [['form', `${named(FORM_FACTOR, form[0]! & 0x3f)}${(form[0]! & 0x80) === 0 ? '' : ', FIPS series'}`] as const],
    ],
  };
}

const GENERATED = 0x01;
const IMPORTED = 0x02;
const IMPORTED_WRAPPED = 0x10;
/** Bit of exportable-under-wrap, counted from the end of the eight octets. */
const EXPORTABLE = 1n << 16n;

function hsmFacts(vendor: Vendor): Pick<Told, 'facts' | 'findings'> {
  const read = <T>(arc: number, reader: (content: Uint8Array, field: string) => T): T | null => {
    const content = vendor.get(`${HSM}${arc}`);
    return content === undefined ? null : reader(content, `${HSM}${arc}`);
  };
  const bits = (content: Uint8Array, field: string): bigint => BigInt(`0x0${toHex(expectTag(readDer(content, field), TAG.bitString, field).content.subarray(1))}`);
  const firmware = read(1, (content, field) => expectTag(readDer(content, field), TAG.octetString, field).content.join('.'));
  const [serial, id] = [read(2, decimal), read(6, decimal)];
  const [origin, domains, capabilities] = [read(3, bits), read(4, bits), read(5, bits)];
  const label = read(9, (content, field) => fromUtf8(expectTag(readDer(content, field), 0x0c, field).content));
  const from = Number(origin ?? 0n);
  const words = [...(from & GENERATED) === 0 ? [] : ['generated'], ...(from & IMPORTED) === 0 ? [] : ['imported'], ...(from & IMPORTED_WRAPPED) === 0 ? [] : ['brought in wrapped']].join(', ') || `unknown (${from})`;
  return {
    // A key that came back wrapped says "generated" too, of the device that it was generated on.
    findings: from === GENERATED ? [] : [refuse('ATTEST-GENERATED', 'a key that was generated on this device', words, 'It has been outside: judge it by what is known of its way here.')],
    facts: [
      ['origin', from === GENERATED ? 'generated on the device' : words],
      ...firmware === null ? [] : [['firmware', firmware] as const], ...serial === null ? [] : [['serial', serial] as const],
      ...id === null ? [] : [['object', `0x${Number(id).toString(16).padStart(4, '0')}`] as const], ...label === null || label === '' ? [] : [['label', label.slice(0, 40)] as const],
      ...domains === null ? [] : [['domains', Array.from({ length: 16 }, (_, i) => i + 1).filter((domain) => ((domains >> BigInt(domain - 1)) & 1n) === 1n).join(', ')] as const],
      ...capabilities === null ? [] : [['capabilities', `0x${capabilities.toString(16).padStart(16, '0')}`], ['may leave wrapped', (capabilities & EXPORTABLE) === 0n ? 'no' : 'yes']] as const,
    ],
  };
}

function decimal(content: Uint8Array, field: string): string {
  return `${BigInt(`0x0${toHex(readUnsigned(readDer(content, field), field))}`)}`;
}

// --- SmartCard-HSM -------------------------------------------------------------------------------------------------------

/** EF.DevAut holds the certificates of the device and of who issued it; the root is the anchor. */
async function verifyCard(files: readonly Uint8Array[], anchor: Uint8Array, at: Date): Promise<Told> {
  const read = files.map(readCardFile);
  const attestations = read.flatMap((one) => one.attestations);
  const [attestation] = attestations;
  if (attestation === undefined || attestations.length > 1) throw noFormat('one attested request of a key', `${attestations.length}`);
  const [known, anchors] = [read.flatMap((one) => one.certificates), readCardFile(anchor).certificates];
  const path: CardCertificate[] = [];
  const findings: Refusal[] = [];
  for (let name = attestation.device; ;) {
    // An anchor is known by its own bytes: a certificate that only bears its name is none.
    const next = anchors.find(({ holder }) => holder === name) ?? known.find((one) => one.holder === name && !path.includes(one));
    if (next === undefined || path.length > LONGEST) {
      findings.push(refuse('ATTEST-CHAIN', `${path.at(-1)?.holder ?? 'the request'}: a chain to the anchor`, `no certificate of ${name}`, 'Give the device\'s certificates (EF 2F02), and the anchor of this vendor.'));
      break;
    }
    path.push(next);
    if (anchors.includes(next)) break;
    name = next.issuer;
  }
  // Downwards, because a key without domain parameters has those of its issuer.
  let curve: Parameters<typeof cardSubjectKey>[1] = null;
  const keys: SubjectKey[] = [];
  for (const { key } of path.toReversed()) {
    curve = key.curve ?? curve;
    keys.unshift(cardSubjectKey(key, curve));
  }
  const key = cardSubjectKey(attestation.request.key, curve);
  const { request, device } = attestation;
  const faults: (Refusal | null)[] = [await cardSignatureFault(request.key, key, request.body, request.signature, 'the request, by its own key')];
  for (const [i, one] of path.entries()) {
    const of = i === 0 ? 'the request, by its device' : path[i - 1]!.holder;
    const signed = i === 0 ? attestation : { signed: path[i - 1]!.body, signature: path[i - 1]!.signature };
    faults.push(await cardSignatureFault(one.key, keys[i]!, signed.signed, signed.signature, of), anchors.includes(one) ? null : cardDateFault(one, at));
  }
  return {
    vendor: 'SmartCard-HSM', key, chain: [request.holder, ...path.map(({ holder }) => holder)],
    facts: [['origin', 'generated on the device'], ['device', device], ['holder', request.holder]],
    findings: [...findings, ...faults.flatMap((one) => one ?? [])],
  };
}
