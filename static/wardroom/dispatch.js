import { WardroomError } from './error.js';

/**
 * One message on its way out: queued → sent → acked or failed. A lost connection, or an answer that does not know, makes
 * it `unknown`: it may be in the log, so it is repeated under the same number and never under another.
 *
 * @typedef {'queued'|'sent'|'unknown'|'acked'|'failed'} DispatchStatus
 * @typedef {{ offset?: number, epoch?: string, message: string, ts?: string, durability?: string, duplicate: boolean }} Receipt
 * @typedef {{ retry(dispatch: Dispatch): void, discard(dispatch: Dispatch): void }} DispatchOwner
 */
export class Dispatch {
  /** @type {DispatchStatus} */
  status = 'queued';
  /** Who numbered it; empty before it was first sent. */
  producer = '';
  chain = 0;
  seq = 0;
  prev = 0;
  /** How many copies went out whose outcome is not known to be "no". */
  copies = 0;
  /** When it may go out again, for `unknown`; `Infinity`: it is looked up, not repeated. */
  due = 0;
  /** When the last copy went out, or when it was settled. */
  movedAt = 0;
  /** @type {WardroomError | null} */
  error = null;
  /** Where it stands, once that is known. @type {[number, string] | null} */
  at = null;
  /** Its id was seen in the log, and no fork has taken its place since. An ack alone may be of what the log lost meanwhile. */
  confirmed = false;

  /** @type {(receipt: Receipt) => void} */
  #resolve = () => {};
  /** @type {(error: WardroomError) => void} */
  #reject = () => {};
  /** @type {DispatchOwner} */
  #owner;

  /**
   * @param {string} key its name in this client
   * @param {string} text
   * @param {number} since when the person wrote it
   * @param {DispatchOwner} owner
   */
  constructor(key, text, since, owner) {
    this.key = key;
    this.text = text;
    this.since = since;
    this.#owner = owner;
    /** Settles with the receipt, or with the error that made it fail. @type {Promise<Receipt>} */
    this.ack = this.#promise();
  }

  /** Its id in the log, which other clients see as `message.id`. */
  get id() {
    if (!this.producer) return '';
    return `${this.producer}${this.chain ? `~${this.chain}` : ''}.${this.seq}`;
  }

  /** Is it numbered by this producer and chain, and not definitely rejected? */
  counts(/** @type {string} */ producer, /** @type {number} */ chain) {
    return this.producer === producer && this.chain === chain && this.status !== 'failed' && this.status !== 'queued';
  }

  /** After a failure: once more, under a new number. */
  retry() {
    if (this.status === 'failed') this.#owner.retry(this);
  }

  /** After a failure, or while it still waits: forget it. */
  discard() {
    if (this.status === 'failed' || this.status === 'queued') this.#owner.discard(this);
  }

  /** Back into the queue as if never sent; its number is burnt. */
  requeue() {
    Object.assign(this, { status: 'queued', producer: '', chain: 0, seq: 0, prev: 0, copies: 0, due: 0, confirmed: false });
  }

  /** Written anew by the person's will. @param {number} now */
  renew(now) {
    this.requeue();
    this.error = null;
    this.since = now;
    this.ack = this.#promise();
  }

  /** @param {Receipt} receipt @param {number} now */
  settle(receipt, now) {
    this.status = 'acked';
    this.movedAt = now;
    this.error = null;
    if (receipt.offset !== undefined) this.at = [receipt.offset, receipt.epoch ?? ''];
    this.#resolve(receipt);
  }

  /** @param {WardroomError} error @param {number} now */
  fail(error, now) {
    this.status = 'failed';
    this.movedAt = now;
    this.error = error;
    this.#reject(error);
  }

  toJSON() {
    const { key, text, since, status, producer, chain, seq, prev, copies, movedAt, at, confirmed } = this;
    const error = this.error && { code: this.error.code, message: this.error.message };
    return { key, text, since, status, producer, chain, seq, prev, copies, movedAt, at, confirmed, error };
  }

  /** @param {any} kept @param {DispatchOwner} owner */
  static restore(kept, owner) {
    const dispatch = new Dispatch(kept.key, kept.text, kept.since, owner);
    const { status, error } = kept;
    Object.assign(dispatch, kept, {
      status: status === 'sent' ? 'unknown' : status,
      error: error && new WardroomError(error.code, error.message),
    });
    return dispatch;
  }

  #promise() {
    const promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    promise.catch(() => {}); // whoever does not ask is not told
    return promise;
  }
}
