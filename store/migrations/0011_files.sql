-- Parked machines that are to end, whose files were written since: they are woken for it.
CREATE INDEX materializations_ending_touched ON materializations (workspace_id)
    WHERE ended_at IS NULL AND ending = 1 AND touched = 1;
