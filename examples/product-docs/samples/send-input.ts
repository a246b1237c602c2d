await client.sessions.open(sessionId).input("messages").send({
  text: "continue",
})
