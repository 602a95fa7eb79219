// The client library without a browser: time, sockets and chance are handed in, so nothing here waits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SignInRequired, Wardroom } from '../../static/wardroom.js';
import { Backoff } from '../../static/wardroom/backoff.js';
import { Cursor } from '../../static/wardroom/cursor.js';
import { Members } from '../../static/wardroom/members.js';
import { Time, settle } from './time.mjs';

/** The gateway's side of everything: sockets that the test opens, speaks through and closes. */
class Gateway {
  sockets = [];
  tickets = 0;
  answers = [];
  tokens = [];
  answersPings = true;
  time = new Time();
  target = new EventTarget();
  navigator = { onLine: true };
  storage = new Map();

  client(options = {}) {
    const gateway = this;
    return new Wardroom('https://chat.example/', {
      getToken: ({ reason }) => (this.tokens.push(reason), `token-${this.tokens.length}`),
      fetch: async () => this.answers.shift() ?? json(201, { ticket: `t${(this.tickets += 1)}`, expires_in: 30 }),
      WebSocket: class {
        readyState = 0;
        sent = [];
        constructor(url) {
          this.url = new URL(url);
          gateway.sockets.push(this);
        }
        send(text) {
          const frame = JSON.parse(text);
          this.sent.push(frame);
          if (frame.type === 'ping' && gateway.answersPings) queueMicrotask(() => this.onmessage({ data: '{"type":"pong"}' }));
        }
        close(code) {
          this.closedWith = code;
          this.readyState = 3;
        }
      },
      now: () => this.time.now,
      random: () => 0.5,
      timers: this.time,
      surroundings: { target: this.target, navigator: this.navigator },
      outbox: { storage: { getItem: (key) => this.storage.get(key) ?? null, setItem: (key, value) => this.storage.set(key, value) } },
      ...options,
    });
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** What the newest connection was sent and nobody has looked at. */
  async heard(type) {
    await settle();
    const all = this.socket.sent.filter((frame) => frame.type === type);
    this.socket.sent = this.socket.sent.filter((frame) => frame.type !== type);
    return all;
  }

  async say(...frames) {
    for (const frame of frames) this.socket.onmessage({ data: JSON.stringify(frame) });
    await settle();
  }

  async close(code) {
    this.socket.readyState = 3;
    this.socket.onclose({ code });
    await settle();
  }

  async welcome({ producer = 'PPPPPPPPPPPPPPPP', resume = 'R1', user = 'u_alice' } = {}) {
    await settle();
    this.socket.readyState = 1;
    this.socket.onopen?.();
    await this.say({ type: 'welcome', session: 's', user: { id: user, nick: 'Alice', scopes: ['chat'] }, producer, resume, limits: {}, ping_ms: 25_000 });
  }

  /** Answers the newest join. */
  async joined({ head = [0, ''], messages = [], recovered = true } = {}) {
    const [join] = await this.heard('join');
    await this.say({ type: 'joined', id: join.id, room: join.room, nick: 'Alice', head, recovered, members: 1, messages });
    return join;
  }

  async ack(send, offset, more = {}) {
    await this.say({ type: 'ack', id: send.id, room: send.room, offset, epoch: 'e1', message: idOf(send), ts: '', durability: 'disk', duplicate: false, ...more });
  }

  async reject(send, code, more = {}) {
    await this.say({ type: 'error', id: send.id, code, detail: '', outcome: 'no', ...more });
  }

  /** A client that is online in #lobby. */
  async online(options, joined) {
    const chat = this.client(options);
    const states = [];
    chat.on('state', (event) => states.push(event));
    const room = chat.room('lobby');
    chat.join('lobby').catch(() => {});
    chat.connect().catch(() => {});
    await this.welcome();
    await this.joined(joined);
    return { chat, room, states };
  }

  /** The connection broke and stands again. */
  async again(welcome, joined) {
    const before = this.sockets.length;
    for (let n = 0; n < 100 && this.sockets.length === before; n += 1) await this.time.advance(500);
    await this.welcome(welcome);
    return this.joined(joined);
  }
}

const json = (status, body, headers = {}) => new Response(JSON.stringify(body), { status, headers });
const idOf = ({ chain, seq }, producer = 'PPPPPPPPPPPPPPPP') => `${producer}${chain ? `~${chain}` : ''}.${seq}`;
const message = (offset, id = `x.${offset}`, text = `m${offset}`) => ({
  type: 'message', room: 'lobby', offset, id, user: 'u_bob', nick: 'Bob', verified: true, text, ts: '2026-11-24T12:00:00.000Z',
});
const epoch = (name, from) => ({ type: 'epoch', room: 'lobby', epoch: name, from });
const collect = (room, ...names) => {
  const events = [];
  for (const name of names) room.on(name, (value) => events.push([name, value.id ?? value.ids ?? value.code ?? value.to ?? value]));
  return events;
};

test('whoever listens after the join has missed nothing, and what follows the join at once is heard', async () => {
  const gateway = new Gateway();
  const chat = gateway.client();
  const joined = chat.join('lobby');
  chat.connect();
  await gateway.welcome();
  const [join] = await gateway.heard('join');
  await gateway.say(
    { type: 'joined', id: join.id, room: 'lobby', nick: 'Alice', head: [2, 'e1'], recovered: true, members: 1, messages: [epoch('e1', 1), message(1), message(2)] },
    message(3),
  );
  const room = await joined;
  const texts = [];
  room.on('message', ({ text }) => texts.push(text));
  await gateway.say(message(4));
  assert.deepEqual(texts, ['m1', 'm2', 'm3', 'm4']);
  assert.equal(chat.state, 'online');
});

test('a ticket is bought before the socket is opened, and only the ticket stands in the address', async () => {
  const gateway = new Gateway();
  await gateway.online();
  assert.deepEqual([...gateway.socket.url.searchParams], [['ticket', 't1']]);
  assert.equal(gateway.socket.url.protocol, 'wss:');
});

test('it is online only after welcome and every joined', async () => {
  const gateway = new Gateway();
  const chat = gateway.client();
  chat.join('a');
  chat.join('b');
  chat.connect();
  await gateway.welcome();
  assert.equal(chat.state, 'connecting');
  const joins = await gateway.heard('join');
  await gateway.say({ type: 'joined', id: joins[0].id, room: 'a', nick: 'Alice', head: [0, ''], recovered: true, members: 1, messages: [] });
  assert.equal(chat.state, 'connecting');
  await gateway.say({ type: 'joined', id: joins[1].id, room: 'b', nick: 'Alice', head: [2, 'e1'], recovered: true, members: 1, messages: [epoch('e1', 1)] });
  assert.equal(chat.state, 'connecting', 'the replay of b has not reached its head');
  await gateway.say({ ...message(1), room: 'b' }, { ...message(2), room: 'b' });
  assert.equal(chat.state, 'online');
});

test('a refused token is asked for once more, then it is signed out', async () => {
  const gateway = new Gateway();
  gateway.answers = [json(401, { code: 'unauthorized', request_id: 'r1' }), json(401, { code: 'unauthorized', request_id: 'r2' })];
  const chat = gateway.client();
  await assert.rejects(chat.connect(), { code: 'unauthorized', requestId: 'r2' });
  assert.deepEqual(gateway.tokens, ['connect', 'rejected']);
  assert.equal(chat.state, 'signed-out');
  await gateway.time.advance(120_000);
  assert.equal(gateway.tokens.length, 2, 'no loop against the identity provider');
});

test('a refused token that cannot be renewed is told as refused, not as missing', async () => {
  const gateway = new Gateway();
  gateway.answers = [json(401, { code: 'token_expired' })];
  const chat = gateway.client({ getToken: ({ reason }) => { if (reason !== 'connect') throw new SignInRequired(); return 'token'; } });
  await assert.rejects(chat.connect(), { code: 'token_expired' });
});

test('without a credential it stops, and starts again when a person signs in', async () => {
  const gateway = new Gateway();
  let signedIn = false;
  const chat = gateway.client({ getToken: () => { if (!signedIn) throw new SignInRequired(); return 'token'; } });
  await assert.rejects(chat.connect(), { code: 'sign_in' });
  signedIn = true;
  chat.reauthenticate();
  await gateway.welcome();
  assert.equal(chat.state, 'online');
});

test('429 and 503 are waited for as long as they say, and up to a fifth longer', async () => {
  const gateway = new Gateway();
  gateway.answers = [json(429, { code: 'rate_limited', retry_after_ms: 4000 }), json(503, {}, { 'retry-after': '2' })];
  const chat = gateway.client();
  const waits = [];
  chat.on('state', ({ state, retryInMs, code }) => state === 'waiting' && waits.push([code, retryInMs]));
  chat.connect().catch(() => {});
  await gateway.time.advance(4400);
  assert.deepEqual(waits, [['rate_limited', 4400], ['unavailable', 2200]]);
});

test('the backoff is full jitter, and forgets only after ten seconds online', () => {
  const backoff = new Backoff({ random: () => 1 });
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [1000, 1500, 2500]);
  for (let n = 0; n < 10; n += 1) backoff.next();
  assert.equal(backoff.next(), 20_500);
  backoff.settle(9999);
  assert.equal(backoff.next(), 20_500);
  backoff.settle(10_000);
  assert.equal(backoff.next(), 1000);
});

