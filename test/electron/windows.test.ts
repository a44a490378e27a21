/** What the windows decide, without any window. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boothBounds, plainPage, zoomAfter } from '../../electron/windows.ts';

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
