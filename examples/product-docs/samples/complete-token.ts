await client.tokens.complete(token.id, {
  approved: true,
  reviewer: "slack:U123",
})
