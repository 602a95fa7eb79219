import { h } from './dom.js';

const HUES = 12;

/**
 * Initials on a colour. The colour comes from the user's id, never from the nickname: who takes another's name does not
 * get the colour with it.
 *
 * @param {string} user @param {string} nick
 */
export function avatar(user, nick) {
  return h('span', { class: `avatar hue-${hueOf(user)}`, 'aria-hidden': 'true' }, initials(nick));
}

/** @param {string} user */
function hueOf(user) {
  let sum = 7;
  for (const char of user) sum = (sum * 31 + char.charCodeAt(0)) >>> 0;
  return sum % HUES;
}

/** @param {string} nick */
function initials(nick) {
  const words = nick.trim().split(/[\s._-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0] ?? '').join('').toLocaleUpperCase();
}
