/** A clock that moves only when it is told to. */
export class Time {
  now = 1_000_000;
  #timers = new Map();
  #ids = 0;
  setTimeout = (run, ms) => (this.#timers.set((this.#ids += 1), { run, at: this.now + ms }), this.#ids);
  clearTimeout = (id) => void this.#timers.delete(id);

  async advance(ms) {
    const end = this.now + ms;
    for (;;) {
      await settle();
      const [id, next] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!next) break;
      this.#timers.delete(id);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
    await settle();
  }
}

/** Lets every promise that can be settled settle. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));
