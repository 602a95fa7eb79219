/**
 * Everything that can go wrong, with a code that a program can act on. Codes come from the gateway's one table;
 * the library adds its own: `network`, `expired`, `unconfirmed`, `lost_track`, `outbox_full`, `other_identity`, `closed`.
 */
export class WardroomError extends Error {
  /**
   * @param {string} code
   * @param {string} [detail]
   * @param {{ status?: number, retryAfterMs?: number, requestId?: string, outcome?: string, have?: number }} [more]
   */
  constructor(code, detail, { status, retryAfterMs, requestId, outcome, have } = {}) {
    super(detail || code);
    this.name = 'WardroomError';
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.requestId = requestId;
    this.outcome = outcome;
    this.have = have;
  }

  /** Can the same thing succeed later, with nothing changed? */
  get retryable() {
    return RETRYABLE.has(this.code) || (this.status ?? 0) >= 500;
  }

  /** @param {any} frame an `error` frame */
  static fromFrame(frame) {
    return new WardroomError(String(frame.code ?? 'internal'), frame.detail, {
      retryAfterMs: frame.retry_after_ms, requestId: frame.request_id, outcome: frame.outcome, have: frame.have,
    });
  }

  /**
   * A refused HTTP request. The body is problem+json; a proxy in between may answer with something else.
   * @param {Response} response
   */
  static async fromResponse(response) {
    const body = await response.json().catch(() => ({}));
    const seconds = Number(response.headers.get('retry-after'));
    return new WardroomError(body.code ?? (response.status >= 500 ? 'unavailable' : 'bad_request'), body.detail, {
      status: response.status,
      retryAfterMs: body.retry_after_ms ?? (seconds > 0 ? seconds * 1000 : undefined),
      requestId: body.request_id ?? response.headers.get('x-request-id') ?? undefined,
    });
  }
}

const RETRYABLE = new Set(['rate_limited', 'slow_mode', 'unavailable', 'internal', 'too_many_connections', 'network']);

/** Thrown by an application's `getToken`: there is no credential until a person signs in. */
export class SignInRequired extends Error {
  constructor(reason = 'sign in to go on') {
    super(reason);
    this.name = 'SignInRequired';
  }
}
