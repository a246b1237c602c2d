//! `metadata`: the run's current state for people and programs that watch it.
import { encodeJson, type JsonObject, type JsonValue } from "../internal/json.ts";
import { requireExecution } from "./slot.ts";

const LIMIT = 256 * 1024;

function asJson(value: unknown, what: string): JsonValue {
  return JSON.parse(encodeJson(value, what, LIMIT)) as JsonValue;
}

/**
 * Sets one key. Resolves, when the server has it, with all of the metadata.
 *
 * @example await metadata.set("stage", "testing");
 */
async function set(key: string, value: JsonValue): Promise<JsonObject> {
  const execution = requireExecution("metadata.set()");
  return (await execution.call("metadata.set", {
    key,
    value: asJson(value, `metadata "${key}"`),
  })) as JsonObject;
}

/**
 * Merges keys into the metadata (RFC 7396: `null` removes a key). Resolves with all of the metadata.
 *
 * @example await metadata.patch({ stage: "done", note: null });
 */
async function patch(patch: JsonObject): Promise<JsonObject> {
  const execution = requireExecution("metadata.patch()");
  return (await execution.call("metadata.patch", {
    patch: asJson(patch, "the metadata patch"),
  })) as JsonObject;
}

/**
 * Adds to a number, which starts at 0. Resolves with all of the metadata.
 *
 * @example await metadata.increment("filesRead", 3);
 */
async function increment(key: string, by = 1): Promise<JsonObject> {
  const execution = requireExecution("metadata.increment()");
  return (await execution.call("metadata.increment", { key, by: asJson(by, "the increment") })) as JsonObject;
}

/** All of the metadata, as the server has it. */
async function get(): Promise<JsonObject> {
  return (await requireExecution("metadata.get()").call("metadata.get", {})) as JsonObject;
}

/** The run's metadata (a JSON object of at most 256 KiB). */
export const metadata = { set, patch, increment, get } as const;
