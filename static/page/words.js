/**
 * What a code means to a person: what happened and what they can do. Everything that the page says about errors.
 */
const SENTENCES = {
  // A message that did not go out.
  expired: 'Not sent within a minute.',
  unconfirmed: 'The server has no trace of it, so it was not sent.',
  lost_track: 'Nobody can tell any more whether this was sent.',
  other_identity: 'Written by somebody else in this window.',
  outbox_full: 'Too much is waiting to be sent. Wait for the connection, then try again.',
  text_empty: 'There is nothing to send.',
  text_too_long: 'This message is too long.',
  text_invalid: 'This message has characters that cannot be sent.',
  too_large: 'This message is too long.',
  too_big: 'A message was too long to be sent.',
  muted: 'You are muted in this room.',
  slow_mode: 'This room is in slow mode.',
  rate_limited: 'That was a little too fast.',
  not_joined: 'You are not in this room any more.',
  // A room that cannot be entered.
  banned: 'You are banned from this room.',
  forbidden: 'You have no access to this.',
  unknown_room: 'There is no room of that name.',
  too_many_rooms: 'You are in as many rooms as you may be. Leave one first.',
  bad_request: 'The server did not understand this.',
  // A name.
  nickname_taken: 'Somebody here has that name, or one that looks like it. Choose another.',
  nickname_invalid: 'That name cannot be used. Choose another.',
  nickname_reserved: 'That name is reserved. Choose another.',
  // A connection.
  network: 'The server cannot be reached.',
  aside: 'The connection was lost.',
  silent_peer: 'The connection was lost.',
  slow_consumer: 'The connection was too slow to keep up.',
  going_away: 'The server is going away for a moment.',
  restart: 'The server is restarting.',
  overload: 'The server is very busy.',
  internal: 'The server made a mistake.',
  unavailable: 'The server is not available just now.',
  too_many_connections: 'Too many connections come from your network.',
  blocked: 'Something between you and the server blocks WebSockets: a proxy, a firewall or an extension.',
  out_of_step: 'The connection skipped something and is being renewed.',
  // A sign-in.
  sign_in: '',
  unauthorized: 'This token was not accepted.',
  token_expired: 'This token has expired. Sign in again.',
  credential_expired: 'Your session has ended. Sign in again to go on.',
  revoked: 'Your access was withdrawn.',
  origin_not_allowed: 'This page’s address is not on the server’s list of origins.',
  not_found: 'The server does not have this.',
  protocol_error: 'This page and the server do not understand each other. Reload the page.',
  malformed: 'This page and the server do not understand each other. Reload the page.',
  replaced: 'You opened the chat in more windows than allowed, so it rests in this one.',
};

/** @param {string | undefined} code @param {string} [detail] said when the code is new to this page */
export function wordsFor(code, detail) {
  return SENTENCES[/** @type {keyof typeof SENTENCES} */ (code ?? '')] ?? (detail || 'Something went wrong.');
}

const ACTS = {
  mute: 'was muted', unmute: 'may speak again', kick: 'was removed from the room', ban: 'was banned', unban: 'may come back',
  slow_mode: 'changed the slow mode of this room',
};

/** @param {string} act */
export function wordsForAct(act) {
  return ACTS[/** @type {keyof typeof ACTS} */ (act)] ?? 'was moderated';
}
