//! A handle on one PTY.
import { ConnectionError } from "../errors.ts";
import { toBase64 } from "../internal/base64.ts";
import { follow } from "../internal/follow.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { ExecOutput } from "./exec-output.ts";
import { PtyAttachment } from "./pty-attachment.ts";
import type { AttachPtyOptions, FinishedPty, Pty, PtySize, WritePtyOptions } from "./pty-types.ts";

/** Behind all that can be printed: who follows from there hears of the end alone. */
const BEHIND_ALL = String(Number.MAX_SAFE_INTEGER);

interface Answer {
  readonly pty: Pty;
}

/** One PTY. It stays what it is when this program ends: open it again by its id. */
export class PtyHandle {
  readonly #http: Http;
  readonly id: string;
  /** Everything that is printed in it, by byte offset. */
  readonly output: ExecOutput;

  constructor(http: Http, id: string) {
    this.#http = http;
    this.id = id;
    this.output = new ExecOutput(http, ["ptys", id, "output"]);
  }

  /**
   * Looks the PTY up.
   *
   * @example const { state, cols, rows } = await pty.get();
   */
  async get(options: RequestOptions = {}): Promise<Pty> {
    return (await this.#http.get<Answer>(["ptys", this.id], {}, options)).pty;
  }

  /**
   * Types. It wakes a machine that is parked. Waits up to 20 s for room: 4 MiB may wait for the terminal to take them.
   *
   * @throws HelmrError `pty_ended`, `pty_input_full`; with `offset` `pty_input_out_of_step` when somebody else typed, too.
   * @example await pty.write("git status\n");
   */
  async write(data: string | Uint8Array, options: WritePtyOptions = {}): Promise<Pty> {
    const { offset, ...request } = options;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const body = { data: toBase64(bytes), encoding: "base64" };
    const path = ["ptys", this.id, "input"];
    const answer =
      offset === undefined
        ? await this.#http.postOnce<Answer>(path, body, request)
        : await this.#http.post<Answer>(path, { ...body, offset }, request);
    return answer.pty;
  }

  /**
   * Sets the size, for everybody who looks at it. The size that it has makes its programs draw anew.
   *
   * @throws HelmrError `pty_ended`, `limit_exceeded`.
   * @example await pty.resize({ cols: 120, rows: 40 });
   */
  async resize(size: PtySize, options: RequestOptions = {}): Promise<Pty> {
    const body = { cols: size.cols, rows: size.rows };
    return (await this.#http.post<Answer>(["ptys", this.id, "resize"], body, options)).pty;
  }

  /**
   * Hangs the PTY up: everything in it gets SIGHUP, and 10 s later what is left SIGKILL. Repeating it is fine.
   *
   * @example await pty.close();
   */
  async close(options: RequestOptions = {}): Promise<Pty> {
    return (await this.#http.post<Answer>(["ptys", this.id, "close"], {}, options)).pty;
  }

  /**
   * Waits until the PTY has ended, however it did. It follows the PTY; nothing polls.
   *
   * @example const { exitCode } = await pty.wait();
   */
  async wait(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<FinishedPty> {
    const signal = options.signal ?? new AbortController().signal;
    const followed = { path: ["ptys", this.id, "output"], query: { cursor: BEHIND_ALL }, signal };
    for await (const _ of follow(this.#http, followed));
    const pty = await this.get({ signal });
    if (isEnded(pty)) return pty;
    const message = `PTY ${this.id} ended without a final state`;
    throw new ConnectionError({ status: 0, code: "invalid_response", message });
  }

  /**
   * Attaches over a WebSocket: what is printed comes, what is typed goes, on one connection. Any number may be attached at
   * once. A connection that is lost ends the attachment: attach again from its `cursor`. For Node: a browser's WebSocket
   * carries no key.
   *
   * @throws ConnectionError when it is refused or not reached.
   * @example
   * const terminal = await pty.attach();
   * await terminal.write("vim notes.md\r");
   * for await (const bytes of terminal) process.stdout.write(bytes);
   */
  attach(options: AttachPtyOptions = {}): Promise<PtyAttachment> {
    const { cursor, signal } = options;
    return PtyAttachment.open(this.#http.socket(["ptys", this.id, "attach"], { cursor }), this.id, signal);
  }
}

function isEnded(pty: Pty): pty is FinishedPty {
  return pty.state !== "queued" && pty.state !== "starting" && pty.state !== "running";
}
