// The client library against a gateway that fails in every way it may: connections break before and after a message is
// placed, answers are lost, the log is unavailable, forgets its tail or forgets everything. Whatever happens, a message
// that was acknowledged is in the log once, in the order in which it was written, and every reader sees what the log holds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Wardroom } from '../../static/wardroom.js';
import { Time } from './time.mjs';

const SEEDS = Number(process.env.SEEDS ?? 25);
const MESSAGES = 25;

/** Small and repeatable: mulberry32. */
function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** One room's log by the decision table, over connections that break. */
class World {
  log = [];
  links = new Set();
  #epochs = 0;
  #tickets = new Map();
  #resumes = 0;
  calm = false;

  constructor(seed) {
    this.random = chance(seed);
    this.time = new Time();
    this.epoch = this.#newEpoch();
  }

  #newEpoch() {
    return `e${(this.#epochs += 1)}`;
  }

  client(user, storage) {
    const world = this;
    return new Wardroom('https://chat.example', {
      getToken: () => user,
      fetch: async (_, { headers }) => {
        if (world.happens(0.1)) throw new TypeError('no network');
        if (world.happens(0.05)) return new Response('{"code":"unavailable","retry_after_ms":300}', { status: 503 });
        const ticket = String(Math.floor(world.random() * 1e12));
        world.#tickets.set(ticket, headers.authorization.split(' ')[1]);
        return new Response(JSON.stringify({ ticket }), { status: 201 });
      },
      WebSocket: class {
        constructor(url) {
          const { searchParams } = new URL(url);
          this.link = new Connection(world, this, world.#tickets.get(searchParams.get('ticket')), searchParams.get('resume'));
        }
        send(text) {
          this.link.receive(JSON.parse(text));
        }
        close() {
          this.link.cut(true);
        }
      },
      now: () => world.time.now, random: world.random, timers: world.time, surroundings: {},
      outbox: { storage: { getItem: (key) => storage.get(key) ?? null, setItem: (key, value) => storage.set(key, value) } },
    });
  }

  happens(probability) {
    return !this.calm && this.random() < probability;
  }

  newResume() {
    return `r${(this.#resumes += 1)}`;
  }

  last(producer, chain) {
    return this.log.findLast((entry) => entry.producer === producer && entry.chain === chain);
  }

  decide(producer, { chain, seq, prev, text }) {
    const last = this.last(producer, chain);
    if (last?.seq === seq) return last.text === text ? { ack: last, duplicate: true } : { error: 'conflict' };
    if (last && last.seq > seq) return { ack: null, duplicate: true };
    if ((last?.seq ?? 0) < prev) return { error: 'out_of_sequence', have: last?.seq ?? 0 };
    if (last && last.seq > prev) return { error: 'conflict' };
    return { place: true };
  }

  append(producer, user, { chain, seq, text }) {
    const id = `${producer}${chain ? `~${chain}` : ''}.${seq}`;
    const entry = { offset: this.log.length + 1, epoch: this.epoch, id, producer, chain, seq, text, user, at: this.time.now };
    this.log.push(entry);
    for (const link of this.links) link.tell(entry);
    return entry;
  }

  /** A failover: what came last is gone, and the log says so. */
  rollback(count) {
    const keep = this.log.slice(0, Math.max(0, this.log.length - count));
    const lost = this.log.slice(keep.length);
    if (keep.length === 0 || lost.some((entry) => this.time.now - entry.at > 40_000)) return;
    this.log = keep;
    this.epoch = this.#newEpoch();
    for (const link of this.links) link.post({ type: 'fork', room: 'lobby', keep: this.position(keep.length) });
  }

  /** A restart without a store: another log begins. */
  forget() {
    this.forgotten = true;
    this.log = [];
    this.epoch = this.#newEpoch();
    for (const link of [...this.links]) link.cut();
  }

  position(offset) {
    return offset ? [offset, this.log[offset - 1].epoch] : [0, ''];
  }

  /** The frames after a position, with their epochs. */
  after(offset, epoch) {
    const frames = [];
    for (const entry of this.log.slice(offset)) {
      if (entry.epoch !== epoch) frames.push({ type: 'epoch', room: 'lobby', epoch: entry.epoch, from: entry.offset });
      epoch = entry.epoch;
      frames.push(frameOf(entry));
    }
    return frames;
  }

  /** What a cursor misses. */
  resume(since) {
    if (!since) return this.after(0, '');
    for (const [offset, epoch] of since) {
      const known = this.log.findLast((entry) => entry.epoch === epoch);
      if (!known) continue;
      if (offset <= known.offset && (this.log[offset - 1]?.epoch === epoch || this.log[offset]?.epoch === epoch)) {
        const [newest] = since;
        const fork = newest[0] === offset && newest[1] === epoch ? [] : [{ type: 'fork', room: 'lobby', keep: [offset, epoch] }];
        return [...fork, ...this.after(offset, epoch)];
      }
      return [{ type: 'fork', room: 'lobby', keep: [known.offset, epoch] }, ...this.after(known.offset, epoch)];
    }
    return [{ type: 'reset', room: 'lobby', to: [0, ''] }, ...this.after(0, '')];
  }
}

