import { Dispatch } from './dispatch.js';
import { WardroomError } from './error.js';

const IN_FLIGHT = 16;
const BYTES_MAX = 64 * 1024;
/** An acknowledged message is kept this long: the log may lose it in a failover and ask for it again. */
const KEEP_MS = 60_000;
/** An unknown message that may not be repeated counts as not sent this long after coming level. */
const DOUBT_MS = 15_000;
/** The gateway answers every send within 8 s; beyond this the answer is lost. */
const ANSWER_MS = 15_000;
/** Codes that ask for silence, not for a change. */
export const PAUSING = new Set(['rate_limited', 'slow_mode']);

const sizeOf = (/** @type {string} */ text) => new TextEncoder().encode(text).length;

/**
 * What one room has still to say, in order. It numbers messages when they first go out, repeats the unknown under the
 * same number, burns the number of what was rejected, and tells its listener about every change. It reads no clock and
 * owns no socket: times come in, frames go out.
 *
 * @typedef {import('./dispatch.js').DispatchOwner} DispatchOwner
 */
export class Outbox {
  /** @type {Dispatch[]} oldest first */
  #items = [];
  #producer = '';
  #chain = 0;
  #seq = 0;
  /** The highest number that is known to be placed. */
  #settled = 0;
  /** The highest placed number that is no longer kept here: nothing up to it can be sent again. */
  #forgotten = 0;
  #levelAt = Infinity;
  #pausedUntil = 0;
  #count = 0;
  /** Set when another client numbers under our producer: the next connection has to take a new one. */
  cloned = false;

