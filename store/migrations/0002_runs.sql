-- A deadline that is a time of day is read from the wall's clock, all others from the steady one.
ALTER TABLE timers ADD COLUMN absolute {int} NOT NULL DEFAULT 0 CHECK (absolute IN (0, 1));
UPDATE timers SET absolute = 1 WHERE purpose = 'session_expiry';
DROP INDEX timers_due;
CREATE INDEX timers_due ON timers (absolute, due_at);

ALTER TABLE waits ADD COLUMN absolute {int} NOT NULL DEFAULT 0 CHECK (absolute IN (0, 1));
-- Whether it keeps its run running beside a wait that blocks.
ALTER TABLE waits ADD COLUMN holds {int} NOT NULL DEFAULT 0 CHECK (holds IN (0, 1));
-- Whether it goes on doing so when its outcome is delivered, until the task drops it.
ALTER TABLE waits ADD COLUMN holds_on {int} NOT NULL DEFAULT 0 CHECK (holds_on IN (0, 1));
-- Since when it has kept its run waiting, if not since it was created.
ALTER TABLE waits ADD COLUMN idle_at {int};
CREATE INDEX waits_holding ON waits (run_id, attempt) WHERE holds = 1;

ALTER TABLE deployment_tasks ADD COLUMN queue_options {text};

-- Runs of one queue and key that may be running at once.
ALTER TABLE runs ADD COLUMN queue_limit {int};
ALTER TABLE runs ADD COLUMN queue_key {text} NOT NULL DEFAULT '';
CREATE INDEX runs_in_queue ON runs (environment_id, queue, queue_key)
    WHERE status = 'running' AND queue IS NOT NULL;
DROP INDEX runs_queued;
CREATE INDEX runs_queued ON runs (priority DESC, queued_at, id)
    WHERE status = 'queued' AND queue_limit IS NULL;
CREATE INDEX runs_queued_limited ON runs (environment_id, queue, queue_key, priority DESC, queued_at, id)
    WHERE status = 'queued' AND queue_limit IS NOT NULL;

-- What whoever cancelled it said.
ALTER TABLE runs ADD COLUMN stop_text {text};
ALTER TABLE runs ADD COLUMN cancel_text {text};
ALTER TABLE runs ADD COLUMN cancel_requested_at {int};
UPDATE runs SET cancel_requested_at = ended_at WHERE status = 'cancelled';

-- Bytes of output and log entries that are kept, over all attempts.
ALTER TABLE runs ADD COLUMN log_bytes {int} NOT NULL DEFAULT 0;
UPDATE runs SET log_bytes = COALESCE((
        SELECT CAST(SUM(size_bytes) AS BIGINT)
        FROM log_segments
        WHERE run_id = runs.id
    ), 0);
-- The beginning of a character that is still to come, sealed.
ALTER TABLE log_positions ADD COLUMN tail {bytes};
ALTER TABLE log_positions ADD COLUMN tail_bytes {int} NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN entries_cut {int} NOT NULL DEFAULT 0 CHECK (entries_cut IN (0, 1));
