/**
 * What the surroundings tell: the network went or came, the page was hidden, shown or put aside. Outside a browser it
 * hears nothing.
 *
 * @param {{ target?: any, document?: any }} surroundings
 * @param {{ offline(): void, online(): void, awake(): void, aside(): void, back(): void }} told
 * @returns {() => void} stops listening
 */
export function listenForWake({ target, document }, told) {
  const ends = new AbortController();
  const { signal } = ends;
  target?.addEventListener?.('offline', told.offline, { signal });
  target?.addEventListener?.('online', told.online, { signal });
  target?.addEventListener?.('pagehide', told.aside, { signal });
  target?.addEventListener?.('pageshow', (/** @type {any} */ event) => event.persisted && told.back(), { signal });
  document?.addEventListener?.('visibilitychange', () => document.visibilityState === 'visible' && told.awake(), { signal });
  return () => ends.abort();
}
