//! Lets the bundler see what modules declare while it loads them. In a running task nothing collects.

/** What a module may declare. */
export type DeclarationKind = "task" | "sandbox" | "image" | "input" | "output";

/** Told of each declaration, with the stack of the call that made it. */
export type Collector = (kind: DeclarationKind, declared: object, stack: string) => void;

const SLOT: unique symbol = Symbol.for("@helmr/sdk/collector") as never;

interface Holder {
  [SLOT]?: Collector;
}

/** Has every later declaration in this process reported. */
export function collectDeclarations(collector: Collector): void {
  (globalThis as Holder)[SLOT] = collector;
}

/** Reports a declaration to the collector, if one listens. */
export function declare(kind: DeclarationKind, declared: object): void {
  const collector = (globalThis as Holder)[SLOT];
  if (collector !== undefined) collector(kind, declared, new Error("declared here").stack ?? "");
}
