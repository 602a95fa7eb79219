import { avatar } from './avatar.js';
import { fullTimeOf, timeOf } from './clock.js';
import { h, icon } from './dom.js';
import { withLinks } from './links.js';
import { wordsFor } from './words.js';

/**
 * @typedef {import('../wardroom/room.js').Message} Message
 * @typedef {import('../wardroom/dispatch.js').Dispatch} Dispatch
 */

/** An entry of the log. @param {Message} message @param {boolean} own */
export function messageItem(message, own) {
  const { user, nick, verified, text, ts, deleted } = message;
  if (deleted) return lineItem('This message was deleted', 'tombstone');
  return item({ own, user, nick, verified, text, date: new Date(ts) },
    h('button', { type: 'button', class: 'delete quiet', tabindex: '-1' }, 'Delete'));
}

/** A message that has no place in the log yet. @param {Dispatch} dispatch @param {{ user: string, nick: string }} me */
export function dispatchItem(dispatch, { user, nick }) {
  const element = item({ own: true, user, nick, verified: false, text: dispatch.text, date: new Date(dispatch.since) });
  element.append(h('div', { class: 'delivery' }));
  return element;
}

/**
 * How a message of ours is doing.
 * @param {HTMLElement} element @param {Dispatch} dispatch @param {boolean} online
 */
export function showDelivery(element, dispatch, online) {
  const { status, error } = dispatch;
  element.classList.toggle('pending', status !== 'acked' && status !== 'failed');
  element.classList.toggle('failed', status === 'failed');
  const place = element.querySelector('.delivery');
  if (status === 'acked') return place?.remove();
  if (!place) return undefined;
  const words = status === 'failed' ? wordsFor(error?.code, error?.message) : online && status !== 'queued' ? 'Sending' : 'Waiting to be sent';
  if (place.getAttribute('data-words') === words) return undefined;
  place.setAttribute('data-words', words);
  place.classList.toggle('brief', online && status !== 'failed');
  place.replaceChildren(icon(status === 'failed' ? 'warning' : 'clock'), h('span', {}, words));
  if (status !== 'failed') return undefined;
  const retry = h('button', { type: 'button', class: 'link' }, 'Retry');
  const discard = h('button', { type: 'button', class: 'link' }, 'Discard');
  retry.addEventListener('click', () => dispatch.retry());
  discard.addEventListener('click', () => dispatch.discard());
  return place.append(retry, discard);
}

/** A line that nobody wrote. @param {string} words @param {string} [kind] */
export function lineItem(words, kind = '') {
  return h('li', { class: `notice ${kind}`.trim() }, h('p', { class: 'line' }, words));
}

/** @param {{ own: boolean, user: string, nick: string, verified: boolean, text: string, date: Date }} what @param {...Node} more */
function item({ own, user, nick, verified, text, date }, ...more) {
  const name = h('span', { class: 'name' }, h('bdi', {}, nick));
  if (verified && !own) name.append(icon('verified'), h('span', { class: 'unseen' }, ' (verified name)'));
  if (own) name.append(h('span', { class: 'you' }, 'you'));
  const time = h('time', { datetime: date.toISOString(), title: fullTimeOf(date) }, timeOf(date));
  return h('li', { class: own ? 'message own' : 'message' },
    avatar(user, nick), h('div', { class: 'head' }, name, ' ', time), h('p', { class: 'text', dir: 'auto' }, ...withLinks(text)), ...more);
}
