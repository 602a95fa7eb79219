/**
 * Elements without markup strings: attributes by name, children as nodes or text. Text only ever becomes a text node,
 * so nothing that a person writes can become an element.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | boolean | undefined>} [attributes] `false` and `undefined` leave it out
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children);
  return element;
}

/** The element that the page was written with. @param {string} id */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

const PATHS = {
  verified: 'M8 1.5 9.9 3l2.4-.2.6 2.3 2 1.3-1 2.2 1 2.2-2 1.3-.6 2.3-2.4-.2L8 15.7l-1.9-1.5-2.4.2-.6-2.3-2-1.3 1-2.2-1-2.2 2-1.3.6-2.3L6.1 3zM5.2 8.3l2 2 3.7-3.9',
  clock: 'M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2M8 5v3.2l2 1.3',
  warning: 'M8 2 14.5 13.5h-13zM8 6.5v3.3M8 11.6v.1',
  close: 'M4 4l8 8M12 4l-8 8',
};

/** A line drawing of 16 × 16, without a meaning of its own. @param {keyof typeof PATHS} name */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  for (const [key, value] of Object.entries({ viewBox: '0 0 16 16', class: `icon ${name}`, 'aria-hidden': 'true' })) svg.setAttribute(key, value);
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}
