-- The tables of Helmr. Times are microseconds UTC, booleans 0 and 1, ids TypeID text, JSON text.

CREATE TABLE organizations (
    id {text} NOT NULL PRIMARY KEY,
    name {text} NOT NULL,
    slug {text} NOT NULL UNIQUE,
    created_at {int} NOT NULL
){strict};

CREATE TABLE projects (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL REFERENCES organizations (id),
    name {text} NOT NULL,
    slug {text} NOT NULL,
    created_at {int} NOT NULL,
    UNIQUE (organization_id, slug)
){strict};

CREATE TABLE environments (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL REFERENCES organizations (id),
    project_id {text} NOT NULL REFERENCES projects (id),
    name {text} NOT NULL,
    slug {text} NOT NULL,
    hot_window_us {int},
    created_at {int} NOT NULL,
    UNIQUE (project_id, slug)
){strict};

-- Data keys, wrapped by the root key.
CREATE TABLE environment_keys (
    environment_id {text} NOT NULL REFERENCES environments (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    version {int} NOT NULL,
    wrapped_key {bytes} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (environment_id, version)
){strict};

CREATE TABLE api_keys (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL REFERENCES organizations (id),
    -- Both or neither: an organization-wide key names its scope in each request.
    project_id {text},
    environment_id {text},
    name {text} NOT NULL,
    hash {bytes} NOT NULL UNIQUE,
    scopes {text} NOT NULL,
    expires_at {int},
    revoked_at {int},
    last_used_at {int},
    created_at {int} NOT NULL,
    CHECK ((project_id IS NULL) = (environment_id IS NULL))
){strict};

CREATE TABLE worker_groups (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL REFERENCES organizations (id),
    name {text} NOT NULL,
    enrolment_hash {bytes} NOT NULL UNIQUE,
    created_at {int} NOT NULL,
    UNIQUE (organization_id, name)
){strict};

CREATE TABLE workers (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    group_id {text} NOT NULL REFERENCES worker_groups (id),
    name {text} NOT NULL,
    credential_hash {bytes} NOT NULL UNIQUE,
    state {text} NOT NULL CHECK (state IN ('active', 'draining', 'offline')),
    connected {int} NOT NULL CHECK (connected IN (0, 1)),
    cpu_millis {int} NOT NULL,
    memory_mib {int} NOT NULL,
    disk_mib {int} NOT NULL,
    slots {int} NOT NULL,
    free {text} NOT NULL,
    labels {text} NOT NULL,
    drivers {text} NOT NULL,
    protocols {text} NOT NULL,
    last_seen_at {int} NOT NULL,
    created_at {int} NOT NULL
){strict};

CREATE TABLE installation (
    id {int} NOT NULL PRIMARY KEY CHECK (id = 1),
    organization_id {text} NOT NULL REFERENCES organizations (id),
    project_id {text} NOT NULL REFERENCES projects (id),
    environment_id {text} NOT NULL REFERENCES environments (id),
    group_id {text} NOT NULL REFERENCES worker_groups (id),
    wrapped_key {bytes} NOT NULL,
    created_at {int} NOT NULL
){strict};

CREATE TABLE images (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL REFERENCES organizations (id),
    digest {text} NOT NULL,
    manifest {text} NOT NULL,
    size_bytes {int} NOT NULL,
    config {text} NOT NULL,
    created_at {int} NOT NULL,
    UNIQUE (organization_id, digest)
){strict};

-- A name points to the image that was last given it.
CREATE TABLE image_names (
    organization_id {text} NOT NULL,
    name {text} NOT NULL,
    image_id {text} NOT NULL REFERENCES images (id),
    updated_at {int} NOT NULL,
    PRIMARY KEY (organization_id, name)
){strict};

-- `environment_id` is empty for blobs under the installation's key.
CREATE TABLE blobs (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    sha256 {text} NOT NULL,
    manifest {text} NOT NULL,
    size_bytes {int} NOT NULL,
    created_at {int} NOT NULL,
    UNIQUE (organization_id, environment_id, sha256)
){strict};

CREATE TABLE deployments (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL REFERENCES environments (id),
    version {text} NOT NULL,
    status {text} NOT NULL CHECK (status IN ('queued', 'building', 'deployed', 'failed')),
    content_hash {text} NOT NULL,
    bundle_sha256 {text} NOT NULL,
    bundle_manifest {text} NOT NULL,
    bundle_size_bytes {int} NOT NULL,
    worker_protocol {int} NOT NULL,
    provenance {text} NOT NULL,
    failure {text},
    created_at {int} NOT NULL,
    deployed_at {int},
    UNIQUE (environment_id, version)
){strict};

CREATE INDEX deployments_newest ON deployments (environment_id, id);

CREATE TABLE deployment_sandboxes (
    deployment_id {text} NOT NULL REFERENCES deployments (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    name {text} NOT NULL,
    -- What a workspace must match to be attached.
    fingerprint {text} NOT NULL,
    spec {text} NOT NULL,
    definition {text} NOT NULL,
    PRIMARY KEY (deployment_id, name)
){strict};

CREATE TABLE deployment_tasks (
    id {text} NOT NULL PRIMARY KEY,
    deployment_id {text} NOT NULL REFERENCES deployments (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    task_id {text} NOT NULL,
    sandbox {text} NOT NULL,
    module {text} NOT NULL,
    export {text} NOT NULL,
    max_duration_us {int} NOT NULL,
    ttl_us {int},
    queue {text},
    retry {text} NOT NULL,
    secrets {text} NOT NULL,
    payload_schema {text},
    definition {text} NOT NULL,
    UNIQUE (deployment_id, task_id),
    FOREIGN KEY (deployment_id, sandbox) REFERENCES deployment_sandboxes (deployment_id, name)
){strict};

CREATE TABLE deployment_streams (
    deployment_id {text} NOT NULL REFERENCES deployments (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    direction {text} NOT NULL CHECK (direction IN ('input', 'output')),
    name {text} NOT NULL,
    schema {text} NOT NULL,
    PRIMARY KEY (deployment_id, direction, name)
){strict};

CREATE TABLE promotions (
    environment_id {text} NOT NULL,
    number {int} NOT NULL,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    deployment_id {text} NOT NULL REFERENCES deployments (id),
    promoted_at {int} NOT NULL,
    PRIMARY KEY (environment_id, number)
){strict};

CREATE TABLE workspaces (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL REFERENCES environments (id),
    external_id {text},
    sandbox {text} NOT NULL,
    fingerprint {text} NOT NULL,
    mount_path {text} NOT NULL,
    state {text} NOT NULL CHECK (state IN ('active', 'archived', 'recovery_required', 'deleted')),
    current_version_id {text},
    metadata {text} NOT NULL,
    tags {text} NOT NULL,
    auto_stop_after_us {int},
    last_activity_at {int} NOT NULL,
    size_bytes {int} NOT NULL,
    created_at {int} NOT NULL,
    -- The lease of its machine.
    lease_state {text} NOT NULL CHECK (lease_state IN ('released', 'held', 'expired')),
    lease_epoch {int} NOT NULL,
    lease_worker_id {text} REFERENCES workers (id),
    lease_expires_at {int},
    -- Of the assignment: grows with each change of it.
    revision {int} NOT NULL,
    -- Why nothing in it is placed.
    placement_reason {text},
    -- The worker that has its newest files at hand.
    last_worker_id {text},
    CHECK ((lease_state = 'held') = (lease_worker_id IS NOT NULL)),
    CHECK ((lease_state = 'held') = (lease_expires_at IS NOT NULL))
){strict};

CREATE UNIQUE INDEX workspaces_external_id ON workspaces (environment_id, external_id)
    WHERE external_id IS NOT NULL AND state <> 'deleted';
CREATE INDEX workspaces_newest ON workspaces (environment_id, id);
CREATE INDEX workspaces_lease_expiry ON workspaces (lease_expires_at) WHERE lease_state = 'held';
CREATE INDEX workspaces_lease_worker ON workspaces (lease_worker_id) WHERE lease_state = 'held';

CREATE TABLE versions (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    parent_id {text},
    kind {text} NOT NULL CHECK (kind IN ('image', 'auto', 'manual', 'fork', 'restore')),
    message {text},
    manifest {text} NOT NULL,
    size_bytes {int} NOT NULL,
    changed_bytes {int} NOT NULL,
    created_at {int} NOT NULL
){strict};

CREATE INDEX versions_newest ON versions (workspace_id, id);

-- What an image holds at a mount path, captured once for each environment.
CREATE TABLE seeds (
    environment_id {text} NOT NULL,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    image_digest {text} NOT NULL,
    mount_path {text} NOT NULL,
    manifest {text} NOT NULL,
    size_bytes {int} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (environment_id, image_digest, mount_path)
){strict};

CREATE TABLE materializations (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    state {text} NOT NULL,
    -- Parked or resuming: what it is restored from.
    checkpoint_id {text},
    -- Of the last lease, which may be over.
    worker_id {text} NOT NULL,
    epoch {int} NOT NULL,
    driver {text} NOT NULL,
    spec {text} NOT NULL,
    cpu_millis {int} NOT NULL,
    memory_mib {int} NOT NULL,
    -- Its files when it started: `NULL` for those of the image.
    base_version_id {text},
    -- That the worker must speak.
    protocol {int} NOT NULL,
    -- Whether something in it may have written to its files.
    touched {int} NOT NULL CHECK (touched IN (0, 1)),
    -- Told to make room.
    leaving {int} NOT NULL CHECK (leaving IN (0, 1)),
    -- Wakes that failed since it was last live.
    failed_wakes {int} NOT NULL,
    not_before_at {int} NOT NULL,
    failure {text},
    requested_at {int} NOT NULL,
    live_at {int},
    parked_at {int},
    ended_at {int},
    CHECK ((state IN ('parked', 'resuming')) = (checkpoint_id IS NOT NULL)),
    CHECK ((state IN ('stopped', 'lost', 'failed')) = (ended_at IS NOT NULL))
){strict};

-- At most one machine of a workspace is not over.
CREATE UNIQUE INDEX materializations_current ON materializations (workspace_id)
    WHERE ended_at IS NULL;
CREATE INDEX materializations_by_worker ON materializations (worker_id) WHERE ended_at IS NULL;

CREATE TABLE checkpoints (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    materialization_id {text} NOT NULL REFERENCES materializations (id),
    version_id {text} NOT NULL REFERENCES versions (id),
    -- The worker on whose disk it is.
    worker_id {text} NOT NULL,
    epoch {int} NOT NULL,
    runtime_identity {text} NOT NULL,
    size_bytes {int} NOT NULL,
    timings {text} NOT NULL,
    created_at {int} NOT NULL,
    -- Its memory lives elsewhere or is useless.
    dropped_at {int}
){strict};

CREATE INDEX checkpoints_by_machine ON checkpoints (materialization_id);

CREATE TABLE sessions (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL REFERENCES environments (id),
    external_id {text},
    task_id {text} NOT NULL,
    task_row_id {text} NOT NULL REFERENCES deployment_tasks (id),
    deployment_id {text} NOT NULL REFERENCES deployments (id),
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    -- Whether the caller chose the workspace; part of the fingerprint.
    workspace_given {int} NOT NULL CHECK (workspace_given IN (0, 1)),
    status {text} NOT NULL CHECK (status IN ('open', 'closed', 'cancelled', 'expired')),
    active_run_id {text},
    last_run_id {text},
    runs {int} NOT NULL,
    payload {text},
    run_options {text} NOT NULL,
    metadata {text} NOT NULL,
    tags {text} NOT NULL,
    expires_at {int},
    result {text},
    error {text},
    created_at {int} NOT NULL,
    ended_at {int},
    CHECK ((status = 'open') = (ended_at IS NULL))
){strict};

CREATE UNIQUE INDEX sessions_open_external_id ON sessions (environment_id, external_id)
    WHERE external_id IS NOT NULL AND status = 'open';
CREATE INDEX sessions_newest ON sessions (environment_id, id);

CREATE TABLE session_streams (
    session_id {text} NOT NULL REFERENCES sessions (id),
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    direction {text} NOT NULL CHECK (direction IN ('input', 'output')),
    name {text} NOT NULL,
    last_sequence {int} NOT NULL,
    lowest_unread {int} NOT NULL,
    consumed_above {text} NOT NULL,
    PRIMARY KEY (session_id, direction, name)
){strict};

CREATE TABLE stream_records (
    session_id {text} NOT NULL,
    direction {text} NOT NULL,
    stream {text} NOT NULL,
    sequence {int} NOT NULL,
    id {text} NOT NULL UNIQUE,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    run_id {text},
    data {text} NOT NULL,
    correlation_id {text},
    content_type {text} NOT NULL,
    idempotency_key {text},
    created_at {int} NOT NULL,
    PRIMARY KEY (session_id, direction, stream, sequence),
    FOREIGN KEY (session_id, direction, stream)
        REFERENCES session_streams (session_id, direction, name)
){strict};

CREATE UNIQUE INDEX stream_records_key
    ON stream_records (session_id, direction, stream, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE runs (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL REFERENCES environments (id),
    session_id {text} NOT NULL REFERENCES sessions (id),
    workspace_id {text} NOT NULL REFERENCES workspaces (id),
    deployment_id {text} NOT NULL REFERENCES deployments (id),
    task_row_id {text} NOT NULL REFERENCES deployment_tasks (id),
    task_id {text} NOT NULL,
    -- Counts the session's runs.
    number {int} NOT NULL,
    reason {text} NOT NULL CHECK (reason IN ('start', 'input', 'retry')),
    -- The state machine.
    status {text} NOT NULL CHECK (status IN
        ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'expired')),
    -- Running and waiting: the attempt. Queued: the next one.
    attempt {int} NOT NULL,
    queued_at {int} NOT NULL,
    not_before_at {int} NOT NULL,
    ttl_at {int},
    started {int} NOT NULL CHECK (started IN (0, 1)),
    clock_at {int},
    wait_id {text},
    ended_at {int},
    output {text},
    failure {text},
    cancel_reason {text},
    dispatch_attempts {int} NOT NULL,
    active_us {int} NOT NULL,
    max_duration_us {int} NOT NULL,
    retry {text} NOT NULL,
    stop_reason {text},
    stop_requested_at {int},
    stop_awake {int},
    stop_kill_at {int},
    -- Beside it.
    exit_code {int},
    metadata {text} NOT NULL,
    priority {int} NOT NULL,
    queue {text},
    provenance {text} NOT NULL,
    -- Records that the run has read.
    consumed {int} NOT NULL,
    -- Log entries of the current attempt that are kept.
    entries {int} NOT NULL,
    created_at {int} NOT NULL,
    started_at {int},
    UNIQUE (session_id, number),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled', 'expired')) = (ended_at IS NOT NULL)),
    CHECK ((status = 'waiting') = (wait_id IS NOT NULL)),
    CHECK ((status = 'failed') = (failure IS NOT NULL))
){strict};

CREATE INDEX runs_newest ON runs (environment_id, id);
CREATE INDEX runs_queued ON runs (priority DESC, queued_at, id) WHERE status = 'queued';
-- What wakes a parked machine: runs that are moving, or told to stop.
CREATE INDEX runs_moving ON runs (workspace_id) WHERE status = 'running' AND clock_at IS NULL;
CREATE INDEX runs_stopping ON runs (workspace_id)
    WHERE stop_reason IS NOT NULL AND status IN ('running', 'waiting');
CREATE INDEX runs_in_workspace ON runs (workspace_id)
    WHERE status IN ('queued', 'running', 'waiting');

-- The first answer to a call of a task, so that a repeated call changes nothing.
CREATE TABLE run_calls (
    run_id {text} NOT NULL REFERENCES runs (id),
    attempt {int} NOT NULL,
    call_no {int} NOT NULL,
    answer {text} NOT NULL,
    sealed {bytes},
    created_at {int} NOT NULL,
    PRIMARY KEY (run_id, attempt, call_no)
){strict};

CREATE TABLE tokens (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL REFERENCES environments (id),
    -- The attempt that made it, unless a client did.
    run_id {text} REFERENCES runs (id),
    session_id {text},
    attempt {int},
    status {text} NOT NULL CHECK (status IN ('pending', 'completed', 'expired', 'cancelled')),
    data {text},
    timeout_at {int} NOT NULL,
    ended_at {int},
    tags {text} NOT NULL,
    metadata {text} NOT NULL,
    callback_hash {bytes} NOT NULL UNIQUE,
    created_at {int} NOT NULL,
    CHECK ((status = 'pending') = (ended_at IS NULL)),
    CHECK ((status = 'completed') = (data IS NOT NULL))
){strict};

CREATE INDEX tokens_newest ON tokens (environment_id, id);
CREATE INDEX tokens_pending ON tokens (run_id) WHERE status = 'pending';

CREATE TABLE waits (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    run_id {text} NOT NULL REFERENCES runs (id),
    session_id {text} NOT NULL,
    workspace_id {text} NOT NULL,
    attempt {int} NOT NULL,
    call_no {int} NOT NULL,
    blocking {int} NOT NULL CHECK (blocking IN (0, 1)),
    hot_window_us {int} NOT NULL,
    kind {text} NOT NULL CHECK (kind IN ('token', 'stream', 'timer')),
    token_id {text} REFERENCES tokens (id),
    stream {text},
    correlation_id {text},
    due_at {int},
    timeout_at {int},
    state {text} NOT NULL CHECK (state IN
        ('hot', 'parked', 'resuming', 'resolved', 'timed_out', 'cancelled', 'failed')),
    outcome {text},
    decided_at {int},
    record_id {text},
    record_sequence {int},
    created_at {int} NOT NULL,
    ended_at {int},
    UNIQUE (run_id, attempt, call_no),
    CHECK ((kind = 'token') = (token_id IS NOT NULL)),
    CHECK ((kind = 'stream') = (stream IS NOT NULL)),
    CHECK ((kind = 'timer') = (due_at IS NOT NULL)),
    CHECK ((state IN ('resuming', 'resolved', 'timed_out')) = (outcome IS NOT NULL)),
    CHECK ((state IN ('resolved', 'timed_out', 'cancelled', 'failed')) = (ended_at IS NOT NULL))
){strict};

CREATE INDEX waits_on_token ON waits (token_id) WHERE state IN ('hot', 'parked');
CREATE INDEX waits_on_stream ON waits (session_id, stream) WHERE state IN ('hot', 'parked', 'resuming');
CREATE INDEX waits_resuming ON waits (decided_at) WHERE state = 'resuming';
CREATE INDEX waits_in_workspace ON waits (workspace_id) WHERE state IN ('hot', 'parked', 'resuming');

CREATE TABLE public_access_tokens (
    id {text} NOT NULL PRIMARY KEY,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL REFERENCES environments (id),
    hash {bytes} NOT NULL UNIQUE,
    kind {text} NOT NULL CHECK (kind IN ('token', 'stream')),
    token_id {text} REFERENCES tokens (id),
    session_id {text} REFERENCES sessions (id),
    direction {text},
    stream {text},
    correlation_id {text},
    allowed_origins {text} NOT NULL,
    expires_at {int},
    max_uses {int},
    uses {int} NOT NULL,
    revoked_at {int},
    created_at {int} NOT NULL,
    CHECK ((kind = 'token') = (token_id IS NOT NULL)),
    CHECK ((kind = 'stream') = (session_id IS NOT NULL AND stream IS NOT NULL AND direction IS NOT NULL))
){strict};

CREATE TABLE timers (
    purpose {text} NOT NULL,
    subject_id {text} NOT NULL,
    due_at {int} NOT NULL,
    PRIMARY KEY (purpose, subject_id)
){strict};

CREATE INDEX timers_due ON timers (due_at);

CREATE TABLE events (
    subject_id {text} NOT NULL,
    sequence {int} NOT NULL,
    kind {text} NOT NULL,
    at {int} NOT NULL,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    environment_id {text} NOT NULL,
    run_id {text},
    session_id {text},
    workspace_id {text},
    attempt {int},
    attributes {text} NOT NULL,
    trace_id {text},
    span_id {text},
    PRIMARY KEY (subject_id, sequence)
){strict};

-- What was received of a stream of output of an attempt, and where it begins in the run's.
CREATE TABLE log_positions (
    run_id {text} NOT NULL REFERENCES runs (id),
    stream {text} NOT NULL CHECK (stream IN ('stdout', 'stderr')),
    attempt {int} NOT NULL,
    base_offset {int} NOT NULL,
    received_bytes {int} NOT NULL,
    -- From where on nothing is kept.
    cut_offset {int},
    PRIMARY KEY (run_id, stream, attempt)
){strict};

CREATE TABLE log_segments (
    run_id {text} NOT NULL REFERENCES runs (id),
    stream {text} NOT NULL,
    -- In the run's output, over all attempts, and in clear.
    start_offset {int} NOT NULL,
    size_bytes {int} NOT NULL,
    attempt {int} NOT NULL,
    sealed {bytes} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (run_id, stream, start_offset)
){strict};

-- Effects that were committed and still have to be told: look at the subject again.
CREATE TABLE outbox (
    topic {text} NOT NULL,
    subject_id {text} NOT NULL,
    mark {int} NOT NULL,
    marked_at {int} NOT NULL,
    PRIMARY KEY (topic, subject_id)
){strict};

CREATE INDEX outbox_oldest ON outbox (marked_at);

CREATE TABLE idempotency_keys (
    environment_id {text} NOT NULL,
    key {text} NOT NULL,
    organization_id {text} NOT NULL,
    project_id {text} NOT NULL,
    request_hash {bytes} NOT NULL,
    answer {text} NOT NULL,
    -- Secrets of the answer.
    sealed {bytes},
    created_at {int} NOT NULL,
    PRIMARY KEY (environment_id, key)
){strict};

CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at);
