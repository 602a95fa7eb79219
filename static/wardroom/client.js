import { Backoff } from './backoff.js';
import { afterClose } from './close.js';
import { Emitter } from './emitter.js';
import { SignInRequired, WardroomError } from './error.js';
import { Link } from './link.js';
import { Room } from './room.js';
import { Store } from './store.js';
import { Ticker } from './ticker.js';
import { buyTicket, socketUrl } from './ticket.js';
import { listenForWake } from './wake.js';

const WAKE_PROBE_MS = 3000;
const PROTOCOL_RETRY_MS = 30_000;
const SETTLED_MS = 10_000;
const SAVE_MS = 100;
/** Answers to the ticket request that waiting does not change. */
const FINAL = new Set([400, 401, 403, 404]);
/** The close code of somebody who goes for good: the gateway gives seat and nickname back at once. */
const LEAVING = 1000;
/** States in which a person, not time, decides what happens next. */
const RESTING = new Set(['idle', 'signed-out', 'elsewhere', 'closed']);

/**
 * @typedef {'idle'|'connecting'|'online'|'offline'|'waiting'|'signed-out'|'elsewhere'|'closed'} State
 * @typedef {{ state: State, code?: string, reason?: string, retryInMs?: number, attempt: number, requestId?: string }} StateEvent
 * @typedef {'connect'|'expiring'|'expired'|'rejected'} TokenReason
 *
 * @typedef {object} Options
 * @property {(why: { reason: TokenReason, signal: AbortSignal }) => Promise<string> | string} getToken
 *   throws SignInRequired when only a person can help
 * @property {string} [nick] a chosen nickname
 * @property {boolean} [html] messages carry `html`, safe to insert
 * @property {{ min?: number, max?: number }} [backoff] milliseconds
 * @property {{ max?: number, ttl?: number, storage?: Storage, key?: string }} [outbox]
 * @property {any} [WebSocket] and what follows: injectable, so that tests need no browser
 * @property {typeof fetch} [fetch]
 * @property {() => number} [now]
 * @property {() => number} [random]
 * @property {import('./ticker.js').Timers} [timers]
 * @property {{ target?: any, document?: any, navigator?: any }} [surroundings]
 */

/**
 * A person's connection to a gateway: it buys a ticket, opens the socket, resumes every room, sends what waits, and
 * comes back by itself. It says `online` only when every room is level with its log.
 *
 * Events: `state`, `welcome`, `scopes` (a fresh token brought others), `status` (`{log}`), `error` (an error that answers nothing), `identity` (another person).
 */
export class Wardroom extends Emitter {
  /** @type {State} */
  state = 'idle';
  /** @type {{ id: string, nick: string | null, scopes: string[] } | null} */
  user = null;
  /** The gateway's limits, from `welcome`. @type {Record<string, number>} */
  limits = {};
  durability = '';
  /** Who this client was when the page was last open. */
  lastUser = '';

  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {Link | null} */
  #link = null;
  /** @type {Backoff} */
  #backoff;
  #store;
  /** Counts attempts: what an older one brings is not listened to. */
  #attempt = 0;
  #abort = new AbortController();
  #token = '';
  #resume = '';
  #producer = '';
  /** @type {any} */
  #retryTimer = null;
  /** @type {any} */
  #saveTimer = null;
  #ticker;
  #onlineAt = Infinity;
  #silentRefusals = 0;
  #protocolErrors = 0;
  #renewing = false;
  #stopListening = () => {};

  /**
   * @param {string | URL} base where the gateway is, with its path prefix if it has one
   * @param {Options} options
   */
  constructor(base, options) {
    super();
    this.base = new URL(base);
    if (!this.base.pathname.endsWith('/')) this.base.pathname += '/';
    this.options = options;
    this.now = options.now ?? Date.now;
    this.random = options.random ?? Math.random;
    this.timers = options.timers ?? {
      setTimeout: (/** @type {() => void} */ run, /** @type {number} */ ms) => setTimeout(run, ms),
      clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
    };
    this.surroundings = options.surroundings ?? { target: globalThis, document: globalThis.document, navigator: globalThis.navigator };
    this.#backoff = new Backoff({ ...options.backoff, random: this.random });
    this.#ticker = new Ticker({ timers: this.timers, now: this.now, tick: (late) => this.#tick(late) });
    this.#store = new Store(options.outbox?.storage, options.outbox?.key ?? 'wardroom');
    const kept = this.#store.read();
    this.#resume = kept.resume ?? '';
    this.lastUser = kept.user ?? '';
    for (const [name, room] of Object.entries(kept.rooms ?? {})) this.#room(name, room);
  }

