import { Cursor } from './cursor.js';
import { Emitter } from './emitter.js';
import { WardroomError } from './error.js';
import { Members } from './members.js';
import { Outbox, PAUSING } from './outbox.js';

const TYPING_MS = 3000;
const RETRACT_MS = 5000;
const REFRESH_MS = 2000;
const STALLED_MS = 10_000;
const REMEMBERED = 1000;

/**
 * What a room needs of the client that holds it.
 *
 * @typedef {object} RoomPort
 * @property {() => number} now
 * @property {() => string} me the user's id, empty before the first welcome
 * @property {() => boolean} online
 * @property {(frame: object) => boolean} post false when there is no connection
 * @property {(frame: object) => Promise<any>} ask sends with an id and waits for the answer
 * @property {() => void} flush something may go out now
 * @property {() => void} save something changed that survives a reload
 * @property {(why: string) => void} broken the stream does not fit; a fresh connection resumes it
 * @property {{ max?: number, ttl?: number }} outbox
 *
 * @typedef {{ room: string, offset: number, id: string, user: string, nick: string, verified: boolean, text: string,
 *   html?: string, ts: string, deleted?: boolean, epoch: string }} Message
 */

/**
 * One room as this client sees it: its place in the log, who is in it, what it has still to say.
 *
 * Events: `joined`, `refused`, `left`, `level`, `message`, `deleted`, `moderation`, `presence`, `typing`, `gap`, `reset`,
 * `fork` (`{keep, ids}`: unconfirmed for now), `rebound` (`{id, offset}`: confirmed after all), `retracted` (`{ids}`),
 * `dispatch` (a message of ours changed), `limited` (`{until, code}`).
 */
export class Room extends Emitter {
  /** Whether this client wants to be in it. */
  wanted = false;
  /** @type {'outside'|'joining'|'replaying'|'level'} */
  state = 'outside';
  /** The name that the person has here. */
  me = '';
  /** @type {[number, string]} */
  head = [0, ''];
  /** False when the last join found something missing. */
  recovered = true;
  people = new Members();
  /** Entries that a fresh join asks for. */
  historyLimit = 50;
  /** Not before this time is a refused join tried again. */
  notBefore = 0;

  /** @type {Cursor} */
  #cursor;
  /** @type {Outbox} */
  #outbox;
  /** Ids of what was handed over, with their offsets. @type {Map<string, number>} */
  #known = new Map();
  /** Offsets of what was deleted, each with the offset of the entry that did it. @type {Map<number, number>} */
  #deleted = new Map();
  /** Messages that nobody has listened to yet. @type {Message[]} */
  #unheard = [];
  #heard = false;
  /** What a fork took and nothing has confirmed. @type {Set<string>} */
  #unconfirmed = new Set();
  #retractAt = Infinity;
  #typedAt = -Infinity;
  #frameAt = 0;
  #refreshAt = 0;

