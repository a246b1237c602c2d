-- What an environment may hold; without a number there is no limit.
ALTER TABLE environments ADD COLUMN quota_workspaces {int} CHECK (quota_workspaces >= 0);
ALTER TABLE environments ADD COLUMN quota_version_bytes {int} CHECK (quota_version_bytes >= 0);
ALTER TABLE environments ADD COLUMN quota_machines {int} CHECK (quota_machines >= 0);

-- Summed up whenever new work comes to an environment with a quota.
CREATE INDEX versions_of_environment ON versions (environment_id, changed_bytes);
CREATE INDEX workspaces_held ON workspaces (environment_id) WHERE state <> 'deleted';
CREATE INDEX materializations_taking_room_of_environment ON materializations (environment_id)
    WHERE ended_at IS NULL AND state <> 'parked';
