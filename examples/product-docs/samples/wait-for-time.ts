await timers.waitFor("10m")
await timers.waitUntil(new Date("2026-06-01T00:00:00Z"))
