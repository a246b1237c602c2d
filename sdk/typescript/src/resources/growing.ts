//! Something that grows on the server, such as a run's events: read as it is, or followed as it comes.
import { follow } from "../internal/follow.ts";
import type { Http, Query } from "../internal/http.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";

/** From where on to read or follow. */
export interface GrowingOptions extends PageOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Something that grows. */
export interface Growing<T> {
  /** A page, oldest first; iterate it for everything so far. */
  list(options?: GrowingOptions): Listing<T>;
  /** Everything so far, oldest first. */
  read(options?: GrowingOptions): Promise<T[]>;
  /** Everything so far and then what comes, until nothing more can. */
  follow(options?: Omit<GrowingOptions, "limit">): AsyncIterable<T>;
}

/**
 * Makes the ways to read what grows at a path.
 *
 * @param path asked for once it is needed.
 */
export function growing<T>(http: Http, path: () => Promise<readonly string[]>, query: Query): Growing<T> {
  const list = ({ limit, cursor, signal }: GrowingOptions = {}): Listing<T> =>
    new Listing(cursor, async (at) =>
      http.get<Page<T>>(await path(), { ...query, limit, cursor: at }, { signal }),
    );
  return {
    list,
    read: async (options) => {
      const items: T[] = [];
      for await (const item of list(options)) items.push(item);
      return items;
    },
    follow: async function* ({ cursor, signal }: Omit<GrowingOptions, "limit"> = {}) {
      yield* follow<T>(http, { path: await path(), query: { ...query, cursor }, signal });
    },
  };
}
