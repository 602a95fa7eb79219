import { dayOf, sameDay } from './clock.js';
import { h } from './dom.js';
import { dispatchItem, lineItem, messageItem, showDelivery } from './message.js';

const GROUP_MS = 5 * 60_000;
const NEAR_PX = 80;
const SHOWN_MAX = 1500;

/**
 * The messages of one room, in the order of the log; below them what is still on its way. Only what is new is announced:
 * older history comes in while the log is busy.
 *
 * @typedef {{ offset: number, epoch?: string, id: string, user: string, date: Date | null, element: HTMLElement, day?: HTMLElement }} Entry
 * @typedef {import('../wardroom/room.js').Message} Message
 * @typedef {import('../wardroom/dispatch.js').Dispatch} Dispatch
 */
export class Log {
  #list = h('ul', { role: 'list' });
  element;
  /** @type {Entry[]} */
  #entries = [];
  /** Entries before this index belong to a log that the gateway no longer has. */
  #base = 0;
  /** @type {Map<Dispatch, HTMLElement>} */
  #outgoing = new Map();
  #atEnd = true;
  #following = 0;
  #scrollTop = 0;
  /** @type {HTMLElement | null} */
  #unreadMark = null;
  #resized = new ResizeObserver(() => this.#atEnd && this.toEnd());
  /** @type {HTMLElement | null} */
  #start = null;
  /** The moderator's button that the Tab key finds. @type {any} */
  #stop = null;
  /** How many came in while the person was reading further up. */
  below = 0;

