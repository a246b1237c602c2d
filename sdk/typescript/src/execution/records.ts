//! Records of streams as a task sees them.
import type { JsonObject, JsonValue } from "../internal/json.ts";
import { check, issuesText, type Schema } from "../internal/schema.ts";
import { SchemaMismatchError } from "./errors.ts";

/** One record of a session's stream. */
export interface StreamRecord<T = JsonValue> {
  readonly id: string;
  /** Counts from 1 in each stream. */
  readonly sequence: number;
  readonly data: T;
  readonly correlationId?: string;
  readonly contentType: string;
  readonly createdAt: string;
}

/** The limit of a record's data, as JSON text. */
export const RECORD_LIMIT = 1024 * 1024;

/** Reads a record from the wire; its data stays as it is. */
export function recordFromWire(wire: JsonObject): StreamRecord {
  return {
    id: String(wire.id),
    sequence: Number(wire.sequence),
    data: wire.data ?? null,
    ...(typeof wire.correlation_id === "string" && { correlationId: wire.correlation_id }),
    contentType: String(wire.content_type ?? "application/json"),
    createdAt: String(wire.created_at),
  };
}

/**
 * Checks a record's data with the stream's schema, if it has one.
 *
 * @throws SchemaMismatchError naming the record and the paths.
 */
export async function checkedRecord<T>(
  stream: string,
  schema: Schema<unknown, T> | undefined,
  record: StreamRecord,
): Promise<StreamRecord<T>> {
  if (schema === undefined) return record as StreamRecord<T>;
  const checked = await check(schema, record.data);
  if (checked.ok) return { ...record, data: checked.value };
  throw new SchemaMismatchError(
    `record ${record.sequence} of stream "${stream}" does not match its schema: ${issuesText(checked.issues)}`,
    checked.issues,
  );
}