  /**
   * @param {string} name
   * @param {RoomPort} port
   * @param {any} [kept] what `toJSON` gave
   */
  constructor(name, port, kept) {
    super();
    this.name = name;
    this.port = port;
    this.#cursor = new Cursor(kept?.cursor);
    this.#outbox = new Outbox({
      ...port.outbox,
      now: port.now,
      kept: kept?.outbox,
      changed: (dispatch) => {
        this.emit('dispatch', dispatch);
        port.save();
      },
    });
  }

  /**
   * Listens; the first who listens to `message` also gets what came before, so that nothing is missed after a join.
   * @param {string} name @param {(value: any) => void} listener
   */
  on(name, listener) {
    const stop = super.on(name, listener);
    if (name === 'message') this.#unheard.splice(0).forEach(listener);
    if (name === 'message') this.#heard = true;
    return stop;
  }

  /** The newest offset that was handed over. */
  get offset() {
    return this.#cursor.offset;
  }

  /** What was written and has no ack yet, oldest first. */
  get open() {
    return this.#outbox.open;
  }

  /** Until when the gateway wants silence here; 0 when it does not. */
  get pausedUntil() {
    return this.#outbox.pausedUntil;
  }

  /** Another tab numbers under our name, and nothing of ours is under way: time for a new producer. */
  get wantsProducer() {
    return this.#outbox.cloned && this.#outbox.inFlight === 0;
  }

  /**
   * Says something: now, or as soon as there is a connection.
   * @param {string} text
   */
  send(text) {
    if (text.trim() === '') throw new WardroomError('text_empty');
    const dispatch = this.#outbox.add(text);
    this.#typedAt = -Infinity;
    this.port.flush();
    return dispatch;
  }

  /**
   * A page of the log before an offset, oldest first: messages, and other entries by their `type`.
   * @param {{ before?: number, limit?: number }} [options]
   * @returns {Promise<{ messages: Message[], first: number, head: [number, string] }>}
   */
  async history({ before, limit = 50 } = {}) {
    const page = await this.port.ask({ type: 'history', room: this.name, before, limit });
    let [, epoch] = page.head;
    const messages = [];
    for (const frame of page.messages) {
      if (frame.type === 'epoch') epoch = frame.epoch;
      else messages.push(this.#emptied({ ...frame, epoch }));
    }
    return { messages, first: page.first, head: page.head };
  }

  /**
   * Takes the content of a message away, for everybody. Needs the scope `chat:moderate`; `deleted` tells all who are here.
   * @param {number | { offset: number, epoch: string }} target a message, or its offset if it was seen lately
   */
  async delete(target) {
    const { offset, epoch } = typeof target === 'number' ? { offset: target, epoch: this.#cursor.epochOf(target) } : target;
    await this.port.ask({ type: 'delete', room: this.name, offset, epoch });
  }

  /** Asks who is here. */
  async members() {
    const answer = await this.port.ask({ type: 'members', room: this.name });
    this.people.replace(answer.members, answer.count);
    this.emit('presence', { members: this.people.list, count: this.people.count });
    return this.people.list;
  }

  /** The person is typing; told at most every 3 s. */
  typing() {
    if (!this.port.online() || this.port.now() - this.#typedAt < TYPING_MS) return;
    this.#typedAt = this.port.now();
    this.port.post({ type: 'typing', room: this.name });
  }

  async leave() {
    this.wanted = false;
    const inside = this.state !== 'outside';
    this.state = 'outside';
    this.people.replace([], 0);
    this.port.save();
    if (inside) await this.port.ask({ type: 'leave', room: this.name });
    this.emit('left');
  }

  // What follows is between the client and its rooms.

  /** @param {string} [nick] */
  joinFrame(nick) {
    this.state = 'joining';
    this.#frameAt = this.port.now();
    const since = this.#cursor.since;
    return { type: 'join', room: this.name, nick, since, history: since ? undefined : this.historyLimit };
  }

  /** @param {string} producer */
  begin(producer) {
    this.#outbox.begin(producer);
  }

  lost() {
    this.state = 'outside';
    this.#retractAt = Infinity;
    this.#outbox.lost();
  }

  /** @param {any} frame */
  joined(frame) {
    const resumed = !this.#cursor.empty && this.#cursor.offset > 0;
    const from = this.#cursor.offset;
    this.state = 'replaying';
    this.me = frame.nick;
    this.head = frame.head;
    this.recovered = frame.recovered;
    this.#frameAt = this.port.now();
    this.people.count = frame.members;
    if (this.#cursor.empty && frame.messages.length === 0) this.#cursor.reset(frame.head);
    this.emit('joined', { head: frame.head, recovered: frame.recovered, members: frame.members, me: frame.nick, resumed, from });
    for (const entry of frame.messages) this.stream(entry);
    this.#checkLevel();
    this.#refreshMembers();
  }

  /** @param {WardroomError} error */
  refused(error) {
    this.state = 'outside';
    if (error.retryable) {
      this.notBefore = this.port.now() + (error.retryAfterMs ?? 2000);
      return;
    }
    this.wanted = false;
    this.port.save();
    this.emit('refused', error);
  }

  /** One frame of this room's stream. @param {any} frame */
  stream(frame) {
    if (frame.type !== 'presence' && frame.type !== 'typing') this.#frameAt = this.port.now();
    switch (frame.type) {
      case 'message':
      case 'deleted':
      case 'moderation':
        return this.#entry(frame);
      case 'epoch':
        if (!this.#cursor.epoch(frame.epoch, frame.from)) this.port.broken('an epoch began beyond what was seen');
        return undefined;
      case 'gap':
        this.#cursor.gap(frame.to);
        this.#outbox.gap();
        this.emit('gap', { from: frame.from, to: frame.to[0] });
        break;
      case 'reset':
        this.#cursor.reset(frame.to);
        this.#outbox.reset();
        this.#known.clear();
        this.#deleted.clear();
        this.#unconfirmed.clear();
        this.emit('reset', { to: frame.to[0] });
        break;
      case 'fork':
        this.#fork(frame.keep);
        break;
      case 'presence':
        this.#presence(frame);
        return undefined;
      case 'typing':
        if (frame.user !== this.port.me()) this.emit('typing', { user: frame.user, nick: frame.nick });
        return undefined;
    }
    this.#checkLevel();
    return this.port.save();
  }

  /** Sends what may go out. */
  flush() {
    for (let item = this.#outbox.next(); item; item = this.#outbox.next()) this.#dispatch(item);
  }

  tick() {
    const now = this.port.now();
    this.#outbox.tick();
    if ((this.state === 'joining' || this.state === 'replaying') && now - this.#frameAt > STALLED_MS) {
      return this.port.broken('the replay stopped before the head');
    }
    if (now >= this.#retractAt) {
      this.#retractAt = Infinity;
      this.#outbox.level(); // our own among them go out again
      const ids = [...this.#unconfirmed];
      this.#unconfirmed.clear();
      if (ids.length) this.emit('retracted', { ids });
    }
    if (this.#refreshAt && now >= this.#refreshAt) this.#refreshMembers();
  }

  /** @param {string} code */
  abandon(code) {
    this.#outbox.abandon(code);
    this.#cursor = new Cursor();
    this.#known.clear();
    this.#deleted.clear();
  }

  /** The head of what is under way cannot be sent at all. @param {string} code */
  failHead(code) {
    const head = this.#outbox.open.find((item) => item.status === 'unknown' || item.status === 'sent');
    if (!head) return false;
    head.fail(new WardroomError(code), this.port.now());
    this.emit('dispatch', head);
    return true;
  }

  toJSON() {
    return { wanted: this.wanted, cursor: this.#cursor.toJSON(), outbox: this.#outbox.toJSON() };
  }

  #entry(frame) {
    const place = this.#cursor.place(frame.offset);
    if (this.#cursor.empty) this.#cursor.reset([frame.offset - 1, this.head[1]]);
    else if (place === 'seen') return;
    else if (place === 'hole') return this.port.broken('an entry is missing');
    const epoch = this.#cursor.newest?.[1] ?? '';
    if (frame.type === 'message') this.#message(this.#emptied({ ...frame, epoch }));
    else {
      if (frame.type === 'deleted') this.#delete(frame);
      this.emit(frame.type, { ...frame, epoch });
    }
    this.#cursor.count(frame.offset);
    this.#checkLevel();
    this.port.save();
  }

  #message(message) {
    const { id, offset } = message;
    this.#outbox.seen(id, [offset, message.epoch]);
    const again = this.#unconfirmed.delete(id);
    this.#known.delete(id);
    this.#known.set(id, offset);
    if (this.#known.size > REMEMBERED) this.#known.delete(this.#known.keys().next().value ?? '');
    if (again) return this.emit('rebound', { id, offset });
    if (this.#heard) return this.emit('message', message);
    this.#unheard = [...this.#unheard.slice(1 - REMEMBERED), message];
  }

  #delete({ offset, target }) {
    this.#deleted.set(target, offset);
    if (this.#deleted.size > REMEMBERED) this.#deleted.delete(this.#deleted.keys().next().value ?? 0);
    this.#unheard = this.#unheard.map((message) => this.#emptied(message));
  }

  /** A page that was read before a deletion may arrive after it. */
  #emptied(entry) {
    if (!this.#deleted.has(entry.offset)) return entry;
    const { type, room, offset, id, ts, epoch } = entry;
    return { type, room, offset, id, ts, epoch, deleted: true };
  }

  #fork(keep) {
    for (const [target, by] of this.#deleted) if (by > keep[0]) this.#deleted.delete(target);
    this.#cursor.fork(keep);
    this.#outbox.fork(keep);
    const ids = [...this.#known].filter(([, offset]) => offset > keep[0]).map(([id]) => id);
    for (const id of ids) this.#unconfirmed.add(id);
    if (this.state === 'level') this.#retractAt = this.port.now() + RETRACT_MS;
    this.emit('fork', { keep: keep[0], ids });
  }

  #checkLevel() {
    if (this.state !== 'replaying' || this.#cursor.offset < this.head[0]) return;
    this.state = 'level';
    if (this.#unconfirmed.size) this.#retractAt = this.port.now() + RETRACT_MS;
    this.#outbox.level();
    this.emit('level');
    this.port.flush();
  }

  #presence(frame) {
    const consistent = this.people.change(frame.joined ?? [], frame.left ?? [], frame.count);
    if (!consistent && !this.#refreshAt) this.#refreshAt = this.port.now() + REFRESH_MS;
    this.emit('presence', { members: this.people.list, count: this.people.count });
  }

  #refreshMembers() {
    this.#refreshAt = 0;
    this.members().catch((error) => {
      // Without a connection the next join asks; a gateway that was asked too much is asked again.
      if (error.retryable && this.state !== 'outside') this.#refreshAt = this.port.now() + (error.retryAfterMs ?? REFRESH_MS);
    });
  }

  #dispatch(item) {
    const { text, chain, seq, prev } = item;
    this.port.ask({ type: 'send', room: this.name, text, chain, seq, prev }).then(
      (ack) => this.#outbox.acked(item, ack),
      (error) => {
        if (error.code === 'network') return; // `lost` has seen to it
        this.#outbox.rejected(item, error);
        if (PAUSING.has(error.code)) this.emit('limited', { until: this.#outbox.pausedUntil, code: error.code });
      },
    ).finally(() => this.port.flush());
  }
}
