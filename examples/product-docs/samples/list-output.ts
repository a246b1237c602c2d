const records = await client.sessions.open(sessionId).output(events.id).list()
