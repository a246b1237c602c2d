//! Requests to the API: headers, deadlines, repeats where they are safe, and errors.
import { ConnectionError, errorOf, HelmrError } from "../errors.ts";
import { API_VERSION, SDK_VERSION } from "../version.ts";
import { isJsonObject, type JsonValue } from "./json.ts";
import { fromWire } from "./wire.ts";

/** Options of every request. */
export interface RequestOptions {
  /** Gives the request up. */
  readonly signal?: AbortSignal | undefined;
  /** How long the request may take with its repeats; 60 s when absent. */
  readonly timeoutMs?: number | undefined;
}

/** Options of a request that creates something. */
export interface CreateOptions extends RequestOptions {
  /** A second request with the same key and body gets the first answer. One is made up when absent. */
  readonly idempotencyKey?: string | undefined;
}

/** Values of a query; absent ones are left out. */
export type Query = Readonly<Record<string, string | number | undefined>>;

/** Where requests go and what they carry. */
export interface HttpSettings {
  readonly url: URL;
  readonly credential: string | undefined;
  /** Stands in the query of every request. */
  readonly scope: Query;
  readonly fetch: typeof fetch;
}

const TIMEOUT_MS = 60_000;
const PAUSES_MS = [100, 300, 900];

/** Bytes to send: whole, or as they come. */
type Bytes = string | Uint8Array | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

interface Asked {
  readonly method: "DELETE" | "GET" | "PATCH" | "POST" | "PUT";
  readonly path: readonly string[];
  readonly query?: Query;
  readonly body?: JsonValue;
  readonly bytes?: Bytes;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

/** Sends requests. */
export class Http {
  readonly #settings: HttpSettings;

  constructor(settings: HttpSettings) {
    this.#settings = settings;
  }

  /** Reads. Repeated when the server is out of reach. */
  get<T>(path: readonly string[], query: Query = {}, options: RequestOptions = {}): Promise<T> {
    return this.#answer({ method: "GET", path, query }, true, options);
  }

  /** Creates, once, however often the request has to be sent. */
  create<T>(path: readonly string[], body: JsonValue, options: CreateOptions = {}): Promise<T> {
    const headers = { "idempotency-key": options.idempotencyKey ?? globalThis.crypto.randomUUID() };
    return this.#answer({ method: "POST", path, body, headers }, true, options);
  }

  /** Changes something in a way that may be repeated. */
  post<T>(path: readonly string[], body: JsonValue, options: RequestOptions = {}): Promise<T> {
    return this.#answer({ method: "POST", path, body }, true, options);
  }

  /** Changes something in a way that must not be repeated. */
  postOnce<T>(path: readonly string[], body: JsonValue, options: RequestOptions = {}): Promise<T> {
    return this.#answer({ method: "POST", path, body }, false, options);
  }

  /** Replaces parts of something. Repeating it is fine. */
  patch<T>(path: readonly string[], body: JsonValue, options: RequestOptions = {}): Promise<T> {
    return this.#answer({ method: "PATCH", path, body }, true, options);
  }

  /** Deletes. Repeating it is fine. */
  delete<T>(path: readonly string[], query: Query = {}, options: RequestOptions = {}): Promise<T> {
    return this.#answer({ method: "DELETE", path, query }, true, options);
  }

