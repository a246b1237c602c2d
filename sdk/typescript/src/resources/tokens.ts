//! `client.tokens`: complete tokens, and look at them.
import { type Duration, durationMs } from "../internal/duration.ts";
import type { CreateOptions, Http, Query, RequestOptions } from "../internal/http.ts";
import type { JsonObject, JsonValue } from "../internal/json.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";

interface TokenBase {
  readonly id: string;
  readonly timeoutAt: string;
  readonly tags: readonly string[];
  readonly metadata: JsonObject;
  /** The run that made it; null for one that a client made. */
  readonly runId: string | null;
  readonly sessionId: string | null;
  readonly createdAt: string;
}

/** A token. Its `status` says whether it has data. */
export type Token =
  | (TokenBase & {
      readonly status: "pending" | "expired" | "cancelled";
      readonly data: null;
      readonly completedAt: null;
    })
  | (TokenBase & { readonly status: "completed"; readonly data: JsonValue; readonly completedAt: string });

/** A token just made, with what completes it. The secrets are never given again. */
export type TokenWithSecrets = Token & {
  /** Null when the creation is repeated after 24 hours. */
  readonly publicAccessToken: string | null;
  /** Null when the creation is repeated after 24 hours. */
  readonly callbackUrl: string | null;
};

/** The answer to a completion. */
export interface TokenCompletion {
  readonly token: Token;
  /** An earlier request had completed it with the same data. */
  readonly alreadyCompleted: boolean;
}

/** What a token is made with. */
export interface NewToken extends CreateOptions {
  /** How long it can be completed; 7 days when absent. */
  readonly timeout?: Duration | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: JsonObject | undefined;
  /** Origins of pages that may use its public access token; any when absent. */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/** Which tokens. */
export interface ListTokensOptions extends PageOptions, RequestOptions {
  readonly status?: Token["status"] | undefined;
  readonly runId?: string | undefined;
  readonly sessionId?: string | undefined;
  /** Only those that have this tag. */
  readonly tag?: string | undefined;
}

/** Tokens. */
export class Tokens {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Completes a token. Sending the same data again returns the first completion.
   *
   * @throws HelmrError `token_completion_conflict` if other data came first, `token_expired` if it is too late.
   * @example await client.tokens.complete(token.id, { approved: true });
   */
  complete(id: string, data: JsonValue, options: RequestOptions = {}): Promise<TokenCompletion> {
    return this.#http.post(["tokens", id, "complete"], { data }, options);
  }

  /** Makes a token. In a task use `tokens.create()`, whose token can be waited for. */
  async create(options: NewToken = {}): Promise<TokenWithSecrets> {
    const { timeout, tags, metadata, allowedOrigins, ...request } = options;
    const span = timeout === undefined ? undefined : durationMs(timeout, "the timeout of the token");
    const body = toWire({ timeout: span, tags, metadata, allowedOrigins });
    return (await this.#http.create<{ token: TokenWithSecrets }>(["tokens"], body, request)).token;
  }

  /** Looks a token up. Its secrets are not given again. */
  async retrieve(id: string, options: RequestOptions = {}): Promise<Token> {
    return (await this.#http.get<{ token: Token }>(["tokens", id], {}, options)).token;
  }

  /** The same as {@link retrieve}, under the name that the other resources use. */
  get(id: string, options: RequestOptions = {}): Promise<Token> {
    return this.retrieve(id, options);
  }

  /** Lists tokens, newest first. */
  list(options: ListTokensOptions = {}): Listing<Token> {
    const { signal, timeoutMs, cursor, ...query } = options;
    return new Listing(cursor, (at) =>
      this.#http.get<Page<Token>>(["tokens"], toWire({ ...query, cursor: at }) as Query, {
        signal,
        timeoutMs,
      }),
    );
  }

  /** Cancels a pending token: whoever waits for it goes on with `ok: false`. */
  async cancel(id: string, options: RequestOptions = {}): Promise<Token> {
    return (await this.#http.post<{ token: Token }>(["tokens", id, "cancel"], {}, options)).token;
  }
}
