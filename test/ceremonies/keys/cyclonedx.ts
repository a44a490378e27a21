/** Judges a document by the official CycloneDX 1.7 schemas. Nothing outside test/ may import this. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';
import type { Cbom } from '../../../ceremonies/keys/cbom.ts';

const schema = (name: string): object =>
  JSON.parse(readFileSync(new URL(`../../../node_modules/@cyclonedx/cyclonedx-library/res/schema/${name}.SNAPSHOT.schema.json`, import.meta.url), 'utf8')) as object;

// The schemas use keywords of their own (meta:enum, deprecated). Two formats that ajv-formats lacks occur only in members that we never write.
const ajv = new Ajv({ strict: false, allErrors: true, formats: { 'iri-reference': true, 'idn-email': true } });
for (const name of ['cryptography-defs', 'jsf-0.82', 'spdx']) ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
addFormats.default(ajv);
const validate = ajv.compile(schema('bom-1.7'));

/** What the schema objects to; empty for a valid document. */
export function schemaFaults(document: unknown): readonly string[] {
  return validate(document) ? [] : (validate.errors ?? []).map((error: ErrorObject) => `${error.instancePath} ${error.message ?? ''}`);
}

/** Valid by the schema, every reference in it leads to a component of its own, and no two have one name. */
export function assertSound(bom: Cbom): void {
  const document = JSON.parse(JSON.stringify(bom)) as Cbom;
  assert.deepEqual(schemaFaults(document), []);
  const refs = document.components.map((component) => component['bom-ref']);
  assert.equal(new Set(refs).size, refs.length, 'a bom-ref twice');
  assert.deepEqual(document.dependencies.map((one) => one.ref), refs);
  const used = [...JSON.stringify(document).matchAll(/"(?:ref|algorithmRef)":"([^"]*)"/g)].map((match) => match[1]!);
  for (const ref of [...used, ...document.dependencies.flatMap((one) => [...one.dependsOn ?? [], ...one.provides ?? []])]) assert.ok(refs.includes(ref), `${ref} leads nowhere`);
}
