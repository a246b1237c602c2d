//! What the agent has found out. It is kept in memory alone, on purpose.
import { createHash, randomBytes } from "node:crypto";

/** Findings and a block of random bytes, with a digest over both. */
export class Notes {
  readonly #findings = new Map<string, string>();
  // Nothing on disk could give these back: if the digest is the same later, so is the memory.
  readonly #random = randomBytes(256 * 1024);

  /** Keeps a finding. */
  keep(name: string, finding: string): void {
    this.#findings.set(name, finding);
  }

  /** How many findings there are. */
  get size(): number {
    return this.#findings.size;
  }

  /** A digest of everything held. */
  digest(): string {
    const hash = createHash("sha256").update(this.#random);
    for (const [name, finding] of this.#findings) hash.update(`${name}\0${finding}\0`);
    return hash.digest("hex");
  }
}
