//! The execution of one run: numbers the calls of the task, matches the answers, keeps the rule of one blocking wait.
import { ConcurrentWaitError, OperationError, type RunStoppedError } from "../execution/errors.ts";
import type { Dropped, Execution, LogEntry, OpenWait, Outcome } from "../execution/slot.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../internal/json.ts";
import type { Channel } from "./channel.ts";

/** Characters of a call. The worker takes lines of 8 MiB, and a character takes at most three bytes. */
const LINE_LIMIT = 2 * 1024 * 1024;

interface Pending {
  readonly settle: (outcome: Outcome) => void;
  readonly stop: ((reason: unknown) => void) | undefined;
}

/** The execution that the in-task APIs find. */
export class TaskExecution implements Execution {
  phase: Execution["phase"] = "loading";
  readonly #channel: Channel;
  readonly #fail: (error: unknown) => void;
  readonly #stop = new AbortController();
  readonly #pending = new Map<number, Pending>();
  readonly #writes = new Set<Promise<unknown>>();
  /** Calls that wait for a record, until the task has it. */
  readonly #untaken = new Set<number>();
  #calls = 0;
  #active: string | undefined;
  #metadata: JsonObject;

  /** @param fail ends the run with an error that nobody in the task awaits. */
  constructor(channel: Channel, metadata: JsonObject, fail: (error: unknown) => void) {
    this.#channel = channel;
    this.#metadata = metadata;
    this.#fail = fail;
  }

  /** `ctx.signal`. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The waits for records whose answer, come or to come, the task has not taken. */
  get untaken(): readonly number[] {
    return [...this.#untaken];
  }

  metadata(): JsonObject {
    return this.#metadata;
  }

  raise(error: unknown): void {
    this.#fail(error);
  }

  log(entry: LogEntry): void {
    if (this.phase === "ended") return;
    this.#channel.send(JSON.stringify({ type: "entry", ...entry, at_ms: Date.now() }));
  }

  call(op: string, args: JsonObject): Promise<JsonValue> {
    const at = new Error();
    const answered = this.#request(op, args, false).then((outcome) => {
      if (!outcome.ok) throw refusal(outcome.error, at);
      if (op.startsWith("metadata.") && isJsonObject(outcome.data)) this.#metadata = outcome.data;
      return outcome.data;
    });
    this.#writes.add(answered);
    const done = () => this.#writes.delete(answered);
    answered.then(done, done);
    return answered;
  }

  async wait(args: JsonObject): Promise<Outcome> {
    return this.open(args, true).outcome;
  }

  open(args: JsonObject, blocking: boolean): OpenWait {
    // A stopped run registers no more waits: they could only outlive it.
    this.signal.throwIfAborted();
    const label = waitLabel(args);
    if (blocking && this.#active !== undefined) throw new ConcurrentWaitError(this.#active, label);
    const id = this.#calls + 1;
    const asked = this.#request("wait", { ...args, blocking }, true);
    if (this.#pending.has(id) && args.kind === "stream") this.#untaken.add(id);
    if (blocking) this.#active = label;
    const outcome = asked.then((answer) => {
      // Only a record can be given back.
      if (!answer.ok) this.#untaken.delete(id);
      return answer;
    });
    const over = () => {
      if (blocking) this.#active = undefined;
    };
    outcome.then(over, over);
    return {
      outcome,
      drop: () => this.#drop(id),
      release: () => this.#release(id),
      taken: () => void this.#untaken.delete(id),
    };
  }

  /** Takes an answer of the worker. One that nobody waits for any more is dropped: answers may come twice. */
  answer(document: JsonObject): void {
    const id = Number(document.id);
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#forget(id);
    pending.settle(outcomeOf(document));
  }

  /** Aborts `ctx.signal` and every wait. The first reason stays. */
  cancel(reason: RunStoppedError): void {
    if (this.signal.aborted) return;
    for (const [id, pending] of this.#pending) {
      if (pending.stop === undefined) continue;
      this.#forget(id);
      pending.stop(reason);
    }
    this.#stop.abort(reason);
  }

  /** Resolves when every write that was begun has its answer, whether or not the task awaited it. */
  async settled(): Promise<void> {
    while (this.#writes.size > 0) await Promise.allSettled(this.#writes);
  }

  #request(op: string, args: JsonObject, stoppable: boolean): Promise<Outcome> {
    if (this.phase === "ended") {
      return Promise.reject(new Error(`${op} was called after the run had ended`));
    }
    const id = this.#calls + 1;
    const text = JSON.stringify({ type: "call", id, op, args });
    if (text.length > LINE_LIMIT) {
      return Promise.reject(
        new RangeError(`${op} was called with ${text.length} characters; the limit is ${LINE_LIMIT}`),
      );
    }
    this.#calls = id;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { settle: resolve, stop: stoppable ? reject : undefined });
      this.#channel.ref();
      this.#channel.send(text);
    });
  }

  async #drop(id: number): Promise<Dropped> {
    if (!this.#pending.has(id)) {
      this.#release(id);
      return "answered";
    }
    const answer = await this.#request("wait.drop", { call_no: id }, false);
    if (!answer.ok) return "unsupported";
    if (!isJsonObject(answer.data) || answer.data.dropped !== true) return "answered";
    this.#forget(id);
    this.#untaken.delete(id);
    return "dropped";
  }

  #release(id: number): void {
    // With the run's end or stop every hold ends.
    if (this.phase === "ended" || this.signal.aborted) return;
    this.#request("wait.drop", { call_no: id }, false).catch(() => undefined);
  }

  #forget(id: number): void {
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#channel.unref();
  }
}

function outcomeOf(document: JsonObject): Outcome {
  if (document.ok === true) return { ok: true, data: document.data ?? null };
  const error = isJsonObject(document.error) ? document.error : {};
  const details = error.details;
  return {
    ok: false,
    error: {
      code: String(error.code ?? "internal"),
      message: String(error.message ?? "the server gave no reason"),
      ...(details !== undefined && { details }),
    },
  };
}

/** The error of a refused call, with the stack of the call: the answer's own would show only the channel. */
function refusal(error: Extract<Outcome, { ok: false }>["error"], at: Error): OperationError {
  const refused = new OperationError(error.code, error.message, error.details);
  const frames = (at.stack ?? "").split("\n").slice(2).join("\n");
  refused.stack = `${refused.name}: ${refused.message}\n${frames}`;
  return refused;
}

function waitLabel(args: JsonObject): string {
  switch (args.kind) {
    case "token":
      return `the wait for token ${String(args.token_id)}`;
    case "stream":
      return `the wait for input on "${String(args.stream)}"`;
    default:
      return "the wait for time";
  }
}
