import { streams } from "@helmr/sdk"
import { z } from "zod"
const messages = streams.input("messages", {
schema: z.object({
text: z.string(),
actor: z.string(),
}),
})
const nextMessage = await messages.wait({
timeout: "30m",
correlationId: "thread-1",
}).unwrap()