const frameOf = ({ offset, id, user, text }) => ({ type: 'message', room: 'lobby', offset, id, user, nick: user, verified: true, text, ts: '' });

/** One connection: frames arrive late and in order, until it breaks. */
class Connection {
  #over = false;
  #joined = false;
  #told = '';
  #arrives = 0;

  constructor(world, socket, user, resume) {
    Object.assign(this, { world, socket, user });
    this.resume = resume ?? world.newResume();
    this.producer = `p-${user}-${this.resume}`;
    socket.readyState = 0;
    this.#later(() => {
      socket.readyState = 1;
      socket.onopen?.();
      world.links.add(this);
      this.post({ type: 'welcome', user: { id: user, nick: user, scopes: ['chat'] }, producer: this.producer, resume: this.resume, ping_ms: 25_000 });
    });
  }

  #later(run) {
    this.#arrives = Math.max(this.#arrives, this.world.time.now + Math.floor(this.world.random() * 200));
    this.world.time.setTimeout(() => !this.#over && run(), this.#arrives - this.world.time.now);
  }

  post(frame) {
    if (frame.type === 'fork') this.#told = '';
    this.#later(() => this.socket.onmessage({ data: JSON.stringify(frame) }));
  }

  tell(entry) {
    if (!this.#joined) return;
    if (entry.epoch !== this.#told) this.post({ type: 'epoch', room: 'lobby', epoch: entry.epoch, from: entry.offset });
    this.#told = entry.epoch;
    this.post(frameOf(entry));
  }

  cut(theirs = false) {
    if (this.#over) return;
    this.#over = true;
    this.world.links.delete(this);
    this.socket.readyState = 3;
    if (!theirs) this.socket.onclose({ code: 1006 });
  }

  receive(frame) {
    if (this.world.happens(0.03)) return this.cut(); // lost on the way
    return this.#later(() => this.#handle(frame));
  }

  #handle(frame) {
    const { world } = this;
    const answer = (more) => this.post({ id: frame.id, room: 'lobby', ...more });
    if (frame.type === 'join') {
      const messages = world.resume(frame.since);
      this.#joined = true;
      this.#told = world.log.at(-1)?.epoch ?? '';
      return answer({ type: 'joined', nick: this.user, head: world.position(world.log.length), recovered: true, members: 1, messages });
    }
    if (frame.type === 'members') return answer({ type: 'members', count: 0, members: [] });
    if (frame.type === 'ping') return answer({ type: 'pong' });
    if (frame.type !== 'send') return undefined;
    const error = (code, outcome, more) => answer({ type: 'error', code, outcome, detail: '', retry_after_ms: 400, ...more });
    if (world.happens(0.05)) return error('rate_limited', 'no');
    if (world.happens(0.05)) return error('unavailable', 'no');
    if (world.happens(0.03)) return error('unavailable', 'unknown');
    const decided = world.decide(this.producer, frame);
    if (decided.error) return error(decided.error, 'no', { have: decided.have });
    const entry = decided.place ? world.append(this.producer, this.user, frame) : decided.ack;
    if (world.happens(0.05)) return this.cut(); // placed, and nobody was told
    if (world.happens(0.03)) return error('unavailable', 'unknown');
    const place = entry ? { offset: entry.offset, epoch: entry.epoch } : {};
    return answer({ type: 'ack', ...place, message: entry?.id ?? '', ts: '', durability: 'memory', duplicate: decided.duplicate === true });
  }
}

/** Somebody who writes, and what they see. */
async function live(seed, misfortune) {
  const world = new World(seed);
  const people = ['ann', 'bob'].map((user) => open(world, user, new Map()));
  for (let n = 0; n < MESSAGES; n += 1) {
    for (const person of people) if (world.random() < 0.8) person.sent.push(person.room.send(`${person.user} ${n}`));
    misfortune(world, n, people);
    await world.time.advance(Math.floor(world.random() * 1500));
  }
  world.calm = true;
  await world.time.advance(45_000);
  for (const { chat } of people) chat.close();
  return { world, people };
}

/** A window: its client, its room and what it shows. */
function open(world, user, storage) {
  const chat = world.client(user, storage);
  const room = chat.room('lobby');
  const seen = [];
  const drop = (ids) => ids.forEach((id) => seen.splice(seen.findIndex((message) => message.id === id), 1));
  room.on('message', (message) => seen.push({ id: message.id, offset: message.offset, text: message.text }));
  room.on('rebound', ({ id, offset }) => (seen.find((message) => message.id === id).offset = offset));
  room.on('retracted', ({ ids }) => drop(ids));
  room.on('reset', () => seen.splice(0));
  chat.join('lobby').catch(() => {});
  chat.connect().catch(() => {});
  return { user, storage, chat, room, seen, sent: [] };
}

function judge(seed, { world, people }, { mayForget }) {
  for (const { user, sent, seen } of people) {
    const context = `seed ${seed}, ${user}`;
    const mine = world.log.filter((entry) => entry.user === user).map((entry) => entry.text);
    assert.equal(new Set(mine).size, mine.length, `${context}: nothing twice: ${mine}`);
    const order = sent.map((dispatch) => dispatch.text).filter((text) => mine.includes(text));
    assert.deepEqual(mine, order, `${context}: in the order in which it was written`);
    for (const dispatch of sent) {
      assert.ok(dispatch.status === 'acked' || dispatch.status === 'failed', `${context}: “${dispatch.text}” is ${dispatch.status}`);
      const there = mine.includes(dispatch.text);
      if (dispatch.status === 'acked' && !mayForget) assert.ok(there, `${context}: “${dispatch.text}” was acknowledged and is gone`);
      if (dispatch.status === 'failed') assert.ok(!there, `${context}: “${dispatch.text}” was called lost (${dispatch.error.code}) and is there`);
    }
    const view = [...seen].sort((a, b) => a.offset - b.offset).map((message) => message.text);
    assert.deepEqual(view, world.log.map((entry) => entry.text), `${context}: sees what the log holds`);
  }
}

test(`connections and answers are lost: nothing lost, nothing doubled, nothing out of order (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) judge(seed, await live(seed, () => {}), { mayForget: false });
});

test(`the log is rolled back too: everybody agrees with it in the end (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const misfortune = (world, n) => n % 8 === 5 && world.rollback(1 + Math.floor(world.random() * 3));
    judge(seed, await live(seed, misfortune), { mayForget: false });
  }
});

test(`the log starts over too: everybody agrees with the new one (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    judge(seed, await live(seed, (world, n) => n === 12 && world.forget()), { mayForget: true });
  }
});

test(`the page is reloaded again and again: what waits survives, and goes out once (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const written = [];
    const { world, people } = await live(seed, (around, n, all) => {
      if (n % 6 !== 4) return;
      const [old] = all;
      written.push(...old.sent.map((dispatch) => dispatch.text));
      old.chat.close();
      all[0] = open(around, old.user, old.storage);
    });
    const [ann] = people;
    written.push(...ann.sent.map((dispatch) => dispatch.text));
    const failed = ann.room.open.map((dispatch) => dispatch.text);
    const there = world.log.filter((entry) => entry.user === 'ann').map((entry) => entry.text);
    assert.deepEqual(there, written.filter((text) => !failed.includes(text)), `seed ${seed}: each once and in order, but for what is told as failed: ${failed}`);
    assert.deepEqual(failed, [], `seed ${seed}`);
  }
});
