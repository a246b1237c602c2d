//! The page: it completes the one token that its link names, with the public access token that the link carries.
//!
//! The credential is in the link's fragment, which browsers send to no server.
import { HelmrClient, HelmrError } from "@helmr/sdk";

const link = new URLSearchParams(location.hash.slice(1));
const form = element("answer", HTMLFormElement);
const status = element("status", HTMLElement);
element("title", HTMLElement).textContent = link.get("title");

const client = new HelmrClient({
  url: link.get("api") ?? undefined,
  accessToken: link.get("key") ?? undefined,
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const approved = event.submitter?.getAttribute("name") === "approve";
  const comment = String(new FormData(form).get("comment"));
  void answer({ approved, comment });
});

async function answer(data: { approved: boolean; comment: string }): Promise<void> {
  status.textContent = "Sending…";
  try {
    const { alreadyCompleted } = await client.tokens.complete(link.get("token") ?? "", data);
    status.textContent = alreadyCompleted ? "You have answered before." : "Thank you.";
  } catch (error) {
    status.textContent = error instanceof HelmrError ? `Refused: ${error.code}` : String(error);
  }
}

function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${id}`);
}
