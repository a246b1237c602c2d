await events.append({
  type: "started",
})
