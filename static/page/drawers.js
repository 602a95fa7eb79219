import { byId } from './dom.js';

/**
 * On a narrow screen the rooms and the people slide in over the messages: one at a time, closed by Escape, by a tap
 * beside it or by a choice, and the focus returns to where it came from.
 */
export class Drawers {
  #chat = byId('chat');
  #scrim = byId('scrim');
  /** @type {HTMLElement | null} */
  #opener = null;

  constructor() {
    for (const name of ['rooms', 'people']) {
      const button = byId(`${name}-button`);
      button.addEventListener('click', () => this.#open(name, button));
    }
    this.#scrim.addEventListener('click', () => this.close());
    document.addEventListener('keydown', (event) => event.key === 'Escape' && this.close());
    matchMedia('(min-width: 48rem)').addEventListener('change', () => this.close());
  }

  close() {
    if (!this.#opener) return;
    delete this.#chat.dataset.drawer;
    this.#rest(false);
    this.#opener.setAttribute('aria-expanded', 'false');
    this.#opener.focus();
    this.#opener = null;
  }

  #open(name, button) {
    this.#opener = button;
    this.#chat.dataset.drawer = name;
    this.#rest(true);
    button.setAttribute('aria-expanded', 'true');
    const panel = byId(`${name}-panel`);
    panel.inert = false;
    panel.focus();
  }

  #rest(inert) {
    for (const id of ['conversation', 'rooms-panel', 'people-panel']) byId(id).inert = inert;
  }
}
