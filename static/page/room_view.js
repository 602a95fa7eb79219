import { Log } from './log.js';
import { wordsForAct } from './words.js';

const PAGE = 50;

/**
 * One room on the screen: what its events do to its log, and how far the person has read.
 *
 * @typedef {object} Surroundings
 * @property {() => { user: string, nick: string }} me
 * @property {() => boolean} online
 * @property {number} read the offset up to which this tab has read
 * @property {() => boolean} inView
 * @property {() => void} changed unread count or scroll position
 * @property {(error: any) => void} refused
 * @property {(who: { user: string, nick: string }) => void} typing
 * @property {(user: string) => void} spoke
 * @property {(code: string, until: number) => void} limited
 * @property {() => void} people
 * @property {(error: any) => void} failed something that the person asked for
 */
export class RoomView {
  unread = 0;
  #loading = false;
  #level = false;
  /** The oldest offset that is kept, once a page of history told it. */
  #oldest = 1;
  /** False until the room was first seen: what was there before counts as read. */
  #visited;
  /** @type {(() => void)[]} */
  #stops = [];

  /** @param {import('../wardroom/room.js').Room} room @param {Surroundings} around */
  constructor(room, around) {
    this.room = room;
    this.around = around;
    this.read = around.read;
    this.#visited = this.read > 0;
    this.log = new Log({
      room: room.name, me: around.me, online: around.online, moved: () => this.readOn(), nearStart: () => void this.#older(),
      remove: (entry) => void room.delete(entry).catch(around.failed),
    });
    for (const dispatch of room.open) this.log.outgoing(dispatch);
    /** @type {Record<string, (event: any) => void>} */
    const hear = {
      joined: (event) => this.#joined(event),
      level: () => this.#isLevel(),
      message: (message) => this.#message(message),
      deleted: ({ target }) => this.log.redact(target),
      moderation: ({ offset, act }) => this.log.line(`Somebody ${wordsForAct(act)}.`, { offset }),
      dispatch: (dispatch) => this.log.outgoing(dispatch),
      gap: ({ from, to }) => this.log.line(
        from === to ? `Message ${from} is no longer kept.` : `Messages ${from}–${to} are no longer kept.`, { kind: 'important', offset: from }),
      reset: () => this.#reset(),
      fork: ({ ids }) => this.log.doubt(ids, true),
      rebound: ({ id, offset }) => this.log.rebind(id, offset),
      retracted: ({ ids }) => {
        this.log.retract(ids);
        this.log.line('The server lost messages after a failure; they were taken back.', { kind: 'important' });
      },
      presence: () => around.people(),
      typing: (who) => around.typing(who),
      limited: ({ code, until }) => around.limited(code, until),
      refused: (error) => around.refused(error),
    };
    this.#stops = Object.entries(hear).map(([name, told]) => room.on(name, told));
  }

  /** It came into view. */
  enter() {
    this.log.shown();
    this.look();
    void this.#fill();
  }

  /** The person looks at it again: what came meanwhile is new. */
  look() {
    if (this.unread > 0 && this.#level) this.log.markUnread(this.read);
    this.readOn();
  }

  end() {
    for (const stop of this.#stops) stop();
    this.log.end();
  }

  /** Whoever sees the end has read it. */
  readOn() {
    if (this.#level && this.around.inView() && this.log.atEnd) {
      this.read = Math.max(this.read, this.room.offset);
      this.unread = 0;
    }
    this.around.changed();
  }

  #joined({ resumed, from }) {
    this.#level = false;
    // After a reload the log is empty: what was read before is fetched, what was missed is replayed.
    if (resumed && this.log.first === undefined) void this.#older(from + 1);
    this.around.people();
  }

  #isLevel() {
    this.#level = true;
    if (!this.#visited) this.read = this.room.offset;
    this.#visited = true;
    if (this.room.offset === 0) this.#begin();
    if (this.around.inView()) this.look();
    else this.around.changed();
    void this.#fill();
  }

  #message(message) {
    const { user, offset } = message;
    this.around.spoke(user);
    this.log.add(message);
    const seen = this.around.inView() && this.log.atEnd && this.#level;
    if (seen || user === this.around.me().user) this.read = offset;
    else if (offset > this.read && this.#visited) this.unread += 1;
    this.around.changed();
  }

  #reset() {
    this.read = 0;
    this.unread = 0;
    this.#oldest = 1;
    this.log.restart('The server started over and no longer has the earlier messages of this room.');
  }

  async #older(before = this.log.first) {
    if (this.#loading || before === undefined || this.room.state === 'outside') return;
    if (before <= this.#oldest) return this.#begin();
    this.#loading = true;
    let further;
    try {
      const { messages, first } = await this.room.history({ before, limit: PAGE });
      const shown = messages.filter((message) => message.id);
      this.log.prepend(shown);
      this.#oldest = Math.max(1, first);
      if (messages.length === 0 || messages[0].offset <= this.#oldest) this.#begin();
      else if (shown.length === 0) further = messages[0].offset; // nothing but deletions
    } catch {
      // Without a connection, or too often: the next scroll asks again.
    } finally {
      this.#loading = false;
    }
    if (further) await this.#older(further);
  }

  #begin() {
    this.log.begin(`#${this.room.name}`, this.#oldest > 1 ? 'Older messages are no longer kept.' : 'This is where the room begins.');
  }

  /** A tall screen and a short page: one more. */
  async #fill() {
    if (this.#level && this.around.inView() && !this.log.overflows) await this.#older();
  }
}
