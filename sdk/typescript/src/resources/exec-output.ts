//! What an exec or a PTY prints: read as it is, or followed as it comes, by byte offset.
import { fromBase64 } from "../internal/base64.ts";
import { follow } from "../internal/follow.ts";
import type { Http } from "../internal/http.ts";
import { Listing, type Page } from "../pagination.ts";
import type { ExecChunk } from "./exec-types.ts";
import type { Growing, GrowingOptions } from "./growing.ts";

/** As much of a stream as is collected. */
const COLLECTED_BYTES = 16 * 1024 * 1024;

/** On the wire. */
interface Item {
  readonly offset: number;
  readonly cursor: string;
  readonly data: string;
  readonly encoding: "utf8" | "base64";
}

/** Standard output or standard error of an exec, or the output of a PTY. A cursor is the offset of a byte; the newest 64 MiB are kept. */
export class ExecOutput implements Growing<ExecChunk> {
  readonly #http: Http;
  readonly #path: readonly [nouns: string, id: string, name: string];

  constructor(http: Http, path: readonly [nouns: string, id: string, name: string]) {
    this.#http = http;
    this.#path = path;
  }

  /**
   * A page of what was printed so far; iterate it for everything.
   *
   * @throws HelmrError `cursor_expired` when what is at the cursor is not kept any more.
   * @example const { items, nextCursor } = await exec.stdout.list({ cursor: "65536" });
   */
  list(options: GrowingOptions = {}): Listing<ExecChunk> {
    const { limit, cursor, signal } = options;
    return new Listing(cursor, async (at) => {
      const page = await this.#http.get<Page<Item>>(this.#path, { limit, cursor: at }, { signal });
      return { ...page, items: page.items.map(chunk) };
    });
  }

  /**
   * Everything printed so far, from the cursor on.
   *
   * @throws HelmrError `cursor_expired` when what is at the cursor is not kept any more.
   * @example for (const { offset, bytes } of await exec.stdout.read()) console.log(offset, bytes.length);
   */
  async read(options: GrowingOptions = {}): Promise<ExecChunk[]> {
    const chunks: ExecChunk[] = [];
    for await (const next of this.list(options)) chunks.push(next);
    return chunks;
  }

  /**
   * Everything printed so far and then what comes, until the exec has ended. Lost connections leave no gap and no repeat.
   *
   * @throws HelmrError `cursor_expired` when what comes next is not kept any more.
   * @example for await (const { bytes } of exec.stdout.follow()) process.stdout.write(bytes);
   */
  async *follow(options: Omit<GrowingOptions, "limit"> = {}): AsyncGenerator<ExecChunk, void, undefined> {
    const { cursor, signal } = options;
    for await (const item of follow<Item>(this.#http, { path: this.#path, query: { cursor }, signal })) {
      yield chunk(item);
    }
  }

  /**
   * Waits until the exec has ended and gives everything it printed here, read as UTF-8.
   *
   * @throws RangeError when that is more than 16 MiB: follow it instead.
   * @throws HelmrError `cursor_expired` when its beginning is not kept any more.
   * @example const listing = await (await workspace.exec(["ls", "-l"])).stdout.text();
   */
  async text(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<string> {
    // A byte order mark is something that was printed, too.
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let text = "";
    let size = 0;
    for await (const { bytes } of this.follow(options)) {
      size += bytes.length;
      if (size > COLLECTED_BYTES) {
        throw new RangeError(
          `${this.#path[1]} printed more than ${COLLECTED_BYTES} bytes to ${this.#path[2]}: follow it instead`,
        );
      }
      text += decoder.decode(bytes, { stream: true });
    }
    return text + decoder.decode();
  }
}

function chunk({ offset, cursor, data, encoding }: Item): ExecChunk {
  const bytes = encoding === "base64" ? fromBase64(data) : new TextEncoder().encode(data);
  return { offset, cursor, bytes };
}
