const TICK_MS = 1000;
const LATE_MS = 5000;

/**
 * A call every second, which also tells whether it comes late: the machine slept, or the page was frozen.
 *
 * @typedef {{ setTimeout(run: () => void, ms: number): any, clearTimeout(timer: any): void }} Timers
 */
export class Ticker {
  /** @type {any} */
  #timer = null;

  /** @param {{ timers: Timers, now: () => number, tick: (late: boolean) => void }} options */
  constructor({ timers, now, tick }) {
    this.timers = timers;
    this.now = now;
    this.tick = tick;
  }

  start() {
    this.stop();
    const due = this.now() + TICK_MS;
    this.#timer = this.timers.setTimeout(() => {
      const late = this.now() - due > LATE_MS;
      this.start();
      this.tick(late);
    }, TICK_MS);
  }

  stop() {
    this.timers.clearTimeout(this.#timer);
  }
}