for (const [code, state, name] of [
  [1001, 'waiting', 'going_away'], [1006, 'waiting', 'network'], [1011, 'waiting', 'internal'], [1012, 'waiting', 'restart'],
  [1013, 'waiting', 'overload'], [4508, 'waiting', 'silent_peer'], [4520, 'waiting', 'slow_consumer'], [4529, 'waiting', 'rate_limited'],
  [4403, 'signed-out', 'revoked'], [4409, 'elsewhere', 'replaced'],
]) {
  test(`close ${code} leads to ${state}`, async () => {
    const gateway = new Gateway();
    const { chat, states } = await gateway.online();
    await gateway.close(code);
    assert.equal(chat.state, state);
    assert.equal(states.at(-1).code, name);
  });
}

test('close 4401 asks for a new credential and comes back at once', async () => {
  const gateway = new Gateway();
  await gateway.online();
  await gateway.close(4401);
  assert.deepEqual(gateway.tokens, ['connect', 'expired']);
  assert.equal(gateway.sockets.length, 2);
});

test('after a protocol error there is one try, 30 s later, and then none', async () => {
  const gateway = new Gateway();
  const { chat, states } = await gateway.online();
  await gateway.close(4400);
  assert.equal(states.at(-1).retryInMs, 30_000);
  await gateway.time.advance(30_000);
  await gateway.close(4400);
  assert.equal(chat.state, 'signed-out');
});

