const KEY = 'wardroom-page';
const LIBRARY_KEY = 'wardroom';
const CLAIM_MS = 1000;

/**
 * What this tab remembers over a reload: the nickname, the room in view, drafts, how far each room was read. Never a
 * token. Without storage it lasts as long as the page.
 *
 * @typedef {{ tab: string, nick: string, active: string, drafts: Record<string, string>, read: Record<string, number> }} Kept
 */
export class Session {
  libraryKey = LIBRARY_KEY;

  constructor(storage = storageOrNone()) {
    this.storage = storage;
    /** @type {Kept} */
    this.kept = { tab: '', nick: '', active: '', drafts: {}, read: {} };
    try {
      Object.assign(this.kept, JSON.parse(storage?.getItem(KEY) ?? '{}'));
    } catch {
      // Not ours any more: begin anew.
    }
  }

  /** @param {Partial<Kept>} [change] */
  save(change = {}) {
    Object.assign(this.kept, change);
    try {
      this.storage?.setItem(KEY, JSON.stringify(this.kept));
    } catch {
      // Full: it lasts as long as the page.
    }
  }

  /** Another person, or nobody: what was kept is not theirs. */
  forget() {
    this.kept = { tab: this.kept.tab, nick: '', active: '', drafts: {}, read: {} };
    this.save();
    this.storage?.removeItem(LIBRARY_KEY);
  }

  /**
   * A duplicated tab comes with a copy of all this, outbox and numbering included. The first one holds the lock; the
   * copy begins with an outbox of its own, so that nothing is sent twice.
   */
  async claim() {
    if (await holds(this.kept.tab)) return;
    this.storage?.removeItem(LIBRARY_KEY);
    this.save({ tab: Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16)).join('') });
    await holds(this.kept.tab);
  }
}

/** @param {string} tab @returns {Promise<boolean>} */
function holds(tab) {
  if (!tab) return Promise.resolve(false);
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    navigator.locks.request(`wardroom-tab-${tab}`, { signal: AbortSignal.timeout(CLAIM_MS) }, () => {
      resolve(true);
      return new Promise(() => {}); // held as long as the page lives
    }).catch(() => resolve(false));
  });
}

function storageOrNone() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return undefined;
  }
}
