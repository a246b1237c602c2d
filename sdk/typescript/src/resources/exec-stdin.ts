//! What an exec is given to read. Every write says where it begins, so that one which is sent again is given once.
import { HelmrError } from "../errors.ts";
import { toBase64 } from "../internal/base64.ts";
import { type Http, pausing } from "../internal/http.ts";

/** How to write. */
export interface WriteStdinOptions {
  /** Gives up waiting until the process takes what was written. */
  readonly signal?: AbortSignal | undefined;
}

/** Of one request. */
const PIECE_BYTES = 256 * 1024;
/** The server has waited for room by then; this only keeps a loop from being a tight one. */
const PAUSE_MS = 100;

/** Standard input of an exec. */
export class ExecStdin {
  readonly #http: Http;
  readonly #id: string;
  readonly #end: () => Promise<number>;
  /** Where the next write begins, once it is known. */
  #offset: number | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** @param end gives where the input ends so far; asked when it is first needed. */
  constructor(http: Http, id: string, end: () => Promise<number>) {
    this.#http = http;
    this.#id = id;
    this.#end = end;
  }

  /**
   * Writes, and waits until there is room: 4 MiB may wait for the process to take them. Writes keep their order, awaited
   * or not. One that failed may be made again with the same data: what was written of it is not given twice. Writes that
   * stood behind it fail with it.
   *
   * @throws HelmrError `exec_input_closed` when the process takes no more, `exec_input_out_of_step` when somebody else
   * writes, too.
   * @example await exec.stdin.write("yes\n");
   */
  async write(data: string | Uint8Array, options: WriteStdinOptions = {}): Promise<void> {
    // The caller may fill its buffer anew while this waits for its turn.
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : Uint8Array.from(data);
    await this.#inTurn(async () => {
      let at = await this.#begin();
      for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
        const piece = bytes.subarray(from, from + PIECE_BYTES);
        await this.#send(at, piece, false, options);
        at += piece.length;
      }
      // Only now: what is written again after a failure begins where it began.
      this.#offset = at;
    });
  }

  /**
   * Says that nothing comes behind what was written. Repeating it is fine.
   *
   * @example await exec.stdin.end();
   */
  async end(options: WriteStdinOptions = {}): Promise<void> {
    await this.#inTurn(async () => {
      try {
        await this.#send(await this.#begin(), new Uint8Array(), true, options);
      } catch (error) {
        // A process that reads no more, or is gone, wants no end.
        if (!refused(error, "exec_input_closed")) throw error;
      }
    });
  }

  async #begin(): Promise<number> {
    this.#offset ??= await this.#end();
    return this.#offset;
  }

  async #send(offset: number, bytes: Uint8Array, close: boolean, options: WriteStdinOptions): Promise<void> {
    const signal = options.signal ?? new AbortController().signal;
    const body = { offset, data: toBase64(bytes), encoding: "base64", close };
    for (;;) {
      try {
        await this.#http.post(["execs", this.#id, "stdin"], body, { signal });
        return;
      } catch (error) {
        if (!refused(error, "exec_input_full")) throw error;
      }
      await pausing(PAUSE_MS, signal);
    }
  }

  /** What stood behind a failure must not be written in its place; what comes after everyone was told may. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn;
    turn.catch(() => {
      if (this.#last === turn) this.#last = Promise.resolve();
    });
    return turn;
  }
}

function refused(error: unknown, code: string): boolean {
  return error instanceof HelmrError && error.code === code;
}
