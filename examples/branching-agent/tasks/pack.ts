//! An agent that can be branched mid-thought: it studies a problem once, keeps what it learned in memory, and then waits to
//! be told how to go about it. Whoever forks its machine while it waits has two agents that know the same.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { streams, task } from "@helmr/sdk";
import { isStrategy, pack, STRATEGIES, sizes } from "../puzzle/packing.ts";

/** How to go about it: `{"strategy": "…"}`. */
export const orders = streams.input("orders");
/** What the agent says: that it is ready, and what came of a strategy. */
export const findings = streams.output("findings");

export const packTapes = task({
  id: "pack-tapes",
  run: async (_payload, ctx) => {
    const began = Date.now();
    // The expensive part, which no branch does again.
    const studied = sizes(400);
    await findings.append({ ready: true, studied: studied.length });
    const order = await orders.wait().unwrap();
    const strategy = strategyOf(order);
    const tapes = pack(studied, strategy);
    const file = join(ctx.workspace.path, "plan.json");
    await writeFile(file, JSON.stringify({ strategy, tapes }));
    await findings.append({ strategy, tapes: tapes.length });
    // The same in every branch: they share what was before.
    return { strategy, tapes: tapes.length, began, workspace: ctx.workspace.id };
  },
});

function strategyOf(data: unknown): (typeof STRATEGIES)[number] {
  const strategy =
    typeof data === "object" && data !== null && "strategy" in data ? data.strategy : undefined;
  if (isStrategy(strategy)) return strategy;
  throw new Error(`strategy must be one of ${STRATEGIES.join(", ")}`);
}
