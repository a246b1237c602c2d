//! `HelmrClient`: the public API for backends, tools and browsers.
import { Http } from "./internal/http.ts";
import { Execs } from "./resources/execs.ts";
import { Ptys } from "./resources/ptys.ts";
import { Auth } from "./resources/public-tokens.ts";
import { Quotas } from "./resources/quotas.ts";
import { Runs } from "./resources/runs.ts";
import { Sessions } from "./resources/sessions.ts";
import { Storage } from "./resources/storage.ts";
import { Tokens } from "./resources/tokens.ts";
import { Workspaces } from "./resources/workspaces.ts";

/** Options of the client. */
export interface ClientOptions {
  /** The server; `HELMR_API_URL` when absent. `http:` is accepted on loopback only. */
  readonly url?: string | URL | undefined;
  /** An API key, for backends; `HELMR_API_KEY` when absent. */
  readonly apiKey?: string | undefined;
  /** A public access token, for browsers. */
  readonly accessToken?: string | undefined;
  /** Names the project (slug or id) where the key is for the whole organization. */
  readonly project?: string | undefined;
  /** Names the environment (slug or id) where the key is for the whole organization. */
  readonly environment?: string | undefined;
  /** Replaces the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
}

/**
 * A client of the public API.
 *
 * @example
 * const client = new HelmrClient({ url: "https://helmr.example.com", apiKey: process.env.HELMR_API_KEY });
 * const { run } = await client.sessions.startAndWait("release");
 */
export class HelmrClient {
  readonly sessions: Sessions;
  readonly runs: Runs;
  readonly tokens: Tokens;
  readonly workspaces: Workspaces;
  readonly execs: Execs;
  readonly ptys: Ptys;
  readonly quotas: Quotas;
  readonly storage: Storage;
  readonly auth: Auth;

  /** @throws TypeError when the server or the credential is missing or unfit. */
  constructor(options: ClientOptions = {}) {
    const http = new Http({
      url: serverUrl(options.url ?? environment("HELMR_API_URL")),
      credential: credential(options),
      scope: { project_id: options.project, environment_id: options.environment },
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    });
    this.runs = new Runs(http);
    this.sessions = new Sessions(http, this.runs);
    this.tokens = new Tokens(http);
    this.workspaces = new Workspaces(http);
    this.execs = new Execs(http);
    this.ptys = new Ptys(http);
    this.quotas = new Quotas(http);
    this.storage = new Storage(http);
    this.auth = new Auth(http);
  }
}

function serverUrl(given: string | URL | undefined): URL {
  if (given === undefined || given === "") {
    throw new TypeError("HelmrClient needs a server: give url, or set HELMR_API_URL");
  }
  const url = new URL(given);
  if (url.username !== "" || url.password !== "")
    throw new TypeError("the server's URL must hold no credential");
  if (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname))) return url;
  throw new TypeError(
    `${url.protocol}//${url.host} would send credentials in clear: use https: (http: works on loopback only)`,
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

function credential({ apiKey, accessToken }: ClientOptions): string | undefined {
  if (apiKey !== undefined && accessToken !== undefined) {
    throw new TypeError("HelmrClient takes apiKey or accessToken, not both");
  }
  const given = accessToken ?? apiKey ?? environment("HELMR_API_KEY");
  if (given === undefined || given === "") {
    throw new TypeError(
      "HelmrClient needs a credential: give apiKey (or accessToken in browsers), or set HELMR_API_KEY",
    );
  }
  return given;
}

/** Browsers have no environment. */
function environment(name: string): string | undefined {
  return typeof process === "undefined" ? undefined : process.env?.[name];
}