  /**
   * @param {{ room: string, me: () => { user: string, nick: string }, online: () => boolean,
   *   moved: () => void, nearStart: () => void, remove: (entry: Entry) => void }} options
   */
  constructor({ room, me, online, moved, nearStart, remove }) {
    this.me = me;
    this.online = online;
    this.moved = moved;
    this.element = h('div', { class: 'log', role: 'log', 'aria-label': `Messages in #${room}`, tabindex: '0' }, this.#list);
    this.element.addEventListener('scroll', () => {
      const { scrollTop, scrollHeight, clientHeight } = this.element;
      this.#scrollTop = scrollTop;
      this.#atEnd = this.#following > 0 || scrollHeight - scrollTop - clientHeight < NEAR_PX;
      if (this.#atEnd) this.below = 0;
      this.moved();
      if (scrollTop < 300) nearStart();
    }, { passive: true });
    this.#list.addEventListener('click', ({ target }) => {
      // The first press asks, the second one does.
      if (!target.matches('.delete')) return;
      if (target.textContent === 'Delete') target.textContent = 'Delete for everybody?';
      else remove(this.#entries.find(({ element }) => element.contains(target)));
    });
    this.#list.addEventListener('focusout', ({ target }) => target.matches('.delete') && (target.textContent = 'Delete'));
    this.#list.addEventListener('keydown', (event) => {
      const all = this.#deletes;
      const at = all.indexOf(/** @type {HTMLElement} */ (event.target));
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (at < 0 || !step) return;
      event.preventDefault();
      this.#tabStop(all[at + step]);
      this.#stop.focus();
    });
    this.#resized.observe(this.element);
  }

  end() {
    this.#resized.disconnect();
  }

  get atEnd() {
    return this.#atEnd;
  }

  /** The first offset that is shown of the present log; undefined while there is none. */
  get first() {
    return this.#entries.slice(this.#base).find((entry) => entry.offset > 0)?.offset;
  }

  /** Is there more than fits? */
  get overflows() {
    return this.element.scrollHeight > this.element.clientHeight + 300;
  }

  /** The log came into view again. */
  shown() {
    if (this.#atEnd) this.toEnd();
    else this.element.scrollTop = this.#scrollTop;
  }

  toEnd() {
    this.#atEnd = true;
    this.below = 0;
    this.element.scrollTop = this.element.scrollHeight;
    this.moved();
  }

  /** @param {Message} message */
  add(message) {
    const own = message.user === this.me().user;
    const stay = this.#atEnd;
    this.#place(message, own);
    this.#trim();
    if (stay || own) this.#follow();
    else {
      this.below += 1;
      this.moved();
    }
  }

  /** Of the moderator's buttons one is a stop of the Tab key, so that nobody has to pass them all; arrows lead to the others. */
  #tabStop(button) {
    if (!button) return;
    if (this.#stop) this.#stop.tabIndex = -1;
    this.#stop = button;
    button.tabIndex = 0;
  }

  /** @returns {HTMLElement[]} */
  get #deletes() {
    return [...this.#list.querySelectorAll('.delete')];
  }

  /** A crowd of messages costs one layout. */
  #follow() {
    this.#atEnd = true;
    this.#following ||= requestAnimationFrame(() => {
      this.#following = 0;
      this.toEnd();
    });
  }

  /** A page of older history; what the person looks at stays where it is. @param {Message[]} messages */
  prepend(messages) {
    this.#above(() => {
      for (const message of messages) this.#place(message, message.user === this.me().user);
    });
  }

  /** A line at an offset of its own, or at the end. @param {string} words @param {{ kind?: string, offset?: number }} [options] */
  line(words, { kind, offset = 0 } = {}) {
    this.#insert({ offset, id: '', user: '', date: null, element: lineItem(words, kind) });
    if (this.#atEnd) this.toEnd();
  }

  /** There is nothing older. @param {string} title @param {string} words */
  begin(title, words) {
    if (this.#start || this.#base > 0) return;
    const start = (this.#start = h('li', { class: 'start' }, h('p', { class: 'start-title' }, title), h('p', {}, words)));
    this.#above(() => this.#list.prepend(start));
  }

  /** The gateway has another log now: what is shown stays, marked as gone. @param {string} words */
  restart(words) {
    for (const { element } of this.#entries) element.classList.add('gone');
    this.#insert({ offset: 0, id: '', user: '', date: null, element: lineItem(words, 'important') });
    this.#base = this.#entries.length;
    if (this.#atEnd) this.toEnd();
  }

  /** New from here on. @param {number} offset what was read */
  markUnread(offset) {
    this.#unreadMark?.remove();
    const entry = this.#entries.slice(this.#base).find((other) => other.offset > offset && other.date);
    if (!entry || entry.user === this.me().user) return;
    this.#unreadMark = h('li', { class: 'unread' }, h('span', {}, 'New'));
    entry.element.before(this.#unreadMark);
  }

  clearUnread() {
    this.#unreadMark?.remove();
    this.#unreadMark = null;
  }

  /** @param {number} target */
  redact(target) {
    const index = this.#entries.findIndex((entry, place) => place >= this.#base && entry.offset === target);
    if (index < 0) return;
    const element = lineItem('This message was deleted', 'tombstone');
    if (this.#entries[index].element.contains(document.activeElement)) this.element.focus();
    this.#entries[index].element.replaceWith(element);
    this.#tabStop(this.#deletes.at(-1));
    this.#entries[index] = { ...this.#entries[index], user: '', element };
    this.#group(index);
    this.#group(index + 1);
  }

  /** @param {string[]} ids @param {boolean} doubtful */
  doubt(ids, doubtful) {
    for (const entry of this.#entries) if (ids.includes(entry.id)) entry.element.classList.toggle('unconfirmed', doubtful);
  }

  /** @param {string} id @param {number} offset */
  rebind(id, offset) {
    const entry = this.#entries.find((other) => other.id === id);
    if (!entry) return;
    this.#remove(entry);
    this.#insert({ ...entry, offset });
    this.doubt([id], false);
  }

  /** @param {string[]} ids */
  retract(ids) {
    for (const entry of this.#entries.filter((other) => ids.includes(other.id))) this.#remove(entry);
  }

  /** A message of ours is new, or changed. @param {Dispatch} dispatch */
  outgoing(dispatch) {
    if (dispatch.error?.code === 'discarded') {
      this.#outgoing.get(dispatch)?.remove();
      return this.#outgoing.delete(dispatch);
    }
    const placed = this.#entries.find((entry) => entry.id !== '' && entry.id === dispatch.id);
    if (placed) {
      if (dispatch.status === 'acked') this.#outgoing.delete(dispatch);
      return showDelivery(placed.element, dispatch, this.online());
    }
    let element = this.#outgoing.get(dispatch);
    if (!element) {
      if (dispatch.status === 'acked') return undefined;
      element = dispatchItem(dispatch, this.me());
      this.#outgoing.set(dispatch, element);
    }
    showDelivery(element, dispatch, this.online());
    if (this.#atEnd) this.#follow();
    if (dispatch.status === 'acked' && dispatch.at === null) return element.remove(); // an old one, which history shows
    if (element.isConnected && dispatch.status !== 'queued') return undefined;
    this.#list.append(element);
    this.#groupOutgoing();
    return this.toEnd();
  }

  /** The connection came or went: what waits says so. */
  refreshOutgoing() {
    for (const [dispatch, element] of this.#outgoing) showDelivery(element, dispatch, this.online());
  }

  /** Changes what lies above, unannounced and without a jump. */
  #above(change) {
    this.element.setAttribute('aria-busy', 'true');
    const { scrollHeight, scrollTop } = this.element;
    change();
    this.element.scrollTop = this.#atEnd ? this.element.scrollHeight : scrollTop + this.element.scrollHeight - scrollHeight;
    requestAnimationFrame(() => this.element.removeAttribute('aria-busy'));
  }

  #place(message, own) {
    const double = this.#entries.find((entry) => entry.id === message.id);
    if (double && this.#entries.indexOf(double) >= this.#base) return;
    if (double) this.#remove(double);
    const element = messageItem(message, own);
    const date = message.deleted ? null : new Date(message.ts);
    const outgoing = [...this.#outgoing].find(([dispatch]) => dispatch.id === message.id);
    this.#insert({ offset: message.offset, epoch: message.epoch, id: message.id, user: message.user ?? '', date, element });
    if (!outgoing) return;
    outgoing[1].remove();
    element.classList.toggle('pending', outgoing[0].status !== 'acked');
    if (outgoing[0].status === 'acked') this.#outgoing.delete(outgoing[0]);
    this.#groupOutgoing();
  }

  #insert(entry) {
    let index = this.#entries.length;
    while (entry.offset > 0 && index > this.#base && this.#entries[index - 1].offset > entry.offset) index -= 1;
    const after = this.#entries[index - 1]?.element ?? null;
    const before = after ?? this.#start;
    if (before) before.after(entry.element);
    else this.#list.prepend(entry.element);
    this.#entries.splice(index, 0, entry);
    if (document.activeElement !== this.#stop) this.#tabStop(this.#list.lastElementChild?.querySelector('.delete'));
    this.#group(index);
    this.#group(index + 1);
  }

  #remove(entry) {
    const index = this.#entries.indexOf(entry);
    this.#entries.splice(index, 1);
    if (index < this.#base) this.#base -= 1;
    entry.day?.remove();
    entry.element.remove();
    this.#group(index);
  }

  /** Where an author's run and a day begin. */
  #group(index) {
    const entry = this.#entries[index];
    if (!entry) return;
    const before = this.#entries[index - 1];
    entry.day?.remove();
    if (entry.date && !this.#dayAbove(index, entry.date)) {
      entry.day = h('li', { class: 'day' }, h('time', { datetime: entry.date.toISOString().slice(0, 10) }, dayOf(entry.date)));
      entry.element.before(entry.day);
    }
    entry.element.classList.toggle('follows', follows(before, entry));
  }

  /** Is this day told above already? */
  #dayAbove(index, date) {
    const above = this.#entries.slice(0, index).findLast((entry) => entry.date);
    return above?.date ? sameDay(above.date, date) : false;
  }

  #groupOutgoing() {
    let before = this.#entries.at(-1);
    const { user } = this.me();
    for (const [dispatch, element] of this.#outgoing) {
      if (!element.isConnected) continue;
      const entry = { offset: 0, id: '', user, date: new Date(dispatch.since), element };
      element.classList.toggle('follows', follows(before, entry));
      before = entry;
    }
  }

  /** A long night: what scrolled far away leaves, and comes back as history. */
  #trim() {
    if (!this.#atEnd || this.#entries.length <= SHOWN_MAX) return;
    for (const entry of this.#entries.slice(0, 500)) this.#remove(entry);
    this.#start?.remove();
    this.#start = null;
    this.#group(0);
  }
}

/** @param {Entry | undefined} before @param {Entry} entry */
function follows(before, entry) {
  if (!before?.date || !entry.date || before.user !== entry.user) return false;
  return entry.date.getTime() - before.date.getTime() < GROUP_MS && sameDay(before.date, entry.date);
}
