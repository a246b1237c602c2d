//! Names that fragments of the documentation take from the text around them.
import type {
  CreatedToken,
  HelmrClient,
  InputStream,
  OutputStream,
  streams as streamsApi,
  timers as timersApi,
} from "@helmr/sdk";
import type { z as zod } from "zod";

declare global {
  const client: HelmrClient;
  const sessionId: string;
  const token: CreatedToken;
  const streams: typeof streamsApi;
  const timers: typeof timersApi;
  const z: typeof zod;
  const messages: InputStream<"messages", { text: string; actor: string }>;
  const events: OutputStream<"agent.events", { type: string; message?: string }>;
}
