/**
 * Electron's security checklist, tried out: each test attempts what its rule forbids, in the real shell. The decisions as
 * data, and the rules that need no window: test/electron/hardening.test.ts.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isRoot, out } from '../../build/machine.mjs';
import { setStage, type Running, type Stage } from './stage.ts';

let stage: Stage;
let app: Running;
/** Whoever gets out reaches this one. */
let outside: Server;
let reached: string[] = [];
let address = '';

before(async () => {
  outside = createServer((request, response) => {
    reached.push(request.url ?? '');
    response.setHeader('Access-Control-Allow-Origin', '*').end('out');
  });
  await new Promise<void>((done) => outside.listen(0, '127.0.0.1', done));
  address = `http://127.0.0.1:${(outside.address() as AddressInfo).port}`;
  stage = setStage();
  app = await stage.launch();
  await app.page.waitForFunction(() => document.title === 'ready');
});
after(async () => {
  await stage.strike();
  outside.close();
});

const preferences = () =>
  app.electron.evaluate(({ webContents }) =>
    webContents.getAllWebContents().map((contents) => (contents as unknown as { getLastWebPreferences(): Electron.WebPreferences }).getLastWebPreferences()));

test('SECURITY 1: nothing leaves the app, whichever way it tries', async () => {
  reached = [];
  const tries = await app.page.evaluate(async (to) => {
    const failed = (thing: HTMLElement & { src?: string; href?: string }, set: () => void) =>
      new Promise<string>((done) => {
        thing.onload = () => done('loaded');
        thing.onerror = () => done('failed');
        set();
        document.head.append(thing);
        setTimeout(done, 700, 'failed');
      });
    const script = document.createElement('script');
    const image = document.createElement('img');
    const style = Object.assign(document.createElement('link'), { rel: 'stylesheet' });
    const prefetch = Object.assign(document.createElement('link'), { rel: 'prefetch' });
    const socket = (url: string) => new Promise<string>((done) => {
      const ws = new WebSocket(url);
      ws.onopen = () => done('open');
      ws.onerror = () => done('failed');
    });
    const events = () => new Promise<string>((done) => {
      const source = new EventSource(`${to}/events`);
      source.onopen = () => done('open');
      source.onerror = () => done('failed');
    });
    const settle = (promise: Promise<unknown>) => promise.then(() => 'loaded', () => 'failed');
    return Promise.all([
      settle(fetch(`${to}/fetch`)),
      settle(fetch(`${to}/no-cors`, { mode: 'no-cors' })),
      settle(fetch('https://example.org/')),
      failed(script, () => { script.src = `${to}/script`; }),
      failed(image, () => { image.src = `${to}/image`; }),
      failed(style, () => { style.href = `${to}/style`; }),
      failed(prefetch, () => { prefetch.href = `${to}/prefetch`; }),
      socket(to.replace('http', 'ws')).catch(() => 'failed'),
      events().catch(() => 'failed'),
    ]);
  }, address);
  assert.deepEqual(new Set(tries), new Set(['failed']));
  await app.page.evaluate((to) => navigator.sendBeacon(`${to}/beacon`), address);
  // The policy above is the page's. Below it, the session: these requests know no policy.
  const below = await app.electron.evaluate(async ({ session, net }, to) => {
    const settle = (promise: Promise<unknown>) => promise.then(() => 'loaded', () => 'failed');
    const ours = session.fromPartition('conclave');
    return Promise.all([settle(ours.fetch(`${to}/session`)), settle(session.defaultSession.fetch(`${to}/default`)), settle(net.fetch(`${to}/net`))]);
  }, address);
  assert.deepEqual(below, ['failed', 'failed', 'failed']);
  assert.deepEqual(reached, []);
});

