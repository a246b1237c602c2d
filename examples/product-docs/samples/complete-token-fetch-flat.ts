await fetch(`/api/v1/tokens/${token.id}/complete`, {
method: "POST",
headers: {
authorization: `Bearer ${token.publicAccessToken}`,
"content-type": "application/json",
},
body: JSON.stringify({ data: { approved: true } }),
})
