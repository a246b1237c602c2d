-- Streams by task, the order of a session's records, tags to look by, and what lists need.

-- What a task of a deployment declares. A name means one thing to a task, and may mean another to the next.
CREATE TABLE task_streams (
    task_row_id {text} NOT NULL REFERENCES deployment_tasks (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    direction {text} NOT NULL CHECK (direction IN ('input', 'output')),
    name {text} NOT NULL,
    schema {text} NOT NULL,
    PRIMARY KEY (task_row_id, direction, name)
){strict};

-- Until now all tasks of a deployment shared its streams.
INSERT INTO task_streams (
    task_row_id, organization_id, project_id, environment_id, direction, name, schema
)
SELECT t.id, s.organization_id, s.project_id, s.environment_id, s.direction, s.name, s.schema
FROM deployment_streams s
JOIN deployment_tasks t ON t.deployment_id = s.deployment_id;

DROP TABLE deployment_streams;

-- Position of the session's last record, over all its streams.
ALTER TABLE sessions ADD COLUMN last_position {int} NOT NULL DEFAULT 0;
-- What the caller who cancelled it gave as the reason.
ALTER TABLE sessions ADD COLUMN cancel_text {text};

ALTER TABLE stream_records ADD COLUMN position {int} NOT NULL DEFAULT 0;
-- The run that the record started, if the session was idle.
ALTER TABLE stream_records ADD COLUMN started_run_id {text};

UPDATE stream_records
SET position = n.position
FROM (
    SELECT id, ROW_NUMBER() OVER (PARTITION BY session_id ORDER BY created_at, id) AS position
    FROM stream_records
) n
WHERE n.id = stream_records.id;

UPDATE sessions
SET last_position = (
    SELECT COUNT(*)
    FROM stream_records r
    WHERE r.session_id = sessions.id
);

CREATE UNIQUE INDEX stream_records_position ON stream_records (session_id, position);

CREATE INDEX sessions_in_workspace ON sessions (environment_id, workspace_id, id);

CREATE TABLE session_tags (
    environment_id {text} NOT NULL,
    tag {text} NOT NULL,
    session_id {text} NOT NULL REFERENCES sessions (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    PRIMARY KEY (environment_id, tag, session_id)
){strict};

CREATE INDEX session_tags_of_session ON session_tags (session_id);

INSERT INTO session_tags (environment_id, tag, session_id, organization_id, project_id)
SELECT DISTINCT o.environment_id, tag.value, o.id, o.organization_id, o.project_id
FROM sessions o, {tags of o};

CREATE TABLE token_tags (
    environment_id {text} NOT NULL,
    tag {text} NOT NULL,
    token_id {text} NOT NULL REFERENCES tokens (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    PRIMARY KEY (environment_id, tag, token_id)
){strict};

INSERT INTO token_tags (environment_id, tag, token_id, organization_id, project_id)
SELECT DISTINCT o.environment_id, tag.value, o.id, o.organization_id, o.project_id
FROM tokens o, {tags of o};

CREATE INDEX tokens_of_run ON tokens (environment_id, run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX tokens_of_session ON tokens (environment_id, session_id, id) WHERE session_id IS NOT NULL;

CREATE INDEX public_access_tokens_newest ON public_access_tokens (environment_id, id);
CREATE INDEX public_access_tokens_of_token ON public_access_tokens (environment_id, token_id, id)
    WHERE token_id IS NOT NULL;
CREATE INDEX public_access_tokens_of_session ON public_access_tokens (environment_id, session_id, id)
    WHERE session_id IS NOT NULL;
