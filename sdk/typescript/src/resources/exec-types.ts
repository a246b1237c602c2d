//! Execs as the API tells of them, and what making one takes.
import type { Duration } from "../internal/duration.ts";
import type { CreateOptions } from "../internal/http.ts";

/** What is kept of an output stream of an exec: the newest 64 MiB. */
export interface ExecWindow {
  /** Offset of the first byte that is kept. */
  readonly start: number;
  /** Bytes printed so far. */
  readonly end: number;
}

interface ExecBase {
  readonly id: string;
  readonly workspaceId: string;
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** Null: where the workspace is mounted. */
  readonly cwd: string | null;
  /** Null: that of the image. */
  readonly user: string | null;
  /** Names of the variables it was given. Their values are never told. */
  readonly env: readonly string[];
  readonly detached: boolean;
  /** Such as `"10m"`. */
  readonly timeout: string | null;
  /** It was told to end because its timeout had passed. */
  readonly timedOut: boolean;
  /** Why it could not be started. */
  readonly error: string | null;
  readonly stdout: ExecWindow;
  readonly stderr: ExecWindow;
  readonly stdin: {
    /** Bytes written so far: where the next write begins. */
    readonly end: number;
    /** Of them, how many the process has taken. */
    readonly taken: number;
    /** Nothing more can be written. */
    readonly closed: boolean;
  };
  readonly createdAt: string;
  readonly startedAt: string | null;
}

/** An exec that waits for a machine, is being started, or runs. */
export interface UnfinishedExec extends ExecBase {
  readonly state: "queued" | "starting" | "running";
  readonly exitCode: null;
  readonly signal: null;
  readonly endedAt: null;
}

/** An exec whose process has ended by itself. */
export interface ExitedExec extends ExecBase {
  readonly state: "exited";
  readonly exitCode: number;
  readonly signal: null;
  readonly endedAt: string;
}

/** An exec whose process a signal has ended. */
export interface KilledExec extends ExecBase {
  readonly state: "killed";
  readonly exitCode: null;
  /** Its number. */
  readonly signal: number;
  readonly endedAt: string;
}

/** An exec whose machine is gone, and with it what became of it (`lost`), or that could not be started (`failed`). */
export interface BrokenExec extends ExecBase {
  readonly state: "lost" | "failed";
  readonly exitCode: null;
  readonly signal: null;
  readonly endedAt: string;
}

/** An exec that has ended. */
export type FinishedExec = ExitedExec | KilledExec | BrokenExec;

/** A command that runs in a workspace's machine. Its `state` says what else it has. */
export type Exec = UnfinishedExec | FinishedExec;

/** Whether an exec has ended. */
export function isEnded(exec: Exec): exec is FinishedExec {
  return exec.state !== "queued" && exec.state !== "starting" && exec.state !== "running";
}

/** How a command is run. */
export interface ExecOptions extends CreateOptions {
  /** Relative to where the workspace is mounted, or absolute; there when absent. */
  readonly cwd?: string | undefined;
  /** Beside what the machine gives. Only the names are told afterwards. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** A name in the image's passwd, or `uid:gid`; that of the image when absent. */
  readonly user?: string | undefined;
  /** After it the process gets SIGTERM, and 10 s later SIGKILL: at most 30 days, without end when absent. */
  readonly timeout?: Duration | undefined;
  /** Nobody is expected to attend to it. */
  readonly detached?: boolean | undefined;
  /** Whether input will be written. Otherwise its input is empty. */
  readonly stdin?: boolean | undefined;
}

/** A piece of what an exec printed. */
export interface ExecChunk {
  /** Of the first byte. */
  readonly offset: number;
  /** The offset behind the last byte. Give it as `cursor` for what follows. */
  readonly cursor: string;
  readonly bytes: Uint8Array;
}

/** How to wait for an exec's end. */
export interface WaitForExecOptions {
  readonly signal?: AbortSignal | undefined;
  /** Gives up after it with code `timeout`; the exec goes on. Without end when absent. */
  readonly timeoutMs?: number | undefined;
}

/** How an exec ended, and everything it printed. */
export interface ExecResult {
  /** Null unless it ended by itself: `exec` says how it did. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly exec: FinishedExec;
}
