//! `tokens`: values that somebody outside completes once, such as an approval.
import { type Duration, durationMs } from "../internal/duration.ts";
import { encodeJson, type JsonObject, type JsonValue } from "../internal/json.ts";
import { check, issuesText, type Schema, type SchemaOutput } from "../internal/schema.ts";
import { requireExecution } from "./slot.ts";
import { failureOf, WaitHandle, type WaitResult } from "./wait-handle.ts";

/** Options of `tokens.create()`. */
export interface CreateTokenOptions {
  /** When the token expires, counted from now; 7 days when absent. */
  readonly timeout?: Duration | undefined;
  /** At most 10, of at most 128 characters. */
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: JsonObject | undefined;
  /** Origins of pages that may use its public access token, such as `https://app.example.com`; any when absent. */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/** Options of `token.wait()`. */
export interface TokenWaitOptions<S extends Schema | undefined = undefined> {
  /** Checks the completion. Data that does not match gives `ok: false`, code `schema_mismatch`. */
  readonly schema?: S;
  /** Ends this wait, not the token. */
  readonly timeout?: Duration | undefined;
  /** How long the machine stays live before it parks; the environment's hot window when absent. */
  readonly idleTimeout?: Duration | undefined;
}

/** What `token.wait()` gives: the schema's output, or any JSON without one. */
export type TokenData<S extends Schema | undefined> = S extends Schema ? SchemaOutput<S> : JsonValue;

/** A token that this run can wait for. */
export interface TaskToken {
  readonly id: string;
  readonly status: "pending" | "completed" | "expired" | "cancelled";
  readonly timeoutAt: string;
  readonly tags: readonly string[];
  readonly metadata: JsonObject;
  /** Waits for the completion; the run parks meanwhile. */
  wait<S extends Schema | undefined = undefined>(options?: TokenWaitOptions<S>): WaitHandle<TokenData<S>>;
}

/** A token just created. The two secrets are given here and never again. */
export interface CreatedToken extends TaskToken {
  /** For browsers and raw HTTP: a bearer token that can complete this token only. */
  readonly publicAccessToken: string;
  /** For webhook providers: a URL with the secret in its path. */
  readonly callbackUrl: string;
}

const ELSEWHERE = "use new HelmrClient().tokens";

/**
 * Creates a token.
 *
 * @example
 * const token = await tokens.create({ timeout: "1h", tags: ["approval"] });
 * const decision = await token.wait({ schema: approvalDecision }).unwrap();
 */
async function create(options: CreateTokenOptions = {}): Promise<CreatedToken> {
  const execution = requireExecution("tokens.create()", ELSEWHERE);
  const args: JsonObject = {};
  if (options.timeout !== undefined)
    args.timeout_ms = durationMs(options.timeout, "the timeout of tokens.create()");
  if (options.tags !== undefined) args.tags = [...options.tags];
  if (options.allowedOrigins !== undefined) args.allowed_origins = [...options.allowedOrigins];
  if (options.metadata !== undefined) {
    args.metadata = JSON.parse(encodeJson(options.metadata, "the token's metadata", 256 * 1024)) as JsonValue;
  }
  const answer = (await execution.call("token.create", args)) as JsonObject;
  return Object.freeze({
    ...token(answer),
    publicAccessToken: String(answer.public_access_token),
    callbackUrl: String(answer.callback_url),
  });
}

/**
 * Looks a token up by its id, for example one whose id was kept in a stream. Secrets are not given again.
 *
 * @throws OperationError `not_found` when there is no such token.
 */
async function retrieve(id: string): Promise<TaskToken> {
  const execution = requireExecution("tokens.retrieve()", ELSEWHERE);
  return Object.freeze(token((await execution.call("token.get", { token_id: id })) as JsonObject));
}

function token(answer: JsonObject): TaskToken {
  const id = String(answer.id);
  return {
    id,
    status: answer.status as TaskToken["status"],
    timeoutAt: String(answer.timeout_at),
    tags: Object.freeze((answer.tags ?? []) as string[]),
    metadata: (answer.metadata ?? {}) as JsonObject,
    wait: (options) => wait(id, options ?? {}),
  };
}

function wait<S extends Schema | undefined>(
  id: string,
  options: TokenWaitOptions<S>,
): WaitHandle<TokenData<S>> {
  const args: JsonObject = { kind: "token", token_id: id };
  if (options.timeout !== undefined)
    args.timeout_ms = durationMs(options.timeout, "the timeout of token.wait()");
  if (options.idleTimeout !== undefined)
    args.idle_timeout_ms = durationMs(options.idleTimeout, "idleTimeout");
  return new WaitHandle(async (): Promise<WaitResult<TokenData<S>>> => {
    const outcome = await requireExecution("token.wait()").wait(args);
    if (!outcome.ok) return { ok: false, error: failureOf(outcome.error) };
    if (options.schema === undefined) return { ok: true, data: outcome.data as TokenData<S> };
    const checked = await check(options.schema, outcome.data);
    if (checked.ok) return { ok: true, data: checked.value as TokenData<S> };
    const message = `the completion of ${id} does not match the schema: ${issuesText(checked.issues)}`;
    return { ok: false, error: { code: "schema_mismatch", message, issues: checked.issues } };
  });
}

/** Values that somebody outside completes once. */
export const tokens = { create, retrieve } as const;
