import { tokens } from "@helmr/sdk"
const token = await tokens.create({
timeout: "1h",
tags: ["approval", "email"],
metadata: { action: "release" },
})
await sendApprovalEmail({
callbackUrl: token.callbackUrl,
})
const decision = await token.wait({
schema: approvalDecisionSchema,
}).unwrap()
