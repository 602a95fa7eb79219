/**
 * Who is in a room, one line for each person however many windows they have open.
 *
 * @typedef {{ user: string, nick: string }} Member
 */
export class Members {
  /** How many the gateway counts; in a crowd it names only some of them. */
  count = 0;
  /** @type {Map<string, Member>} */
  #people = new Map();
  /** How many a list names at most; `Infinity` as long as none was cut. */
  #cutAt = Infinity;

  /** Those who are known by name, in its order. */
  get list() {
    return [...this.#people.values()].sort((a, b) => a.nick.localeCompare(b.nick));
  }

  /** @param {Member[]} people @param {number} count */
  replace(people, count) {
    this.#people = new Map(people.map((person) => [person.user, person]));
    if (count > this.#people.size) this.#cutAt = people.length;
    this.count = count;
  }

  /**
   * Who goes and comes in one change has another name now. False if the result does not add up to the gateway's count.
   * @param {Member[]} joined @param {Member[]} left @param {number} count
   */
  change(joined, left, count) {
    for (const { user } of left) this.#people.delete(user);
    for (const person of joined) this.#people.set(person.user, person);
    this.count = count;
    // Of a crowd only some are named; when it has gone, all are again.
    return count === this.#people.size || (count > this.#cutAt && count > this.#people.size);
  }
}
