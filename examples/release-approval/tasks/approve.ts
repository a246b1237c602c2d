//! Asks somebody outside for an approval, by a URL that a provider calls back.
import { streams, task, tokens } from "@helmr/sdk";

/** What the bridge to the provider reads: `{"title": "…", "callbackUrl": "…"}`. */
export const requests = streams.output("approval.requests");

/** How the provider answered. Providers send forms, where everything is text. */
interface Answer {
  readonly approved: boolean;
  readonly reviewer: string | null;
}

export const approveRelease = task({
  id: "approve-release",
  run: async () => {
    const token = await tokens.create({
      timeout: "1h",
      tags: ["approval"],
      metadata: { release: "2026.06.15" },
    });
    // The URL is the whole secret: who has it can answer once, and can do nothing else.
    await requests.append({ title: "Release 2026.06.15?", callbackUrl: token.callbackUrl });

    const answer = await token.wait();
    if (!answer.ok) return { released: false, why: answer.error.code };
    const { approved, reviewer } = answerOf(answer.data);
    return { released: approved, reviewer };
  },
});

/** Reads the answer; what is not clearly an approval is none. */
function answerOf(data: unknown): Answer {
  if (typeof data !== "object" || data === null) return { approved: false, reviewer: null };
  const { approved, reviewer } = data as { approved?: unknown; reviewer?: unknown };
  return {
    approved: approved === true || approved === "yes",
    reviewer: typeof reviewer === "string" ? reviewer : null,
  };
}
