//! Workspaces and their versions as the API tells of them.
import type { Duration } from "../internal/duration.ts";
import type { CreateOptions, RequestOptions } from "../internal/http.ts";
import type { JsonObject } from "../internal/json.ts";
import type { PageOptions } from "../pagination.ts";

/** Durable files, and the machine in which they are worked on. */
export interface Workspace {
  readonly id: string;
  readonly externalId: string | null;
  /** Null for that of tasks which name none. */
  readonly sandbox: string | null;
  /** From which its sandbox came when it was made. */
  readonly deploymentId: string | null;
  readonly state: "active" | "archived" | "recovery_required" | "deleted";
  /** Where its files are in the machine. */
  readonly mountPath: string;
  /** Null until files were captured: it begins with those of its sandbox's image. */
  readonly currentVersionId: string | null;
  /** Of the current version. */
  readonly sizeBytes: number;
  readonly metadata: JsonObject;
  readonly tags: readonly string[];
  /** How long its machine stays when nothing runs in it, such as `"10m"`. Null: 5 minutes. */
  readonly autoStopAfter: string | null;
  readonly lastActivityAt: string;
  readonly createdAt: string;
  /** Its machine, or the last one it had. */
  readonly materialization: Materialization | null;
  /** Why what is wanted in it has no machine yet. */
  readonly placementReason: string | null;
  /** Since when its machine is asked for by itself. Null when nobody asked, or when it is live. */
  readonly machineRequestedAt: string | null;
}

/** How a workspace with a live machine is reached, through the server. */
export interface WorkspaceConnection {
  readonly workspaceId: string;
  readonly materializationId: string;
  /** Where its files are in the machine. */
  readonly mountPath: string;
  /** How long the machine stays from now on when nothing runs in it, such as `"5m"`. */
  readonly staysFor: string;
  readonly urls: {
    readonly workspace: string;
    readonly execs: string;
    readonly ptys: string;
    readonly files: string;
  };
}

/** How long to wait for a workspace's machine. */
export interface ConnectOptions extends RequestOptions {
  /** One minute when absent, at most ten. */
  readonly timeout?: Duration | undefined;
}

/** A machine of a workspace: live, parked or over. */
export interface Materialization {
  readonly id: string;
  readonly state:
    | "requested"
    | "preparing"
    | "live"
    | "parking"
    | "parked"
    | "resuming"
    | "stopping"
    | "stopped"
    | "lost"
    | "failed";
  /** What it failed of, or what its last wake failed of. */
  readonly reason: string | null;
  /** It was told to stop: it ends as soon as its runs have, and takes no others. */
  readonly stopRequested: boolean;
  readonly workerId: string;
  readonly driver: string;
  /** Of its memory, while it is parked. */
  readonly checkpointSizeBytes: number | null;
  readonly requestedAt: string;
  /** When it was last started or woken. */
  readonly startedAt: string | null;
  /** When it was last parked. */
  readonly parkedAt: string | null;
  readonly endedAt: string | null;
}

/** The files of a workspace as they were once. */
export interface WorkspaceVersion {
  readonly id: string;
  readonly workspaceId: string;
  /** The version on which it was made. Null for the first one. */
  readonly parentId: string | null;
  readonly kind: "image" | "auto" | "manual" | "fork" | "restore";
  readonly message: string | null;
  /** Of all its files. */
  readonly sizeBytes: number;
  /** Of what is not in its parent. */
  readonly changedBytes: number;
  /** Whether it is the workspace's current one. */
  readonly current: boolean;
  readonly createdAt: string;
}

/** What a version is captured with. */
export interface CaptureVersionOptions extends CreateOptions {
  /** For people: at most 2,000 characters. */
  readonly message?: string | undefined;
}

/** How a workspace goes back to a version. */
export interface RestoreVersionOptions extends CreateOptions {
  /** For people: at most 2,000 characters. */
  readonly message?: string | undefined;
  /** Cancels the runs in it first, instead of refusing. */
  readonly force?: boolean | undefined;
}

/** A workspace and the version on which it stands now. */
export interface RestoredWorkspace {
  readonly workspace: Workspace;
  readonly version: WorkspaceVersion;
}

/** What to compare. */
export interface DiffTextOptions {
  /** A version; the workspace's current one when absent. */
  readonly from?: string | undefined;
  /** A version; the files as they are now when absent. */
  readonly to?: string | undefined;
  /** Gives the request up. */
  readonly signal?: AbortSignal | undefined;
}

/** What to compare, and which part of what differs. */
export interface DiffVersionsOptions extends DiffTextOptions, PageOptions, RequestOptions {}

