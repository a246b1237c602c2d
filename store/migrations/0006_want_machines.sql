-- Since when a machine is asked for in a workspace by itself, until there is one that is live.
ALTER TABLE workspaces ADD COLUMN machine_wanted_at {int};
-- Until when it stays because it was asked for, though nothing runs in it.
ALTER TABLE workspaces ADD COLUMN machine_kept_until {int};
CREATE INDEX workspaces_wanting_machine ON workspaces (id) WHERE machine_wanted_at IS NOT NULL;
