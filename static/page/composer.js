import { countdown } from './clock.js';
import { byId, h } from './dom.js';

/** Told before the gateway's own limits arrive. */
const LIMITS = { text_bytes_max: 4096, text_graphemes_max: 2000, lines_max: 50 };
const NUMBER = new Intl.NumberFormat();

/**
 * Where a person writes. Enter sends, Shift+Enter breaks the line, and an Enter that ends the composing of a character
 * does neither. What cannot be sent stays, with the reason.
 */
export class Composer {
  #form = byId('composer');
  #input = /** @type {HTMLTextAreaElement} */ (byId('message'));
  #note = byId('composer-note');
  #counter = byId('composer-counter');
  #send = /** @type {HTMLButtonElement} */ (byId('send'));
  /** Ends the countdown that is running. @type {(() => void) | null} */
  #stopCountdown = null;
  limits = LIMITS;

  /** @param {{ send: (text: string) => string, changed: (text: string) => void }} on `send` answers why not, or nothing */
  constructor(on) {
    this.on = on;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener('keydown', (event) => {
      // 229: Safari ends composing before this event and says so only here.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener('input', () => {
      this.#measure();
      on.changed(this.#input.value);
    });
  }

  /** @param {string} room @param {string} draft */
  show(room, draft) {
    this.#input.placeholder = `Message #${room}`;
    this.#input.value = draft;
    this.say('');
    this.#measure();
  }

  /** Not by touch: a keyboard that nobody asked for would cover what there is to read. */
  focus() {
    if (matchMedia('(pointer: fine)').matches) this.#input.focus({ preventScroll: true });
  }

  /** @param {string} words */
  say(words) {
    this.#stopCountdown?.();
    this.#stopCountdown = null;
    this.#note.textContent = words;
  }

  /** The gateway wants a pause: the seconds run down here, the text stays. @param {string} words @param {number} until */
  pause(words, until) {
    const rest = h('span', { 'aria-hidden': 'true' });
    this.say(words);
    this.#note.append(rest); // the words are announced, the seconds are not
    this.#stopCountdown = countdown(until, (seconds) => {
      if (seconds > 0) rest.textContent = ` Sending goes on in ${seconds} s.`;
      else this.say('');
    });
  }

  #submit() {
    const text = this.#input.value;
    if (text.trim() === '') return;
    const excess = this.#excess();
    const refusal = excess || this.on.send(text);
    if (refusal) return this.say(refusal);
    this.#input.value = '';
    this.on.changed('');
    if (!this.#stopCountdown) this.say('');
    this.#measure();
    this.#input.focus({ preventScroll: true });
  }

  /** Why the text is too long, or nothing. */
  #excess() {
    const { bytes, graphemes, lines } = measure(this.#input.value);
    const { text_bytes_max, text_graphemes_max, lines_max } = this.limits;
    const over = (/** @type {number} */ count, /** @type {string} */ what) => `Too long by ${NUMBER.format(count)} ${what}${count === 1 ? '' : 's'}.`;
    if (graphemes > text_graphemes_max) return over(graphemes - text_graphemes_max, 'character');
    if (bytes > text_bytes_max) return over(bytes - text_bytes_max, 'byte');
    return lines > lines_max ? over(lines - lines_max, 'line') : '';
  }

  #measure() {
    const text = this.#input.value;
    this.#send.disabled = text.trim() === '';
    if (!CSS.supports('field-sizing', 'content')) {
      this.#input.style.height = 'auto';
      this.#input.style.height = `${this.#input.scrollHeight}px`;
    }
    const near = text.length > this.limits.text_graphemes_max * 0.8 || text.length * 3 > this.limits.text_bytes_max;
    this.#counter.hidden = !near;
    this.#input.setAttribute('aria-invalid', 'false');
    if (!near) return;
    const { bytes, graphemes } = measure(text);
    const { text_bytes_max, text_graphemes_max } = this.limits;
    const excess = this.#excess();
    this.#counter.textContent = `${NUMBER.format(graphemes)} of ${NUMBER.format(text_graphemes_max)} characters, `
      + `${NUMBER.format(bytes)} of ${NUMBER.format(text_bytes_max)} bytes`;
    this.#counter.classList.toggle('excess', excess !== '');
    this.#input.setAttribute('aria-invalid', String(excess !== ''));
  }
}

const SEGMENTER = new Intl.Segmenter();

/** As the gateway will count it. @param {string} raw */
function measure(raw) {
  const text = raw.trim().normalize('NFC');
  let graphemes = 0;
  for (const _ of SEGMENTER.segment(text)) graphemes += 1;
  return { bytes: new TextEncoder().encode(text).length, graphemes, lines: text.split('\n').length };
}
