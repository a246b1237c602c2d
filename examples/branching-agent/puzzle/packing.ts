//! The work: files of given sizes go onto as few tapes as possible.

/** What a tape holds. */
export const TAPE = 100;

/** One way to go about it. */
export type Strategy = "as-they-come" | "fullest-first" | "largest-first";

export const STRATEGIES: readonly Strategy[] = ["as-they-come", "fullest-first", "largest-first"];

export function isStrategy(value: unknown): value is Strategy {
  return STRATEGIES.some((known) => known === value);
}

/** Sizes that look random and are always the same. */
export function sizes(count: number): number[] {
  const drawn: number[] = [];
  for (let seed = 7; drawn.length < count; seed = (seed * 48_271) % 2_147_483_647)
    drawn.push(10 + (seed % 60));
  return drawn;
}

/** Puts every size onto a tape. */
export function pack(all: readonly number[], strategy: Strategy): number[][] {
  const tapes: number[][] = [];
  const left = (tape: readonly number[]) => TAPE - tape.reduce((sum, size) => sum + size, 0);
  const order = strategy === "largest-first" ? all.toSorted((a, b) => b - a) : all;
  for (const size of order) {
    const fitting = tapes.filter((tape) => left(tape) >= size);
    if (strategy === "fullest-first") fitting.sort((a, b) => left(a) - left(b));
    const tape = fitting[0];
    if (tape === undefined) tapes.push([size]);
    else tape.push(size);
  }
  return tapes;
}
