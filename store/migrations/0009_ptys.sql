-- PTYs: a process like an exec's, with a terminal. Its id tells it from an exec.
ALTER TABLE execs ADD COLUMN cols {int};
ALTER TABLE execs ADD COLUMN rows {int};
-- How many times a size was set.
ALTER TABLE execs ADD COLUMN resizes {int} NOT NULL DEFAULT 0;
-- Its machine may park with it.
ALTER TABLE execs ADD COLUMN idle {int} NOT NULL DEFAULT 0 CHECK (idle IN (0, 1));
ALTER TABLE execs ADD COLUMN hung_up {int} NOT NULL DEFAULT 0 CHECK (hung_up IN (0, 1));

-- After how long of nothing typed or printed a PTY is idle; null: the product's own.
ALTER TABLE environments ADD COLUMN pty_idle_us {int};
