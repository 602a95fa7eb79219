import { SignInRequired, WardroomError } from './error.js';

const ANSWER_MS = 10_000;

/**
 * Trades a token for a ticket. A refused WebSocket tells a browser nothing; this request tells it everything, so no
 * socket is opened that could not have been explained, and no token ever stands in a URL.
 *
 * A token that is refused is asked for once more, as `rejected`; a second refusal is final. Never a loop against the
 * identity provider.
 *
 * @param {object} options
 * @param {URL} options.base
 * @param {import('./client.js').TokenReason} options.reason
 * @param {(why: { reason: import('./client.js').TokenReason, signal: AbortSignal }) => Promise<string> | string} options.getToken
 * @param {typeof fetch} options.fetch
 * @param {AbortSignal} options.signal
 * @returns {Promise<{ token: string, ticket: string }>}
 */
export async function buyTicket({ base, reason, getToken, fetch, signal }) {
  const token = await getToken({ reason, signal });
  try {
    return { token, ticket: await trade({ base, token, fetch, signal }) };
  } catch (refusal) {
    if (signal.aborted || !(refusal instanceof WardroomError) || refusal.status !== 401) throw refusal;
    const another = await renewed(getToken, signal, refusal);
    return { token: another, ticket: await trade({ base, token: another, fetch, signal }) };
  }
}

/** Without another token, the refusal of the first is what a person has to know. */
async function renewed(getToken, signal, refusal) {
  try {
    return await getToken({ reason: 'rejected', signal });
  } catch (error) {
    throw error instanceof SignInRequired ? refusal : error;
  }
}

/**
 * @param {{ base: URL, token: string, fetch: typeof fetch, signal: AbortSignal }} options
 * @returns {Promise<string>}
 */
async function trade({ base, token, fetch, signal }) {
  let response;
  try {
    response = await fetch(new URL('api/v1/tickets', base), {
      method: 'POST', headers: { authorization: `Bearer ${token}` }, cache: 'no-store', credentials: 'omit',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
  } catch (error) {
    throw new WardroomError('network', String(error));
  }
  if (!response.ok) throw await WardroomError.fromResponse(response);
  return (await response.json()).ticket;
}

/** @param {URL} base @param {{ ticket: string, resume?: string, html?: boolean }} query */
export function socketUrl(base, { ticket, resume, html }) {
  const url = new URL('ws/chat', base);
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
  url.searchParams.set('ticket', ticket);
  if (resume) url.searchParams.set('resume', resume);
  if (html) url.searchParams.set('html', '1');
  return url.href;
}
