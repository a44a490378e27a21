/**
 * The other half of the app, pretended: answers every call of the contract from rooms of pretend.ts. For looking at the
 * page and for testing its logic without devices; it must never be imported outside test/.
 */
import { readScript } from '../../ceremonies/script.ts';
import type { Verdict } from '../../ceremonies/verify.ts';
import type { Answer, Answers, Bridge, Call, Entries, Estate, Request } from '../../electron/contract.ts';
import { bindingsFor, factsOf, ROOT_CA, Room } from './pretend.ts';

type Failure = Exclude<Answer<Call>, { readonly ok: true }>;

export class PretendBridge implements Bridge {
  readonly rooms: Room[] = [];
  readonly calls: Request[] = [];
  readonly #listeners = new Set<(entries: Entries) => void>();
  /** Answers to give instead of the real ones, once each, by call. */
  readonly failNext = new Map<Call, Failure>();
  interrupted = new Set<string>();
  development = true;
  warnings: string[] = ['Swap is in use: memory may be written to disk.'];
  /** How long an `act` takes, in milliseconds; its `begun` is there at once. */
  slowness = 0;
  objects = 10_000;
  problem: Estate['modules'][number]['problem'] = null;
  missing: string[] = [];
  verdict: Verdict | null = null;

  add(room: Room): Room {
    this.rooms.push(room);
    room.onLines = (from, lines) => {
      for (const listener of this.#listeners) listener({ ceremony: room.ceremony, from, lines });
    };
    return room;
  }

  onEntries(listener: (entries: Entries) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async call<R extends Request>(request: R): Promise<Answer<R['call']>> {
    this.calls.push(request);
    const failure = this.failNext.get(request.call);
    if (failure) {
      this.failNext.delete(request.call);
      return failure;
    }
    try {
      return { ok: true, value: (await this.#answer(request)) as Answers[R['call']] };
    } catch (error) {
      return {
        ok: false,
        problem: {
          code: 'PRETENDED',
          message: error instanceof Error ? error.message : String(error),
          hint: 'Look at the test.',
        },
      };
    }
  }

  #room(ceremony: string): Room {
    const room = this.rooms.find((candidate) => candidate.ceremony === ceremony);
    if (!room) throw new Error(`no ceremony ${ceremony}`);
    return room;
  }

  async #answer(request: Request): Promise<Answers[Call]> {
    switch (request.call) {
      case 'hello':
        return {
          version: '0.1.0',
          build: 'ab'.repeat(32),
          home: '/home/somebody/.conclave',
          runtime: { electron: '33.2.1', node: '24.21.0', development: this.development },
          warnings: this.warnings,
          modules: ['software', 'softhsm'],
          first: this.rooms.length === 0,
        };
      case 'estate':
        return this.estate();
      case 'objects': {
        const total = this.objects;
        return {
          total,
          loggedIn: false,
          objects: Array.from({ length: Math.max(0, Math.min(request.limit, total - request.offset)) }, (_, index) => {
            const number = request.offset + index;
            return number % 997 === 3
              ? { class: 'unreadable' as const, id: '', label: '', keyType: '' }
              : {
                  class: number % 2 === 0 ? ('public-key' as const) : ('certificate' as const),
                  id: number.toString(16).padStart(16, '0'),
                  label: `Server key ${number + 1}`,
                  keyType: number % 2 === 0 ? 'CKK_EC' : 'X.509',
                };
          }),
        };
      }
      case 'mechanisms':
        return {
          mechanisms: [
            {
              name: 'CKM_EC_KEY_PAIR_GEN',
              number: 0x1040,
              min: 112,
              max: 521,
              flags: ['CKF_GENERATE_KEY_PAIR', 'CKF_EC_NAMEDCURVE'],
            },
            { name: 'CKM_ECDSA', number: 0x1041, min: 112, max: 521, flags: ['CKF_SIGN', 'CKF_VERIFY'] },
            { name: 'CKM_AES_KEY_WRAP_PAD', number: 0x210a, min: 16, max: 32, flags: ['CKF_WRAP', 'CKF_UNWRAP'] },
            { name: 'CKM_SHA256', number: 0x250, min: 0, max: 0, flags: ['CKF_DIGEST'] },
          ],
        };
      case 'scripts':
        return [
          { name: 'root-ca', text: ROOT_CA, faults: [] },
          { name: 'damaged', text: DAMAGED, faults: readScript(DAMAGED).faults },
        ];
      case 'lint': {
        const { script, faults } = readScript(request.text);
        return { faults, words: script?.words ?? [] };
      }
      case 'rehearse-model':
        return { faults: [], steps: 71, minutes: 95 };
      case 'provision': {
        const { bindings, labels } = bindingsFor(ROOT_CA, request.parameters, request.module);
        this.#provisioned = {
          ...this.#provisioned,
          ...Object.fromEntries(Object.keys(labels).map((serial) => [serial, labels[serial] ?? ''])),
        };
        this.#provisionedOn = request.module;
        return { bindings };
      }
      case 'open':
        return {
          ceremony: this.add(new Room({ parameters: request.parameters, people: request.people, mode: request.mode }))
            .ceremony,
        };
      case 'ceremonies':
        return this.rooms.map((room) => ({
          ceremony: room.ceremony,
          title: room.state.plan?.title ?? '',
          mode: room.state.opening?.mode ?? 'rehearsal',
          state:
            room.state.phase === 'closed'
              ? ('closed' as const)
              : room.state.phase === 'aborted'
                ? ('aborted' as const)
                : ('open' as const),
          interrupted: this.interrupted.has(room.ceremony),
          entries: room.lines.length,
          openedAt: '2026-11-21T13:21:04.120Z',
          lastAt: room.state.lastAt,
        }));
      case 'entries':
        return { lines: this.#room(request.ceremony).lines.slice(request.from) };
      case 'act': {
        const room = this.#room(request.ceremony);
        if (this.slowness > 0 && room.state.current?.phase === 'ready') {
          room.begin();
          await new Promise((resolve) => {
            setTimeout(resolve, this.slowness);
          });
          room.finish();
        } else room.next();
        this.#settle(room);
        return null;
      }
      case 'witness': {
        const room = this.#room(request.ceremony);
        room.witness(request.seat);
        this.#settle(room);
        return null;
      }
      case 'decide': {
        const room = this.#room(request.ceremony);
        room.decide(request.decision, request.why);
        room.next();
        return null;
      }
      case 'note':
        this.#room(request.ceremony).note(request.seat, request.text);
        return null;
      case 'exception':
        this.#room(request.ceremony).exception(request.seat, request.expected, request.happened, request.decided);
        return null;
      case 'break':
        this.#room(request.ceremony).pause(request.present, request.reason);
        return null;
      case 'back':
        this.#room(request.ceremony).back(request.present);
        return null;
      case 'disagree':
        this.#room(request.ceremony).disagree(request.seat, request.words);
        return null;
      case 'abort':
        this.#room(request.ceremony).abort(request.seat, request.reason);
        return null;
      case 'resume':
        this.#room(request.ceremony).resume(request.present, request.reason, request.officer);
        this.interrupted.delete(request.ceremony);
        return null;
      case 'export':
        return { path: '/home/somebody/.conclave/bundles/root-ca-2026-11-21-9f2c.zip', sha256: '5b'.repeat(32) };
      case 'verify':
      case 'verify-own': {
        const lines = request.call === 'verify-own' ? this.#room(request.ceremony).lines : (this.rooms[0]?.lines ?? []);
        return { verdict: this.verdict ?? pretendVerdict(lines.length, true), lines };
      }
    }
  }

  #settle(room: Room): void {
    if (room.state.phase === 'open' && room.state.current === null) room.next();
  }

  #provisioned: Record<string, string> = {};
  #provisionedOn = 'softhsm';

  estate(): Estate {
    const labels = {
      ...(this.#provisionedOn === 'softhsm' ? this.#provisioned : {}),
      ...(Object.assign({}, ...this.rooms.map((room) => room.labels)) as Record<string, string>),
    };
    const software =
      this.#provisionedOn === 'software'
        ? Object.entries(this.#provisioned).map(([serial, label], slot) => ({
            slot,
            description: '',
            token: factsOf(serial, label),
          }))
        : [];
    const free = { '00000000deadbeef': 'spare card', ...labels };
    return {
      modules: [
        {
          name: 'software',
          problem: null,
          slots: software,
          facts: {
            name: 'software',
            kind: 'software',
            path: '(embedded)',
            sha256: 'cd'.repeat(32),
            library: 'Conclave software token',
            version: '0.1',
          },
        },
        {
          name: 'softhsm',
          problem: null,
          facts: {
            name: 'softhsm',
            kind: 'pkcs11',
            path: '/usr/lib/softhsm/libsofthsm2.so',
            sha256: 'ef'.repeat(32),
            library: 'Implementation of PKCS11',
            version: '2.6',
          },
          slots: [
            ...Object.entries(free).map(([serial, label], slot) => ({
              slot,
              description: `SoftHSM slot ID ${slot}`,
              token: this.missing.includes(serial) ? null : factsOf(serial, label),
            })),
            { slot: 99, description: 'SoftHSM slot ID 99', token: null },
          ],
        },
        ...(this.problem ? [{ name: 'vendor', facts: null, problem: this.problem, slots: [] }] : []),
      ],
    };
  }
}

