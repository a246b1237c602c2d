//! `WaitHandle`: a wait that starts when it is first awaited.
import { OperationError, WaitError, type WaitFailure } from "./errors.ts";
import type { Outcome } from "./slot.ts";

/** How a wait ended. */
export type WaitResult<T> =
  | { readonly ok: true; readonly data: T }
  | { readonly ok: false; readonly error: WaitFailure };

/**
 * A wait that has not started yet. Awaiting it starts it and gives `{ok: true, data}` or `{ok: false, error}`;
 * `.unwrap()` gives the data or throws a `WaitError`. Awaiting it again gives the same answer.
 *
 * @example
 * const answer = await messages.wait({ timeout: "30m" });
 * if (!answer.ok) return { gaveUp: answer.error.code };
 */
export class WaitHandle<T> implements PromiseLike<WaitResult<T>> {
  readonly #start: () => Promise<WaitResult<T>>;
  #result: Promise<WaitResult<T>> | undefined;

  /** @param start begins the wait; called at most once. */
  constructor(start: () => Promise<WaitResult<T>>) {
    this.#start = start;
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is the purpose of the class
  then<Fulfilled = WaitResult<T>, Rejected = never>(
    onFulfilled?: ((result: WaitResult<T>) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    this.#result ??= this.#start();
    return this.#result.then(onFulfilled, onRejected);
  }

  /**
   * Starts the wait and gives its data.
   *
   * @throws WaitError when it ended without data: timed out, cancelled, or of the wrong shape.
   */
  async unwrap(): Promise<T> {
    const result = await this;
    if (!result.ok) throw new WaitError(result.error);
    return result.data;
  }
}

/** Splits the answers of the server: ways a wait ends are results, anything else is an error to throw. */
export function failureOf(error: Extract<Outcome, { ok: false }>["error"]): WaitFailure {
  switch (error.code) {
    case "timeout":
    case "expired":
    case "cancelled":
    case "forked":
      return { code: error.code, message: error.message };
    // A token that had ended before the wait began is refused; to the task it is the same.
    case "token_expired":
      return { code: "expired", message: error.message };
    case "token_cancelled":
      return { code: "cancelled", message: error.message };
    default:
      throw new OperationError(error.code, error.message, error.details);
  }
}
