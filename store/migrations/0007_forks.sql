-- Live forks: copies of a machine, asked for and made. The workspace is there once it is done.
CREATE TABLE forks (
    workspace_id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL REFERENCES environments (id),
    source_id {text} NOT NULL REFERENCES workspaces (id),
    -- Of the copy. Given anew when whoever was making it may still come back.
    materialization_id {text} NOT NULL UNIQUE,
    checkpoint_id {text} NOT NULL,
    version_id {text} NOT NULL,
    external_id {text},
    metadata {text} NOT NULL,
    tags {text} NOT NULL,
    state {text} NOT NULL CHECK (state IN ('requested', 'done', 'failed')),
    failure {text},
    -- The idempotency key of the request, and what it came with.
    request_key {text},
    request_hash {bytes},
    requested_at {int} NOT NULL,
    ended_at {int},
    CHECK ((state = 'requested') = (ended_at IS NULL)),
    CHECK ((state = 'failed') = (failure IS NOT NULL))
){strict};

CREATE INDEX forks_requested ON forks (source_id) WHERE state = 'requested';
CREATE UNIQUE INDEX forks_by_key ON forks (environment_id, request_key) WHERE request_key IS NOT NULL;

-- What each is a copy of.
ALTER TABLE workspaces ADD COLUMN forked_from {text};
ALTER TABLE sessions ADD COLUMN forked_from {text};
ALTER TABLE runs ADD COLUMN forked_from {text};

-- Of a machine that is a copy: what the runs in it are called inside, which is what the original's were called.
ALTER TABLE materializations ADD COLUMN names {text} NOT NULL DEFAULT '{}';
