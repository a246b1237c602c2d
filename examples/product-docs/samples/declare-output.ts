const events = streams.output("agent.events", {
schema: z.object({
type: z.string(),
message: z.string(),
}),
})
await events.append({
type: "review.started",
message: "Reviewing pull request.",
})