test('SECURITY 1: nor over WebRTC, which no page policy reaches', async () => {
  const heard: string[] = [];
  const datagrams = createSocket('udp4', () => heard.push('udp'));
  const stream = createTcpServer((socket) => {
    heard.push('tcp');
    socket.destroy();
  });
  await Promise.all([new Promise<void>((done) => datagrams.bind(0, '127.0.0.1', done)), new Promise<void>((done) => stream.listen(0, '127.0.0.1', done))]);
  try {
    const ports = [datagrams.address().port, (stream.address() as AddressInfo).port] as const;
    const candidates = await app.page.evaluate(async ([udp, tcp]) => {
      const relay = { username: 'a', credential: 'b' };
      const peer = new RTCPeerConnection({ iceServers: [{ urls: `stun:127.0.0.1:${udp}` }, { urls: `turn:127.0.0.1:${tcp}?transport=tcp`, ...relay }] });
      const found: string[] = [];
      peer.onicecandidate = ({ candidate }) => { if (candidate !== null) found.push(candidate.candidate); };
      peer.createDataChannel('x');
      await peer.setLocalDescription(await peer.createOffer());
      await new Promise((later) => setTimeout(later, 1500));
      peer.close();
      return found;
    }, ports);
    assert.deepEqual([candidates, heard], [[], []]);
  } finally {
    datagrams.close();
    stream.close();
  }
});

test('SECURITY 2: no Node in the page', async () => {
  const kinds = await app.page.evaluate(() => ['require', 'process', 'module', 'Buffer', 'global', '__dirname'].map((name) => typeof (window as unknown as Record<string, unknown>)[name]));
  assert.deepEqual(new Set(kinds), new Set(['undefined']));
});

test('SECURITY 3: the page and the preload share nothing but the two functions', async () => {
  for (const { contextIsolation } of await preferences()) assert.equal(contextIsolation, true);
  const changed = await app.page.evaluate(() => {
    try {
      (window.conclave as { call: unknown }).call = () => 'mine';
    } catch { /* refused, as it should be */ }
    return String(Object.getOwnPropertyDescriptor(window.conclave, 'call')?.writable);
  });
  assert.equal(changed, 'false');
});

test('SECURITY 4: every renderer is sandboxed', async () => {
  for (const { sandbox } of await preferences()) assert.equal(sandbox, true);
  const pid = await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows()[0]!.webContents.getOSProcessId());
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  // Chromium has no sandbox for root; as anyone else the kernel must say that system calls are filtered.
  if (!isRoot) assert.match(status, /^Seccomp:\s+2$/m);
});

test('SECURITY 5: every permission is denied', async () => {
  const answers = await app.page.evaluate(async () => {
    const asked: Record<string, Promise<unknown>> = {
      camera: navigator.mediaDevices.getUserMedia({ video: true }),
      screen: navigator.mediaDevices.getDisplayMedia(),
      clipboard: navigator.clipboard.readText(),
      notification: Notification.requestPermission().then((state) => state === 'denied' ? Promise.reject(new Error(state)) : state),
      geolocation: new Promise((done, fail) => navigator.geolocation.getCurrentPosition(done, fail)),
    };
    for (const name of ['geolocation', 'notifications', 'camera', 'microphone', 'clipboard-read', 'midi', 'persistent-storage']) {
      asked[`state of ${name}`] = navigator.permissions.query({ name: name as PermissionName })
        .then(({ state }) => state === 'denied' ? Promise.reject(new Error(state)) : state);
    }
    const patience = new Promise((done) => setTimeout(done, 2000, 'no answer'));
    const outcomes = Object.entries(asked).map(async ([name, promise]) =>
      [name, await Promise.race([promise.then(() => 'granted', () => 'denied'), patience])] as const);
    return Object.fromEntries(await Promise.all(outcomes));
  });
  for (const [name, answer] of Object.entries(answers)) assert.equal(answer, 'denied', name);
  // Electron answers this one neither way; it must not happen.
  await app.page.evaluate(() => void document.documentElement.requestFullscreen().catch(() => undefined));
  await app.page.waitForTimeout(200);
  assert.equal(await app.page.evaluate(() => document.fullscreenElement), null);
  assert.equal(await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows()[0]!.isFullScreen()), false);
});

test('SECURITY 6: origins are kept apart', async () => {
  for (const { webSecurity } of await preferences()) assert.equal(webSecurity, true);
  const booth = await app.page.evaluate(() => fetch('app://booth/booth.html').then(() => 'read', () => 'refused'));
  assert.equal(booth, 'refused');
});

