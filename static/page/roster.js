import { avatar } from './avatar.js';
import { byId, h } from './dom.js';

const TYPING_MS = 6000;

/** Who is in the room, one line for each person. */
export class Roster {
  #list = byId('people');
  #count = byId('people-count');

  /** @param {import('../wardroom/members.js').Members} members @param {string} me */
  show({ list, count }, me) {
    const all = String(Math.max(count, list.length));
    this.#count.textContent = all;
    byId('people-button-count').textContent = all;
    this.#list.replaceChildren(...list.map(({ user, nick }) => h('li', {},
      avatar(user, nick), h('bdi', {}, nick), ...(user === me ? [h('span', { class: 'you' }, 'you')] : []))));
    if (list.length > 0 && count > list.length) this.#list.append(h('li', { class: 'more' }, `and ${count - list.length} more`));
  }
}

/** Who is typing, forgotten after 6 s or with their message. */
export class Typing {
  #place = byId('typing');
  /** @type {Map<string, { nick: string, timer: any }>} */
  #people = new Map();

  /** @param {{ user: string, nick: string }} who */
  add({ user, nick }) {
    clearTimeout(this.#people.get(user)?.timer);
    this.#people.set(user, { nick, timer: setTimeout(() => this.remove(user), TYPING_MS) });
    this.#show();
  }

  /** @param {string} user */
  remove(user) {
    clearTimeout(this.#people.get(user)?.timer);
    if (this.#people.delete(user)) this.#show();
  }

  clear() {
    for (const user of [...this.#people.keys()]) this.remove(user);
  }

  #show() {
    const names = [...this.#people.values()].map(({ nick }) => h('bdi', {}, nick));
    this.#place.classList.toggle('active', names.length > 0);
    if (names.length === 0) return this.#place.replaceChildren();
    if (names.length === 1) return this.#place.replaceChildren(names[0], ' is typing');
    if (names.length === 2) return this.#place.replaceChildren(names[0], ' and ', names[1], ' are typing');
    return this.#place.replaceChildren('Several people are typing');
  }
}
