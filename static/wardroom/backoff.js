/**
 * How long to wait before the next attempt: full jitter, `min + random(0, min(max, min · 2ⁿ))`. The count falls to
 * zero only after 10 s online; a server that accepts and then closes must be backed off from as well.
 */
export class Backoff {
  #count = 0;

  /** @param {{ min?: number, max?: number, random?: () => number }} [options] milliseconds */
  constructor({ min = 500, max = 20_000, random = Math.random } = {}) {
    this.min = min;
    this.max = max;
    this.random = random;
  }

  get attempt() {
    return this.#count;
  }

  next() {
    const span = Math.min(this.max, this.min * 2 ** this.#count);
    this.#count += 1;
    return Math.round(this.min + this.random() * span);
  }

  /** A wait that the server asked for, plus up to a fifth: the crowd that it asked must not come back at once. */
  hinted(/** @type {number} */ ms) {
    this.#count += 1;
    return Math.round(ms * (1 + this.random() / 5));
  }

  /** @param {number} onlineMs how long the connection has been good */
  settle(onlineMs) {
    if (onlineMs >= 10_000) this.#count = 0;
  }
}
