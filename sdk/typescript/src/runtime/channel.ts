//! The channel to the worker: JSON documents, one a line, over an inherited socket pair.
//!
//! Reading goes through the event loop. Writing goes straight to the descriptor, so that a process that exits
//! this very moment can still say why; only what the socket does not take at once waits its turn.
import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { type JsonObject, repairSurrogates } from "../internal/json.ts";

const LINE_LIMIT = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

/** What a channel tells. */
export interface ChannelEvents {
  /** A document came. */
  readonly message: (document: JsonObject) => void;
  /** Nothing more will come: the other end closed, or wrote something that is no document. */
  readonly closed: (fault: Error | undefined) => void;
}

/** The task runtime's end of the channel. */
export class Channel {
  readonly #fd: number;
  readonly #socket: Socket;
  readonly #events: ChannelEvents;
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #unwritten: Buffer[] = [];
  #retry: NodeJS.Timeout | undefined;
  #retryMs = 1;
  #drained: (() => void)[] = [];
  #closed = false;

  /** @param fd a connected stream socket; Node marks it close-on-exec, so processes the task starts lack it. */
  constructor(fd: number, events: ChannelEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#socket = new Socket({ fd, readable: true, writable: false });
    this.#socket.on("data", (bytes: Buffer) => this.#read(bytes));
    this.#socket.on("error", (error) => this.#close(error));
    this.#socket.on("close", () => this.#close(undefined));
  }

  /** Whether the channel has ended. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Calls back when the channel has ended; at once when it has. */
  onceClosed(done: () => void): void {
    if (this.#closed) done();
    else this.#socket.once("close", done);
  }

  /** Keeps the process alive while something is expected to come. */
  ref(): void {
    this.#socket.ref();
  }

  /** Lets the process end when nothing but the channel is left. */
  unref(): void {
    this.#socket.unref();
  }

  /** Sends one document, given as JSON text. Nothing happens once the channel has ended. */
  send(text: string): void {
    if (this.#closed) return;
    // The worker's reader refuses a lone surrogate, wherever the task put it.
    this.#unwritten.push(Buffer.from(`${repairSurrogates(text)}\n`));
    if (this.#retry === undefined) this.#write();
  }

  /** Resolves when everything sent was taken by the other end, or the channel ended. */
  drained(): Promise<void> {
    if (this.#unwritten.length === 0 || this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  /** Writes what is left without returning to the event loop, for at most `limitMs`. */
  drainSync(limitMs: number): void {
    const deadline = performance.now() + limitMs;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    clearTimeout(this.#retry);
    for (;;) {
      this.#write();
      if (this.#unwritten.length === 0 || performance.now() >= deadline) return;
      Atomics.wait(pause, 0, 0, 1);
    }
  }

  #read(bytes: Buffer): void {
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, start);
      if (end === -1) break;
      this.#line(Buffer.concat([...this.#partial, bytes.subarray(start, end)]));
      this.#partial = [];
      this.#partialBytes = 0;
      start = end + 1;
      if (this.#closed) return;
    }
    if (start === bytes.length) return;
    this.#partial.push(bytes.subarray(start));
    this.#partialBytes += bytes.length - start;
    if (this.#partialBytes > LINE_LIMIT)
      this.#close(new Error(`a line of the channel exceeds ${LINE_LIMIT} bytes`));
  }

  #line(line: Buffer): void {
    if (line.length === 0) return;
    let document: JsonObject;
    try {
      document = JSON.parse(line.toString("utf8")) as JsonObject;
    } catch {
      this.#close(new Error("a line of the channel is not JSON"));
      return;
    }
    this.#events.message(document);
  }

  #write(): void {
    this.#retry = undefined;
    while (this.#unwritten.length > 0 && !this.#closed) {
      const next = this.#unwritten[0];
      if (next === undefined) break;
      try {
        const written = writeSync(this.#fd, next);
        this.#retryMs = 1;
        if (written === next.length) this.#unwritten.shift();
        else this.#unwritten[0] = next.subarray(written);
      } catch (error) {
        if (!isFull(error)) {
          this.#close(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        // Node tells nobody when a descriptor written by hand can take more, so ask again a little later.
        this.#retry = setTimeout(() => this.#write(), this.#retryMs);
        this.#retryMs = Math.min(this.#retryMs * 2, 50);
        return;
      }
    }
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  #close(fault: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket.destroy();
    for (const resolve of this.#drained.splice(0)) resolve();
    this.#events.closed(fault);
  }
}

function isFull(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "EAGAIN" || code === "EWOULDBLOCK" || code === "EINTR";
}
