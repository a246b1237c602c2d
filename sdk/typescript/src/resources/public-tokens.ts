//! `client.auth.publicTokens`: credentials fit for a browser, each for one token or one stream.
import { type Duration, durationMs } from "../internal/duration.ts";
import type { CreateOptions, Http, Query, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";

/** What the bearer of a public access token may do. */
export type Capability =
  /** Complete one token. */
  | { readonly kind: "token"; readonly tokenId: string }
  /** Send to an input stream, or read an output stream. */
  | {
      readonly kind: "stream";
      readonly sessionId: string;
      readonly stream: string;
      readonly direction: "input" | "output";
      /** Only records of this correlation id. */
      readonly correlationId?: string | undefined;
    };

/** A public access token, without the secret. */
export interface PublicToken {
  readonly id: string;
  readonly capability: Capability;
  /** Null: without limit. */
  readonly maxUses: number | null;
  /** Completions or records that were accepted; what was refused or repeated does not count. */
  readonly uses: number;
  /** Origins of pages that may use it; empty: any. */
  readonly allowedOrigins: readonly string[];
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly createdAt: string;
}

/** A public access token just made. Its secret is never given again. */
export interface CreatedPublicToken extends PublicToken {
  /** The credential itself (`hlmr_pat_…`). Null when the creation is repeated after 24 hours. */
  readonly secret: string | null;
}

/** The bounds of a public access token. */
export interface PublicTokenLimits {
  /** 24 hours when absent; at most 365 days. */
  readonly expiresIn?: Duration | undefined;
  /** How many completions or records it is good for. Reading spends none, so that it is refused for output. */
  readonly maxUses?: number | undefined;
  /** Such as `https://app.example.com`; at most 20. Any origin when absent. */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/** What a public access token is made with. */
export interface NewPublicToken extends PublicTokenLimits, CreateOptions {
  readonly capability: Capability;
}

/** Which public access tokens. */
export interface ListPublicTokensOptions extends PageOptions, RequestOptions {
  readonly tokenId?: string | undefined;
  readonly sessionId?: string | undefined;
}

/** Public access tokens. */
export class PublicTokens {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Makes a public access token.
   *
   * @example
   * const { secret } = await client.auth.publicTokens.create({
   *   capability: { kind: "stream", sessionId, stream: "messages", direction: "input" },
   *   allowedOrigins: ["https://app.example.com"],
   * });
   */
  async create(options: NewPublicToken): Promise<CreatedPublicToken> {
    const { capability, expiresIn, maxUses, allowedOrigins, ...request } = options;
    const body = toWire({
      capability: toWire(capability),
      expiresIn: expiresIn === undefined ? undefined : durationMs(expiresIn, "expiresIn"),
      maxUses,
      allowedOrigins,
    });
    const made = await this.#http.create<{ publicToken: PublicToken; secret: string | null }>(
      ["public-tokens"],
      body,
      request,
    );
    return { ...made.publicToken, secret: made.secret };
  }

  /** Looks a public access token up. Its secret is not given again. */
  async get(id: string, options: RequestOptions = {}): Promise<PublicToken> {
    return (await this.#http.get<{ publicToken: PublicToken }>(["public-tokens", id], {}, options))
      .publicToken;
  }

  /** Lists public access tokens, newest first. */
  list(options: ListPublicTokensOptions = {}): Listing<PublicToken> {
    const { signal, timeoutMs, cursor, ...query } = options;
    return new Listing(cursor, (at) =>
      this.#http.get<Page<PublicToken>>(["public-tokens"], toWire({ ...query, cursor: at }) as Query, {
        signal,
        timeoutMs,
      }),
    );
  }

  /** Makes a public access token worthless at once. Repeating it is fine. */
  async revoke(id: string, options: RequestOptions = {}): Promise<PublicToken> {
    const path = ["public-tokens", id, "revoke"];
    return (await this.#http.post<{ publicToken: PublicToken }>(path, {}, options)).publicToken;
  }
}

/** Credentials. */
export class Auth {
  readonly publicTokens: PublicTokens;

  constructor(http: Http) {
    this.publicTokens = new PublicTokens(http);
  }
}