test('the hint of a closing frame is used as it is', async () => {
  const gateway = new Gateway();
  const { states } = await gateway.online();
  await gateway.say({ type: 'closing', code: 'restart', reconnect: true, retry_after_ms: 4321 });
  await gateway.close(1012);
  assert.equal(states.at(-1).retryInMs, 4321);
});

test('three good tickets without a welcome mean that something blocks WebSockets', async () => {
  const gateway = new Gateway();
  const chat = gateway.client();
  const codes = [];
  chat.on('state', ({ state, code }) => state === 'waiting' && codes.push(code));
  chat.connect().catch(() => {});
  for (let n = 0; n < 3; n += 1) {
    await gateway.time.advance(5000);
    await gateway.close(1006);
  }
  assert.deepEqual(codes, ['network', 'network', 'blocked']);
});

test('whoever leaves says so, and whoever comes back does not', async () => {
  const gateway = new Gateway();
  const { chat } = await gateway.online();
  for (const [event, back] of [['pagehide', Object.assign(new Event('pageshow'), { persisted: true })], ['offline', new Event('online')]]) {
    const left = gateway.socket;
    gateway.target.dispatchEvent(new Event(event));
    assert.equal(left.readyState, 3, event);
    assert.equal(left.closedWith, undefined, `${event}: the seat is kept`);
    gateway.target.dispatchEvent(back);
    await gateway.again();
  }
  chat.close();
  assert.equal(gateway.socket.closedWith, 1000);
});

test('a silent connection is asked, and left when nothing answers', async () => {
  const gateway = new Gateway();
  const { chat } = await gateway.online();
  await gateway.time.advance(26_000);
  assert.equal((await gateway.heard('ping')).length, 1);
  gateway.answersPings = false;
  await gateway.time.advance(26_000);
  assert.equal((await gateway.heard('ping')).length, 1);
  await gateway.time.advance(11_000);
  assert.notEqual(chat.state, 'online');
});

test('without a network it says offline at once, trusts the old socket no more, and comes back by itself', async () => {
  const gateway = new Gateway();
  const { chat, room } = await gateway.online();
  const old = gateway.socket;
  gateway.navigator.onLine = false;
  gateway.target.dispatchEvent(new Event('offline'));
  assert.equal(chat.state, 'offline');
  room.send('written offline');
  old.onmessage({ data: JSON.stringify(message(1)) });
  assert.equal(room.offset, 0, 'the old socket is muted');
  assert.equal(old.sent.some((frame) => frame.type === 'send'), false);
  gateway.navigator.onLine = true;
  gateway.target.dispatchEvent(new Event('online'));
  await gateway.time.advance(1000);
  await gateway.welcome();
  await gateway.joined();
  assert.deepEqual((await gateway.heard('send')).map((frame) => frame.text), ['written offline']);
});

