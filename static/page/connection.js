import { countdown } from './clock.js';
import { byId } from './dom.js';
import { wordsFor } from './words.js';

const KEPT = 'What you write waits here and goes out by itself.';

/**
 * The connection line, and the banner that explains it while it is not good. The word is announced; the seconds that
 * run down beside it are not.
 */
export class ConnectionLine {
  #status = byId('status');
  #word = byId('status-word');
  #seconds = byId('status-seconds');
  #banner = byId('banner');
  #words = byId('banner-words');
  #button = byId('banner-button');
  /** Whether there was a connection, or an attempt that failed. */
  #before = false;
  #stopCountdown = () => {};

  /** @param {() => void} retry */
  constructor(retry) {
    this.#button.addEventListener('click', retry);
  }

  /** Another person begins. */
  reset() {
    this.#before = false;
  }

  /** @param {import('../wardroom/client.js').StateEvent} event */
  show({ state, code, retryInMs, requestId }) {
    if (state === 'connecting' && this.#status.dataset.state === 'offline' && !navigator.onLine) return; // a try that changes nothing yet
    this.#stopCountdown();
    this.#seconds.textContent = '';
    const word = this.#wordOf(state);
    if (this.#word.textContent !== word) this.#word.textContent = word;
    this.#status.dataset.state = state === 'connecting' && this.#before ? 'waiting' : state;
    if (state === 'online' || (state === 'connecting' && !this.#before)) {
      this.#before ||= state === 'online';
      if (document.activeElement === this.#button) byId('message').focus();
      this.#banner.hidden = true;
      return;
    }
    this.#before = true;
    this.#explain(state, code, requestId);
    if (state === 'waiting' && retryInMs !== undefined) {
      this.#stopCountdown = countdown(Date.now() + retryInMs, (seconds) => {
        this.#seconds.textContent = seconds > 0 ? ` in ${seconds} s` : '';
      });
    }
  }

  #wordOf(state) {
    if (state === 'online' || state === 'offline') return state;
    if (state === 'elsewhere') return 'open elsewhere';
    if (state === 'waiting' || (state === 'connecting' && this.#before)) return 'reconnecting';
    return state === 'signed-out' || state === 'closed' ? 'signed out' : 'connecting';
  }

  #explain(state, code, requestId) {
    if (state === 'connecting') return; // the words of the wait before still hold
    const reason = state === 'offline' ? 'You are offline.' : wordsFor(code);
    const more = state === 'elsewhere' ? '' : ` ${KEPT}`;
    this.#words.textContent = `${reason}${more}${requestId ? ` (Request ${requestId})` : ''}`;
    this.#button.textContent = state === 'elsewhere' ? 'Use it here' : 'Retry now';
    this.#banner.hidden = false;
  }
}
