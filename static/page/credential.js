import { SignInRequired, WardroomError } from '../wardroom.js';

/**
 * Where the token comes from: a nickname (development only), a link, or a field. It stays in memory. A token that came
 * from a field cannot be renewed; one of a nickname is minted again as often as it is needed.
 */
export class Credential {
  #token;
  #base;

  /** @param {{ base: URL, nick?: string, token?: string, development: boolean }} options */
  constructor({ base, nick = '', token = '', development }) {
    this.#base = base;
    this.#token = token;
    this.nick = nick || nickOf(token);
    this.renewable = development && this.nick !== '';
  }

  /** @param {{ reason: import('../wardroom/client.js').TokenReason, signal?: AbortSignal }} why */
  async token({ reason, signal }) {
    if (this.#token && (reason === 'connect' || (reason === 'expiring' && !this.renewable))) return this.#token;
    if (!this.renewable) throw new SignInRequired();
    this.#token = await this.#mint(signal);
    return this.#token;
  }

  async #mint(signal) {
    const response = await fetch(new URL('dev/token', this.#base), {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ nick: this.nick }), signal,
    });
    if (!response.ok) throw await WardroomError.fromResponse(response);
    return (await response.json()).token;
  }
}

/** Takes the token out of the address bar at once, whether it will be used or not. */
export function tokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token !== null) history.replaceState(history.state, '', location.pathname + location.search);
  return token ?? '';
}

/** The nickname in a token, unverified: for display, and to ask for another token of the same. @param {string} token */
function nickOf(token) {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (char) => char.charCodeAt(0))));
    return String(claims.nickname ?? claims.nick ?? '');
  } catch {
    return '';
  }
}