test('waking from sleep asks the socket with a short deadline', async () => {
  const gateway = new Gateway();
  const { chat } = await gateway.online();
  gateway.answersPings = false;
  gateway.time.now += 60_000; // no timer ran meanwhile
  await gateway.time.advance(1000);
  assert.equal((await gateway.heard('ping')).length, 1);
  await gateway.time.advance(4000);
  assert.notEqual(chat.state, 'online');
});

test('a message is numbered, acknowledged and settled once', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const first = room.send('one');
  const second = room.send('two');
  const sends = await gateway.heard('send');
  assert.deepEqual(sends.map(({ chain, seq, prev }) => [chain, seq, prev]), [[0, 1, 0], [0, 2, 1]]);
  await gateway.ack(sends[0], 1);
  assert.deepEqual([first.status, second.status], ['acked', 'sent']);
  assert.equal((await first.ack).offset, 1);
});

test('what was sent and not acknowledged is repeated under its number, after coming level', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [4, 'e1'] });
  const dispatch = room.send('was it heard?');
  await gateway.heard('send');
  await gateway.close(1006);
  assert.equal(dispatch.status, 'unknown');
  const join = await gateway.again({}, { head: [6, 'e1'], messages: [message(5)] });
  assert.deepEqual(join.since, [[4, 'e1']]);
  assert.equal(gateway.socket.url.searchParams.get('resume'), 'R1');
  assert.deepEqual(await gateway.heard('send'), [], 'not before level');
  await gateway.say(message(6));
  const [again] = await gateway.heard('send');
  assert.deepEqual([again.chain, again.seq, again.prev, again.text], [0, 1, 0, 'was it heard?']);
  await gateway.ack(again, 3, { duplicate: true });
  assert.equal(dispatch.status, 'acked');
});

test('an ack is believed for good when the stream shows the message: a log that lost it unseen gets it again', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [4, 'e1'] });
  const dispatch = room.send('acknowledged, and not yet shown');
  const [send] = await gateway.heard('send');
  await gateway.ack(send, 5);
  assert.equal(dispatch.status, 'acked');
  await gateway.close(1006);
  // Set back to what the cursor has: no fork is due, and none comes.
  const join = await gateway.again({}, { head: [4, 'e1'] });
  assert.deepEqual(join.since, [[4, 'e1']]);
  const [again] = await gateway.heard('send');
  assert.deepEqual([again.seq, again.prev, again.text], [1, 0, 'acknowledged, and not yet shown']);
  await gateway.ack(again, 5, { epoch: 'e2' });
  await gateway.say(epoch('e2', 5), message(5, idOf(again)));
  await gateway.close(1006);
  await gateway.again({}, { head: [5, 'e2'] });
  assert.deepEqual(await gateway.heard('send'), [], 'shown: nothing to doubt');
});

test('a fork before the ack is not undone by it', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [4, 'e1'] });
  room.send('shown, set back, acknowledged');
  const [send] = await gateway.heard('send');
  await gateway.say(message(5, idOf(send)), { type: 'fork', room: 'lobby', keep: [4, 'e1'] });
  await gateway.ack(send, 5);
  await gateway.close(1006);
  await gateway.again({}, { head: [4, 'e1'] });
  assert.equal((await gateway.heard('send')).length, 1);
});

test('its id in the replay settles it, and nothing is repeated', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const dispatch = room.send('heard');
  await gateway.heard('send');
  await gateway.close(1006);
  await gateway.again({}, { head: [1, 'e1'], messages: [epoch('e1', 1), message(1, 'PPPPPPPPPPPPPPPP.1')] });
  assert.equal(dispatch.status, 'acked');
  assert.deepEqual(await gateway.heard('send'), []);
});

test('another producer never repeats what the old one numbered: looked up for 15 s, then not sent', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const unknown = room.send('under the old name');
  await gateway.heard('send');
  await gateway.close(1006);
  const queued = room.send('never sent');
  await gateway.again({ producer: 'QQQQQQQQQQQQQQQQ', resume: 'R2' }, { head: [1, 'e1'], messages: [epoch('e1', 1), message(1)] });
  assert.deepEqual((await gateway.heard('send')).map(({ text, seq, prev }) => [text, seq, prev]), [['never sent', 1, 0]]);
  await gateway.time.advance(14_000);
  assert.equal(unknown.status, 'unknown');
  await gateway.time.advance(3000);
  assert.deepEqual([unknown.status, unknown.error.code], ['failed', 'unconfirmed']);
  assert.notEqual(queued.status, 'failed');
});

