// Drives the page in Chromium against the real gateway: node run.mjs --bin PATH
// One line for each check, screenshots in shots/, and at the end how many passed. Needs chromium and certutil.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';
import { Gateway } from './gateway.mjs';
import { Person } from './person.mjs';
import { throughout, until } from './until.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const SHOTS = join(HERE, 'shots');
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const WHOLE_RUN_MS = 115_000;
const AWAY = /ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_CONNECTION_CLOSED|WebSocket connection to|status of 401/;

const { values } = parseArgs({ options: { bin: { type: 'string' } } });
if (!values.bin) {
  console.error('usage: node run.mjs --bin PATH/TO/wardroom');
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
    await Promise.all(people.map((person) => shot(person, `failure-${failed}-${person.name}`).catch(() => {})));
  }
}

const shot = (person, name) => person.page.screenshot({ path: join(SHOTS, `${name}.png`) });

/** Once more when a style or a width changed and its transition is over. */
async function look(person, media, size, name) {
  await person.page.emulateMedia({ reducedMotion: 'reduce', ...media });
  await person.page.setViewportSize(size);
  await shot(person, name);
}

async function accessible(person, place) {
  await person.page.emulateMedia({ reducedMotion: 'reduce' });
  await until(`${place} stands still`, 3000, () => person.page.evaluate(() => document.getAnimations().every((animation) => animation.playState !== 'running' || animation.effect.getTiming().iterations === Infinity)));
  const found = await person.page.evaluate(async ({ source }) => {
    if (!window.axe) throw new Error(`axe is not there: ${source}`);
    const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`);
  }, { source: AXE });
  assert.deepEqual(found, [], place);
}

const directory = mkdtempSync(join(tmpdir(), 'wardroom-browser-'));
rmSync(SHOTS, { recursive: true, force: true });
mkdirSync(SHOTS, { recursive: true });
const people = [];
let gateway;
let browser;

async function cleanUp() {
  await browser?.close().catch(() => {});
  await gateway?.kill();
  rmSync(directory, { recursive: true, force: true });
}
const limit = setTimeout(async () => {
  console.log(`FAILED  the whole run takes less than ${WHOLE_RUN_MS / 1000} s`);
  console.log(`${passed} passed, ${failed + 1} failed`);
  await Promise.race([cleanUp(), new Promise((done) => setTimeout(done, 3000))]);
  process.exit(1);
}, WHOLE_RUN_MS);

try {
  gateway = await Gateway.start(resolve(values.bin), directory);
  browser = await launch({ home: directory, ca: gateway.ca });
  const { origin } = gateway;
  const arrive = async (name, options) => {
    const person = await Person.arrive(browser, name, origin, options);
    // Handed over as the browser's own, so that the page's policy stays as it is.
    await person.context.addInitScript({ path: AXE });
    people.push(person);
    return person;
  };
  const alice = await arrive('Alice');
  const bob = await arrive('Bob');

  await check('the page comes with its policy, and with nothing inline', async () => {
    const answer = await alice.page.goto(`${origin}/`);
    const policy = answer.headers()['content-security-policy'].replace(/\s+/g, ' ');
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"]) {
      assert.ok(policy.includes(rule), `${rule} in ${policy}`);
    }
    assert.doesNotMatch(await answer.text(), /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/i);
  });

  await check('development asks for a nickname, and says so', async () => {
    await alice.page.getByRole('heading', { name: 'Wardroom' }).waitFor();
    await alice.page.getByText('Development', { exact: true }).first().waitFor();
    await shot(alice, 'sign-in');
    await accessible(alice, 'the sign-in');
    await look(alice, { colorScheme: 'dark' }, { width: 390, height: 800 }, 'sign-in-phone-dark');
    await look(alice, { colorScheme: 'light' }, { width: 1280, height: 800 }, 'sign-in');
  });

  await check('a name that is not allowed is explained at the field', async () => {
    alice.excused = /status of 400/;
    await alice.page.getByRole('textbox', { name: 'Nickname' }).fill('admin');
    await alice.page.getByRole('button', { name: 'Enter' }).click();
    await alice.page.getByRole('alert').filter({ hasText: 'Choose another' }).waitFor();
    alice.excused = null;
  });

  await check('four people fill the room through the library alone', async () => {
    const total = await alice.page.evaluate(async () => {
      const { Wardroom } = await import('/assets/wardroom.js');
      const tokenOf = async (nick) => (await (await fetch('/dev/token', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ nick }) })).json()).token;
      let last = 0;
      for (const nick of ['Dora', 'Emil', 'Fay', 'Gustav']) {
        const chat = new Wardroom(location.origin, { getToken: () => tokenOf(nick) });
        await chat.connect();
        const room = await chat.join('lobby');
        const acks = Array.from({ length: 18 }, (_, index) => room.send(`${nick} ${index + 1}`).ack);
        last = Math.max(...(await Promise.all(acks)).map((receipt) => receipt.offset));
        chat.close();
      }
      return last;
    });
    assert.equal(total, 72);
  });

  await check('a nickname leads in, and it is online', () => alice.enter());

  await check('a printed link leads in, and leaves no token in the address bar', async () => {
    const link = gateway.links.find((one) => !one.includes(encodeURIComponent('Alice')) && nickIn(one) !== 'Alice') ?? gateway.links[1];
    bob.name = nickIn(link) || 'Bob';
    await bob.open(link);
    await bob.is('online');
    assert.equal(new URL(bob.page.url()).hash, '');
  });

  await check('a message each way', async () => {
    await alice.say('Morning! The deploy finished ten minutes ago.');
    await bob.sees('Morning! The deploy finished ten minutes ago.');
    await bob.say('Nice. Did the sockets survive it?');
    await alice.sees('Nice. Did the sockets survive it?');
    await alice.settled();
    await bob.settled();
    assert.deepEqual((await alice.texts()).slice(-2), (await bob.texts()).slice(-2));
  });

  await check('the people who are there are listed, oneself marked', async () => {
    const people = alice.page.getByRole('complementary', { name: 'People' });
    await people.getByText(bob.name, { exact: true }).waitFor();
    await people.getByRole('listitem').filter({ hasText: 'Alice' }).getByText('you').waitFor();
  });

  await check('whoever types is told of', async () => {
    await bob.composer.pressSequentially('They…');
    await alice.page.getByText(`${bob.name} is typing`).waitFor();
    await bob.composer.fill('');
  });

  await check('markup is shown as text, and nothing of it runs', async () => {
    const payloads = [
      '<img src=x onerror="window.ran=1">', '<script>window.ran=1</script>', '<svg onload=window.ran=1>', 'javascript:window.ran=1',
      '<a href="javascript:window.ran=1">click</a>', '&lt;b&gt; & &amp; stay as typed',
    ];
    for (const payload of payloads) await bob.say(payload);
    for (const payload of payloads) await alice.sees(payload);
    for (const person of [alice, bob]) {
      assert.equal(await person.page.evaluate(() => window.ran), undefined);
      assert.equal(await person.log.locator('img, script, svg[onload], a').count(), 0);
    }
  });

  await check('web addresses are links that give nothing away, lookalikes are not', async () => {
    const text = 'See https://status.example.com/a_(b)?c=1. Not https://evil@example.com, not https://exämple.com';
    await bob.say(text);
    await alice.sees(text);
    const links = alice.log.locator('a');
    assert.equal(await links.count(), 1);
    assert.equal(await links.getAttribute('href'), 'https://status.example.com/a_(b)?c=1');
    assert.equal(await links.getAttribute('rel'), 'noopener noreferrer nofollow ugc');
  });

  await check('Shift+Enter breaks the line, and Enter while composing sends nothing', async () => {
    await alice.composer.fill('They did: drain, hints, resume.');
    await alice.composer.press('Shift+Enter');
    await alice.composer.pressSequentially('Nothing was lost.');
    await alice.composer.evaluate((field) => field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })));
    assert.equal(await alice.composer.inputValue(), 'They did: drain, hints, resume.\nNothing was lost.');
    await alice.composer.press('Enter');
    await bob.sees('They did: drain, hints, resume.\nNothing was lost.');
    assert.equal(await alice.composer.inputValue(), '');
    assert.ok(await alice.composer.evaluate((field) => field === document.activeElement), 'the focus stays');
  });

  await check('another room keeps its own messages and counts what is unread', async () => {
    await alice.join('ops');
    await bob.join('ops');
    await alice.choose('lobby');
    await bob.say('Who is on call?');
    await bob.say('Never mind, found it.');
    await alice.page.getByRole('button', { name: /ops.*2\s*unread/ }).waitFor();
    await until('the title tells the count', 3000, async () => (await alice.page.title()).startsWith('(2)'));
    await bob.choose('lobby');
    await bob.say('Then I close the ticket 👍');
    await alice.sees('Then I close the ticket 👍');
    await look(alice, { colorScheme: 'light' }, { width: 1280, height: 800 }, 'desktop-light');
    await accessible(alice, 'the chat');
    await look(alice, { colorScheme: 'dark' }, { width: 1280, height: 800 }, 'desktop-dark');
    await accessible(alice, 'the chat in the dark');
    await look(alice, { colorScheme: 'light', forcedColors: 'active' }, { width: 1280, height: 800 }, 'forced-colors');
    await look(alice, { colorScheme: 'light', forcedColors: 'none' }, { width: 390, height: 800 }, 'phone');
    await accessible(alice, 'the chat on a phone');
    assert.ok(await alice.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the phone');
  });

  await check('on a phone the rooms slide in, and Escape gives the focus back', async () => {
    const button = alice.page.getByRole('button', { name: 'Rooms' });
    await button.click();
    await shot(alice, 'phone-rooms');
    await accessible(alice, 'the rooms on a phone');
    await alice.page.getByRole('button', { name: /ops/ }).first().click();
    await alice.page.getByRole('log', { name: 'Messages in #ops' }).waitFor();
    await button.click();
    await alice.choose('lobby');
    await button.click();
    await alice.page.keyboard.press('Escape');
    assert.ok(await button.evaluate((element) => element === document.activeElement));
    await alice.page.setViewportSize({ width: 1280, height: 800 });
  });

  await check('older history comes in above, and what is read stays where it is', async () => {
    const before = (await alice.texts()).length;
    const first = await alice.log.locator('.text').first().elementHandle();
    const was = await alice.log.evaluate((log, element) => {
      log.scrollTop = 120;
      return element.getBoundingClientRect().y;
    }, first);
    await until('older messages came', 5000, async () => (await alice.texts()).length > before);
    const is = await first.evaluate((element) => element.getBoundingClientRect().y);
    assert.ok(Math.abs(is - was) < 4, `it moved from ${was} to ${is}`);
    await until('the beginning of the room', 10_000, async () => {
      await alice.log.evaluate((log) => (log.scrollTop = 0));
      return (await alice.log.innerText()).includes('This is where the room begins');
    });
    await shot(alice, 'beginning');
    const texts = await alice.texts();
    const crowd = texts.filter((text) => /^(Dora|Emil|Fay|Gustav) \d+$/.test(text));
    assert.equal(crowd.length, 72);
    assert.equal(new Set(crowd).size, 72);
  });

  await check('reading further up is not interrupted: a button tells how many came', async () => {
    await bob.say('Are you there?');
    const button = alice.page.getByRole('button', { name: '1 new message' });
    await button.waitFor();
    await shot(alice, 'new-below');
    await button.click();
    await until('the end is in view', 3000, () => alice.log.evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight < 5));
  });

  await check('a reload misses nothing, shows nothing twice, and keeps the draft', async () => {
    await alice.composer.fill('half a thought');
    let goOn;
    const sent = new Promise((resolveSent) => (goOn = resolveSent));
    const gone = new Promise((resolveGone) => alice.page.route('**/api/v1/page.json', async (route) => {
      resolveGone();
      await sent;
      await route.continue();
    }));
    const reloaded = alice.page.reload();
    await gone;
    const missed = Array.from({ length: 5 }, (_, index) => `while you were away ${index + 1}`);
    for (const text of missed) await bob.say(text);
    await bob.settled();
    goOn();
    await reloaded;
    await alice.is('online');
    await alice.page.unroute('**/api/v1/page.json');
    for (const text of missed) await alice.sees(text);
    await alice.sees('Morning! The deploy finished ten minutes ago.');
    const texts = await alice.texts();
    assert.deepEqual(texts.slice(-5), missed);
    for (const text of missed) assert.equal(texts.filter((shown) => shown === text).length, 1);
    assert.equal(await alice.composer.inputValue(), 'half a thought');
    await alice.page.locator('.unread').getByText('New').waitFor();
    assert.equal(await alice.page.locator('.unread + li .text').innerText(), missed[0], 'what is new begins with what was missed first');
    await shot(alice, 'reloaded');
    await alice.composer.fill('');
  });

  await check('no token is kept in the browser', async () => {
    for (const person of [alice, bob]) {
      const kept = await person.page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, location.href]));
      assert.doesNotMatch(kept, /eyJ|token/);
    }
  });

  await check('offline for five seconds: what was written stays, says so, and goes out by itself, once', async () => {
    alice.excused = AWAY;
    await alice.context.setOffline(true);
    await alice.is('offline');
    await alice.say('written in the tunnel');
    await alice.say('and another one');
    await throughout('it stays pending', 5000, async () => (await alice.log.locator('.pending').count()) === 2 && !(await bob.count('written in the tunnel')));
    await shot(alice, 'offline');
    await accessible(alice, 'the chat while offline');
    await bob.say('said while she was offline');
    await alice.context.setOffline(false);
    await alice.is('online');
    await bob.sees('and another one');
    await alice.sees('said while she was offline');
    await alice.settled();
    for (const person of [alice, bob]) {
      for (const text of ['written in the tunnel', 'and another one', 'said while she was offline']) assert.equal(await person.count(text), 1, `${person.name}: ${text}`);
    }
    alice.excused = null;
  });

  await check('too fast: a countdown, and all of it arrives by itself, in order and once', async () => {
    const burst = Array.from({ length: 40 }, (_, index) => `burst ${index + 1}`);
    await alice.burst(burst);
    await alice.page.getByText(/a little too fast. Sending goes on in \d+ s/).waitFor();
    await shot(alice, 'too-fast');
    await bob.sees('burst 40', 20_000);
    await alice.settled();
    for (const person of [alice, bob]) assert.deepEqual((await person.texts()).filter((text) => text.startsWith('burst ')), burst);
  });

  await check('a moderator deletes by mouse and by keyboard, after a second press, and nothing of it is left on any screen', async () => {
    await bob.say('my card is 4929 1234 5678 9012');
    await bob.say('and its code is 123');
    await bob.say('which I should not have said');
    await alice.sees('which I should not have said');
    await bob.settled();
    const card = alice.item('my card is');
    await card.hover();
    await card.getByRole('button', { name: 'Delete' }).click();
    await shot(alice, 'delete-sure');
    await accessible(alice, 'the chat with a question about a message');
    await card.getByRole('button', { name: 'Delete for everybody?' }).click();
    for (const person of [alice, bob]) await until(`${person.name} sees it no more`, 5000, async () => !(await person.log.innerText()).includes('4929'));
    // From the composer backwards the first button of the log is the newest message's, and the arrows lead on.
    await alice.composer.focus();
    for (let n = 0; n < 3 && !(await alice.page.evaluate(() => document.activeElement.matches('.delete'))); n += 1) await alice.page.keyboard.press('Shift+Tab');
    assert.ok(await alice.item('which I should not have said').getByRole('button').evaluate((button) => button === document.activeElement));
    await alice.page.keyboard.press('ArrowUp');
    await alice.page.keyboard.press('Enter');
    await alice.page.keyboard.press('Tab');
    assert.equal(await alice.count('and its code is 123'), 1, 'who moves on has not answered');
    await alice.page.keyboard.press('Shift+Tab');
    await alice.page.keyboard.press('Enter');
    await alice.page.keyboard.press('Enter');
    for (const person of [alice, bob]) {
      await until(`${person.name} sees it no more`, 5000, async () => !(await person.count('and its code is 123')));
      assert.equal(await person.log.locator('.tombstone').count(), 2);
    }
    assert.ok(await alice.log.evaluate((log) => log === document.activeElement), 'the focus stays in the log');
    await bob.page.reload();
    await bob.is('online');
    await bob.sees('which I should not have said');
    assert.equal(await bob.log.locator('.tombstone').count(), 2);
    assert.doesNotMatch(await bob.page.content(), /4929|its code is/);
    await shot(alice, 'deleted');
  });

  await check('who may not moderate has no such button', async () => {
    const dora = await arrive('Dora');
    await dora.page.routeWebSocket(/\/ws\/chat/, (socket) => {
      const server = socket.connectToServer();
      server.onMessage((data) => socket.send(data.replace(',"chat:moderate"', '')));
    });
    await dora.open();
    await dora.enter();
    await dora.sees('which I should not have said');
    await dora.item('which I should not have said').hover();
    assert.equal(await dora.log.getByRole('button').count(), 0);
    await dora.page.close();
  });

  await check('what is too long is refused before it is sent, with the count', async () => {
    await alice.composer.fill('x'.repeat(2001));
    await alice.page.getByText('2,001 of 2,000 characters').waitFor();
    await alice.composer.press('Enter');
    await alice.page.getByText('Too long by 1 character.').waitFor();
    assert.equal((await alice.composer.inputValue()).length, 2001);
    await shot(alice, 'too-long');
    await alice.composer.fill('');
  });

  await check('the gateway restarts: a countdown, what was written goes out by itself, and a loss is told', async () => {
    for (const person of people) person.excused = AWAY;
    await gateway.kill();
    await alice.is('reconnecting');
    await alice.say('written while it was down');
    await until('the seconds run down', 15_000, async () => /reconnecting in \d+ s/.test(await alice.status.textContent()));
    await alice.page.getByRole('button', { name: 'Retry now' }).waitFor();
    await shot(alice, 'reconnecting');
    await accessible(alice, 'the chat while reconnecting');
    await gateway.start();
    await alice.page.getByRole('button', { name: 'Retry now' }).click({ timeout: 2000 }).catch(() => {}); // it may be back by itself
    await alice.is('online', 25_000);
    await bob.is('online', 25_000);
    await bob.sees('written while it was down');
    await alice.settled(20_000);
    await bob.say('back again');
    await alice.sees('back again');
    for (const person of [alice, bob]) {
      assert.equal(await person.count('written while it was down'), 1);
      const told = (await person.log.innerText()).includes('no longer has the earlier messages');
      assert.ok(told || (await person.log.locator('.gone').count()) === 0, 'a loss was not told');
    }
    await shot(alice, 'restarted');
    await accessible(alice, 'the chat after a restart');
    for (const person of people) person.excused = null;
  });

  await check('a session that another window took rests, and can be taken back', async () => {
    const carol = await arrive('Carol');
    let wire;
    await carol.page.routeWebSocket(/\/ws\/chat/, (socket) => {
      socket.connectToServer();
      wire = socket;
    });
    await carol.open();
    await carol.enter();
    await wire.close({ code: 4409, reason: 'replaced' });
    await carol.is('open elsewhere');
    await carol.page.getByRole('button', { name: 'Use it here' }).click();
    await carol.is('online');
    await carol.composer.fill('not finished');
    await wire.close({ code: 4403, reason: 'revoked' });
    await carol.page.getByRole('alert').filter({ hasText: 'Your access was withdrawn' }).waitFor();
    await shot(carol, 'withdrawn');
    await carol.page.getByRole('button', { name: 'Enter' }).click();
    await carol.is('online');
    assert.equal(await carol.composer.inputValue(), 'not finished', 'drafts outlive a sign-out by the gateway');
    await carol.page.getByRole('button', { name: 'Sign out' }).click();
    await carol.page.getByRole('textbox', { name: 'Nickname' }).waitFor();
    assert.doesNotMatch(await carol.page.evaluate(() => JSON.stringify({ ...sessionStorage })), /Carol|not finished/);
  });

  await check('a copied tab sends nothing a second time', async () => {
    const copy = await alice.context.newPage();
    await copy.goto(`${origin}/assets/favicon.svg`);
    const kept = await alice.page.evaluate(() => ({ ...sessionStorage }));
    await copy.evaluate((all) => Object.entries(all).forEach(([key, value]) => sessionStorage.setItem(key, value)), kept);
    await copy.goto(`${origin}/`);
    await until('the copy is online', 10_000, async () => (await copy.getByRole('status').innerText()).startsWith('online'));
    await copy.getByRole('textbox', { name: 'Message' }).fill('from the copy');
    await copy.keyboard.press('Enter');
    await alice.say('from the first');
    await bob.sees('from the copy');
    await bob.sees('from the first');
    await alice.settled();
    assert.deepEqual([await bob.count('from the copy'), await bob.count('from the first')], [1, 1]);
    await copy.close();
  });

  await check('nothing went wrong in the console, no policy was violated, nothing left this machine', async () => {
    assert.deepEqual(people.flatMap((person) => person.problems), []);
  });
} catch (error) {
  failed += 1;
  console.log(`FAILED  the run itself\n${error.stack}\n${gateway?.output ?? ''}`);
} finally {
  clearTimeout(limit);
  await cleanUp();
}

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** The nickname in a link's token. */
function nickIn(link) {
  const claims = JSON.parse(Buffer.from(new URL(link).hash.split('.')[1], 'base64url'));
  return claims.nickname ?? claims.nick ?? '';
}
