/**
 * From the inventory to the list of copies that a destruction is carried out by: every copy that stands as far as the records
 * know, what has to be destroyed for its ciphertext to become useless, who depends on the key, and what is not known.
 *
 * Pure. It proposes; people compare the list with their paper, add what no record knows, and approve it.
 */
import { holdsSecret, stands, type Copy, type CopyList } from './destruction.ts';
import { dependantsOf, escrowText, shareMediumText, wrappedFileText, type Holding, type Inventory, type InventoryKey } from './inventory.ts';
import { Refused, refuse } from './refusal.ts';

export interface MoreCopies {
  /** Paper, disks and the like, that are destroyed before everybody. */
  readonly people: readonly { readonly what: string; readonly how: string }[];
  readonly retention: readonly { readonly what: string; readonly until: string; readonly who: string }[];
  /** Why it is destroyed although something depends on it; empty where nothing does. */
  readonly despite: string;
}

/** The list, secret copies first. Throws `Refused` COPIES-NONE-LEFT. */
export function planDestruction(inventory: Pick<Inventory, 'keys'>, key: InventoryKey, more: MoreCopies): CopyList {
  const copies: Copy[] = [];
  const add = (copy: Copy): number => copies.push(copy);
  const standing = key.copies.filter(stands);
  const unreachable: string[] = [];
  /** Of some things the records tell no more than a serial number: nobody can ask them. */
  const reachable = (holding: Holding, what: string): boolean => {
    if (holding.module !== '') return true;
    unreachable.push(`${what}, on token ${holding.token}: no record tells where it can be reached`.slice(0, 300));
    return false;
  };
  const objects = standing.flatMap((copy) => (copy.kind === 'object' ? [copy] : []));
  for (const object of objects.filter(holdsSecret)) if (reachable(object, object.what)) add(onToken(object, null));
  const wrapping = new Map<string, number>();
  /** Keys that end with this one. */
  const ending = new Set([key.identity]);
  for (const copy of standing) {
    switch (copy.kind) {
      case 'object': break;
      case 'wrapped-part': {
        const place = `${copy.under.module} ${copy.under.token} ${copy.under.id}`;
        const held = secretKeyAt(inventory, copy.under);
        if (!held) break; // what it was under is gone already
        const number = wrapping.get(place) ?? add({ ...onToken(held.holding, null), what: `the key that the ${copy.part} part is wrapped under, on token ${copy.under.token}` });
        wrapping.set(place, number);
        ending.add(held.key);
        add({ what: `${copy.part === 'key' ? 'the key' : `the ${copy.part} half`}, wrapped in its record`, secret: true, by: { means: 'erasure', of: [number], enough: 1 } });
        break;
      }
      case 'wrapped-file': add({ what: wrappedFileText(copy), secret: true, by: { means: 'people', how: 'erase the file and every copy of it', physical: false } }); break;
      case 'escrow': add({ what: escrowText(copy), secret: true, by: { means: 'people', how: 'ask the agent to destroy the envelope and every copy of it, and to say so in writing', physical: false } }); break;
      case 'share-set': {
        const there = copy.custodians.filter(({ object }) => stands(object));
        const shares = there.filter(({ object, name, x }) => reachable(object, `share ${x} of ${name}`));
        const numbers = shares.map(({ object, name, x }) => add({ ...onToken(object, name), what: `share ${x} of ${name}, on card ${object.token}` }));
        for (const medium of (copy.media ?? []).filter(({ gone }) => gone === null)) {
          numbers.push(add({ what: shareMediumText(medium), secret: true, by: { means: 'people', how: medium.medium === 'envelope' ? 'erase every copy of the envelope, and have its holder erase the key file' : 'open the bag, read the number on the form aloud, and shred the form before everybody', physical: medium.medium === 'sheet' } }));
        }
        // Fewer than the threshold must be left: of cards and copies together no more than that, whichever they are.
        const enough = there.length + numbers.length - shares.length - copy.threshold + 1;
        if (enough > 0 && enough <= numbers.length) add({ what: `the key wrapped in its record, to be opened by ${copy.threshold} of ${copy.shares} shares`, secret: true, by: { means: 'erasure', of: numbers, enough } });
        break;
      }
    }
  }
  for (const { what, how } of more.people) add({ what, secret: true, by: { means: 'people', how, physical: true } });
  for (const { what, until, who } of more.retention) add({ what, secret: true, by: { means: 'retention', until, who } });
  if (!copies.some(({ secret }) => secret)) throw new Refused(refuse('COPIES-NONE-LEFT', 'a copy that could be destroyed', key.destruction.words, 'There is nothing to do, as far as the records know. Name copies that they do not know with --paper or --pending.'));
  for (const object of objects.filter((one) => !holdsSecret(one))) if (object.module !== '') add(onToken(object, null));
  return {
    format: 'conclave-copies/1', mode: key.rehearsal ? 'rehearsal' : 'real', key: { identity: key.identity, label: key.label, algorithm: key.algorithm }, copies,
    unknown: [...key.unknown.map((words) => words.slice(0, 300)), ...unreachable].slice(0, 50), despite: more.despite,
    // One that depends on two of them is one.
    dependants: [...new Map([...ending].flatMap((one) => dependantsOf(inventory, one)).map((one) => [one.key, one] as const)).values()]
      .filter(({ key: other }) => !ending.has(other)).map(({ label, key: other, how }) => `${label} (${other}): ${how}`.slice(0, 300)),
  };
}

function onToken({ module, token, class: kind, id, label, keyType, check, what }: Holding, holder: string | null): Copy {
  return {
    what: `${what}, on token ${token}`.slice(0, 300), secret: kind !== 'public-key' && kind !== 'certificate',
    by: { means: 'token', module, token, class: kind, id: id ?? '', label, keyType, check: check.method === 'SHA-256 of the certificate' ? { method: 'none', value: '' } : check, holder },
  };
}

interface Held { readonly holding: Holding; readonly key: string }

function secretKeyAt({ keys }: Pick<Inventory, 'keys'>, at: { readonly module: string; readonly token: string; readonly id: string }): Held | undefined {
  return keys.flatMap(({ identity, copies }) => copies.flatMap((copy): Held[] => (copy.kind === 'object' && stands(copy) && copy.class === 'secret-key' ? [{ holding: copy, key: identity }] : [])))
    .find(({ holding: { module, token, id } }) => module === at.module && token === at.token && id === at.id);
}