test('a rejected message burns its number, and the next one skips it', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const muted = room.send('one');
  const [one] = await gateway.heard('send');
  await gateway.reject(one, 'muted');
  assert.deepEqual([muted.status, muted.error.code], ['failed', 'muted']);
  room.send('two');
  const [two] = await gateway.heard('send');
  assert.deepEqual([two.seq, two.prev], [2, 0]);
});

test('too fast: all of it waits as long as told, then goes out by itself, in order and once', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const limited = collect(room, 'limited');
  for (const text of ['a', 'b', 'c']) room.send(text);
  const [a, b, c] = await gateway.heard('send');
  await gateway.ack(a, 1);
  await gateway.reject(b, 'rate_limited', { retry_after_ms: 3000 });
  await gateway.reject(c, 'out_of_sequence', { have: 1 });
  assert.deepEqual(limited[0], ['limited', 'rate_limited']);
  await gateway.time.advance(2000);
  assert.deepEqual(await gateway.heard('send'), []);
  await gateway.time.advance(2000);
  const again = await gateway.heard('send');
  assert.deepEqual(again.map(({ text, seq, prev }) => [text, seq, prev]), [['b', 4, 1], ['c', 5, 4]]);
});

test('an unavailable log is tried again under the same number', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  room.send('one');
  const [one] = await gateway.heard('send');
  await gateway.reject(one, 'unavailable', { retry_after_ms: 1500 });
  await gateway.time.advance(2000);
  const [again] = await gateway.heard('send');
  assert.deepEqual([again.seq, again.prev], [1, 0]);
});

test('an unknown outcome is repeated, never renumbered', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  room.send('one');
  const [one] = await gateway.heard('send');
  await gateway.reject(one, 'unavailable', { outcome: 'unknown', retry_after_ms: 1000 });
  await gateway.time.advance(2000);
  const [again] = await gateway.heard('send');
  assert.deepEqual([again.seq, again.prev], [1, 0]);
  await gateway.reject(again, 'muted');
  await gateway.time.advance(3000);
  assert.deepEqual(await gateway.heard('send'), [], 'a "no" to a repeat decides nothing');
});

test('a log that lost what cannot be sent again gets a new chain', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const old = room.send('old');
  const [first] = await gateway.heard('send');
  await gateway.ack(first, 1);
  await gateway.say(epoch('e1', 1), message(1, idOf(first)));
  await gateway.time.advance(70_000); // longer than it is kept
  room.send('new');
  const [second] = await gateway.heard('send');
  assert.deepEqual([second.chain, second.seq, second.prev], [0, 2, 1]);
  await gateway.reject(second, 'out_of_sequence', { have: 0 });
  const [again] = await gateway.heard('send');
  assert.deepEqual([again.chain, again.seq, again.prev], [1, 1, 0]);
  assert.equal(old.status, 'acked');
});

test('a log that lost what is still kept gets it again, in order', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  room.send('one');
  await gateway.ack((await gateway.heard('send'))[0], 1);
  room.send('two');
  await gateway.reject((await gateway.heard('send'))[0], 'out_of_sequence', { have: 0 });
  assert.deepEqual((await gateway.heard('send')).map(({ seq, prev }) => [seq, prev]), [[1, 0], [2, 1]]);
});

test('a copied tab takes a producer of its own', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const dispatch = room.send('mine');
  await gateway.reject((await gateway.heard('send'))[0], 'conflict');
  await gateway.time.advance(1000);
  assert.equal(gateway.sockets.length, 2);
  assert.equal(gateway.socket.url.searchParams.get('resume'), null);
  await gateway.welcome({ producer: 'QQQQQQQQQQQQQQQQ', resume: 'R2' });
  await gateway.joined();
  assert.deepEqual((await gateway.heard('send')).map(({ text, seq }) => [text, seq]), [['mine', 1]]);
  assert.equal(dispatch.status, 'sent');
});

test('a first copy that is called a repeat was numbered by a copied tab: it is said under a producer of its own', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const dispatch = room.send('mine');
  const [send] = await gateway.heard('send');
  await gateway.ack(send, 1, { duplicate: true });
  assert.notEqual(dispatch.status, 'acked', 'what the log has is the words of another');
  await gateway.again({ producer: 'QQQQQQQQQQQQQQQQ', resume: 'R2' }, { head: [1, 'e1'], messages: [epoch('e1', 1), message(1)] });
  assert.equal(gateway.socket.url.searchParams.get('resume'), null);
  const [own] = await gateway.heard('send');
  assert.equal(own.text, 'mine');
});

