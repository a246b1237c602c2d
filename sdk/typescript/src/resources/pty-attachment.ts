//! One viewer's connection to a PTY.
import { ConnectionError, type HelmrError } from "../errors.ts";
import { errorOfBody } from "../internal/http.ts";
import type { JsonObject, JsonValue } from "../internal/json.ts";
import { fromWire } from "../internal/wire.ts";
import type { FinishedPty, Pty, PtySize } from "./pty-types.ts";

/** A text message of the server's. */
type Told = { readonly type: string } & JsonObject;

interface Accepting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Iterate it for what is printed, from the `cursor` on with which it was made, until the PTY has ended. */
export class PtyAttachment implements AsyncIterable<Uint8Array> {
  readonly #socket: WebSocket;
  readonly #id: string;
  readonly #arrived: Uint8Array[] = [];
  readonly #accepting: Accepting[] = [];
  #size: PtySize;
  #cursor: number;
  #ended: FinishedPty | undefined;
  #broken: HelmrError | undefined;
  #over = false;
  #wake: () => void = () => {};

  private constructor(socket: WebSocket, id: string, pty: Pty, cursor: string) {
    this.#socket = socket;
    this.#id = id;
    this.#size = { cols: pty.cols, rows: pty.rows };
    this.#cursor = Number(cursor);
  }

  /** Waits until the server has let it in. */
  static open(socket: WebSocket, id: string, signal?: AbortSignal): Promise<PtyAttachment> {
    socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      const lost = () => {
        reject(signal?.aborted === true ? signal.reason : failed(id, "the server did not let it in"));
      };
      socket.addEventListener("close", lost);
      socket.addEventListener("error", lost);
      signal?.addEventListener("abort", () => socket.close(), { once: true });
      socket.addEventListener(
        "message",
        ({ data }: MessageEvent) => {
          const told = fromWire<{ pty: Pty; cursor: string }>(JSON.parse(String(data)) as JsonValue);
          socket.removeEventListener("close", lost);
          socket.removeEventListener("error", lost);
          const attachment = new PtyAttachment(socket, id, told.pty, told.cursor);
          attachment.#listen();
          resolve(attachment);
        },
        { once: true },
      );
    });
  }

  /** Behind the last byte that was iterated: where to attach again. */
  get cursor(): string {
    return String(this.#cursor);
  }

  /** The size that the PTY has now, whoever set it. */
  get size(): PtySize {
    return this.#size;
  }

  /** The PTY once it has ended. */
  get ended(): FinishedPty | undefined {
    return this.#ended;
  }

  /** Types, and waits until it is taken. */
  write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : Uint8Array.from(data);
    if (this.#over) return Promise.reject(this.#broken ?? failed(this.#id, "it is over"));
    return new Promise((resolve, reject) => {
      this.#accepting.push({ resolve, reject });
      this.#socket.send(bytes);
    });
  }

  /** Sets the size. The size that it has makes programs draw anew. */
  resize({ cols, rows }: PtySize): void {
    this.#socket.send(JSON.stringify({ type: "resize", cols, rows }));
  }

  /** Leaves; the PTY goes on. */
  leave(): void {
    this.#finish();
    this.#socket.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const bytes = this.#arrived.shift();
      if (bytes !== undefined) {
        this.#cursor += bytes.length;
        yield bytes;
      } else if (this.#broken !== undefined) {
        throw this.#broken;
      } else if (this.#over) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #listen(): void {
    this.#socket.addEventListener("message", ({ data }: MessageEvent) => {
      if (typeof data === "string") this.#told(JSON.parse(data) as Told);
      else this.#arrived.push(new Uint8Array(data as ArrayBuffer));
      this.#wake();
    });
    this.#socket.addEventListener("close", () => {
      if (!this.#over) this.#finish(failed(this.#id, "the connection was lost"));
    });
  }

  #told(told: Told): void {
    switch (told.type) {
      case "accepted":
        this.#accepting.shift()?.resolve();
        break;
      case "resized":
        this.#size = { cols: Number(told.cols), rows: Number(told.rows) };
        break;
      case "skipped":
        // What lies between is not kept any more.
        this.#cursor = Number(told.cursor) - this.#arrived.reduce((sum, bytes) => sum + bytes.length, 0);
        break;
      case "ended":
        this.#ended = fromWire<{ pty: FinishedPty }>(told).pty;
        this.#finish();
        break;
      case "refused":
        this.#finish(errorOfBody({ error: told.error ?? null }, 400) ?? failed(this.#id, "it was refused"));
        break;
      default:
        break;
    }
  }

  #finish(error?: HelmrError): void {
    this.#over = true;
    this.#broken = error;
    for (const { reject } of this.#accepting.splice(0)) {
      reject(error ?? failed(this.#id, "it ended before that was taken"));
    }
    this.#wake();
  }
}

function failed(id: string, why: string): ConnectionError {
  const message = `attached to ${id}: ${why}`;
  return new ConnectionError({ status: 0, code: "connection_failed", message });
}
