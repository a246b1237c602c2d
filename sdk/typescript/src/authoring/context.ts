//! The context a task runs in. Read-only.

/** What a task is told about its run. */
export interface TaskContext {
  /** Aborts at once when the run is cancelled or has used its `maxDuration`; the reason says which. */
  readonly signal: AbortSignal;
  readonly run: {
    readonly id: string;
    /** Which attempt this is, from 1. */
    readonly attemptNumber: number;
    /** Why the run was started, such as `start`, `input` or `retry`. */
    readonly reason: string;
  };
  readonly task: { readonly id: string };
  readonly session: { readonly id: string; readonly externalId?: string | undefined };
  readonly workspace: {
    readonly id: string;
    /** Where the workspace is mounted. */
    readonly path: string;
  };
  readonly deployment: { readonly id: string; readonly version: string };
  readonly attempt: { readonly number: number };
}