test('what could not be sent for a minute fails, and Retry sends it under a new number', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  gateway.navigator.onLine = false;
  gateway.target.dispatchEvent(new Event('offline'));
  gateway.answers = Array.from({ length: 50 }, () => json(503, {}));
  const dispatch = room.send('late');
  await gateway.time.advance(62_000);
  assert.deepEqual([dispatch.status, dispatch.error.code], ['failed', 'expired']);
  gateway.answers = [];
  dispatch.retry();
  assert.equal(dispatch.status, 'queued');
  await gateway.again();
  assert.deepEqual((await gateway.heard('send')).map((frame) => frame.text), ['late']);
});

test('a reload keeps the place, the resume string and what waits, and never a token', async () => {
  const gateway = new Gateway();
  const { room, chat } = await gateway.online({}, { head: [3, 'e1'] });
  room.send('before the reload');
  await gateway.heard('send');
  chat.close();
  assert.equal([...gateway.storage.values()].join().includes('token'), false);
  const reloaded = gateway.client();
  const again = reloaded.room('lobby');
  assert.deepEqual(again.open.map(({ text, status }) => [text, status]), [['before the reload', 'unknown']]);
  reloaded.connect().catch(() => {});
  await gateway.welcome();
  assert.equal(gateway.socket.url.searchParams.get('resume'), 'R1');
  const join = await gateway.joined({ head: [3, 'e1'] });
  assert.deepEqual(join.since, [[3, 'e1']]);
  assert.deepEqual((await gateway.heard('send')).map(({ seq, prev }) => [seq, prev]), [[1, 0]]);
});

test('another person on the same storage sends nothing of the first', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  await gateway.close(1006);
  const dispatch = room.send('mine, not yours');
  await gateway.time.advance(5000);
  await gateway.welcome({ user: 'u_mallory', producer: 'QQQQQQQQQQQQQQQQ' });
  const join = await gateway.joined();
  assert.equal(join.since, undefined);
  assert.deepEqual(await gateway.heard('send'), []);
  assert.equal(dispatch.error.code, 'other_identity');
});

test('a hole is never passed over: a fresh connection resumes from the cursor', async () => {
  const gateway = new Gateway();
  const { chat, room } = await gateway.online({}, { head: [4, 'e1'] });
  const events = collect(room, 'message');
  await gateway.say(message(5), message(5), message(7));
  assert.deepEqual(events, [['message', 'x.5']], 'a repeat is ignored, what lies beyond the hole is not shown');
  assert.equal(chat.state, 'waiting');
  const join = await gateway.again({}, { head: [7, 'e1'], messages: [message(6), message(7)] });
  assert.deepEqual(join.since, [[5, 'e1']]);
  assert.deepEqual(events.map(([, id]) => id), ['x.5', 'x.6', 'x.7']);
});

test('gap, reset and epoch move the cursor, and the application hears of what is gone', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [4, 'e1'] });
  const events = collect(room, 'gap', 'reset', 'message');
  await gateway.say({ type: 'gap', room: 'lobby', from: 5, to: [8, 'e1'] }, message(9), epoch('e2', 10), message(10));
  await gateway.say({ type: 'reset', room: 'lobby', to: [0, ''] }, epoch('e3', 1), message(1, 'y.1'));
  assert.deepEqual(events.map(([name]) => name), ['gap', 'message', 'message', 'reset', 'message']);
  assert.equal(room.offset, 1);
});

test('a fork doubts, rebinds what comes again, sends ours again and takes the rest back', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [4, 'e1'] });
  room.on('message', () => {});
  room.send('ours');
  const [send] = await gateway.heard('send');
  await gateway.say(message(5), message(6), { ...message(7, idOf(send)), user: 'u_alice' });
  await gateway.ack(send, 7);
  const events = collect(room, 'fork', 'rebound', 'retracted', 'message');
  await gateway.close(1006);
  await gateway.again({}, { head: [5, 'e2'], messages: [{ type: 'fork', room: 'lobby', keep: [4, 'e1'] }, epoch('e2', 5), message(5, 'x.6')] });
  const [again] = await gateway.heard('send');
  assert.deepEqual([again.seq, again.prev], [send.seq, send.prev]);
  await gateway.say({ ...message(6, idOf(send)), user: 'u_alice' });
  await gateway.time.advance(7000);
  assert.deepEqual(events, [['fork', ['x.5', 'x.6', idOf(send)]], ['rebound', 'x.6'], ['rebound', idOf(send)], ['retracted', ['x.5']]]);
});

