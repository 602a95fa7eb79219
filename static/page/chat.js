import { Wardroom } from '../wardroom.js';
import { avatar } from './avatar.js';
import { Composer } from './composer.js';
import { ConnectionLine } from './connection.js';
import { byId, h } from './dom.js';
import { Drawers } from './drawers.js';
import { RoomList } from './room_list.js';
import { RoomView } from './room_view.js';
import { Roster, Typing } from './roster.js';
import { wordsFor } from './words.js';

/**
 * The chat on the screen: one client, the views of its rooms, and the parts around the one in view.
 *
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('./credential.js').Credential} Credential
 * @typedef {{ title: string, development: boolean, default_room: string }} Settings
 */
export class Chat {
  #place = byId('chat');
  #logPlace = byId('log-place');
  #newer = byId('newer');
  #drawers = new Drawers();
  #roster = new Roster();
  #typing = new Typing();
  /** @type {Map<string, RoomView>} */
  #views = new Map();
  /** @type {Wardroom | null} */
  #client = null;
  #online = false;
  /** @type {any} */
  #changing = null;

  /**
   * @param {{ base: URL, settings: Settings, session: Session, signedOut: (event: { code?: string, reason?: string }) => void }} options
   */
  constructor({ base, settings, session, signedOut }) {
    this.base = base;
    this.settings = settings;
    this.session = session;
    this.signedOut = signedOut;
    this.connection = new ConnectionLine(() => this.#client?.retryNow());
    this.roomList = new RoomList({
      choose: (name) => this.#choose(name), join: (name) => this.#join(name), leave: (name) => this.#leave(name),
    });
    this.composer = new Composer({ send: (text) => this.#send(text), changed: (text) => this.#drafted(text) });
    this.#newer.addEventListener('click', () => {
      this.#view?.log.toEnd();
      this.composer.focus();
    });
    byId('sign-out').addEventListener('click', () => this.signedOut({ code: 'left' }));
    document.addEventListener('keydown', (event) => this.#keys(event));
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#view?.look());
    addEventListener('pagehide', () => this.#client && this.#show()); // what was read is kept
  }

  get #view() {
    return this.#views.get(this.session.kept.active);
  }

  get #me() {
    const user = this.#client?.user?.id ?? this.#client?.lastUser ?? '';
    return { user, nick: this.#view?.room.me || this.#client?.user?.nick || this.session.kept.nick || 'You' };
  }

  /** @param {Credential} credential @param {string} nick a chosen name, where the token has none */
  start(credential, nick) {
    this.stop();
    const client = new Wardroom(this.base, {
      getToken: (why) => credential.token(why), nick: nick || undefined,
      outbox: { storage: this.session.storage, key: this.session.libraryKey },
    });
    this.#client = client;
    client.on('state', (event) => this.#stateIs(event));
    client.on('welcome', (frame) => {
      if (frame.limits?.text_bytes_max) this.composer.limits = frame.limits;
      this.#showMe();
    });
    client.on('scopes', () => this.#showMe());
    client.on('identity', () => this.#rebuild());
    client.on('error', (error) => this.composer.say(wordsFor(error.code, error.message)));
    this.#rebuild();
    this.#place.hidden = false;
    client.connect().catch(() => {}); // `state` tells
    this.composer.focus();
  }

  stop() {
    this.#client?.close();
    this.#client = null;
    this.#endViews();
    this.connection.reset();
    this.#typing.clear();
    this.#logPlace.querySelector('.log')?.remove();
    this.#place.hidden = true;
    this.#drawers.close();
  }

  /** The rooms as they were, or the first one. */
  #rebuild() {
    const client = /** @type {Wardroom} */ (this.#client);
    this.#endViews();
    const names = client.rooms.filter((room) => room.wanted).map((room) => room.name);
    if (names.length === 0) names.push(this.settings.default_room);
    for (const name of names) this.#open(name);
    this.#choose(this.#views.has(this.session.kept.active) ? this.session.kept.active : names[0]);
  }

  #endViews() {
    for (const view of this.#views.values()) view.end();
    this.#views.clear();
  }

  #open(name) {
    const client = /** @type {Wardroom} */ (this.#client);
    const view = new RoomView(client.room(name), {
      me: () => this.#me, online: () => this.#online, read: this.session.kept.read[name] ?? 0,
      inView: () => this.session.kept.active === name && document.visibilityState === 'visible',
      changed: () => this.#changed(),
      refused: (error) => this.#refused(name, error),
      typing: (who) => this.session.kept.active === name && this.#typing.add(who),
      spoke: (user) => this.#typing.remove(user),
      limited: (code, until) => this.session.kept.active === name && this.composer.pause(wordsFor(code), until),
      people: () => this.session.kept.active === name && this.#showPeople(),
      failed: ({ code, message }) => this.composer.say(wordsFor(code, message)),
    });
    this.#views.set(name, view);
    client.join(name).catch(() => {}); // `refused` tells
  }

  #choose(name) {
    const view = this.#views.get(name);
    if (!view) return;
    const before = this.#view;
    if (before && before !== view) before.log.clearUnread();
    this.session.save({ active: name });
    this.#typing.clear();
    this.#logPlace.querySelector('.log')?.remove();
    this.#logPlace.prepend(view.log.element);
    byId('room-name').textContent = name;
    this.composer.show(name, this.session.kept.drafts[name] ?? '');
    if (view.room.pausedUntil) this.composer.pause(wordsFor('rate_limited'), view.room.pausedUntil);
    view.enter();
    this.#showPeople();
    this.#changed();
    this.#drawers.close();
    this.composer.focus();
  }

  #join(name) {
    if (!this.#views.has(name)) this.#open(name);
    this.#choose(name);
  }

  #leave(name) {
    const view = this.#views.get(name);
    this.#views.delete(name);
    view?.end();
    view?.room.leave().catch(() => {}); // without a connection there is nothing to leave
    const [first] = this.#views.keys();
    if (this.session.kept.active === name && first) this.#choose(first);
    else this.#changed();
  }

  /** A room did not let us in. */
  #refused(name, error) {
    const words = wordsFor(error.code, error.message);
    if (error.code.startsWith('nickname_')) return this.signedOut({ code: error.code, reason: error.message });
    if (this.#views.size === 1) return this.#views.get(name)?.log.line(words, { kind: 'important' });
    this.#views.get(name)?.end();
    this.#views.delete(name);
    const [first] = this.#views.keys();
    if (this.session.kept.active === name) this.#choose(first);
    this.roomList.tell(`#${name}: ${words}`);
    return this.#changed();
  }

  #send(text) {
    const view = this.#view;
    if (!view) return wordsFor('not_joined');
    try {
      view.log.clearUnread();
      view.room.send(text);
      return '';
    } catch (error) {
      return wordsFor(/** @type {any} */ (error).code);
    }
  }

  #drafted(text) {
    const { active, drafts } = this.session.kept;
    const { [active]: _, ...others } = drafts;
    this.session.save({ drafts: text ? { ...others, [active]: text } : others });
    if (text.trim()) this.#view?.room.typing();
  }

  #stateIs(event) {
    this.#online = event.state === 'online';
    this.connection.show(event);
    for (const view of this.#views.values()) view.log.refreshOutgoing();
    if (event.state === 'signed-out') this.signedOut(event);
  }

  /** Unread counts, the title, the way back down: shown soon, and once for many changes. */
  #changed() {
    this.#changing ??= setTimeout(() => {
      this.#changing = null;
      if (this.#client) this.#show();
    }, 20);
  }

  #show() {
    const rooms = [...this.#views.values()].map((view) => ({
      name: view.room.name, unread: view.unread, active: view.room.name === this.session.kept.active,
    }));
    this.roomList.show(rooms);
    const unread = rooms.reduce((sum, room) => sum + room.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ''}#${this.session.kept.active} · ${this.settings.title}`;
    this.session.save({ read: Object.fromEntries([...this.#views].map(([name, view]) => [name, view.read])) });
    const below = this.#view?.log.below ?? 0;
    this.#newer.hidden = this.#view?.log.atEnd ?? true;
    this.#newer.textContent = below === 0 ? 'To the latest ↓' : `${below} new ${below === 1 ? 'message' : 'messages'} ↓`;
  }

  #showPeople() {
    const view = this.#view;
    if (view) this.#roster.show(view.room.people, this.#me.user);
  }

  #showMe() {
    const { user, nick } = this.#me;
    byId('me').replaceChildren(avatar(user, nick), h('bdi', {}, nick));
    this.#place.toggleAttribute('data-moderates', !!this.#client?.user?.scopes.includes('chat:moderate'));
    this.#showPeople();
  }

  /** Alt+↑ and Alt+↓ go through the rooms. */
  #keys(event) {
    if (!event.altKey || !this.#client || (event.key !== 'ArrowUp' && event.key !== 'ArrowDown')) return;
    event.preventDefault();
    const names = [...this.#views.keys()];
    const step = event.key === 'ArrowUp' ? -1 : 1;
    this.#choose(names[(names.indexOf(this.session.kept.active) + step + names.length) % names.length]);
  }
}