/** A path that differs. */
export interface FileChange {
  /** From where the workspace is mounted. What is not UTF-8 in it is replaced by U+FFFD. */
  readonly path: string;
  /** Base64 of the path's bytes, if they are not UTF-8. */
  readonly pathBase64?: string;
  readonly change: "added" | "removed" | "modified";
  /** Of what was modified: in what it differs. */
  readonly differs: readonly ("kind" | "content" | "mode" | "owner" | "attributes")[];
  /** Null for what was added. */
  readonly before: FileSide | null;
  /** Null for what was removed. */
  readonly after: FileSide | null;
}

/** What is at a path in one of two versions. */
export interface FileSide {
  readonly kind: "directory" | "file" | "symlink" | "fifo";
  /** Permission, set-id and sticky bits, in octal. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
}

/** What a version is imported with. */
export interface ImportVersionOptions {
  /** For people: at most 2,000 characters. */
  readonly message?: string | undefined;
  /** A second request with the same key, message and archive gets the first answer. */
  readonly idempotencyKey?: string | undefined;
  /** Gives the request up. */
  readonly signal?: AbortSignal | undefined;
}

/** A version that was made of an archive. */
export interface ImportedVersion extends RestoredWorkspace {
  /** Files, directories and links in it. */
  readonly entries: number;
  /** Device nodes, which are not kept. */
  readonly leftOut: number;
}

/** What a workspace is made with. */
export interface NewWorkspace extends CreateOptions {
  /** A sandbox of the promoted deployment; that of tasks which name none when absent. */
  readonly sandbox?: string | undefined;
  /** No two workspaces of an environment have the same one, unless they are deleted. */
  readonly externalId?: string | undefined;
  readonly metadata?: JsonObject | undefined;
  /** At most 10, of at most 128 characters each. */
  readonly tags?: readonly string[] | undefined;
  /** How long its machine stays when nothing runs in it: at most 30 days, 5 minutes when absent. */
  readonly autoStopAfter?: Duration | undefined;
}

/** What may be changed of a workspace. What is absent stays as it is. */
export interface WorkspaceChanges extends RequestOptions {
  /** Null takes it away. */
  readonly externalId?: string | null | undefined;
  readonly metadata?: JsonObject | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Null: 5 minutes, as is usual. */
  readonly autoStopAfter?: Duration | null | undefined;
}

/** Which workspaces. */
export interface ListWorkspacesOptions extends PageOptions, RequestOptions {
  /** All but deleted ones when absent. */
  readonly state?: Workspace["state"] | undefined;
  readonly sandbox?: string | undefined;
  readonly externalId?: string | undefined;
  /** Only those that have this tag. */
  readonly tag?: string | undefined;
}

/** How a workspace's machine ends. */
export interface EndWorkspaceOptions extends RequestOptions {
  /** Cancels the runs in it first, instead of refusing. */
  readonly force?: boolean | undefined;
}

/** How a workspace goes on whose worker is lost. */
export interface RecoverWorkspaceOptions extends RequestOptions {
  /** The files with which it goes on. What was written after its last version is not in them. */
  readonly from: "last_version";
}

/** What a fork begins with. */
export interface ForkOptions extends CreateOptions {
  /** Copies the machine as it stands, files and memory, with every process in it and its sessions. */
  readonly live?: boolean | undefined;
  /** The version of its files to begin with; the current one when absent. Not with `live`. */
  readonly versionId?: string | undefined;
  /** No two workspaces of an environment have the same one, unless they are deleted. */
  readonly externalId?: string | undefined;
  readonly metadata?: JsonObject | undefined;
  /** At most 10, of at most 128 characters each. */
  readonly tags?: readonly string[] | undefined;
}

/** A workspace that began as a copy of another one. */
export interface ForkedWorkspace {
  readonly workspace: Workspace;
  readonly fork: Fork;
}

/** What a fork was made of. */
export interface Fork {
  readonly live: boolean;
  readonly fromWorkspaceId: string;
  /** The version of the original with whose files it begins. Null if that had none: then with those of the image. */
  readonly fromVersionId: string | null;
  /** Whether memory was copied, and with it whatever secrets processes hold in it. */
  readonly memoryCopied: boolean;
  /** Of those, the ones that the tasks of its sessions declare. */
  readonly secretsCopied: readonly string[];
  /** The copies of the original's open sessions. */
  readonly sessions: readonly ForkedSession[];
}

/** A session of a live fork, and the one it is a copy of. */
export interface ForkedSession {
  readonly fromSessionId: string;
  readonly sessionId: string;
  /** Null if no run of it was active. */
  readonly fromRunId: string | null;
  readonly runId: string | null;
}