test('the cursor holds one position for each epoch, four at most', () => {
  const cursor = new Cursor();
  cursor.epoch('a', 1);
  for (let offset = 1; offset <= 5; offset += 1) cursor.count(offset);
  for (const [index, name] of ['b', 'c', 'd', 'e'].entries()) {
    assert.equal(cursor.epoch(name, 6 + index), true);
    cursor.count(6 + index);
  }
  assert.deepEqual(cursor.toJSON(), [[9, 'e'], [8, 'd'], [7, 'c'], [6, 'b']]);
  assert.equal(cursor.epoch('f', 20), false, 'something between is missing');
  cursor.fork([7, 'c']);
  assert.deepEqual(cursor.toJSON(), [[7, 'c'], [6, 'b']]);
  assert.deepEqual(['seen', 'next', 'hole'], [7, 8, 9].map((offset) => cursor.place(offset)));
});

test('people are merged by user, and a count that does not add up is noticed', () => {
  const members = new Members();
  members.replace([{ user: 'b', nick: 'Bob' }, { user: 'a', nick: 'Ann' }], 2);
  assert.equal(members.change([{ user: 'a', nick: 'Ann' }], [], 2), true, 'another window of hers changes nothing');
  assert.equal(members.change([{ user: 'a', nick: 'Anne' }], [{ user: 'a', nick: 'Ann' }], 2), true, 'she has another name');
  assert.deepEqual(members.list.map(({ nick }) => nick), ['Anne', 'Bob']);
  assert.equal(members.change([], [{ user: 'b', nick: 'Bob' }], 5), false);
  members.replace([{ user: 'a', nick: 'Ann' }], 900);
  assert.equal(members.change([], [], 899), true, 'of a crowd only some are named');
  assert.equal(members.change([{ user: 'b', nick: 'Bob' }], [], 2), true, 'and then all');
  members.replace([{ user: 'a', nick: 'Ann' }, { user: 'b', nick: 'Bob' }], 900);
  assert.equal(members.change([], [{ user: 'b', nick: 'Bob' }], 2), false, 'when the crowd has gone, all should be known');
});

test('who is there is asked on joining, again when the gateway was busy, and again when the count disagrees', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const answer = async (people, count = people.length) => {
    const asked = await gateway.heard('members');
    assert.equal(asked.length, 1);
    const members = people.map((user) => ({ user, nick: user }));
    await gateway.say({ type: 'members', id: asked[0].id, room: 'lobby', count, members });
  };
  const names = () => room.people.list.map(({ nick }) => nick);
  const [first] = await gateway.heard('members');
  await gateway.say({ type: 'error', id: first.id, code: 'rate_limited', detail: '', retry_after_ms: 3000 });
  await gateway.time.advance(2000);
  assert.deepEqual(await gateway.heard('members'), []);
  await gateway.time.advance(2000);
  await answer(['Alice', 'Bob']);
  assert.deepEqual(names(), ['Alice', 'Bob']);
  await gateway.say({ type: 'presence', room: 'lobby', joined: [{ user: 'Carol', nick: 'Carol' }], left: [], count: 5 });
  await gateway.time.advance(3000);
  await answer(['Alice', 'Bob', 'Carol', 'Dave', 'Eve']);
  assert.deepEqual([names().length, room.people.count], [5, 5]);
  await gateway.time.advance(10_000);
  assert.deepEqual(await gateway.heard('members'), [], 'then it is left alone');
});

test('a room that refuses is given up; one that is not available is tried again', async () => {
  const gateway = new Gateway();
  const { chat } = await gateway.online();
  const banned = assert.rejects(chat.join('cellar'), { code: 'banned' });
  await gateway.say({ type: 'error', id: (await gateway.heard('join'))[0].id, code: 'banned', detail: '' });
  await banned;
  chat.join('attic').catch(() => {});
  await gateway.say({ type: 'error', id: (await gateway.heard('join'))[0].id, code: 'unavailable', detail: '', retry_after_ms: 2000 });
  await gateway.time.advance(1000);
  assert.deepEqual(await gateway.heard('join'), []);
  await gateway.time.advance(2000);
  assert.equal((await gateway.heard('join'))[0].room, 'attic');
});

test('an expiring session is extended in place, and kept as it is when no new token comes', async () => {
  const gateway = new Gateway();
  const { chat } = await gateway.online();
  await gateway.say({ type: 'expiring', in_ms: 60_000 });
  const [auth] = await gateway.heard('auth');
  assert.equal(auth.token, 'token-2');
  await gateway.say({ type: 'ok', id: auth.id, expires_at: 'later', scopes: ['chat', 'chat:moderate'] });
  assert.deepEqual(chat.user.scopes, ['chat', 'chat:moderate']);
  assert.equal(chat.state, 'online');
});

