//! A child process that lives as long as the agent and holds a running total in its own memory.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

const SOURCE = `
let total = 0;
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, add } = JSON.parse(line);
  total += add;
  process.stdout.write(JSON.stringify({ id, total, pid: process.pid }) + "\\n");
});
`;

interface Answer {
  readonly id: number;
  readonly total: number;
  readonly pid: number;
}

/** Talks with the child over pipes. */
export class Ledger {
  /** The child's process id. */
  readonly pid: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  #asked = 0;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>, pid: number) {
    this.pid = pid;
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const answer = JSON.parse(line) as Answer;
      this.#waiting.get(answer.id)?.resolve(answer);
      this.#waiting.delete(answer.id);
    });
    child.once("exit", () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error("the ledger process ended before it answered"));
    });
  }

  /** Starts the child. It is killed when the signal aborts. */
  static async open(signal: AbortSignal): Promise<Ledger> {
    const child = spawn(process.execPath, ["-e", SOURCE], { stdio: ["pipe", "pipe", "inherit"] });
    await once(child, "spawn", { signal });
    signal.addEventListener("abort", () => child.kill(), { once: true });
    return new Ledger(child, child.pid ?? -1);
  }

  /** Adds to the total and gives the new one. */
  async add(amount: number): Promise<number> {
    return (await this.#ask(amount)).total;
  }

  /** The total. */
  count(): Promise<number> {
    return this.add(0);
  }

  /** The process id that the child itself reports. */
  async answeringPid(): Promise<number> {
    return (await this.#ask(0)).pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.stdin.end();
    await exited;
  }

  #ask(add: number): Promise<Answer> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      return Promise.reject(new Error("the ledger process has ended"));
    }
    const id = ++this.#asked;
    const answer = Promise.withResolvers<Answer>();
    this.#waiting.set(id, answer);
    this.#child.stdin.write(`${JSON.stringify({ id, add })}\n`);
    return answer.promise;
  }
}
