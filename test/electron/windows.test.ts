/** What the windows decide, without any window. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boothBounds, boothFacts, boothQueue, plainPage, zoomAfter } from '../../electron/windows.ts';
import type { Notice } from '../../electron/devices/protocol.ts';

type Wanted = Extract<Notice, { kind: 'pin-wanted' }>;
const wanted = (ticket: number, person = 'custodian-2'): Wanted => ({
  kind: 'pin-wanted', wanted: 'user-pin', ticket, attempts: 'low', min: 4, max: 16,
  token: { serial: '0417', label: 'Share card', model: 'M', manufacturer: 'F', firmware: '1', hardware: '2', flags: ['LOGIN_REQUIRED'] },
  asked: { person, name: 'Grace', purpose: 'receive a share', standIn: false, acceptFinalTry: false },
});
const settled = (ticket: number): Notice => ({ kind: 'pin-settled', ticket, outcome: 'accepted' });

test('the booth is told exactly what it shows', () => {
  assert.deepEqual(boothFacts(wanted(7)), {
    ticket: 7, who: 'Grace', seat: 'Custodian 2', purpose: 'receive a share',
    card: { label: 'Share card', serial: '0417', model: 'M' }, attempts: 'low', min: 4, max: 16,
  });
  assert.equal(boothFacts(wanted(7, 'officer')).seat, 'Officer');
});

function watchedQueue() {
  const log: string[] = [];
  const queue = boothQueue((module, { ticket }) => {
    log.push(`open ${module} ${ticket}`);
    return () => log.push(`close ${module} ${ticket}`);
  });
  return { log, queue };
}

test('one booth at a time, in the order of asking', () => {
  const { log, queue } = watchedQueue();
  queue('a', wanted(1));
  queue('b', wanted(1));
  queue('a', wanted(2));
  assert.deepEqual(log.splice(0), ['open a 1']);
  queue('a', settled(1));
  assert.deepEqual(log.splice(0), ['close a 1', 'open b 1']);
  queue('b', settled(1));
  queue('a', settled(2));
  assert.deepEqual(log, ['close b 1', 'open a 2', 'close a 2']);
});

test('who is settled before the turn came never opens; unknown tickets close nothing', () => {
  const { log, queue } = watchedQueue();
  queue('a', wanted(1));
  queue('b', wanted(1));
  queue('b', settled(1));
  queue('a', settled(9));
  queue('c', settled(1));
  queue('a', settled(1));
  assert.deepEqual(log, ['open a 1', 'close a 1']);
});

test('the booth covers the main window, and is never too small to read', () => {
  assert.deepEqual(boothBounds({ x: 10, y: 20, width: 1920, height: 1080 }), { x: 10, y: 20, width: 1920, height: 1080 });
  assert.deepEqual(boothBounds({ x: 500, y: 400, width: 640, height: 480 }), { x: 260, y: 270, width: 1120, height: 740 });
  assert.deepEqual(boothBounds({ x: 0, y: 0, width: 640, height: 480 }), { x: 0, y: 0, width: 1120, height: 740 });
});

test('the plain page says the whole refusal, and nothing in it is markup', () => {
  const { html, style } = plainPage({ rule: 'DATA-FOLDER', expected: '<script>1</script>', found: `"'&`, next: 'Repair </p> it.' });
  assert.ok(html.includes('<code>DATA-FOLDER</code>'));
  assert.ok(html.includes('&#60;script&#62;1&#60;/script&#62;'));
  assert.ok(html.includes('&#34;&#39;&#38;'));
  assert.ok(html.includes('Repair &#60;/p&#62; it.'));
  assert.ok(html.includes(`<style>${style}</style>`));
  assert.doesNotMatch(html, /<script/);
});

test('zoom: Ctrl with + - 0, within limits', () => {
  const key = (name: string, control = true) => ({ key: name, control, alt: false, meta: false });
  assert.equal(zoomAfter(1, key('+')), 1.1);
  assert.equal(zoomAfter(1.1, key('-')), 1);
  assert.equal(zoomAfter(3, key('0')), 1);
  assert.equal(zoomAfter(3.9, key('=')), 4);
  assert.equal(zoomAfter(0.5, key('-')), 0.5);
  assert.equal(zoomAfter(1, key('+', false)), null);
  assert.equal(zoomAfter(1, key('a')), null);
  assert.equal(zoomAfter(1, { ...key('-'), alt: true }), null);
});
