import { task, tokens } from "@helmr/sdk"

export const release = task({
  id: "release",
  run: async () => {
    const token = await tokens.create({
      timeout: "1h",
      tags: ["approval", "production"],
      metadata: { release: "2026.06.15" },
    })

    await sendSlackApproval({
      tokenId: token.id,
    })

    const decision = await token.wait({
      schema: approvalDecisionSchema,
    }).unwrap()

    if (!decision.approved) return { deployed: false }
    return await deployProduction()
  },
})