  /** Sends a request once, with bytes if there are any, and gives the answer with its body unread. Takes as long as it takes. */
  open(
    method: Asked["method"],
    path: readonly string[],
    sent: {
      readonly query?: Query;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: Bytes;
    },
    options: RequestOptions = {},
  ): Promise<Response> {
    const deadline = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs);
    const signals = [options.signal, deadline].filter((signal) => signal !== undefined);
    const signal = signals.length === 0 ? undefined : AbortSignal.any(signals);
    const { query, headers, body } = sent;
    return this.#send({
      method,
      path,
      ...(query !== undefined && { query }),
      ...(headers !== undefined && { headers }),
      ...(body !== undefined && { bytes: body }),
      signal,
    });
  }

  /** Reads the JSON of an answer. */
  async read<T>(response: Response): Promise<T> {
    return fromWire<T>(await readJson(response, [new URL(response.url).pathname]));
  }

  /** Opens a stream of events after the one with the id. Its bytes have no end to wait for. */
  async events(
    path: readonly string[],
    query: Query,
    lastId: string | undefined,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (lastId !== undefined) headers["last-event-id"] = lastId;
    const response = await this.#send({ method: "GET", path, query, headers, signal });
    const kind = response.headers.get("content-type") ?? "";
    if (!kind.startsWith("text/event-stream") || response.body === null) {
      await response.body?.cancel();
      throw foreign(path, response.status, `it answered with ${kind || "nothing"} instead of events`);
    }
    return response.body;
  }

  /** Opens a WebSocket. Node's takes headers, so that the credential does not stand in the address. */
  socket(path: readonly string[], query: Query): WebSocket {
    const url = this.#url(path, query);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const Socket = WebSocket as unknown as new (
      url: URL,
      options: { readonly headers: Readonly<Record<string, string>> },
    ) => WebSocket;
    return new Socket(url, { headers: this.#headers() });
  }

  /** Opens an answer that is bytes. They have no deadline. */
  async bytes(
    path: readonly string[],
    query: Query = {},
    options: Pick<RequestOptions, "signal"> = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const signal = options.signal ?? new AbortController().signal;
    const headers = { accept: "*/*" };
    const response = await this.#send({ method: "GET", path, query, headers, signal });
    if (response.body === null) throw foreign(path, response.status, "its answer has no bytes");
    return response.body;
  }

  /** Sends bytes as they come, once. They have no deadline. */
  async sendBytes<T>(
    path: readonly string[],
    query: Query,
    bytes: Uint8Array | ReadableStream<Uint8Array>,
    options: CreateOptions & { readonly contentType: string },
  ): Promise<T> {
    const headers: Record<string, string> = { "content-type": options.contentType };
    if (options.idempotencyKey !== undefined) headers["idempotency-key"] = options.idempotencyKey;
    const signal = options.signal ?? new AbortController().signal;
    const response = await this.#send({ method: "POST", path, query, bytes, headers, signal });
    return fromWire<T>(await readJson(response, path));
  }

  async #answer<T>(asked: Omit<Asked, "signal">, repeatable: boolean, options: RequestOptions): Promise<T> {
    const deadline = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
    for (let sent = 0; ; sent++) {
      try {
        const response = await this.#send({ ...asked, signal });
        return fromWire<T>(await readJson(response, asked.path));
      } catch (error) {
        options.signal?.throwIfAborted();
        if (deadline.aborted) throw late(asked.path, error);
        const pause = PAUSES_MS[sent];
        if (!repeatable || pause === undefined || !isPassing(error)) throw error;
        await pausing(pause, signal).catch(() => undefined);
      }
    }
  }

  /** Sends once; a refusal is an error. */
  async #send(asked: Asked): Promise<Response> {
    const url = this.#url(asked.path, asked.query);
    const headers: Record<string, string> = {
      accept: "application/json",
      ...this.#headers(),
      ...asked.headers,
    };
    if (asked.body !== undefined) headers["content-type"] = "application/json";
    else if (asked.bytes !== undefined) headers["content-type"] ??= "application/octet-stream";
    let response: Response;
    try {
      response = await this.#settings.fetch(url, {
        method: asked.method,
        headers,
        ...(asked.signal !== undefined && { signal: asked.signal }),
        // A credential must not follow a redirect to another server.
        redirect: "error",
        credentials: "omit",
        ...(asked.body !== undefined && { body: JSON.stringify(asked.body) }),
        // Bytes that come as they come are sent while the answer is awaited.
        ...(asked.bytes !== undefined && { body: asked.bytes as never, duplex: "half" }),
      } as RequestInit);
    } catch (cause) {
      const message = `${asked.method} ${url.pathname}: the server at ${url.origin} was not reached`;
      throw new ConnectionError({ status: 0, code: "connection_failed", message, cause });
    }
    if (response.ok) return response;
    throw await refusal(response, asked.path);
  }

  #url(path: readonly string[], query: Query = {}): URL {
    const url = new URL(this.#settings.url);
    const base = url.pathname.replace(/\/$/, "");
    url.pathname = [base, "api", "v1", ...path.map(encodeURIComponent)].join("/");
    for (const [name, value] of Object.entries({ ...this.#settings.scope, ...query })) {
      if (value !== undefined) url.searchParams.append(name, String(value));
    }
    return url;
  }

  /** What every request carries. */
  #headers(): Record<string, string> {
    const headers: Record<string, string> = {
      "helmr-api-version": API_VERSION,
      "helmr-client": `sdk/${SDK_VERSION}`,
    };
    if (this.#settings.credential !== undefined) {
      headers.authorization = `Bearer ${this.#settings.credential}`;
    }
    return headers;
  }
}

async function readJson(response: Response, path: readonly string[]): Promise<JsonValue> {
  const text = await response.text().catch((cause: unknown) => {
    const message = `${path.join("/")}: the answer was cut off`;
    throw new ConnectionError({ status: 0, code: "connection_failed", message, cause });
  });
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw foreign(path, response.status, "its answer is not JSON");
  }
}

async function refusal(response: Response, path: readonly string[]): Promise<HelmrError> {
  const text = await response.text().catch(() => "");
  try {
    return errorOfBody(JSON.parse(text) as JsonValue, response.status) ?? unnamed(response.status, path);
  } catch {
    return unnamed(response.status, path);
  }
}

/** The error of a body `{"error": {...}}`, or nothing when it is no such body. */
export function errorOfBody(body: JsonValue, status: number): HelmrError | undefined {
  const error = isJsonObject(body) ? body.error : undefined;
  if (!isJsonObject(error) || typeof error.code !== "string") return undefined;
  return errorOf({
    status,
    code: error.code,
    message: String(error.message ?? error.code),
    requestId: typeof error.request_id === "string" ? error.request_id : undefined,
    details: error.details,
  });
}

/** A refusal that is not in Helmr's form, such as a proxy's. */
function unnamed(status: number, path: readonly string[]): HelmrError {
  return errorOf({
    status,
    code: "invalid_response",
    message: `${path.join("/")}: status ${status} without a reason`,
  });
}

function foreign(path: readonly string[], status: number, why: string): ConnectionError {
  return new ConnectionError({
    status,
    code: "invalid_response",
    message: `${path.join("/")}: this is not a Helmr server: ${why}`,
  });
}

function late(path: readonly string[], cause: unknown): ConnectionError {
  return new ConnectionError({
    status: 0,
    code: "timeout",
    message: `${path.join("/")}: no answer in time`,
    cause,
  });
}

/** Whether trying again may help. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof HelmrError)) return false;
  return (
    error.code === "connection_failed" || error.status === 429 || error.status === 502 || error.status === 503
  );
}

/** Waits; rejects with the signal's reason when it aborts first. */
export function pausing(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