/** A script with three different faults, for the margin. */
export const DAMAGED = ROOT_CA.replace('version: 1', 'version: one').replace(
  'title: Generate the root key',
  'titel: Generate the root key',
);

export function pretendVerdict(entries: number, fine: boolean): Verdict {
  const seats = ['officer', 'custodian-1', 'custodian-2', 'custodian-3', 'witness', 'auditor'];
  return {
    verdict: fine ? 'valid' : 'refused',
    pinned: false,
    ceremony: '9f'.repeat(16),
    title: 'Root CA key generation',
    mode: 'rehearsal',
    entries,
    checks: [
      { name: 'The file', verdict: 'verified', detail: `${entries} canonical lines` },
      {
        name: 'The chain',
        verdict: fine ? 'verified' : 'refused',
        detail: fine ? 'every line follows the one before it' : 'breaks at entry 117',
      },
      {
        name: 'The rules',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? 'every entry was allowed when it was made' : '',
      },
      {
        name: 'The signatures',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? '71 checkpoints, 6 seals of 6 people, 2 signatures each' : '',
      },
      {
        name: 'The keys',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? 'proofs of possession and the certificate recomputed' : '',
      },
      {
        name: 'The end',
        verdict: fine ? 'verified' : 'not-reached',
        detail: fine ? 'closed, and sealed by everyone after every act' : '',
      },
      {
        name: 'Trust',
        verdict: fine ? 'reported' : 'not-reached',
        detail: fine ? 'no trust file: compare the words' : '',
      },
    ],
    findings: fine
      ? []
      : [
          {
            rule: 'CHAIN',
            expected: 'the hash of the line before',
            found: 'another one',
            next: 'Do not rely on this record. Ask the people who hold the other copies.',
            seq: 117,
          },
        ],
    remarks: fine
      ? [{ seq: 61, text: 'Exception 1: the lamp stayed dark; the officer and the witness decided to go on.' }]
      : [],
    signers: seats.map((seat, index) => ({
      seat,
      name: `${seat} (rehearsal)`,
      role: seat.replace(/-\d$/, ''),
      classical: Buffer.alloc(32, index + 1).toString('base64url'),
      pq: Buffer.alloc(32, index + 77).toString('base64url'),
      words: ['torch', 'canyon', 'lesson', 'orbit', 'velvet', 'humble'],
    })),
    reverified: Array.from({ length: entries }, (_, index) =>
      index % 5 === 2 ? ['both signatures over the statement', 'the card is the one that was bound'] : [],
    ),
  };
}