test('a frame too large fails the message that caused it, and the rest goes on', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online();
  const large = room.send('large');
  await gateway.heard('send');
  await gateway.close(1009);
  assert.deepEqual([large.status, large.error.code], ['failed', 'too_large']);
});

const deleted = (offset, target) => ({ type: 'deleted', room: 'lobby', offset, target });

test('a deletion is asked for by position, and its answer settles the promise', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [3, 'e2'], messages: [epoch('e1', 1), message(1), message(2), epoch('e2', 3), message(3)] });
  const all = Promise.allSettled([room.delete(2), room.delete(3), room.delete({ ...message(2), epoch: 'e0' })]);
  const asked = await gateway.heard('delete');
  assert.deepEqual(asked.map(({ room: name, offset, epoch: of }) => [name, offset, of]), [['lobby', 2, 'e1'], ['lobby', 3, 'e2'], ['lobby', 2, 'e0']]);
  await gateway.say({ type: 'ok', id: asked[0].id }, { type: 'error', id: asked[1].id, code: 'forbidden', detail: '' }, { type: 'error', id: asked[2].id, code: 'conflict', detail: '' });
  assert.deepEqual((await all).map(({ reason }) => reason?.code), [undefined, 'forbidden', 'conflict']);
});

test('a deletion is told in order, counts as an entry, and empties what nobody has heard yet', async () => {
  const gateway = new Gateway();
  const { chat, room } = await gateway.online({}, { head: [3, 'e1'], messages: [epoch('e1', 1), message(1), message(2), deleted(3, 1)] });
  assert.equal(chat.state, 'online', 'a deletion may be the head');
  const told = [];
  for (const name of ['message', 'deleted']) room.on(name, (value) => told.push(value));
  await gateway.say(message(4), deleted(5, 4));
  assert.deepEqual(told.map(({ type, offset, target, text }) => [type, offset, target ?? text]), [
    ['message', 1, undefined], ['message', 2, 'm2'], ['message', 4, 'm4'], ['deleted', 5, 4],
  ]);
  assert.deepEqual(Object.keys(told[0]).sort(), ['deleted', 'epoch', 'id', 'offset', 'room', 'ts', 'type']);
  assert.equal(room.offset, 5);
});

test('what was deleted says nothing, also in a page that was read before and arrives after', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [9, 'e1'], messages: [epoch('e1', 9), message(9)] });
  const page = room.history({ before: 9, limit: 3 });
  const [asked] = await gateway.heard('history');
  await gateway.say(deleted(10, 7), { type: 'history', id: asked.id, room: 'lobby', messages: [message(6), message(7), deleted(8, 2)], first: 1, head: [9, 'e1'] });
  const { messages } = await page;
  assert.deepEqual(messages.map(({ type, text, epoch: of, deleted: gone }) => [type, text, of, gone]), [
    ['message', 'm6', 'e1', undefined], ['message', undefined, 'e1', true], ['deleted', undefined, 'e1', undefined],
  ]);
  assert.ok(!JSON.stringify(messages).includes('m7') && messages[1].user === undefined);
});

test('a deletion that a rollback or another log made void takes nothing from what comes at its place', async () => {
  const gateway = new Gateway();
  const { room } = await gateway.online({}, { head: [2, 'e1'], messages: [epoch('e1', 1), message(1), message(2)] });
  const texts = [];
  room.on('message', ({ text }) => texts.push(text));
  await gateway.say(message(3), deleted(4, 3), { type: 'fork', room: 'lobby', keep: [2, 'e1'] }, epoch('e2', 3), message(3, 'y.3', 'another'));
  await gateway.say(deleted(4, 3), { type: 'reset', room: 'lobby', to: [0, ''] }, epoch('e3', 1), message(1, 'z.1', 'first'), message(2, 'z.2', 'second'), message(3, 'z.3', 'third'));
  assert.deepEqual(texts, ['m1', 'm2', 'm3', 'another', 'first', 'second', 'third']);
});

test('a fresh token tells what it allows', async () => {
  const gateway = new Gateway();
  const { chat } = await gateway.online();
  const told = [];
  chat.on('scopes', (scopes) => told.push(scopes));
  await gateway.say({ type: 'expiring', in_ms: 60_000 });
  const [auth] = await gateway.heard('auth');
  await gateway.say({ type: 'ok', id: auth.id, expires_at: '', scopes: ['chat:read', 'chat:moderate'] });
  assert.deepEqual(told, [['chat:read', 'chat:moderate']]);
  assert.deepEqual(chat.user.scopes, ['chat:read', 'chat:moderate']);
});
