//! The front door of `@helmr/sdk`: authoring, what a task calls while it runs, and the client.

export { defineConfig, type ProjectConfig } from "./authoring/config.ts";
export type { TaskContext } from "./authoring/context.ts";
export { type Image, type ImageStep, image, type RunStepOptions } from "./authoring/image.ts";
export { type Queue, type QueueOptions, queue } from "./authoring/queue.ts";
export { type NetworkPolicy, type Resources, type Sandbox, sandbox } from "./authoring/sandbox.ts";
export { type ScheduledTaskOptions, type SchedulePayload, schedules } from "./authoring/schedules.ts";
export type { SecretDir, SecretEnv, SecretFile, SecretPlacement } from "./authoring/secret.ts";
export { type Cache, cache, type Source, source } from "./authoring/source.ts";
export { type StreamOptions, streams } from "./authoring/streams.ts";
export {
  type PayloadTaskOptions,
  type RetryOptions,
  type ScheduleSettings,
  type Task,
  type TaskOptions,
  type TaskSettings,
  task,
} from "./authoring/task.ts";
export { type ClientOptions, HelmrClient } from "./client.ts";
export * from "./errors.ts";
export {
  ConcurrentWaitError,
  MisplacedCallError,
  OperationError,
  RunStoppedError,
  SchemaMismatchError,
  type StopCode,
  WaitError,
  type WaitFailure,
} from "./execution/errors.ts";
export type {
  InputFilter,
  InputOnceOptions,
  InputOnOptions,
  InputStream,
  InputWaitOptions,
  PeekOptions,
  Subscription,
} from "./execution/input-stream.ts";
export { logger } from "./execution/logger.ts";
export { metadata } from "./execution/metadata.ts";
export type {
  AppendOptions,
  ListRecordsOptions,
  OutputStream,
  OutputWriter,
  RecordPage,
} from "./execution/output-stream.ts";
export type { StreamRecord } from "./execution/records.ts";
export { type TimerOptions, timers } from "./execution/timers.ts";
export {
  type CreatedToken,
  type CreateTokenOptions,
  type TaskToken,
  type TokenData,
  type TokenWaitOptions,
  tokens,
} from "./execution/tokens.ts";
export type { WaitHandle, WaitResult } from "./execution/wait-handle.ts";
export type { Duration, Size } from "./internal/duration.ts";
export type { CreateOptions, RequestOptions } from "./internal/http.ts";
export { JsonError, type JsonObject, type JsonValue } from "./internal/json.ts";
export type { Schema, SchemaInput, SchemaIssue, SchemaOutput } from "./internal/schema.ts";
export { Listing, type Page, type PageOptions } from "./pagination.ts";
export type { ExecHandle } from "./resources/exec-handle.ts";
export type { ExecOutput } from "./resources/exec-output.ts";
export type { ExecStdin, WriteStdinOptions } from "./resources/exec-stdin.ts";
export type * from "./resources/exec-types.ts";
export type { Execs, WorkspaceExecs } from "./resources/execs.ts";
export type * from "./resources/file-types.ts";
export type { WorkspaceFiles } from "./resources/files.ts";
export type { Growing, GrowingOptions } from "./resources/growing.ts";
export type {
  DataOf,
  InputLane,
  Lane,
  OutputLane,
  ReadOptions,
  SendOptions,
  SentRecord,
  StreamTokenOptions,
} from "./resources/lanes.ts";
export type { PtyAttachment } from "./resources/pty-attachment.ts";
export type { PtyHandle } from "./resources/pty-handle.ts";
export type * from "./resources/pty-types.ts";
export type { Ptys, WorkspacePtys } from "./resources/ptys.ts";
export type {
  Auth,
  Capability,
  CreatedPublicToken,
  ListPublicTokensOptions,
  NewPublicToken,
  PublicToken,
  PublicTokenLimits,
  PublicTokens,
} from "./resources/public-tokens.ts";
export type { EnvironmentQuotas, Quota, QuotaChanges, Quotas } from "./resources/quotas.ts";
export type * from "./resources/run-types.ts";
export type { ListRunsOptions, LogFilter, Runs, WaitForRunOptions } from "./resources/runs.ts";
export type { SessionHandle, TranscriptFilter } from "./resources/session-handle.ts";
export type * from "./resources/session-types.ts";
export type { ListSessionsOptions, Sessions, StartAndWaitOptions } from "./resources/sessions.ts";
export type {
  Retention,
  RetentionChanges,
  Storage,
  StorageFigure,
  StorageState,
  Sweep,
} from "./resources/storage.ts";
export type {
  ListTokensOptions,
  NewToken,
  Token,
  TokenCompletion,
  Tokens,
  TokenWithSecrets,
} from "./resources/tokens.ts";
export type { WorkspaceHandle } from "./resources/workspace-handle.ts";
export type * from "./resources/workspace-types.ts";
export type { WorkspaceVersions } from "./resources/workspace-versions.ts";
export type { Workspaces } from "./resources/workspaces.ts";
export { API_VERSION, SDK_VERSION } from "./version.ts";
