//! The one place where names change between the wire (`snake_case`) and TypeScript (`camelCase`).
//!
//! What users put in is never renamed: everything under the keys of `USER_DATA` stays as it is.
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

const USER_DATA: ReadonlySet<string> = new Set([
  "payload",
  "output",
  "result",
  "data",
  "metadata",
  "value",
  "patch",
  "fields",
  "details",
  "schema",
  "payload_schema",
]);

/** Renames the keys of an answer. The caller says what type the answer has. */
export function fromWire<T>(value: JsonValue): T {
  return renamed(value) as T;
}

function renamed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(renamed);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [camel(key), USER_DATA.has(key) ? item : renamed(item)]),
  );
}

/** Renames the top keys of a request and drops what is absent; what is below them is the user's. */
export function toWire(options: Readonly<Record<string, unknown>>): JsonObject {
  const wire: JsonObject = {};
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined) wire[snake(key)] = value as JsonValue;
  }
  return wire;
}

function camel(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function snake(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
