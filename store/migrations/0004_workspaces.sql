-- Placement looks at the machines that take room, of which there are few beside those that are parked.
CREATE INDEX materializations_taking_room ON materializations (worker_id)
    WHERE ended_at IS NULL AND state <> 'parked';

-- What a worker that comes or changes forgets.
CREATE INDEX workspaces_not_placed ON workspaces (id) WHERE placement_reason IS NOT NULL;
