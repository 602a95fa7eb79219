import { CLOSE_NAMES } from './close.js';
import { WardroomError } from './error.js';

const WELCOME_MS = 10_000;
const ANSWER_MS = 10_000;

/**
 * One connection, from opening to its end, which is told exactly once; after that nothing of it is heard any more.
 * Pings of the protocol are invisible to a browser and a socket stays OPEN through sleep, so it asks for itself.
 *
 * @typedef {{ code: number, name: string, reconnect?: boolean, retryAfterMs?: number, opened: boolean, welcomed: boolean }} Ending
 */
export class Link {
  #socket;
  #over = false;
  #opened = false;
  welcomed = false;
  #pingMs = 25_000;
  #heardAt;
  /** When an asked-for sign of life is due; `Infinity`: none was asked for. */
  #deadline;
  #ids = 0;
  /** @type {Map<string, { resolve(frame: any): void, reject(error: WardroomError): void }>} */
  #asked = new Map();
  /** @type {any} */
  #closing = null;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {any} options.WebSocket
   * @param {() => number} options.now
   * @param {(frame: any) => void} options.heard every frame that answers no question
   * @param {(ending: Ending) => void} options.ended
   */
  constructor({ url, WebSocket, now, heard, ended }) {
    this.now = now;
    this.heard = heard;
    this.ended = ended;
    this.#heardAt = now();
    this.#deadline = now() + WELCOME_MS;
    const socket = new WebSocket(url, ['wardroom.v1']);
    this.#socket = socket;
    socket.onopen = () => (this.#opened = true);
    socket.onmessage = (/** @type {{ data: any }} */ event) => this.#hear(event.data);
    socket.onclose = (/** @type {{ code: number }} */ event) => this.#end(event.code);
    socket.onerror = () => {}; // `close` follows and says as much
  }

  /** @param {object} frame */
  post(frame) {
    if (this.#over || this.#socket.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Sends with an id and waits for the frame that carries it. @param {object} frame @returns {Promise<any>} */
  ask(frame) {
    return new Promise((resolve, reject) => this.call(frame, { resolve, reject }));
  }

  /**
   * The same without a promise: the answer is handled before the next frame is, which a stream that it opens needs.
   * @param {object} frame
   * @param {{ resolve(frame: any): void, reject(error: WardroomError): void }} answered
   */
  call(frame, answered) {
    const id = String((this.#ids += 1));
    this.#asked.set(id, answered);
    if (this.post({ ...frame, id })) return;
    this.#asked.delete(id);
    answered.reject(new WardroomError('network'));
  }

  /** Is anybody there? Without a frame by then the link is dead. @param {number} ms */
  probe(ms) {
    if (this.#over || !this.welcomed) return;
    this.#deadline = Math.min(this.#deadline, this.now() + ms);
    this.post({ type: 'ping' });
  }

  /** Called every second or so; compares times, since hidden pages get their timers late. */
  tick() {
    const now = this.now();
    if (this.#over) return;
    if (now >= this.#deadline) this.#end(1006);
    else if (this.welcomed && this.#deadline === Infinity && now - this.#heardAt >= this.#pingMs) this.probe(ANSWER_MS);
  }

  /** Ends it from this side; `ended` is not called. Without a code the gateway keeps the seat a while. @param {number} [code] */
  close(code) {
    this.#over = true;
    this.#rejectAsked();
    this.#socket.close(code);
  }

  #hear(data) {
    if (this.#over || typeof data !== 'string') return;
    this.#heardAt = this.now();
    if (this.welcomed) this.#deadline = Infinity;
    const frame = JSON.parse(data);
    if (frame.type === 'welcome') {
      this.welcomed = true;
      this.#deadline = Infinity;
      this.#pingMs = frame.ping_ms ?? this.#pingMs;
    } else if (frame.type === 'closing') {
      this.#closing = frame;
    } else if (frame.type === 'pong') {
      return;
    }
    const asked = typeof frame.id === 'string' && frame.type !== 'message' ? this.#asked.get(frame.id) : undefined;
    if (!asked) return this.heard(frame);
    this.#asked.delete(frame.id);
    if (frame.type === 'error') asked.reject(WardroomError.fromFrame(frame));
    else asked.resolve(frame);
  }

  #end(code) {
    if (this.#over) return;
    this.#over = true;
    this.#rejectAsked();
    this.#socket.close();
    const { code: name, reconnect, retry_after_ms: retryAfterMs } = this.#closing ?? {};
    this.ended({
      code, name: name ?? CLOSE_NAMES[/** @type {keyof typeof CLOSE_NAMES} */ (code)] ?? 'network',
      reconnect, retryAfterMs, opened: this.#opened, welcomed: this.welcomed,
    });
  }

  #rejectAsked() {
    for (const { reject } of this.#asked.values()) reject(new WardroomError('network'));
    this.#asked.clear();
  }
}