  /**
   * @param {object} options
   * @param {(dispatch: Dispatch) => void} options.changed
   * @param {() => number} options.now
   * @param {number} [options.max] messages that wait
   * @param {number} [options.ttl] milliseconds after which what was never sent fails
   * @param {any} [options.kept] what `toJSON` gave
   */
  constructor({ changed, now, max = 50, ttl = 60_000, kept }) {
    this.changed = changed;
    this.now = now;
    this.max = max;
    this.ttl = ttl;
    /** @type {DispatchOwner} */
    this.owner = {
      retry: (dispatch) => {
        this.#items = this.#items.filter((other) => other !== dispatch);
        dispatch.renew(this.now());
        this.#items.push(dispatch);
        this.changed(dispatch);
      },
      discard: (dispatch) => {
        this.#items = this.#items.filter((other) => other !== dispatch);
        dispatch.fail(new WardroomError('discarded'), this.now());
        this.changed(dispatch);
      },
    };
    if (kept) {
      [this.#producer, this.#chain, this.#seq, this.#settled, this.#forgotten, this.#count] = kept.numbers;
      this.#items = kept.items.map((/** @type {any} */ item) => Dispatch.restore(item, this.owner));
    }
  }

  /** What has no ack yet, oldest first, failures included. */
  get open() {
    return this.#items.filter((item) => item.status !== 'acked');
  }

  get inFlight() {
    return this.#items.filter((item) => item.status === 'sent').length;
  }

  /** Until when the gateway wants silence; 0 when it does not. */
  get pausedUntil() {
    return this.#pausedUntil > this.now() ? this.#pausedUntil : 0;
  }

  /** @param {string} text */
  add(text) {
    const waiting = this.open;
    const bytes = waiting.reduce((sum, item) => sum + sizeOf(item.text), sizeOf(text));
    if (waiting.length >= this.max || bytes > BYTES_MAX) throw new WardroomError('outbox_full');
    const dispatch = new Dispatch(`m${(this.#count += 1)}`, text, this.now(), this.owner);
    this.#items.push(dispatch);
    this.changed(dispatch);
    return dispatch;
  }

  /** A session began. Another producer starts its own numbers; what the old one numbered is looked up, not repeated. */
  begin(/** @type {string} */ producer) {
    this.#levelAt = Infinity;
    this.#pausedUntil = 0;
    if (producer === this.#producer) return;
    this.#producer = producer;
    this.cloned = false;
    this.#number(0);
  }

  /** The connection is gone: what was sent may or may not have arrived. */
  lost() {
    this.#levelAt = Infinity;
    for (const item of this.#items) {
      if (item.status !== 'sent') continue;
      this.#doubt(item, 0);
    }
  }

  /** The replay reached the head that the join named: what is unknown now can be settled. */
  level() {
    this.#levelAt = this.now();
    for (const item of this.#items) {
      if (item.status === 'acked' && !item.confirmed) this.#doubt(item, 0);
      if (item.status === 'unknown' && !item.counts(this.#producer, this.#chain)) item.due = Infinity;
    }
  }

  /** The log was rolled back to `keep`. @param {[number, string]} keep */
  fork(keep) {
    for (const item of this.#items) if (item.at && item.at[0] > keep[0]) item.confirmed = false;
  }

  /** The log is another one: nothing that it lost is brought back from here. */
  reset() {
    this.#items = this.#items.filter((item) => item.status !== 'acked');
    this.#forgotten = this.#settled;
  }

  /** Entries were trimmed before they were seen: the outcome of what is unknown and not ours to repeat stays unknown. */
  gap() {
    for (const item of this.#items) {
      if (item.status === 'unknown' && !item.counts(this.#producer, this.#chain)) this.#fail(item, 'lost_track');
    }
  }

  /** A message of ours appeared in the log. Live it only tells the place; for an unknown one it is the answer. */
  seen(/** @type {string} */ id, /** @type {[number, string]} */ at) {
    const item = this.#items.find((other) => other.id === id);
    if (!item) return;
    item.at = at;
    item.confirmed = true;
    if (item.status === 'sent' || item.status === 'acked') return;
    this.#settle(item, { message: id, offset: at[0], epoch: at[1], duplicate: true });
  }

  /** @param {Dispatch} item @param {any} ack the frame */
  acked(item, ack) {
    const { offset, epoch, message, ts, durability, duplicate } = ack;
    // What was sent once cannot be a repeat: a copied tab numbers under our producer, and the log has its words.
    if (duplicate && item.copies === 1 && !item.confirmed) return this.rejected(item, new WardroomError('conflict'));
    this.#settle(item, { offset, epoch, message, ts, durability, duplicate: duplicate === true });
  }

  /** @param {Dispatch} item @param {WardroomError} error */
  rejected(item, error) {
    if (item.status !== 'sent') return;
    const wait = error.retryAfterMs ?? 1000;
    if (PAUSING.has(error.code)) this.#pausedUntil = Math.max(this.#pausedUntil, this.now() + wait);
    if (error.outcome === 'unknown') return this.#doubt(item, wait);
    if (error.code === 'out_of_sequence') return this.#resequence(item, error.have ?? 0);
    if (item.copies > 1) {
      // A "no" to a repeat says only that the repeat was not placed.
      return this.#doubt(item, PAUSING.has(error.code) || error.code === 'unavailable' ? wait : Infinity);
    }
    if (error.code === 'unavailable') return this.#again(item, wait);
    if (error.code === 'conflict') this.cloned = true;
    if (error.code === 'conflict' || PAUSING.has(error.code)) return this.#requeue(item);
    item.fail(error, this.now());
    this.changed(item);
  }

  /** The next one to go out now, marked as sent; call until it gives nothing. @returns {Dispatch | undefined} */
  next() {
    const now = this.now();
    if (this.#levelAt === Infinity || this.cloned || this.inFlight >= IN_FLIGHT || now < this.#pausedUntil) return undefined;
    const repeat = this.#items.find((item) => item.status === 'unknown' && item.due <= now);
    if (repeat) return this.#send(repeat, now);
    const item = this.#items.find((other) => other.status === 'queued');
    if (!item || this.#undecided(this.#items.indexOf(item))) return undefined;
    item.producer = this.#producer;
    item.chain = this.#chain;
    item.prev = this.#newest();
    item.seq = this.#seq = this.#seq + 1;
    return this.#send(item, now);
  }

  /** What only time decides; call it every second or so. */
  tick() {
    const now = this.now();
    for (const item of [...this.#items]) {
      if (item.status === 'queued' && now - item.since > this.ttl && now >= this.#pausedUntil) this.#fail(item, 'expired');
      else if (item.status === 'sent' && now - item.movedAt > ANSWER_MS) this.#doubt(item, 0);
      else if (item.status === 'unknown' && item.due === Infinity && now - this.#levelAt > DOUBT_MS) this.#fail(item, 'unconfirmed');
      else if (item.status === 'acked' && now - item.movedAt > KEEP_MS) this.#forget(item);
    }
  }

  /** Everything fails with this code: another person signed in, whose name must not stand under it. */
  abandon(/** @type {string} */ code) {
    for (const item of this.open) if (item.status !== 'failed') this.#fail(item, code);
    this.#items = [];
    this.#producer = '';
  }

  toJSON() {
    const numbers = [this.#producer, this.#chain, this.#seq, this.#settled, this.#forgotten, this.#count];
    return { numbers, items: this.#items.map((item) => item.toJSON()) };
  }

  #send(item, now) {
    item.status = 'sent';
    item.copies += 1;
    item.movedAt = now;
    this.changed(item);
    return item;
  }

  #doubt(item, wait) {
    item.status = 'unknown';
    // What was numbered otherwise is looked up and never repeated.
    item.due = item.counts(this.#producer, this.#chain) ? this.now() + wait : Infinity;
    this.changed(item);
  }

  #settle(item, receipt) {
    const was = item.status;
    if (item.producer === this.#producer && item.chain === this.#chain) this.#settled = Math.max(this.#settled, item.seq);
    item.settle(receipt, this.now());
    if (was !== 'acked') this.changed(item);
  }

  #fail(item, code) {
    item.fail(new WardroomError(code), this.now());
    this.changed(item);
  }

  #forget(item) {
    if (item.producer === this.#producer && item.chain === this.#chain) this.#forgotten = Math.max(this.#forgotten, item.seq);
    this.#items = this.#items.filter((other) => other !== item);
  }

  /** It is definitely not in the log: its number still holds, unless numbers started over meanwhile. */
  #again(item, wait) {
    if (!item.counts(this.#producer, this.#chain)) return this.#requeue(item);
    item.copies = 0;
    return this.#doubt(item, wait);
  }

  #requeue(item) {
    item.requeue();
    this.changed(item);
  }

  /** Must this queued message wait? For what goes before it and is unknown, and for what went ahead and has no answer. */
  #undecided(index) {
    return this.#items.some((item, place) => {
      const ours = item.counts(this.#producer, this.#chain);
      return (item.status === 'sent' && (place > index || !ours)) || (item.status === 'unknown' && ours);
    });
  }

  /** The newest number, below `seq` if given, that is not definitely rejected. */
  #newest(seq = Infinity) {
    const held = this.#items.filter((item) => item.counts(this.#producer, this.#chain) && item.seq < seq).map((item) => item.seq);
    return Math.max(this.#settled < seq ? this.#settled : 0, ...held);
  }

  /** Numbers start over under this chain. What is definitely not in the log takes new ones; the rest is looked up. */
  #number(chain) {
    this.#chain = chain;
    this.#seq = this.#settled = this.#forgotten = 0;
    for (const item of this.#items) {
      if (item.status !== 'unknown') continue;
      if (item.copies === 0) this.#requeue(item);
      else this.#doubt(item, 0);
    }
  }

  /** The log holds nothing of ours after `have`, yet this message builds on something later. */
  #resequence(item, have) {
    if (item.copies === 1) item.copies = 0;
    if (!item.counts(this.#producer, this.#chain)) return item.copies ? this.#doubt(item, Infinity) : this.#requeue(item);
    if (this.#newest(item.seq) <= have) {
      // What it built on was rejected, so no copy of it can have been placed. If that waits to go out again, order asks
      // this one to wait behind it.
      const behind = this.#items.slice(0, this.#items.indexOf(item)).some((other) => other.status === 'queued');
      if (behind) return this.#requeue(item);
      item.prev = have;
      return this.#again(item, 0);
    }
    if (this.#forgotten > have) {
      // What is missing cannot be filled. Starting over under the same chain could collide with a salvage: a new chain.
      this.#doubt(item, Infinity);
      return this.#number(this.#chain + 1);
    }
    let wait = 1000;
    for (const other of this.#items) {
      const missing = other.counts(this.#producer, this.#chain) && other.seq > have && other.seq < item.seq;
      if (!missing || other.status !== 'acked') continue;
      this.#doubt(other, 0);
      wait = 0; // they go out first, and this one right behind
    }
    return this.#doubt(item, wait);
  }
}
