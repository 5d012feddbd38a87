-- +goose Up

-- Why a value was replaced, and by whom. What was there before was all written by rules.
ALTER TABLE history ADD COLUMN cause TEXT NOT NULL DEFAULT 'rule';
ALTER TABLE history ADD COLUMN who TEXT NOT NULL DEFAULT '';
CREATE INDEX history_run ON history (run);

-- The person behind a write by hand.
ALTER TABLE intent ADD COLUMN by TEXT NOT NULL DEFAULT '';

-- When a link ended, so that it can be forgotten some day (0: it did not). Of those that had ended already nobody
-- knows: their time starts now.
ALTER TABLE link ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
UPDATE link SET ended = CAST(strftime('%s', 'now') AS INTEGER) * 1000000000 WHERE status = 3;

-- When a run started, for the same reason.
ALTER TABLE run ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
UPDATE run SET started = coalesce(CAST(strftime('%s', json_extract(body, '$.started')) AS INTEGER), 0) * 1000000000 WHERE body <> '';

-- Approvals of plans that ran into limits. One that a run has used is gone.
CREATE TABLE approval (
    sync   TEXT    NOT NULL, -- by name, as a lease
    digest TEXT    NOT NULL,
    by     TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (sync, digest)
) STRICT;
