//! `logger`: entries in the run's log, in order with what else the run did.
import { isJsonObject, type JsonObject, type JsonValue } from "../internal/json.ts";
import { currentExecution, type LogEntry } from "./slot.ts";

const MESSAGE_LIMIT = 64 * 1024;
/** The server takes no more of one entry. */
const FIELDS_LIMIT = 64 * 1024;
const DEPTH_LIMIT = 8;

/**
 * Writes a log entry. Plain objects among the arguments become the entry's fields, everything else its text.
 * It never throws. Outside of a run the entry goes to the console.
 *
 * @example logger.info("reviewing", payload.prNumber, { attempt: 2 });
 */
type Log = (message: string, ...details: unknown[]) => void;

function log(level: LogEntry["level"], message: string, details: unknown[]): void {
  const execution = currentExecution();
  if (execution === undefined) {
    console[level](message, ...details);
    return;
  }
  const fields: JsonObject = {};
  const words = [String(message)];
  for (const detail of details) {
    const value = loggable(detail, 0, []);
    if (isJsonObject(value)) Object.assign(fields, value);
    else words.push(typeof value === "string" ? value : JSON.stringify(value));
  }
  const text = words.join(" ").toWellFormed();
  execution.log({
    level,
    message: text.length > MESSAGE_LIMIT ? `${text.slice(0, MESSAGE_LIMIT)}…` : text,
    ...(Object.keys(fields).length > 0 && { fields: bounded(fields) }),
  });
}

function bounded(fields: JsonObject): JsonObject {
  const { length } = new TextEncoder().encode(JSON.stringify(fields));
  return length > FIELDS_LIMIT
    ? { left_out: `${length} bytes of fields; the limit is ${FIELDS_LIMIT}` }
    : fields;
}

/** Makes JSON of anything: a log line must not fail because of what is logged. */
function loggable(value: unknown, depth: number, above: unknown[]): JsonValue {
  switch (typeof value) {
    case "string":
      return value;
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "bigint":
    case "symbol":
    case "undefined":
      return String(value);
    case "function":
      return `[function ${value.name}]`;
    case "object":
      return value === null ? null : object(value, depth, above);
  }
}

function object(value: object, depth: number, above: unknown[]): JsonValue {
  if (above.includes(value)) return "[circular]";
  if (depth >= DEPTH_LIMIT) return "[deep]";
  const path = [...above, value];
  if (value instanceof Error) {
    return { error: { name: value.name, message: value.message, stack: value.stack ?? "" } };
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (Array.isArray(value)) return value.map((item) => loggable(item, depth + 1, path));
  const entries = value instanceof Map ? [...value.entries()] : Object.entries(value);
  return Object.fromEntries(entries.map(([key, item]) => [String(key), loggable(item, depth + 1, path)]));
}

/** The run's log. */
export const logger: { readonly debug: Log; readonly info: Log; readonly warn: Log; readonly error: Log } = {
  debug: (message, ...details) => log("debug", message, details),
  info: (message, ...details) => log("info", message, details),
  warn: (message, ...details) => log("warn", message, details),
  error: (message, ...details) => log("error", message, details),
};
