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
