//! A chat agent without a model: it answers what it is told, and remembers it.
//!
//! A session is one conversation. Each run answers what is unread and listens a little longer; when nobody says anything,
//! it ends, and nothing is used until the next message starts the session's next run. What the agent knows lies in its
//! workspace, which all runs of the session share.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { streams, task } from "@helmr/sdk";

/** What people say: `{"text": "…"}`. */
export const messages = streams.input("messages");
/** What the agent answers: `{"text": "…", "run": "…"}`. */
export const replies = streams.output("replies");

/** How long the agent listens for one more message before its run ends. */
const PATIENCE = "1s";

interface Memory {
  readonly name?: string;
  readonly heard: number;
}

export const chat = task({
  id: "chat",
  run: async (_payload, ctx) => {
    const file = join(ctx.workspace.path, "memory.json");
    let memory = await recall(file);
    let answered = 0;
    for (;;) {
      // Parks at once when nothing is there; a message or the timeout wakes it.
      const next = await messages.wait({ timeout: PATIENCE });
      if (!next.ok) return { answered, heard: memory.heard };
      const [text, remembered] = reply(textOf(next.data), memory);
      memory = remembered;
      await writeFile(file, JSON.stringify(memory));
      await replies.append({ text, run: ctx.run.id });
      answered += 1;
    }
  },
});

/** The agent's thinking: what to answer, and what it knows afterwards. */
function reply(text: string, before: Memory): [string, Memory] {
  const memory = { ...before, heard: before.heard + 1 };
  const name = /\bmy name is (\w+)/i.exec(text)?.[1];
  if (name !== undefined) return [`Hello ${name}.`, { ...memory, name }];
  if (/\bwho am i\b/i.test(text)) return [memory.name ?? "I do not know yet.", memory];
  return [`That was message ${memory.heard}: ${text}`, memory];
}

async function recall(file: string): Promise<Memory> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Memory;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { heard: 0 };
    throw error;
  }
}

function textOf(data: unknown): string {
  const text = typeof data === "object" && data !== null && "text" in data ? data.text : undefined;
  return typeof text === "string" ? text : "";
}
