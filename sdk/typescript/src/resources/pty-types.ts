//! PTYs as the API tells of them, and what making one takes.
import type { CreateOptions, RequestOptions } from "../internal/http.ts";
import type { ExecWindow } from "./exec-types.ts";

/** Of a terminal, in characters: 1 to 500 either way. */
export interface PtySize {
  readonly cols: number;
  readonly rows: number;
}

interface PtyBase extends PtySize {
  readonly id: string;
  readonly workspaceId: string;
  /** Null: the user's login shell. */
  readonly command: readonly string[] | null;
  /** Null: where the workspace is mounted. */
  readonly cwd: string | null;
  /** Null: that of the image. */
  readonly user: string | null;
  /** Names of the variables it was given. Their values are never told. */
  readonly env: readonly string[];
  /** Its shell is in the foreground, and nothing was typed or printed for a while: it does not keep its machine. */
  readonly idle: boolean;
  /** It was hung up. */
  readonly closed: boolean;
  /** Why it could not be started. */
  readonly error: string | null;
  readonly output: ExecWindow;
  readonly input: {
    /** Bytes typed so far: where the next write begins. */
    readonly end: number;
    /** Of them, how many the terminal has taken. */
    readonly taken: number;
    /** Nothing more can be typed. */
    readonly closed: boolean;
  };
  /** Behind all that was printed: whoever follows from there gets what is new. */
  readonly cursor: string;
  readonly createdAt: string;
  readonly startedAt: string | null;
}

/** A PTY that waits for a machine, is being started, or runs. */
export interface UnfinishedPty extends PtyBase {
  readonly state: "queued" | "starting" | "running";
  readonly exitCode: null;
  readonly signal: null;
  readonly endedAt: null;
}

/** A PTY that has ended: its shell exited, a signal ended it, its machine is gone, or it could not be started. */
export interface FinishedPty extends PtyBase {
  readonly state: "exited" | "killed" | "lost" | "failed";
  /** Of one that `exited`. */
  readonly exitCode: number | null;
  /** The number of the one that ended it. */
  readonly signal: number | null;
  readonly endedAt: string;
}

/** A terminal in a workspace's machine. */
export type Pty = UnfinishedPty | FinishedPty;

/** How a PTY is made. */
export interface PtyOptions extends CreateOptions, Partial<PtySize> {
  /** The program and its arguments, no shell reads them; the user's login shell when absent. */
  readonly command?: readonly string[] | undefined;
  /** Relative to where the workspace is mounted, or absolute; there when absent. */
  readonly cwd?: string | undefined;
  /** Beside what the machine gives. Only the names are told afterwards. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** A name in the image's passwd, or `uid:gid`; that of the image when absent. */
  readonly user?: string | undefined;
}

/** How to type. */
export interface WritePtyOptions extends RequestOptions {
  /**
   * Where the bytes begin in all that is typed: `input.end` of the PTY. Such a write may be made again. Without, the bytes
   * go behind whatever was typed by anybody, and are sent once.
   */
  readonly offset?: number | undefined;
}

/** How to attach. */
export interface AttachPtyOptions {
  /** Offset of the first byte wanted; the newest 64 KiB when absent. */
  readonly cursor?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}
