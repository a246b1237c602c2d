-- Placement looks at the machines that take room, of which there are few beside those that are parked.
CREATE INDEX materializations_taking_room ON materializations (worker_id)
    WHERE ended_at IS NULL AND state <> 'parked';

-- What a worker that comes or changes forgets.
CREATE INDEX workspaces_not_placed ON workspaces (id) WHERE placement_reason IS NOT NULL;

-- The deployment from which a workspace's sandbox came, for a machine that is wanted when no run is queued.
ALTER TABLE workspaces ADD COLUMN deployment_id {text} REFERENCES deployments (id);
-- Until now a session made each of them.
UPDATE workspaces
SET deployment_id = (
    SELECT s.deployment_id
    FROM sessions s
    WHERE s.environment_id = workspaces.environment_id AND s.workspace_id = workspaces.id
    ORDER BY s.id
    LIMIT 1
);

CREATE TABLE workspace_tags (
    environment_id {text} NOT NULL,
    tag {text} NOT NULL,
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    PRIMARY KEY (environment_id, tag, workspace_id)
){strict};

CREATE INDEX workspace_tags_of_workspace ON workspace_tags (workspace_id);

-- Told to end for good: nothing joins it any more.
ALTER TABLE materializations ADD COLUMN ending {int} NOT NULL DEFAULT 0 CHECK (ending IN (0, 1));
-- The last machine of a workspace is shown also when it is over.
CREATE INDEX materializations_newest ON materializations (workspace_id, id);
