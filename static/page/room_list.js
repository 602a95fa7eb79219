import { byId, h, icon } from './dom.js';

const NAME = /^[a-z0-9][a-z0-9_.:-]{0,63}$/;

/** The rooms of this person, with what is unread in each, and the field to enter another one. */
export class RoomList {
  #list = byId('rooms');
  #form = /** @type {HTMLFormElement} */ (byId('join'));
  #input = /** @type {HTMLInputElement} */ (byId('join-name'));
  #error = byId('join-error');

  /** @param {{ choose: (name: string) => void, join: (name: string) => void, leave: (name: string) => void }} on */
  constructor(on) {
    this.on = on;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      const name = this.#input.value.trim().replace(/^#/, '').toLowerCase();
      if (!NAME.test(name)) return this.tell('Room names are small letters, digits and . _ : - and begin with a letter or digit.');
      this.tell('');
      this.#input.value = '';
      on.join(name);
    });
  }

  /** @param {string} words */
  tell(words) {
    this.#error.textContent = words;
    this.#input.setAttribute('aria-invalid', String(words !== ''));
  }

  /** @param {{ name: string, unread: number, active: boolean }[]} rooms */
  show(rooms) {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest('#rooms [data-room]'))?.dataset.room;
    this.#list.replaceChildren(...rooms.map((room) => this.#item(room, rooms.length > 1)));
    if (focused) /** @type {HTMLElement | null} */ (this.#list.querySelector(`[data-room="${focused}"] button`))?.focus();
  }

  #item({ name, unread, active }, leavable) {
    const choose = h('button', { type: 'button', class: 'room', 'aria-current': active ? 'true' : undefined },
      h('span', { class: 'hash', 'aria-hidden': 'true' }, '#'), h('span', { class: 'room-name' }, name));
    if (unread > 0) choose.append(h('span', { class: 'badge' }, unread > 99 ? '99+' : String(unread), h('span', { class: 'unseen' }, ' unread')));
    choose.addEventListener('click', () => this.on.choose(name));
    const item = h('li', { 'data-room': name, class: unread > 0 ? 'has-unread' : '' }, choose);
    if (leavable) {
      const leave = h('button', { type: 'button', class: 'leave', 'aria-label': `Leave #${name}`, title: `Leave #${name}` }, icon('close'));
      leave.addEventListener('click', () => this.on.leave(name));
      item.append(leave);
    }
    return item;
  }
}
