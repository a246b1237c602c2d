//! `client.quotas`: what the environment may hold.
import type { Http, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";

/** A quota, and how much of it is used. */
export interface Quota {
  /** Null: as much as comes. */
  readonly limit: number | null;
  readonly used: number;
}

/** What an environment may hold. */
export interface EnvironmentQuotas {
  /** Workspaces that are not deleted. */
  readonly workspaces: Quota;
  /** Bytes that the versions of workspaces added, each to the one before it. */
  readonly versionBytes: Quota;
  /** Machines that are not parked. */
  readonly machines: Quota;
}

/** What to change. What is absent stays as it is; null takes a limit away. */
export interface QuotaChanges {
  readonly workspaces?: number | null | undefined;
  readonly versionBytes?: number | null | undefined;
  readonly machines?: number | null | undefined;
}

/** What the environment may hold. New work over a quota is refused; what runs goes on. */
export class Quotas {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Says what the environment may hold, and what it holds.
   *
   * @example const { workspaces } = await client.quotas.get();
   */
  async get(options: RequestOptions = {}): Promise<EnvironmentQuotas> {
    const { quotas } = await this.#http.get<{ quotas: EnvironmentQuotas }>(["quotas"], {}, options);
    return quotas;
  }

  /**
   * Changes what the environment may hold. What it holds already stays, also over a new limit.
   *
   * @example await client.quotas.update({ machines: 20, versionBytes: null });
   */
  async update(changes: QuotaChanges, options: RequestOptions = {}): Promise<EnvironmentQuotas> {
    const { quotas } = await this.#http.patch<{ quotas: EnvironmentQuotas }>(
      ["quotas"],
      toWire({ ...changes }),
      options,
    );
    return quotas;
  }
}
