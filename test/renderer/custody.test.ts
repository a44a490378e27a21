/** The custody map as numbers: what stands where, boxes that never overlap, arrows that run through none, and two worlds that never mix. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latestMovements, layOutMap, MAP, worldOf, type CustodyMap } from '../../renderer/custody.ts';
import { BADLY_PLACED, NOTHING, TWO_WORLDS, WELL_PLACED } from './pretend-custody.ts';

const WIDTHS = [320, 640, 800, 1197, 1700];

/** Inside a box, its edge not counted. */
const inside = ({ boxes }: CustodyMap, x: number, y: number) => boxes.some((box) => x > box.x + 1 && x < box.x + box.width - 1 && y > box.y + 1 && y < box.y + box.height - 1);

for (const [what, report] of [['well placed', WELL_PLACED], ['badly placed', BADLY_PLACED]] as const) {
  for (const width of WIDTHS) {
    test(`${what}, ${width} wide: every box apart, every arrow from its box to its box, in the gaps`, () => {
      const map = layOutMap(report, width);
      assert.ok(map.width <= Math.max(width, MAP.box + MAP.gap));
      for (const [i, a] of map.boxes.entries()) {
        for (const b of map.boxes.slice(i + 1)) assert.ok(a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y, `${a.site} and ${b.site}`);
        assert.ok(a.x >= 0 && a.x + a.width <= map.width && a.y + a.height <= map.height, a.site ?? '');
      }
      for (const { from, to, points } of map.arrows) {
        const [start, end] = [from, to].map((site) => map.boxes.find((box) => box.site === site) ?? assert.fail(site));
        assert.deepEqual([points[0]?.[1], points.at(-1)?.[1]], [start?.y, end?.y]);
        for (const [i, [x, y]] of points.entries()) {
          const [nx, ny] = points[i + 1] ?? [x, y];
          assert.ok(x >= 0 && y >= 0 && x <= map.width, `${from} ${to}: ${x}, ${y}`);
          for (let k = 0; k <= 40; k += 1) assert.ok(!inside(map, x + ((nx - x) * k) / 40, y + ((ny - y) * k) / 40), `${from} to ${to} runs through a box`);
        }
      }
      const lanes = map.arrows.flatMap(({ label }) => label[1]);
      assert.equal(new Set(lanes).size, lanes.length, 'no two labels on one line');
    });
  }
}

test('by region; what lies in a bag under it; what no record places at the end; the record itself nowhere', () => {
  const { boxes } = layOutMap(WELL_PLACED, 1197);
  assert.deepEqual(boxes.map(({ site, region }) => [site, region]), [['head-office', 'north'], ['north-branch', 'north'], ['notary', 'south'], ['bank', 'west'], [null, null]]);
  assert.deepEqual(boxes[1]?.keepers[0]?.things.map(({ identifier, packed }) => [identifier, packed]), [['B-0417', false], ['8A41-0091', true]]);
  assert.ok(!boxes.some(({ keepers }) => keepers.some(({ things }) => things.some(({ kind }) => kind === 'backup'))));
});

test('where M could meet is marked at the site, in its region and with the person who holds them; long lists are cut and counted', () => {
  const { boxes } = layOutMap(BADLY_PLACED, 1197);
  const box = (name: string) => boxes.find(({ site }) => site === name) ?? assert.fail(name);
  assert.deepEqual(box('head-office').findings.map(({ rule }) => rule), ['PLACEMENT-SITE-REACHES-M', 'PLACEMENT-REGION-REACHES-M', 'PLACEMENT-LOSS-LEAVES-TOO-FEW']);
  assert.deepEqual(box('north-branch').findings.map(({ rule }) => rule), ['PLACEMENT-REGION-REACHES-M']);
  assert.deepEqual(boxes.flatMap(({ site, keepers }) => keepers.filter(({ meets }) => meets).map(({ person }) => `${person ?? ''}@${site ?? ''}`)), ['Bela Custis@head-office'], 'the bag elsewhere is no share');
  const [ada] = box('north-branch').keepers;
  assert.deepEqual([ada?.things.length, ada?.more], [MAP.most - 1, 14 - (MAP.most - 1)]);
});

test('a rehearsal and the real world each have a map of their own', () => {
  const [real, rehearsal] = [worldOf(TWO_WORLDS, false), worldOf(TWO_WORLDS, true)];
  assert.deepEqual([real.things.length, rehearsal.things.length, rehearsal.movements.length, rehearsal.placement.length], [WELL_PLACED.things.length, 2, 0, 0]);
  const bad = worldOf(BADLY_PLACED, true);
  assert.deepEqual([bad.findings.length, bad.placement.length], [0, 0], 'findings stay in the world of their things');
  assert.deepEqual([worldOf(BADLY_PLACED, false).findings.length, worldOf(BADLY_PLACED, false).placement.length], [2, BADLY_PLACED.placement.length]);
  assert.deepEqual(layOutMap(NOTHING, 800).boxes, []);
});

test('the latest movements are those of the last ceremony in which something moved', () => {
  assert.equal(latestMovements(WELL_PLACED.movements).length, 4);
  const [first] = WELL_PLACED.movements;
  assert.ok(first);
  const later = { ...first, ceremony: 'f'.repeat(32) };
  assert.deepEqual(latestMovements([...WELL_PLACED.movements, later]), [later]);
  assert.deepEqual(latestMovements([{ ...first, state: 'not-handed-over' }]), []);
});
