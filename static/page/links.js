import { h } from './dom.js';

const LINK = /https?:\/\/[^\s<>"'`]+/gi;
const LINKS_MAX = 20;

/**
 * Text as nodes, with web addresses as links. An address with a name or password in it, or with a host that is not
 * ASCII, can look like another one: it stays text.
 *
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function withLinks(text) {
  const nodes = [];
  let from = 0;
  let links = 0;
  for (const match of text.matchAll(LINK)) {
    const shown = trimmed(match[0]);
    const href = links < LINKS_MAX ? harmless(shown) : null;
    if (!href) continue;
    links += 1;
    nodes.push(text.slice(from, match.index), anchor(href, shown));
    from = match.index + shown.length;
  }
  nodes.push(text.slice(from));
  return nodes;
}

/** Without the punctuation that belongs to the sentence. @param {string} raw */
function trimmed(raw) {
  let end = raw.length;
  while (end > 0 && /[.,;:!?*_~\])}]/.test(raw[end - 1])) {
    const closing = raw[end - 1];
    const inside = raw.slice(0, end - 1);
    if (closing === ')' && inside.split('(').length > inside.split(')').length) break; // it closes one of its own
    end -= 1;
  }
  return raw.slice(0, end);
}

/** @param {string} shown */
function harmless(shown) {
  const host = shown.slice(shown.indexOf('//') + 2).split(/[/?#]/, 1)[0];
  if (!/^[\x21-\x7e]+$/.test(host) || host.includes('@')) return null;
  const url = URL.parse?.(shown) ?? (URL.canParse(shown) ? new URL(shown) : null);
  return url && /^https?:$/.test(url.protocol) ? url.href : null;
}

/** @param {string} href @param {string} shown */
function anchor(href, shown) {
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow ugc', dir: 'ltr' }, shown);
}
