//! Stands in for the worker: starts the task runtime the way the guest does and speaks its protocol.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { join } from "node:path";

/** A document on the channel. */
export type Line = Record<string, unknown> & { type: string };

/** A call of the task. */
export type Call = Line & { id: number; op: string; args: Record<string, unknown> };

/** What a test may say about the run. */
export interface RunSetup {
  readonly bundle: string;
  readonly module: string;
  readonly export: string;
  readonly payload?: unknown;
  readonly workspace?: string;
  readonly env?: Record<string, string>;
}

const DEADLINE_MS = 20_000;

/** One task process and the channel to it. */
export class TaskHost implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly channel: Socket;
  /** Everything the runtime said. */
  readonly lines: Line[] = [];
  stdout = "";
  stderr = "";
  #gone = false;
  readonly #watchers = new Set<() => void>();
  readonly #exited: Promise<{ code: number | null; signal: string | null }>;
  readonly #handled = new Set<Line>();

  constructor(bundle: string, env: Record<string, string> = {}, cwd?: string) {
    this.child = spawn(process.execPath, [join(bundle, "runtime.mjs")], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { PATH: process.env.PATH ?? "", ...env },
      ...(cwd !== undefined && { cwd }),
    });
    this.channel = this.child.stdio[3] as Socket;
    let rest = "";
    this.channel.setEncoding("utf8").on("data", (text: string) => {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) this.lines.push(JSON.parse(part) as Line);
      this.#notify();
    });
    this.channel.on("error", () => undefined);
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#notify();
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.#exited = once(this.child, "close").then(([code, signal]) => ({ code, signal }));
    this.child.once("close", () => {
      this.#gone = true;
      this.#notify();
    });
  }

  /** Starts a run with its first message sent. */
  static start(setup: RunSetup): TaskHost {
    const host = new TaskHost(setup.bundle, setup.env, setup.workspace);
    host.send(initLine(setup));
    return host;
  }

  /** Sends a document. */
  send(document: Record<string, unknown>): void {
    this.channel.write(`${JSON.stringify(document)}\n`);
  }

  /** Sends bytes as they are. */
  write(bytes: string | Uint8Array): void {
    this.channel.write(bytes);
  }

  /** Answers a call with data. */
  answer(call: Call, data: unknown): void {
    this.send({ type: "answer", id: call.id, ok: true, data });
  }

  /** Answers a call with an error. */
  refuse(call: Call, code: string, message: string, details?: unknown): void {
    this.send({ type: "answer", id: call.id, ok: false, error: { code, message, details } });
  }

  /** The next call of an operation that the test has not seen yet. */
  async call(op: string): Promise<Call> {
    const found = await this.line(
      (line) => line.type === "call" && line.op === op && !this.#handled.has(line),
    );
    this.#handled.add(found);
    return found as Call;
  }

  /** The calls of an operation so far. */
  calls(op: string): Call[] {
    return this.lines.filter((line): line is Call => line.type === "call" && line.op === op);
  }

  /** The first line that fits, now or later. */
  async line(fits: (line: Line) => boolean): Promise<Line> {
    const found = await this.until(() => this.lines.find(fits));
    return found;
  }

  /** Awaits something that a line, output or the exit brings about; fails with what was seen instead. */
  async until<T>(look: () => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const seen = () => `${JSON.stringify(this.lines, undefined, 1)}\nstderr: ${this.stderr}`;
    const watch = () => {
      const found = look();
      if (found !== undefined) resolve(found);
      else if (this.#gone) reject(new Error(`it ended: ${seen()}`));
    };
    const deadline = setTimeout(() => reject(new Error(`nothing came: ${seen()}`)), DEADLINE_MS);
    this.#watchers.add(watch);
    watch();
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
      this.#watchers.delete(watch);
    }
  }

  /** The line that says how the run ended. */
  ending(): Promise<Line> {
    return this.line((line) => line.type === "finished" || line.type === "failed");
  }

  /** The exit of the process. */
  exit(): Promise<{ code: number | null; signal: string | null }> {
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.destroy();
    if (this.child.exitCode === null) this.child.kill("SIGKILL");
    await this.#exited;
  }

  #notify(): void {
    for (const watch of this.#watchers) watch();
  }
}

/** The first message of a run. */
export function initLine(setup: RunSetup): Record<string, unknown> {
  return {
    type: "init",
    protocol: 1,
    bundle: setup.bundle,
    entry: { module: setup.module, export: setup.export },
    ...(setup.payload !== undefined && { payload: setup.payload }),
    has_payload: setup.payload !== undefined,
    context: {
      run: { id: "run_1", attempt_number: 1, reason: "start" },
      task: { id: "a-task" },
      session: { id: "ses_1", external_id: "ticket-7" },
      workspace: { id: "ws_1", path: setup.workspace ?? "/workspace" },
      deployment: { id: "dep_1", version: "20260615.1" },
      attempt: { number: 1 },
    },
    metadata: {},
    api_url: "http://127.0.0.1:4356",
  };
}

/** A record as the server gives it. */
export function record(sequence: number, data: unknown, correlationId?: string): Record<string, unknown> {
  return {
    id: `rec_${sequence}`,
    sequence,
    data,
    ...(correlationId !== undefined && { correlation_id: correlationId }),
    content_type: "application/json",
    created_at: "2026-06-15T10:00:00.000Z",
  };
}
