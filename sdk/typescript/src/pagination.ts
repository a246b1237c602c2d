//! Lists: one page when awaited, everything when iterated.

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Give it as `cursor` for what follows; null at the end. */
  readonly nextCursor: string | null;
}

/** Which page of a list. */
export interface PageOptions {
  /** 1 to 200; 50 when absent. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/**
 * A list that is not read yet. Await it for the first page, or iterate it for everything.
 *
 * @example for await (const run of client.runs.list({ sessionId })) console.log(run.status);
 */
export class Listing<T> implements PromiseLike<Page<T>>, AsyncIterable<T> {
  readonly #page: (cursor: string | undefined) => Promise<Page<T>>;
  readonly #start: string | undefined;

  /** @param page reads the page at a cursor. */
  constructor(start: string | undefined, page: (cursor: string | undefined) => Promise<Page<T>>) {
    this.#start = start;
    this.#page = page;
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is the purpose of the class
  then<Fulfilled = Page<T>, Rejected = never>(
    onFulfilled?: ((page: Page<T>) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.#page(this.#start).then(onFulfilled, onRejected);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    let cursor = this.#start;
    for (;;) {
      const page = await this.#page(cursor);
      yield* page.items;
      if (page.nextCursor === null) return;
      cursor = page.nextCursor;
    }
  }
}
