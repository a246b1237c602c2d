await client.sessions.open(sessionId).input(messages.id).send(
{
text: "Please also update the tests.",
actor: "slack:U123",
},
{
correlationId: "thread-1",
},
)
