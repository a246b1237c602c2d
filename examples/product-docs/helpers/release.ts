//! What the documentation's samples use without declaring it, for real, but without Slack, email or production.
import { logger } from "@helmr/sdk";
import { z } from "zod";

const schema = z.object({ approved: z.boolean(), reviewer: z.string().optional() });

declare global {
  var approvalDecisionSchema: typeof schema;
  var sendSlackApproval: (request: { tokenId: string }) => Promise<void>;
  var sendApprovalEmail: (request: { callbackUrl: string }) => Promise<void>;
  var deployProduction: () => Promise<{ deployed: boolean }>;
}

globalThis.approvalDecisionSchema = schema;
globalThis.sendSlackApproval = async ({ tokenId }) => logger.info("approval requested", { tokenId });
// The URL is a secret, so it is not logged.
globalThis.sendApprovalEmail = async () => logger.info("approval requested by email");
globalThis.deployProduction = async () => ({ deployed: true });
