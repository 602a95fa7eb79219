/**
 * What outlives a reload: the resume string, the cursors, the outboxes. Never a token. A storage that is full or
 * forbidden costs the resume, not the conversation.
 */
export class Store {
  #key;
  #storage;

  /** @param {Storage | undefined} storage @param {string} key */
  constructor(storage, key) {
    this.#storage = storage;
    this.#key = key;
  }

  /** @returns {{ user?: string, resume?: string, rooms?: Record<string, any> }} */
  read() {
    try {
      return JSON.parse(this.#storage?.getItem(this.#key) ?? '{}');
    } catch {
      return {};
    }
  }

  /** @param {object} state */
  write(state) {
    try {
      this.#storage?.setItem(this.#key, JSON.stringify(state));
    } catch {
      // Full or forbidden: the session goes on without it.
    }
  }
}
