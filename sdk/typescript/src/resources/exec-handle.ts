//! A handle on one exec.
import { ConnectionError } from "../errors.ts";
import { follow } from "../internal/follow.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { ExecOutput } from "./exec-output.ts";
import { ExecStdin } from "./exec-stdin.ts";
import {
  type Exec,
  type ExecResult,
  type FinishedExec,
  isEnded,
  type WaitForExecOptions,
} from "./exec-types.ts";

/** Behind all that can be printed: who follows from there hears of the end alone. */
const BEHIND_ALL = String(Number.MAX_SAFE_INTEGER);

interface Answer {
  readonly exec: Exec;
}

/** One exec. It stays what it is when this program ends: open it again by its id. */
export class ExecHandle {
  readonly #http: Http;
  readonly id: string;
  /** What its process prints to standard output. */
  readonly stdout: ExecOutput;
  /** What its process prints to standard error. */
  readonly stderr: ExecOutput;
  /** What its process is given to read, if it was made with `stdin: true`. */
  readonly stdin: ExecStdin;

  /** @param fresh it was made just now: its input is written from the beginning on. */
  constructor(http: Http, id: string, fresh = false) {
    this.#http = http;
    this.id = id;
    this.stdout = new ExecOutput(http, ["execs", id, "stdout"]);
    this.stderr = new ExecOutput(http, ["execs", id, "stderr"]);
    this.stdin = new ExecStdin(http, id, async () => (fresh ? 0 : (await this.get()).stdin.end));
  }

  /**
   * Looks the exec up.
   *
   * @example if ((await exec.get()).state === "running") await exec.signal("SIGINT");
   */
  async get(options: RequestOptions = {}): Promise<Exec> {
    return (await this.#http.get<Answer>(["execs", this.id], {}, options)).exec;
  }

  /**
   * Waits until the exec has ended, however it did. It follows the exec; nothing polls.
   *
   * @throws HelmrError `timeout` when `timeoutMs` passed first.
   * @example const { state, exitCode } = await exec.wait({ timeoutMs: 60_000 });
   */
  wait(options: WaitForExecOptions = {}): Promise<FinishedExec> {
    return this.#within(options, async (signal) => {
      const followed = { path: ["execs", this.id, "stdout"], query: { cursor: BEHIND_ALL }, signal };
      for await (const _ of follow(this.#http, followed));
      return this.#ended(signal);
    });
  }

  /**
   * Waits until the exec has ended and gives what it printed, read as UTF-8. A command that failed is no error here.
   *
   * @throws RangeError when it printed more than 16 MiB to one of its streams: follow them instead.
   * @throws HelmrError `timeout` when `timeoutMs` passed first.
   * @example
   * const { exitCode, stdout } = await (await workspace.exec(["node", "--test"])).output();
   * if (exitCode !== 0) console.error(stdout);
   */
  output(options: WaitForExecOptions = {}): Promise<ExecResult> {
    return this.#within(options, async (given) => {
      // When one of the streams cannot be collected, nobody waits for the other.
      const failing = new AbortController();
      const signal = AbortSignal.any([given, failing.signal]);
      try {
        const collected = [this.stdout.text({ signal }), this.stderr.text({ signal })] as const;
        const [stdout, stderr] = await Promise.all(collected);
        const exec = await this.#ended(signal);
        return { exitCode: exec.exitCode, stdout, stderr, exec };
      } finally {
        failing.abort();
      }
    });
  }

  /**
   * Sends a signal to the exec's process and everything it started: a name such as `"SIGTERM"` or `"TERM"`, or a number.
   * An exec that waits for a machine ends by it; one that has ended takes none. It is sent once: when the server is not
   * reached, that is an error, and not tried again.
   *
   * @example await exec.signal("SIGINT");
   */
  async signal(signal: string | number, options: RequestOptions = {}): Promise<Exec> {
    const path = ["execs", this.id, "signal"];
    return (await this.#http.postOnce<Answer>(path, { signal: String(signal) }, options)).exec;
  }

  async #ended(signal: AbortSignal): Promise<FinishedExec> {
    const exec = await this.get({ signal });
    if (isEnded(exec)) return exec;
    const message = `exec ${this.id} ended without a final state`;
    throw new ConnectionError({ status: 0, code: "invalid_response", message });
  }

  async #within<T>(options: WaitForExecOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal: given, timeoutMs } = options;
    const signals = [given, timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)];
    const signal = AbortSignal.any(signals.filter((one) => one !== undefined));
    try {
      return await work(signal);
    } catch (error) {
      given?.throwIfAborted();
      if (!signal.aborted) throw error;
      const message = `exec ${this.id} did not end within ${timeoutMs} ms`;
      throw new ConnectionError({ status: 0, code: "timeout", message });
    }
  }
}
