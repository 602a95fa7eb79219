/**
 * What a close code asks of a client.
 *
 * - `again`: come back after the hint or the backoff
 * - `renew`: come back at once with a new credential
 * - `ended`: stay away until a person acts
 * - `elsewhere`: another window took the place
 * - `ours`: we broke the protocol; one try later, then stop
 *
 * @param {number} code
 * @returns {'again'|'renew'|'ended'|'elsewhere'|'ours'}
 */
export function afterClose(code) {
  if (code === 4401) return 'renew';
  if (code === 4403) return 'ended';
  if (code === 4409) return 'elsewhere';
  if (code === 1002 || code === 1003 || code === 1007 || (code >= 4400 && code < 4500)) return 'ours';
  return 'again';
}

/** The words of `closing.code` for closes that came without that frame. */
export const CLOSE_NAMES = Object.freeze({
  1000: 'normal', 1001: 'going_away', 1002: 'protocol_error', 1003: 'unsupported_data', 1006: 'network', 1007: 'not_utf8',
  1009: 'too_big', 1011: 'internal', 1012: 'restart', 1013: 'overload', 4400: 'malformed', 4401: 'credential_expired',
  4403: 'revoked', 4409: 'replaced', 4508: 'silent_peer', 4520: 'slow_consumer', 4529: 'rate_limited',
});