test('SECURITY 7: only scripts that are files of the app run', async () => {
  const headers = await app.electron.evaluate(async ({ session }) => {
    const ours = session.fromPartition('conclave');
    const policy = async (url: string) => (await ours.fetch(url)).headers.get('content-security-policy');
    return [await policy('app://page/index.html'), await policy('app://booth/booth.html'), await policy('app://plain/'), await policy('app://page/none.html')];
  });
  for (const header of headers) assert.match(header ?? '', /^default-src 'none'/);
  const ran = await app.page.evaluate(async () => {
    const marks = window as unknown as Record<string, unknown>;
    const inline = document.createElement('script');
    inline.textContent = 'window.markInline = true';
    const data = document.createElement('script');
    data.src = 'data:text/javascript,window.markData = true';
    const blob = document.createElement('script');
    blob.src = URL.createObjectURL(new Blob(['window.markBlob = true'], { type: 'text/javascript' }));
    const handler = document.createElement('p');
    handler.setAttribute('onclick', 'window.markHandler = true');
    document.body.append(inline, data, blob, handler);
    handler.click();
    // From a callback: what a debugger evaluates is exempt from the policy.
    const evaluated = await new Promise((done) => setTimeout(() => {
      const results = [() => globalThis.eval('1') as unknown, () => new Function('return 1')() as unknown].map((run) => {
        try {
          return run();
        } catch (error) {
          return (error as Error).name;
        }
      });
      done(results);
    }));
    await new Promise((done) => setTimeout(done, 300));
    return { evaluated, marks: [marks['markInline'], marks['markData'], marks['markBlob'], marks['markHandler']] };
  });
  assert.deepEqual(ran.evaluated, ['EvalError', 'EvalError']);
  assert.deepEqual(ran.marks, [undefined, undefined, undefined, undefined]);
});

test('SECURITY 8: no insecure content', async () => {
  for (const { allowRunningInsecureContent } of await preferences()) assert.ok(!allowRunningInsecureContent);
});

test('SECURITY 9: no experimental features', async () => {
  for (const { experimentalFeatures } of await preferences()) assert.ok(!experimentalFeatures);
});

test('SECURITY 10: no enableBlinkFeatures', async () => {
  for (const { enableBlinkFeatures } of await preferences()) assert.ok(!enableBlinkFeatures);
});

test('SECURITY 11: there are no webviews', async () => {
  const kind = await app.page.evaluate(() => typeof (document.createElement('webview') as unknown as { loadURL: unknown }).loadURL);
  assert.equal(kind, 'undefined');
});

test('SECURITY 12: where a window of somebody else has webviews, none is attached', async () => {
  const attached = await app.electron.evaluate(async ({ BrowserWindow }) => {
    const window = new BrowserWindow({ show: false, webPreferences: { webviewTag: true, partition: 'conclave' } });
    let seen = false;
    window.webContents.on('did-attach-webview', () => { seen = true; });
    await window.loadURL('app://page/index.html');
    await window.webContents.executeJavaScript(`{
      const view = document.createElement('webview');
      view.src = 'app://page/index.html';
      view.setAttribute('allowpopups', '');
      document.body.append(view);
    } undefined`);
    await new Promise((done) => setTimeout(done, 500));
    window.destroy();
    return seen;
  });
  assert.equal(attached, false);
});

test('SECURITY 13: the page stays where it is', async () => {
  reached = [];
  const here = app.page.url();
  await app.page.evaluate(() => { (window as unknown as { mark: number }).mark = 1; });
  for (const to of [`${address}/page`, 'app://booth/booth.html', 'app://plain/', 'file:///etc/hostname', 'data:text/html,x', 'javascript:1']) {
    await app.page.evaluate((url) => { location.href = url; }, to).catch(() => undefined);
    await app.page.evaluate((url) => {
      const link = Object.assign(document.createElement('a'), { href: url });
      document.body.append(link);
      link.click();
    }, to).catch(() => undefined);
  }
  await app.page.evaluate((to) => {
    const refresh = document.createElement('meta');
    refresh.httpEquiv = 'refresh';
    refresh.content = `0;url=${to}/refresh`;
    document.head.append(refresh);
    const frame = document.createElement('iframe');
    frame.src = `${to}/frame`;
    const form = Object.assign(document.createElement('form'), { action: `${to}/form`, method: 'post' });
    document.body.append(frame, form);
    form.submit();
  }, address);
  await app.page.waitForTimeout(500);
  assert.equal(app.page.url(), here);
  assert.deepEqual(await app.page.evaluate(() => [location.href, document.title, (window as unknown as { mark: number }).mark]), [here, 'ready', 1]);
  assert.deepEqual(reached, []);
});

