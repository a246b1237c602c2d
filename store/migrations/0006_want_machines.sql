-- Since when a machine is asked for in a workspace by itself, until there is one that is live.
ALTER TABLE workspaces ADD COLUMN machine_wanted_at {int};
-- When that was asked last: the machine stays from then on as long as one in which nothing runs does.
ALTER TABLE workspaces ADD COLUMN materialized_at {int};
CREATE INDEX workspaces_wanting_machine ON workspaces (id) WHERE machine_wanted_at IS NOT NULL;
