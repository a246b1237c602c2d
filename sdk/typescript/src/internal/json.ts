//! JSON values, and turning what a task gives us into JSON text that every reader accepts.

/** Any value that JSON can hold. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** A JSON object. */
export type JsonObject = { [key: string]: JsonValue };

/** Nesting that a reader must accept. The server's parser refuses more than 128 levels, the envelope included. */
const MAX_DEPTH = 100;

/** A value that cannot be written as JSON, with the place in it that is to blame. */
export class JsonError extends TypeError {
  override readonly name = "JsonError";
}

/**
 * Writes `value` as JSON. Unlike `JSON.stringify`, it refuses what would silently change (`NaN`, a function in
 * place of the value) and repairs lone surrogates, which other JSON readers refuse.
 *
 * @param what names the value in the message of the error.
 * @throws JsonError when there is no JSON for the value or it takes more than `maxBytes`.
 */
export function encodeJson(value: unknown, what: string, maxBytes: number): string {
  const text = repairSurrogates(stringify(value, what));
  if (depth(text) > MAX_DEPTH) {
    throw new JsonError(`${what} is nested deeper than ${MAX_DEPTH} levels`);
  }
  const bytes = utf8Length(text);
  if (bytes > maxBytes) {
    throw new JsonError(`${what} takes ${bytes} bytes as JSON; the limit is ${maxBytes}`);
  }
  return text;
}

function stringify(value: unknown, what: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, function (this: unknown, key: string, entry: unknown) {
      if (typeof entry === "bigint") {
        throw new JsonError(`${what} holds a bigint at ${place(key)}; turn it into a string or a number`);
      }
      if (typeof entry === "number" && !Number.isFinite(entry)) {
        throw new JsonError(`${what} holds ${entry} at ${place(key)}, which JSON cannot hold`);
      }
      return entry;
    });
  } catch (error) {
    if (error instanceof JsonError) throw error;
    throw new JsonError(`${what} cannot be written as JSON: ${firstLine(error)}`);
  }
  if (text === undefined) {
    throw new JsonError(`${what} is ${typeof value}, which JSON cannot hold`);
  }
  return text;
}

function place(key: string): string {
  return key === "" ? "the top" : `"${key}"`;
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n", 1)[0] ?? message;
}

/**
 * Replaces lone surrogates in JSON text by U+FFFD. `JSON.stringify` escapes a surrogate only when it stands alone,
 * so every such escape is one to replace.
 */
export function repairSurrogates(text: string): string {
  if (!/\\ud[89a-f]/.test(text)) return text;
  return text.replace(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, "$1\ufffd");
}

function depth(text: string): number {
  let open = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // a string: nothing in it nests
        for (at++; text.charCodeAt(at) !== 0x22; at++) {
          if (text.charCodeAt(at) === 0x5c) at++;
        }
        break;
      case 0x5b:
      case 0x7b:
        deepest = Math.max(deepest, ++open);
        break;
      case 0x5d:
      case 0x7d:
        open--;
        break;
    }
  }
  return deepest;
}

const encoder = new TextEncoder();

function utf8Length(text: string): number {
  return encoder.encode(text).byteLength;
}

/** Whether `value` is a JSON object (not null, not an array). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