test('SECURITY 14: no second window opens', async () => {
  const opened = await app.page.evaluate((to) => {
    const link = Object.assign(document.createElement('a'), { href: `${to}/blank`, target: '_blank' });
    document.body.append(link);
    link.click();
    return [window.open(`${to}/open`), window.open('app://page/index.html'), window.open('about:blank')].map(String);
  }, address);
  assert.deepEqual(opened, ['null', 'null', 'null']);
  assert.equal(await app.electron.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows().length), 1);
});

test('SECURITY 17: the same preload in another window gets no answer, and neither does another page', async () => {
  const answers = await app.electron.evaluate(async ({ BrowserWindow }, preload) => {
    const ask = async (url: string) => {
      const window = new BrowserWindow({ show: false, webPreferences: { preload, sandbox: true, contextIsolation: true, partition: 'conclave' } });
      await window.loadURL(url);
      const answer: unknown = await window.webContents.executeJavaScript("window.conclave.call({ call: 'hello' })");
      window.destroy();
      return answer;
    };
    return [await ask('app://page/index.html'), await ask('app://plain/')];
  }, join(out, 'preload.cjs'));
  for (const answer of answers as { ok: boolean; refusal: { rule: string } }[]) {
    assert.equal(answer.ok, false);
    assert.equal(answer.refusal.rule, 'KNOWN-SENDER');
  }
});

test('SECURITY 18: app: serves two folders, and no way leads out of them', async () => {
  const codes = await app.electron.evaluate(async ({ session }) => {
    const ours = session.fromPartition('conclave');
    const status = async (url: string) => ours.fetch(url).then(({ status: code }) => code, () => 0);
    return Promise.all([
      'app://page/index.html', 'app://booth/booth.css',
      'app://page/..%2fpreload.cjs', 'app://page/..%2f..%2f..%2fpackage.json', 'app://booth/..%2fconductor.cjs', 'app://booth/preload.cjs',
      'app://page/%2fetc%2fhostname', 'app://elsewhere/index.html', 'app://page/', 'file:///etc/hostname',
    ].map(status));
  });
  assert.deepEqual(codes, [200, 200, 404, 404, 404, 404, 404, 404, 404, 0]);
});

test('SECURITY 20: three functions cross, and nothing of Electron with them', async () => {
  const seen = await app.page.evaluate(async () => {
    const heard: unknown[][] = [];
    const off = window.conclave.onEntries((...all: unknown[]) => { heard.push(all); });
    await window.conclave.call({ call: 'push', entries: { ceremony: 'c', from: 0, lines: ['x'] } } as never);
    // Entries and answers travel apart: either may be there first.
    for (let tries = 0; tries < 40 && heard.length === 0; tries += 1) await new Promise((later) => setTimeout(later, 50));
    off();
    await window.conclave.call({ call: 'push', entries: { ceremony: 'c', from: 1, lines: ['y'] } } as never);
    await new Promise((later) => setTimeout(later, 200));
    const names = Object.keys(window).filter((name) => /electron|ipc|conclave/i.test(name));
    return { keys: Object.keys(window.conclave).sort(), heard, names };
  });
  assert.deepEqual(seen, { keys: ['call', 'onEntries', 'onMoved'], heard: [[{ ceremony: 'c', from: 0, lines: ['x'] }]], names: ['conclave'] });
});

test('nothing is downloaded, spelled, printed out by a dialog, or kept on disk', async () => {
  const started = await app.electron.evaluate(async ({ session }) => {
    const ours = session.fromPartition('conclave');
    let done: string | null = null;
    ours.on('will-download', (event) => { done = String(event.defaultPrevented); });
    ours.downloadURL('app://page/main.js');
    await new Promise((later) => setTimeout(later, 300));
    return { done, spells: ours.isSpellCheckerEnabled(), kept: ours.isPersistent() };
  });
  assert.deepEqual(started, { done: 'true', spells: false, kept: false });
  assert.equal(await app.page.evaluate(() => window.confirm('x')), false);
});

test('renderers and utility processes dump no core', async () => {
  await app.call({ call: 'device', module: 'softhsm', operation: 'echo', body: null });
  const limits = (await app.call({ call: 'device', module: 'softhsm', operation: 'limits', body: null })) as { value: { body: string } };
  assert.match(limits.value.body, /^Max core file size +1 +1 /m);
  const pids = await app.electron.evaluate(({ BrowserWindow }) => [process.pid, BrowserWindow.getAllWindows()[0]!.webContents.getOSProcessId()]);
  for (const pid of pids) assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +1 +1 /m, String(pid));
});
