//! `streams`: declares the durable lanes through which a session talks with its task.
import { MisplacedCallError } from "../execution/errors.ts";
import { type InputStream, TaskInputStream } from "../execution/input-stream.ts";
import { type OutputStream, TaskOutputStream } from "../execution/output-stream.ts";
import { currentExecution } from "../execution/slot.ts";
import { declare } from "../internal/declarations.ts";
import type { JsonValue } from "../internal/json.ts";
import { nameFault } from "../internal/names.ts";
import { isSchema, type Schema, type SchemaInput, type SchemaOutput } from "../internal/schema.ts";

/** Options of a stream. */
export interface StreamOptions<S extends Schema> {
  /** Checks every record; it must give JSON Schema. Without one a record is any JSON. */
  readonly schema: S;
}

function input<const Name extends string>(name: Name): InputStream<Name, JsonValue>;
function input<const Name extends string, S extends Schema>(
  name: Name,
  options: StreamOptions<S>,
): InputStream<Name, SchemaInput<S>, SchemaOutput<S>>;
/**
 * Declares an input stream. Declare it at module level, so that a deploy sees it.
 *
 * @example const messages = streams.input("messages", { schema: z.object({ text: z.string() }) });
 */
function input(name: string, options?: StreamOptions<Schema>): InputStream {
  const stream = new TaskInputStream(name, declarable("input", name, options));
  declare("input", stream);
  return stream;
}

function output<const Name extends string>(name: Name): OutputStream<Name, JsonValue>;
function output<const Name extends string, S extends Schema>(
  name: Name,
  options: StreamOptions<S>,
): OutputStream<Name, SchemaInput<S>, SchemaOutput<S>>;
/**
 * Declares an output stream. Declare it at module level, so that a deploy sees it.
 *
 * @example const events = streams.output("agent.events", { schema: z.object({ type: z.string() }) });
 */
function output(name: string, options?: StreamOptions<Schema>): OutputStream {
  const stream = new TaskOutputStream(name, declarable("output", name, options));
  declare("output", stream);
  return stream;
}

function declarable(
  direction: string,
  name: string,
  options: StreamOptions<Schema> | undefined,
): Schema | undefined {
  const call = `streams.${direction}(${JSON.stringify(name)})`;
  if (currentExecution()?.phase === "running") {
    throw new MisplacedCallError(
      `${call} was called inside a run; declare the stream at module level, so that a deploy sees it.`,
    );
  }
  const fault = nameFault("stream", name);
  if (fault !== undefined) throw new TypeError(`${call}: ${fault}`);
  if (options === undefined) return undefined;
  if (!isSchema(options.schema)) throw new TypeError(`${call}: schema must be a Standard Schema`);
  return options.schema;
}

/** Declares streams. */
export const streams = { input, output } as const;
