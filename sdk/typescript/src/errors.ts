//! Errors of the client: a class for each family, all with `status`, `code`, `requestId` and `details`.
import type { JsonValue } from "./internal/json.ts";

/** What an error carries besides its message. */
export interface ErrorParts {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly requestId?: string | undefined;
  readonly details?: JsonValue | undefined;
  readonly cause?: unknown;
}

/**
 * Something the server refused, or a server that was not reached (`status` 0).
 *
 * @example
 * try { await client.tokens.complete(id, data); }
 * catch (error) { if (error instanceof HelmrError && error.code === "token_expired") return; throw error; }
 */
export class HelmrError extends Error {
  override readonly name: string = "HelmrError";
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Stable, for programs. */
  readonly code: string;
  /** Names the request in the server's log. */
  readonly requestId: string | undefined;
  readonly details: JsonValue | undefined;

  constructor(parts: ErrorParts) {
    super(parts.message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.status = parts.status;
    this.code = parts.code;
    this.requestId = parts.requestId;
    this.details = parts.details;
  }
}

/** 400: the request is malformed. */
export class InvalidRequestError extends HelmrError {
  override readonly name = "InvalidRequestError";
}

/** 401: no credential, or one that is unknown, revoked or expired. */
export class UnauthenticatedError extends HelmrError {
  override readonly name = "UnauthenticatedError";
}

/** 403: the credential does not allow it. */
export class PermissionDeniedError extends HelmrError {
  override readonly name = "PermissionDeniedError";
}

/** 404: there is no such object in this environment. */
export class NotFoundError extends HelmrError {
  override readonly name = "NotFoundError";
}

/** 409: the object's state does not allow it, or something else came first. */
export class ConflictError extends HelmrError {
  override readonly name = "ConflictError";
}

/** 410: it is too late. */
export class GoneError extends HelmrError {
  override readonly name = "GoneError";
}

/** 413: over a limit, which the message names. */
export class TooLargeError extends HelmrError {
  override readonly name = "TooLargeError";
}

/** 422: well-formed, but not acceptable, such as a payload that does not match its schema. */
export class UnprocessableError extends HelmrError {
  override readonly name = "UnprocessableError";
}

/** 429: too many requests. */
export class RateLimitedError extends HelmrError {
  override readonly name = "RateLimitedError";
}

/** 5xx: the server failed or is not available. */
export class ServerError extends HelmrError {
  override readonly name = "ServerError";
}

/** No answer came: `connection_failed`, `timeout`, or `invalid_response` from something that is not Helmr. */
export class ConnectionError extends HelmrError {
  override readonly name = "ConnectionError";
}

/** Makes the error of a status. */
export function errorOf(parts: ErrorParts): HelmrError {
  switch (parts.status) {
    case 400:
      return new InvalidRequestError(parts);
    case 401:
      return new UnauthenticatedError(parts);
    case 403:
      return new PermissionDeniedError(parts);
    case 404:
      return new NotFoundError(parts);
    case 409:
      return new ConflictError(parts);
    case 410:
      return new GoneError(parts);
    case 413:
      return new TooLargeError(parts);
    case 422:
      return new UnprocessableError(parts);
    case 429:
      return new RateLimitedError(parts);
    default:
      return parts.status >= 500 ? new ServerError(parts) : new HelmrError(parts);
  }
}
