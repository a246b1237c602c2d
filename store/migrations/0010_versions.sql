-- Captures that people asked for and that no worker has made yet. The id is that of the version to be.
CREATE TABLE captures (
    version_id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    message {text},
    -- Why there will be no such version.
    failure {text},
    created_at {int} NOT NULL
){strict};

CREATE INDEX captures_pending ON captures (workspace_id) WHERE failure IS NULL;
CREATE INDEX captures_oldest ON captures (created_at);

-- Its workspace went on from other files: what it leaves is kept as a version beside.
ALTER TABLE materializations ADD COLUMN superseded {int} NOT NULL DEFAULT 0 CHECK (superseded IN (0, 1));

-- Which versions of its workspaces an environment keeps. `NULL`: as is usual.
ALTER TABLE environments ADD COLUMN keep_last_versions {int};
ALTER TABLE environments ADD COLUMN keep_versions_for_us {int};

CREATE INDEX checkpoints_by_version ON checkpoints (version_id);

-- What the last rounds of garbage collection found.
CREATE TABLE sweeps (
    started_at {int} NOT NULL PRIMARY KEY,
    finished_at {int},
    -- Why it ended early.
    failure {text},
    figures {text}
){strict};
