//! Reads server-sent events from bytes as they come (HTML Living Standard, "Interpreting an event stream").

/** One event. */
export interface ServerEvent {
  /** `message` unless the stream says otherwise. */
  readonly name: string;
  readonly data: string;
  /** The last id the stream gave, in this event or before. */
  readonly id: string | undefined;
}

/** An event larger than any that the API sends: a run's output has 4 MiB before its JSON is escaped. */
const LIMIT = 32 * 1024 * 1024;

/** Turns bytes into events, however they are cut. */
export class EventParser {
  readonly #decoder = new TextDecoder();
  #line = "";
  #afterReturn = false;
  #name = "";
  #data: string[] = [];
  #size = 0;
  #id: string | undefined;

  /**
   * Takes bytes and gives the events they complete.
   *
   * @throws RangeError when an event has no end.
   */
  push(bytes: Uint8Array): ServerEvent[] {
    const events: ServerEvent[] = [];
    let text = this.#decoder.decode(bytes, { stream: true });
    // A line feed after a carriage return is the same line's end, also when the bytes were cut between them.
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    if (text.length > 0) this.#afterReturn = text.endsWith("\r");
    const lines = text.split(/\r\n|\r|\n/);
    const last = lines.pop() ?? "";
    for (const line of lines) {
      const event = this.#take(this.#line + line);
      this.#line = "";
      if (event !== undefined) events.push(event);
    }
    this.#line += last;
    if (this.#line.length + this.#size > LIMIT) throw new RangeError("an event of the stream has no end");
    return events;
  }

  #take(line: string): ServerEvent | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (field === "id" && !value.includes("\0")) this.#id = value;
    // Anything else is a comment, which keeps the connection alive, or a field that is of no use here.
    return undefined;
  }

  #dispatch(): ServerEvent | undefined {
    const event = { name: this.#name || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = this.#data.length === 0;
    this.#name = "";
    this.#data = [];
    this.#size = 0;
    return empty ? undefined : event;
  }
}
