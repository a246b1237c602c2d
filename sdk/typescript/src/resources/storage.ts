//! `client.storage`: what is kept of versions, and the artifact store that holds them.
import { type Duration, durationMs } from "../internal/duration.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";

/** How many objects, and what they take. */
export interface StorageFigure {
  readonly objects: number;
  readonly bytes: number;
}

/** A round of garbage collection, with what it found and did. */
export interface Sweep {
  readonly startedAt: string;
  readonly finishedAt: string | null;
  /** Why it ended early. It took nothing then that anything names. */
  readonly failure: string | null;
  /** What was in the store when it had ended. */
  readonly kept: StorageFigure;
  /** Of that, what nothing names and is too young to be taken. */
  readonly young: StorageFigure;
  /** Set aside: it is removed by a round a day later, unless something needs it by then. */
  readonly aside: StorageFigure;
  /** Put back, because something needed it. */
  readonly restored: StorageFigure;
  readonly removed: StorageFigure;
}

/** What the installation's artifact store takes. */
export interface StorageState {
  /** Null before the first one. */
  readonly lastSweep: Sweep | null;
}

/** Which versions of its workspaces' files an environment keeps. */
export interface Retention {
  /** The last ones of each workspace. */
  readonly keepLast: number;
  /** Everything that is younger, such as `"30d"`. */
  readonly keepFor: string;
}

/** What to change of it. What is absent stays as it is, and null makes it what is usual. */
export interface RetentionChanges extends RequestOptions {
  readonly keepLast?: number | null | undefined;
  readonly keepFor?: Duration | null | undefined;
}

/** A round may take long. */
const SWEPT_WITHIN_MS = 3_600_000;

/** The artifact store, and what is kept in it. */
export class Storage {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** What the artifact store takes, as the last round of garbage collection found it. */
  async get(options: RequestOptions = {}): Promise<StorageState> {
    return (await this.#http.get<{ storage: StorageState }>(["storage"], {}, options)).storage;
  }

  /** Runs a round of garbage collection now, and waits for it. */
  async sweep(options: RequestOptions = {}): Promise<StorageState> {
    const request = { timeoutMs: SWEPT_WITHIN_MS, ...options };
    return (await this.#http.post<{ storage: StorageState }>(["storage", "sweep"], {}, request)).storage;
  }

  /** Which versions of its workspaces' files an environment keeps. */
  async retention(environment: string, options: RequestOptions = {}): Promise<Retention> {
    const path = ["environments", environment, "retention"];
    return (await this.#http.get<{ retention: Retention }>(path, {}, options)).retention;
  }

  /**
   * Changes which versions an environment keeps.
   *
   * @throws HelmrError `scope_mismatch` for another environment than the key's.
   * @example await client.storage.setRetention("production", { keepLast: 20, keepFor: "7d" });
   */
  async setRetention(environment: string, changes: RetentionChanges): Promise<Retention> {
    const { keepLast, keepFor, ...request } = changes;
    const span = keepFor === undefined || keepFor === null ? keepFor : durationMs(keepFor, "keepFor");
    const path = ["environments", environment, "retention"];
    const body = toWire({ keepLast, keepFor: span });
    return (await this.#http.patch<{ retention: Retention }>(path, body, request)).retention;
  }
}
