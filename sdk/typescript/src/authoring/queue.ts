//! `queue`: how many runs go on at once.

/** Options of a queue. */
export interface QueueOptions {
  /** Runs that may be active at once; without a limit when absent. */
  readonly concurrencyLimit?: number | undefined;
  /** Counts the limit separately for each value. */
  readonly concurrencyKey?: string | undefined;
  /** Higher goes first; 0 when absent. */
  readonly priority?: number | undefined;
}

/** A queue definition. */
export interface Queue extends QueueOptions {
  readonly kind: "queue";
  readonly name: string;
}

/**
 * Declares a queue.
 *
 * @example task({ id: "deploy", queue: queue("deploys", { concurrencyLimit: 1 }), run: async () => {} });
 */
export function queue(name: string, options: QueueOptions = {}): Queue {
  return Object.freeze({ kind: "queue", name, ...options });
}
