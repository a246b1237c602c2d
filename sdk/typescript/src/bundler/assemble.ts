//! Puts what the modules declare together into one index, and finds what contradicts itself across modules.
import type { JsonObject } from "../internal/json.ts";
import type { TaskEntry } from "./describe.ts";
import type { SandboxEntry } from "./describe-sandbox.ts";
import type { SourceModule } from "./discover.ts";
import { type Fault, ProjectError } from "./fault.ts";
import type { LoadedModule, Origin } from "./index-child.ts";

/** A module with what it declares. */
export interface Loaded extends SourceModule {
  readonly declared: LoadedModule;
}

/** A task of the index. */
export interface IndexedTask extends TaskEntry {
  /** The bundled module. */
  readonly module: string;
  readonly export: string;
  /** The source of the module. */
  readonly file: string;
  /** Names of the streams that the task's modules declare. */
  readonly streams: readonly string[];
}

/** A stream of the index: once for each name, direction and schema. */
export interface IndexedStream {
  readonly name: string;
  readonly direction: "input" | "output";
  readonly schema: JsonObject | null;
  readonly module: string;
  readonly file: string;
  readonly export: string | null;
  /** The tasks that declare it. */
  readonly tasks: readonly string[];
}

/** What a project declares. */
export interface Declarations {
  readonly tasks: readonly IndexedTask[];
  readonly sandboxes: readonly SandboxEntry[];
  readonly streams: readonly IndexedStream[];
}

type Found<T> = T & { readonly from: Loaded; readonly origin: Origin };

/**
 * Puts declarations together.
 *
 * @throws ProjectError with every fault of every module.
 */
export function assemble(modules: readonly Loaded[]): Declarations {
  const faults: Fault[] = modules.flatMap((module) => module.declared.faults);
  const tasks = uniqueTasks(modules, faults);
  const sandboxes = uniqueSandboxes(modules, faults);
  for (const module of modules) streamConflicts(module, faults);
  if (faults.length > 0) throw new ProjectError(distinct(faults));
  return {
    tasks: tasks.map(({ from, origin, ...task }) => ({
      ...task,
      module: from.module,
      export: origin.export ?? "default",
      file: from.file,
      streams: [...new Set(from.declared.streams.map((stream) => stream.name))].sort(),
    })),
    sandboxes,
    streams: indexedStreams(tasks),
  };
}

function uniqueTasks(modules: readonly Loaded[], faults: Fault[]): Found<TaskEntry>[] {
  const byId = new Map<string, Found<TaskEntry>>();
  for (const from of modules) {
    for (const task of from.declared.tasks) {
      const found = { ...task, from };
      const first = byId.get(task.id);
      if (first === undefined) byId.set(task.id, found);
      else if (!sameTask(first, found)) faults.push(duplicate(first, found));
      // A task that another module re-exports belongs to the module that declares it.
      else if (found.origin.place?.file === from.file) byId.set(task.id, found);
    }
  }
  return [...byId.values()].sort((a, b) => compare(a.id, b.id));
}

function sameTask(a: Found<TaskEntry>, b: Found<TaskEntry>): boolean {
  return a.from !== b.from && a.origin.place !== null && a.origin.stack === b.origin.stack;
}

function duplicate(first: Found<TaskEntry>, second: Found<TaskEntry>): Fault {
  return {
    ...where(second),
    code: "task_id_duplicate",
    message: `task id "${second.id}" is used twice: by ${named(first)} and by ${named(second)}`,
  };
}

function uniqueSandboxes(modules: readonly Loaded[], faults: Fault[]): SandboxEntry[] {
  const byId = new Map<string, { entry: SandboxEntry; text: string; found: Found<SandboxEntry> }>();
  for (const from of modules) {
    for (const { origin, ...entry } of from.declared.sandboxes) {
      const found = { ...entry, origin, from };
      const text = JSON.stringify(entry);
      const first = byId.get(entry.id);
      if (first === undefined) byId.set(entry.id, { entry, text, found });
      else if (first.text !== text) {
        faults.push({
          ...where(found),
          code: "sandbox_id_conflict",
          message: `sandbox id "${entry.id}" has two different definitions: ${named(first.found)} and ${named(found)}`,
        });
      }
    }
  }
  return [...byId.values()].map(({ entry }) => entry).sort((a, b) => compare(a.id, b.id));
}

function streamConflicts(module: Loaded, faults: Fault[]): void {
  const seen = new Map<string, { schema: string; origin: Origin }>();
  if (module.declared.tasks.length === 0) return;
  for (const stream of module.declared.streams) {
    const key = `${stream.direction} ${stream.name}`;
    const schema = JSON.stringify(stream.schema);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, { schema, origin: stream.origin });
    else if (first.schema !== schema) {
      const found = { origin: stream.origin, from: module };
      const places = `${named({ origin: first.origin, from: module })} and ${named(found)}`;
      const message = `${stream.direction} stream "${stream.name}" is declared with two different schemas: ${places}`;
      faults.push({ ...where(found), code: "stream_conflict", message });
    }
  }
}

function indexedStreams(tasks: readonly Found<TaskEntry>[]): IndexedStream[] {
  const byKey = new Map<string, IndexedStream & { tasks: string[] }>();
  for (const { id, from } of tasks) {
    for (const { origin, ...stream } of from.declared.streams) {
      const key = JSON.stringify([stream.name, stream.direction, stream.schema]);
      const first = byKey.get(key);
      if (first === undefined) {
        const file = origin.place?.file ?? from.file;
        byKey.set(key, { ...stream, module: from.module, file, export: origin.export, tasks: [id] });
      } else if (!first.tasks.includes(id)) first.tasks.push(id);
    }
  }
  return [...byKey.entries()].sort(([a], [b]) => compare(a, b)).map(([, stream]) => stream);
}

function where({ origin, from }: { origin: Origin; from: Loaded }): Omit<Fault, "code" | "message"> {
  return {
    ...(origin.place ?? { file: from.file }),
    ...(origin.export !== null && { export: origin.export }),
  };
}

function named({ origin, from }: { origin: Origin; from: Loaded }): string {
  const place = origin.place === null ? from.file : `${origin.place.file}:${origin.place.line}`;
  return origin.export === null ? place : `export "${origin.export}" of ${place}`;
}

/** A module that several others import has its faults once. */
function distinct(faults: readonly Fault[]): Fault[] {
  return [...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values()];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
