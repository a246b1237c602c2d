//! The process that loads one bundled module of a project and says what it declares.
//!
//! Loading runs the project's code, which may print, hang or exit; so it has a process of its own, and the
//! answer leaves on descriptor 3. Arguments: `config|module FILE SOURCE`.
import { writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { Sandbox } from "../authoring/sandbox.ts";
import { type TaskDefinition, taskDefinition } from "../authoring/task.ts";
import { collectDeclarations, type DeclarationKind } from "../internal/declarations.ts";
import type { JsonObject, JsonValue } from "../internal/json.ts";
import type { Schema } from "../internal/schema.ts";
import { describeSchema, describeTask, type TaskEntry } from "./describe.ts";
import { describeSandbox, type SandboxEntry } from "./describe-sandbox.ts";
import { type Fault, type Place, placesOf } from "./fault.ts";

/** Where something was declared. `stack` tells two declarations on one line apart, when a factory made them. */
export interface Origin {
  readonly export: string | null;
  readonly place: Place | null;
  readonly stack: string;
}

/** What a module declares. */
export interface LoadedModule {
  readonly tasks: readonly (TaskEntry & { readonly origin: Origin })[];
  readonly sandboxes: readonly (SandboxEntry & { readonly origin: Origin })[];
  readonly streams: readonly {
    readonly name: string;
    readonly direction: "input" | "output";
    readonly schema: JsonObject | null;
    readonly origin: Origin;
  }[];
  readonly faults: readonly Fault[];
}

interface Declared {
  readonly kind: DeclarationKind;
  readonly value: object;
  readonly stack: string;
}

const [mode, file, source] = process.argv.slice(2) as [string, string, string];
const declared: Declared[] = [];
collectDeclarations((kind, value, stack) => declared.push({ kind, value, stack }));
// Chains of factories are deeper than Node's ten frames.
Error.stackTraceLimit = 50;

try {
  const module = (await import(pathToFileURL(file).href)) as Readonly<Record<string, unknown>>;
  answer(
    mode === "config" ? { config: (module.default ?? null) as JsonValue } : { module: read(module) as never },
  );
} catch (error) {
  answer({ fault: { ...importFault(error) } });
}

function answer(document: JsonObject): never {
  const bytes = Buffer.from(JSON.stringify(document));
  for (let at = 0; at < bytes.length; ) at += writeSync(3, bytes, at);
  process.exit(0);
}

function importFault(error: unknown): Fault {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const [place] = placesOf(stack);
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    ...(place ?? { file: source }),
    code: "import_failed",
    message: `importing the module failed: ${said}`,
  };
}

function read(module: Readonly<Record<string, unknown>>): LoadedModule {
  const faults: Fault[] = [];
  const names = exportNames(module);
  const originOf = (value: object): Origin => {
    const stack = declared.findLast((entry) => entry.value === value)?.stack ?? "";
    const places = placesOf(stack);
    return { export: names.get(value) ?? null, place: places[0] ?? null, stack: JSON.stringify(places) };
  };
  const complainAt =
    (origin: Origin) =>
    (code: string, message: string): void => {
      const where = origin.place ?? { file: source };
      const fault = { ...where, ...(origin.export !== null && { export: origin.export }), code, message };
      faults.push(fault);
    };

  const tasks: (TaskEntry & { origin: Origin })[] = [];
  const sandboxes: (SandboxEntry & { origin: Origin })[] = [];
  for (const value of names.keys()) {
    const definition = taskDefinition(value);
    const origin = originOf(value);
    if (definition !== undefined) {
      const described = describeTask(definition, complainAt(origin));
      tasks.push({ ...described.task, origin });
      if (described.sandbox !== undefined) {
        sandboxes.push({ ...described.sandbox, origin: originOf(definition.settings.sandbox as object) });
      }
    } else if (isSandbox(value) && !usedBy(names, value)) {
      sandboxes.push({ ...describeSandbox(value, complainAt(origin)), origin });
    }
  }

  for (const { kind, value } of declared) {
    if (kind !== "task" || names.has(value)) continue;
    const origin = originOf(value);
    if (origin.place?.file !== source) continue;
    const id = taskDefinition(value)?.settings.id;
    complainAt(origin)(
      "task_not_exported",
      `task "${id}" is not exported from ${source}, so nothing could start it`,
    );
  }

  const streams = declared
    .filter(({ kind }) => kind === "input" || kind === "output")
    .map(({ kind, value }) => {
      const stream = value as { readonly id: string; readonly schema: Schema | undefined };
      const origin = originOf(value);
      const what = `stream "${stream.id}"`;
      const schema =
        stream.schema === undefined ? null : describeSchema(stream.schema, what, complainAt(origin));
      return { name: stream.id, direction: kind as "input" | "output", schema, origin };
    });
  return { tasks, sandboxes, streams, faults };
}

/** The exported objects by the name they are exported under; a proper name is preferred to `default`. */
function exportNames(module: Readonly<Record<string, unknown>>): Map<object, string> {
  const names = new Map<object, string>();
  for (const [name, value] of Object.entries(module)) {
    if (typeof value !== "object" || value === null) continue;
    if (!names.has(value) || names.get(value) === "default") names.set(value, name);
  }
  return names;
}

function usedBy(names: ReadonlyMap<object, string>, sandbox: Sandbox): boolean {
  return [...names.keys()].some((value) => {
    const definition: TaskDefinition | undefined = taskDefinition(value);
    return definition?.settings.sandbox === sandbox;
  });
}

function isSandbox(value: object): value is Sandbox {
  return (value as { kind?: unknown }).kind === "sandbox" && "parts" in value;
}
