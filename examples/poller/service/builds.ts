//! Stands in for a build service: HTTP on loopback, inside the machine. It lives through the parks with the task.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A build as the service shows it. */
export type Build = {
  state: "running" | "passed";
  looks: number;
};

export class BuildService implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts the service; its build is done when it was looked at so many times. */
  static async start({ doneAfter }: { doneAfter: number }): Promise<BuildService> {
    let looks = 0;
    const server = createServer((_request, response) => {
      looks += 1;
      const build: Build = { state: looks < doneAfter ? "running" : "passed", looks };
      // A connection that is kept open would have to outlive the pause.
      response.writeHead(200, { "content-type": "application/json", connection: "close" });
      response.end(JSON.stringify(build));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new BuildService(server);
  }

  async look(id: string): Promise<Build> {
    const { port } = this.#server.address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}/builds/${id}`);
    return (await answer.json()) as Build;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
