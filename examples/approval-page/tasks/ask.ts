//! Asks for an approval that somebody gives on a page.
import { streams, task, tokens } from "@helmr/sdk";

/** What the page's server reads: `{"title": "…", "tokenId": "…"}`. */
export const requests = streams.output("approval.requests");

export const askOnPage = task({
  id: "ask-on-page",
  run: async () => {
    const title = "Release 2026.06.15 to production?";
    const token = await tokens.create({ timeout: "1h", tags: ["approval", "page"], metadata: { title } });
    await requests.append({ title, tokenId: token.id });
    const answer = await token.wait();
    if (!answer.ok) return { approved: false, why: answer.error.code };
    const data = answer.data as { approved?: unknown; comment?: unknown };
    return { approved: data.approved === true, comment: String(data.comment ?? "") };
  },
});
