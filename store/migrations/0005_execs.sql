-- Commands that people and programs run in a workspace's machine.
CREATE TABLE execs (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    command {text} NOT NULL,
    cwd {text},
    user_name {text},
    env_names {text} NOT NULL,
    -- `NAME=value`, sealed with the environment's key.
    sealed_env {bytes},
    detached {int} NOT NULL CHECK (detached IN (0, 1)),
    timeout_us {int},
    timed_out {int} NOT NULL DEFAULT 0 CHECK (timed_out IN (0, 1)),
    state {text} NOT NULL CHECK (
        state IN ('queued', 'starting', 'running', 'exited', 'killed', 'lost', 'failed')
    ),
    exit_code {int},
    signal {int},
    error {text},
    -- The signals that it was sent, in order.
    signals {text} NOT NULL DEFAULT '[]',
    -- Of each stream: where what is kept begins, and how much there was.
    stdout_start {int} NOT NULL DEFAULT 0,
    stdout_bytes {int} NOT NULL DEFAULT 0,
    stderr_start {int} NOT NULL DEFAULT 0,
    stderr_bytes {int} NOT NULL DEFAULT 0,
    -- Of its input: what was given, what its process has taken, and whether more can come.
    stdin_bytes {int} NOT NULL DEFAULT 0,
    stdin_taken {int} NOT NULL DEFAULT 0,
    stdin_closed {int} NOT NULL DEFAULT 0 CHECK (stdin_closed IN (0, 1)),
    created_at {int} NOT NULL,
    started_at {int},
    ended_at {int},
    CHECK ((state IN ('exited', 'killed', 'lost', 'failed')) = (ended_at IS NOT NULL)),
    CHECK ((state = 'exited') = (exit_code IS NOT NULL)),
    CHECK ((state = 'killed') = (signal IS NOT NULL))
){strict};

CREATE INDEX execs_newest ON execs (workspace_id, id);
CREATE INDEX execs_active ON execs (workspace_id) WHERE ended_at IS NULL;

-- Sealed pieces of what execs print.
CREATE TABLE exec_output (
    exec_id {text} NOT NULL REFERENCES execs (id),
    stream {text} NOT NULL CHECK (stream IN ('stdout', 'stderr')),
    start_offset {int} NOT NULL,
    size_bytes {int} NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (exec_id, stream, start_offset)
){strict};

-- Sealed pieces of what execs are given, until they are taken.
CREATE TABLE exec_input (
    exec_id {text} NOT NULL REFERENCES execs (id),
    start_offset {int} NOT NULL,
    size_bytes {int} NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (exec_id, start_offset)
){strict};
