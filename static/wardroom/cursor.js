/**
 * Where a client stands in a room's log: up to four positions `[offset, epoch]`, newest first, one for each epoch.
 * Offsets are dense, so whatever does not follow is a hole, and a hole is never passed over in silence.
 *
 * @typedef {[number, string]} Position
 */
export class Cursor {
  /** @type {Position[]} */
  #pairs;

  /** @param {Position[]} [pairs] */
  constructor(pairs = []) {
    this.#pairs = pairs.map(([offset, epoch]) => [offset, epoch]);
  }

  get empty() {
    return this.#pairs.length === 0;
  }

  /** @returns {Position | undefined} */
  get newest() {
    return this.#pairs[0];
  }

  get offset() {
    return this.#pairs[0]?.[0] ?? 0;
  }

  /**
   * What `join.since` carries; undefined for a fresh join. An epoch of which nothing was seen yet says nothing.
   * @returns {Position[] | undefined}
   */
  get since() {
    const pairs = this.toJSON();
    if (pairs[0]?.[0] === pairs[1]?.[0]) pairs.shift();
    return pairs[0]?.[0] > 0 ? pairs : undefined;
  }

  /**
   * How an entry at this offset relates to what was seen.
   * @param {number} offset
   * @returns {'seen'|'next'|'hole'}
   */
  place(offset) {
    if (offset <= this.offset) return 'seen';
    return offset === this.offset + 1 ? 'next' : 'hole';
  }

  /**
   * The epoch of an entry that was seen; of a very old one perhaps a later epoch, which the gateway then answers with `conflict`.
   * @param {number} offset
   */
  epochOf(offset) {
    return this.#pairs.findLast(([last]) => last >= offset)?.[1] ?? '';
  }

  /** Counts the next entry, after the application has had it. @param {number} offset */
  count(offset) {
    if (this.empty) this.#pairs = [[offset, '']];
    else this.#pairs[0] = [offset, this.#pairs[0][1]];
  }

  /**
   * The entries from `from` on are of another epoch. False if something between is missing.
   * @param {string} epoch
   * @param {number} from
   */
  epoch(epoch, from) {
    if (this.newest?.[1] === epoch && from - 1 <= this.offset) return true;
    if (!this.empty && from - 1 !== this.offset) return false;
    this.#front([from - 1, epoch]);
    return true;
  }

  /** What lies between here and `to` is no longer kept. @param {Position} to */
  gap(to) {
    this.#front(to);
  }

  /** Nothing of this cursor is known to the log. @param {Position} to */
  reset(to) {
    this.#pairs = [to];
  }

  /** Everything above `keep` is void. @param {Position} keep */
  fork(keep) {
    this.#pairs = this.#pairs.filter(([offset]) => offset <= keep[0]);
    this.#front(keep);
  }

  /** @returns {Position[]} */
  toJSON() {
    return this.#pairs.map(([offset, epoch]) => [offset, epoch]);
  }

  #front(position) {
    const others = this.#pairs.filter(([, epoch]) => epoch !== position[1] && epoch !== '');
    this.#pairs = [position, ...others].slice(0, 4);
  }
}
