//! Loads bundled modules in child processes, each under a deadline.
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { JsonObject } from "../internal/json.ts";
import { type Fault, ProjectError } from "./fault.ts";

/** What a child is asked to load. */
export interface LoadRequest {
  readonly mode: "config" | "module";
  /** The bundled file. */
  readonly file: string;
  readonly project: string;
  /** The source it came from, relative to the project. */
  readonly source: string;
  readonly timeoutMs: number;
}

const CHILD = join(import.meta.dirname, "index-child.js");
const ANSWER_LIMIT = 64 * 1024 * 1024;

/**
 * Loads a module and gives the child's answer. What the module prints goes to stderr.
 *
 * @throws ProjectError when importing fails, exits or does not end within the deadline.
 */
export function load(request: LoadRequest): Promise<JsonObject> {
  const { promise, resolve, reject } = Promise.withResolvers<JsonObject>();
  const refuse = (code: string, message: string) =>
    reject(new ProjectError([{ file: request.source, code, message }]));
  const child = spawn(
    process.execPath,
    ["--enable-source-maps", CHILD, request.mode, request.file, request.source],
    // A group of its own, so that what the module starts ends with it.
    { cwd: request.project, stdio: ["ignore", "pipe", "pipe", "pipe"], detached: true },
  );
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // The group is gone already.
    }
  };
  const deadline = setTimeout(() => {
    refuse("import_timeout", `importing the module did not end within ${request.timeoutMs} ms`);
    kill();
  }, request.timeoutMs);

  child.stdout?.pipe(process.stderr, { end: false });
  child.stderr?.pipe(process.stderr, { end: false });
  const chunks: Buffer[] = [];
  let size = 0;
  child.stdio[3]?.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= ANSWER_LIMIT) chunks.push(chunk);
  });
  child.on("error", (error) => refuse("import_failed", `node could not be started: ${error.message}`));
  // Not "close": a process that the module left behind may hold the pipes open.
  child.on("exit", (code, signal) => {
    const settle = () => {
      clearTimeout(deadline);
      kill();
      const answer = parse(chunks);
      if (answer === undefined) {
        refuse("import_failed", `importing the module ended the process (${signal ?? `exit code ${code}`})`);
      } else if (answer.fault !== undefined) {
        reject(new ProjectError([answer.fault as unknown as Fault]));
      } else {
        resolve(answer);
      }
    };
    const pipe = child.stdio[3];
    if (
      pipe === null ||
      pipe === undefined ||
      pipe.destroyed ||
      ("readableEnded" in pipe && pipe.readableEnded)
    )
      settle();
    else {
      pipe.once("close", settle);
      kill();
    }
  });
  return promise;
}

function parse(chunks: readonly Buffer[]): JsonObject | undefined {
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8")) as JsonObject;
  } catch {
    return undefined;
  }
}
