//! Checking values with any Standard Schema, and reading its JSON Schema.
import type { StandardJSONSchemaV1, StandardSchemaV1 } from "@standard-schema/spec";
import type { JsonObject } from "./json.ts";

/** Any schema that follows the Standard Schema specification: zod, ArkType, Valibot and others. */
export type Schema<Input = unknown, Output = Input> = StandardSchemaV1<Input, Output>;

/** What a schema accepts. */
export type SchemaInput<S extends Schema> = StandardSchemaV1.InferInput<S>;

/** What a schema gives after it checked. */
export type SchemaOutput<S extends Schema> = StandardSchemaV1.InferOutput<S>;

/** One fault that a schema found, with the path to it. */
export interface SchemaIssue {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** The answer of {@link check}. */
export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly issues: readonly SchemaIssue[] };

/** Checks a value. The value that the schema gives back counts: defaults are filled in, transforms applied. */
export async function check<S extends Schema>(schema: S, value: unknown): Promise<Checked<SchemaOutput<S>>> {
  const result = await schema["~standard"].validate(value);
  if (result.issues === undefined) return { ok: true, value: result.value as SchemaOutput<S> };
  return {
    ok: false,
    issues: result.issues.map((issue) => ({ path: (issue.path ?? []).map(segment), message: issue.message })),
  };
}

function segment(part: PropertyKey | StandardSchemaV1.PathSegment): string | number {
  const key = typeof part === "object" ? part.key : part;
  return typeof key === "symbol" ? String(key) : key;
}

/** Issues as one line for people: `reviewer.name: expected string; age: too small`. */
export function issuesText(issues: readonly SchemaIssue[]): string {
  return issues
    .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`))
    .join("; ");
}

/**
 * The JSON Schema (draft 2020-12) of what a schema accepts, or nothing when its library gives none.
 *
 * The input form is read, because it describes what callers send; the output form refuses unknown properties
 * that the schema itself lets through.
 */
export function jsonSchema(schema: Schema): JsonObject | undefined {
  const standard: Partial<StandardJSONSchemaV1.Props> = schema["~standard"];
  const generated = standard.jsonSchema?.input({ target: "draft-2020-12" });
  return generated as JsonObject | undefined;
}

/** Whether a value follows the Standard Schema specification. */
export function isSchema(value: unknown): value is Schema {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) return false;
  const standard: unknown = Reflect.get(value, "~standard");
  return (
    typeof standard === "object" &&
    standard !== null &&
    typeof Reflect.get(standard, "validate") === "function"
  );
}
