//! Follows what grows and prints it, an item a line: `outputs SESSION STREAM`, `events RUN` or `logs RUN`.
//!
//! `SLOW_ITEMS` items are taken at the pace of a slow reader, one each 100 ms.
import { HelmrClient } from "@helmr/sdk";

const client = new HelmrClient();
const [what, id = "", stream = ""] = process.argv.slice(2);

function followed(): AsyncIterable<unknown> {
  switch (what) {
    case "outputs":
      return client.sessions.open(id).output(stream).follow();
    case "events":
      return client.runs.events(id).follow();
    case "logs":
      return client.runs.logs(id).follow();
    default:
      throw new Error(`nothing is called ${what}`);
  }
}

let slow = Number(process.env.SLOW_ITEMS ?? 0);
for await (const item of followed()) {
  console.log(JSON.stringify(item));
  if (slow-- > 0) await new Promise((resolve) => setTimeout(resolve, 100));
}
