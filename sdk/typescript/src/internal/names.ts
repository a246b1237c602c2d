//! The grammar of names: one place, the same on the server.

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const STREAM = /^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$/;
const QUEUE = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$/;
const PROJECT = /^([a-z0-9][a-z0-9-]{0,62}|proj_[0-9a-z]{26})$/;

/** What kind of thing a name is for; it decides the grammar. */
export type NameKind = "task" | "sandbox" | "image" | "secret" | "cache" | "stream" | "queue" | "project";

function grammar(kind: NameKind): RegExp {
  switch (kind) {
    case "stream":
      return STREAM;
    case "queue":
      return QUEUE;
    case "project":
      return PROJECT;
    case "task":
    case "sandbox":
    case "image":
    case "secret":
    case "cache":
      return NAME;
  }
}

/** Says what is wrong with a name, or nothing when it is right. */
export function nameFault(kind: NameKind, name: unknown): string | undefined {
  if (typeof name !== "string") return `the ${kind} name must be a string, not ${typeof name}`;
  const pattern = grammar(kind);
  if (pattern.test(name)) return undefined;
  return `"${name}" is not a ${kind} name: it must match ${pattern.source}`;
}
