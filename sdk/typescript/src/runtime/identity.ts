//! Who a run is. In a live fork it is another than before: the same memory, under ids of its own.
import { isJsonObject, type JsonObject } from "../internal/json.ts";

/** The ids that `ctx` gives. */
export class Identity {
  run: string;
  session: string;
  workspace: string;
  /** Of the session; a copy has none. */
  externalId: string | undefined;

  /** @param context what the worker says of the run when it begins. */
  constructor(context: JsonObject) {
    const session = section(context, "session");
    this.run = String(section(context, "run").id);
    this.session = String(session.id);
    this.workspace = String(section(context, "workspace").id);
    this.externalId = typeof session.external_id === "string" ? session.external_id : undefined;
  }

  /** Takes the ids of a restored run. Those that are as they were change nothing. */
  become(ids: unknown): void {
    if (!isJsonObject(ids)) return;
    if (typeof ids.session === "string" && ids.session !== this.session) {
      this.session = ids.session;
      this.externalId = undefined;
    }
    if (typeof ids.run === "string") this.run = ids.run;
    if (typeof ids.workspace === "string") this.workspace = ids.workspace;
  }
}

function section(wire: JsonObject, name: string): JsonObject {
  const value = wire[name];
  return isJsonObject(value) ? value : {};
}