  /** Every room that this client is in, or wants to be in. */
  get rooms() {
    return [...this.#rooms.values()];
  }

  /** The room of that name, joined or not; what is sent there waits until it is. @param {string} name */
  room(name) {
    return this.#rooms.get(name) ?? this.#room(name);
  }

  /** Starts, and resolves when first online. @returns {Promise<void>} */
  connect() {
    if (this.state === 'idle' || this.state === 'closed' || this.state === 'signed-out') this.#start();
    return this.#once('online');
  }

  /** Joins, now or at the next connection. @param {string} name @param {{ history?: number }} [options] @returns {Promise<Room>} */
  join(name, { history = 50 } = {}) {
    const room = this.room(name);
    if (room.state === 'level') return Promise.resolve(room);
    room.historyLimit = history;
    room.notBefore = 0;
    const joined = new Promise((resolve, reject) => {
      const stops = [
        room.on('level', () => done(resolve, room)),
        room.on('refused', (error) => done(reject, error)),
        room.on('left', () => done(reject, new WardroomError('closed'))),
      ];
      const done = (/** @type {(value: any) => void} */ settle, /** @type {any} */ value) => {
        for (const stop of stops) stop();
        settle(value);
      };
    });
    room.wanted = true;
    this.#save();
    this.#joinRoom(room);
    return /** @type {Promise<Room>} */ (joined);
  }

  /** Ends a wait early; takes the place back when another window has it. */
  retryNow() {
    if (this.state === 'waiting' || this.state === 'offline' || this.state === 'elsewhere') this.#connect('connect');
  }

  /** A person signed in again. */
  async reauthenticate() {
    if (this.state === 'signed-out') this.#start();
    else await this.#renew();
  }

  close() {
    this.#stop();
    this.#set('closed');
  }

  #start() {
    this.#stopListening();
    this.#stopListening = listenForWake(this.surroundings, {
      offline: () => this.#wentOffline(),
      online: () => this.#awake(),
      awake: () => this.#awake(),
      aside: () => this.#aside(),
      back: () => RESTING.has(this.state) || this.#connect('connect'),
    });
    this.#ticker.start();
    this.#connect('connect');
  }

  #stop() {
    this.#stopListening();
    this.#ticker.stop();
    this.#cut(LEAVING);
    this.#saveNow();
  }

  /** Ends whatever is under way: the attempt, the wait, the link. Without a code to come back to the seat. @param {number} [code] */
  #cut(code) {
    this.#attempt += 1;
    this.#abort.abort();
    this.timers.clearTimeout(this.#retryTimer);
    if (!this.#link) return;
    this.#link.close(code);
    this.#lost();
  }

  #lost() {
    this.#link = null;
    this.#onlineAt = Infinity;
    for (const room of this.#rooms.values()) room.lost();
    this.#saveNow();
  }

  async #connect(reason) {
    this.#cut();
    const attempt = this.#attempt;
    const { signal } = (this.#abort = new AbortController());
    this.#set('connecting');
    const { getToken, fetch = globalThis.fetch.bind(globalThis) } = this.options;
    try {
      const { token, ticket } = await buyTicket({ base: this.base, reason, getToken, fetch, signal });
      if (attempt !== this.#attempt) return;
      this.#token = token;
      this.#open(ticket);
    } catch (error) {
      if (attempt === this.#attempt) this.#refused(error);
    }
  }

  /** No connection came about. */
  #refused(error) {
    if (error instanceof SignInRequired) return this.#signedOut('sign_in', error.message);
    const { code, status, requestId, message, retryAfterMs } = error instanceof WardroomError ? error : new WardroomError('network', String(error));
    if (status !== undefined && FINAL.has(status)) return this.#signedOut(code, message, requestId);
    return this.#wait(retryAfterMs ? this.#backoff.hinted(retryAfterMs) : this.#backoff.next(), code, requestId);
  }

  #open(ticket) {
    this.#link = new Link({
      url: socketUrl(this.base, { ticket, resume: this.#resume, html: this.options.html }),
      WebSocket: this.options.WebSocket ?? globalThis.WebSocket,
      now: this.now,
      heard: (frame) => this.#heard(frame),
      ended: (ending) => this.#ended(ending),
    });
  }

  #heard(frame) {
    switch (frame.type) {
      case 'welcome':
        return this.#welcome(frame);
      case 'expiring':
        return void this.#renew();
      case 'status':
        return this.emit('status', { log: frame.log });
      case 'error':
        return this.emit('error', WardroomError.fromFrame(frame));
      case 'closing':
        return undefined;
    }
    const room = this.#rooms.get(frame.room);
    if (room && (room.state === 'level' || room.state === 'replaying')) room.stream(frame);
    return undefined;
  }

  #welcome(frame) {
    this.#silentRefusals = 0;
    this.#resume = frame.resume;
    this.limits = frame.limits ?? {};
    this.durability = frame.durability ?? '';
    if (this.lastUser && this.lastUser !== frame.user.id) {
      for (const room of this.#rooms.values()) room.abandon('other_identity');
      this.emit('identity', frame.user);
    }
    this.user = frame.user;
    this.lastUser = frame.user.id;
    this.#saveNow();
    this.emit('welcome', frame);
    this.#producer = frame.producer;
    for (const room of this.#rooms.values()) this.#joinRoom(room);
    this.#checkOnline();
  }

  #joinRoom(room) {
    const link = this.#link;
    if (!link?.welcomed || !room.wanted || room.state !== 'outside' || this.now() < room.notBefore) return;
    room.begin(this.#producer);
    link.call(room.joinFrame(this.options.nick), {
      resolve: (frame) => {
        if (room.wanted) room.joined(frame);
        else link.post({ type: 'leave', room: room.name });
        this.#checkOnline();
      },
      reject: (error) => {
        if (error.code === 'network') return; // the link is gone, and the next one joins again
        room.refused(error);
        this.#checkOnline();
      },
    });
  }

  #checkOnline() {
    if (this.state !== 'connecting' || !this.#link?.welcomed) return;
    if (this.rooms.some((room) => room.wanted && room.state !== 'level')) return;
    this.#onlineAt = this.now();
    this.#set('online');
    this.#flush();
  }

  /** @param {import('./link.js').Ending} ending */
  #ended({ code, name, retryAfterMs, welcomed }) {
    this.#lost();
    switch (afterClose(code)) {
      case 'renew':
        return void this.#connect('expired');
      case 'ended':
        return this.#signedOut(name);
      case 'elsewhere':
        return this.#set('elsewhere', { code: name });
      case 'ours':
        this.#protocolErrors += 1;
        return this.#protocolErrors > 1 ? this.#signedOut(name) : this.#wait(PROTOCOL_RETRY_MS, name);
    }
    if (code === 1009) this.rooms.some((room) => room.failHead('too_large'));
    // A good ticket and no welcome, three times running: something between swallows WebSockets.
    this.#silentRefusals = welcomed ? 0 : this.#silentRefusals + 1;
    return this.#wait(retryAfterMs ?? this.#backoff.next(), this.#silentRefusals >= 3 ? 'blocked' : name);
  }

  #wait(ms, code, requestId) {
    const state = this.surroundings.navigator?.onLine === false ? 'offline' : 'waiting';
    this.timers.clearTimeout(this.#retryTimer);
    this.#retryTimer = this.timers.setTimeout(() => this.#connect('connect'), ms);
    this.#set(state, { code, requestId, retryInMs: ms });
  }

  #wentOffline() {
    if (RESTING.has(this.state)) return;
    // An open socket stays OPEN without a network and swallows what is sent: it is not trusted any more.
    this.#cut();
    this.#wait(this.#backoff.next(), 'network');
  }

  /** The network came, the page is seen again, the machine slept: an open socket proves itself, a wait ends early. */
  #awake() {
    if (this.state === 'online') this.#link?.probe(WAKE_PROBE_MS);
    else if (this.state === 'waiting' || this.state === 'offline') this.#wait(this.random() * 1000, 'network');
  }

  /** The page is left or put aside: its place in the log is what counts, the socket can go. */
  #aside() {
    if (!RESTING.has(this.state)) this.#cut();
    this.#saveNow();
  }

  #signedOut(code, reason, requestId) {
    this.#stop();
    this.#set('signed-out', { code, reason, requestId });
  }

  /** The session's time runs out: a fresh token extends it in place. */
  async #renew() {
    const link = this.#link;
    if (!link || this.#renewing) return;
    this.#renewing = true;
    try {
      const token = await this.options.getToken({ reason: 'expiring', signal: this.#abort.signal });
      if (token === this.#token || link !== this.#link) return;
      const { scopes } = await link.ask({ type: 'auth', token });
      this.#token = token;
      if (!scopes || !this.user) return;
      this.user = { ...this.user, scopes };
      this.emit('scopes', scopes);
    } catch (error) {
      // The session keeps its old end; what happens then is decided by its close code.
      if (error instanceof WardroomError && error.code !== 'network') this.emit('error', error);
    } finally {
      this.#renewing = false;
    }
  }

  /** The stream does not fit: a fresh connection resumes it from the cursor. */
  #broken() {
    if (!this.#link) return;
    this.#cut();
    this.#wait(this.#backoff.next(), 'out_of_step');
  }

  #tick(late) {
    const onlineMs = this.now() - this.#onlineAt;
    this.#backoff.settle(onlineMs);
    if (onlineMs > SETTLED_MS) this.#protocolErrors = 0;
    if (late) this.#awake();
    this.#link?.tick();
    for (const room of this.#rooms.values()) {
      room.tick();
      this.#joinRoom(room);
    }
    if (this.rooms.some((room) => room.wantsProducer)) this.#takeProducer();
    this.#flush();
  }

  /** Another tab was copied from this one and numbers under the same name. */
  #takeProducer() {
    this.#resume = '';
    this.#connect('connect');
  }

  #flush() {
    if (this.state !== 'online') return;
    for (const room of this.#rooms.values()) room.flush();
  }

  #room(name, kept) {
    const room = new Room(name, {
      now: this.now,
      me: () => this.user?.id ?? '',
      online: () => this.state === 'online',
      post: (frame) => this.#link?.post(frame) ?? false,
      ask: (frame) => this.#link?.ask(frame) ?? Promise.reject(new WardroomError('network')),
      flush: () => this.#flush(),
      save: () => this.#save(),
      broken: () => this.#broken(),
      outbox: { max: this.options.outbox?.max, ttl: this.options.outbox?.ttl },
    }, kept);
    room.wanted = kept?.wanted ?? false;
    room.on('level', () => this.#checkOnline());
    this.#rooms.set(name, room);
    return room;
  }

  #save() {
    this.#saveTimer ??= this.timers.setTimeout(() => this.#saveNow(), SAVE_MS);
  }

  #saveNow() {
    this.timers.clearTimeout(this.#saveTimer);
    this.#saveTimer = null;
    const worthKeeping = this.rooms.filter((room) => room.wanted || room.open.length > 0);
    const rooms = Object.fromEntries(worthKeeping.map((room) => [room.name, room.toJSON()]));
    this.#store.write({ user: this.lastUser, resume: this.#resume, rooms });
  }

  #set(state, more = {}) {
    this.state = state;
    this.emit('state', { state, attempt: this.#backoff.attempt, ...more });
  }

  #once(wanted) {
    if (this.state === wanted) return Promise.resolve();
    const reached = new Promise((resolve, reject) => {
      const stop = this.on('state', ({ state, code, reason, requestId }) => {
        if (state === wanted) resolve(undefined);
        else if (state === 'signed-out' || state === 'closed') reject(new WardroomError(code ?? state, reason, { requestId }));
        else return;
        stop();
      });
    });
    reached.catch(() => {});
    return /** @type {Promise<void>} */ (reached);
  }
}
