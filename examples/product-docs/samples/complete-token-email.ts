await client.tokens.complete(token.id, {
approved: true,
reviewer: "email:reviewer@example.com",
})
