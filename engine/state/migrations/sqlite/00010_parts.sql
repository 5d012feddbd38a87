-- +goose Up

-- Parts of a scan that a run has put up for other processes, while it runs.
CREATE TABLE part (
  sync    INTEGER NOT NULL,
  side    INTEGER NOT NULL,
  n       INTEGER NOT NULL,
  fence   INTEGER NOT NULL, -- of the run
  task    BLOB NOT NULL,
  taker   TEXT NOT NULL,    -- who scans it; '': nobody does
  beats   INTEGER NOT NULL, -- how often the taker has shown that it lives
  seen    INTEGER NOT NULL, -- records that it has seen
  account BLOB,             -- how it ended; NULL: it has not
  at      INTEGER NOT NULL,
  PRIMARY KEY (sync, side, n)
) STRICT;

-- What was found in them, until the run has it.
CREATE TABLE part_page (
  sync INTEGER NOT NULL,
  side INTEGER NOT NULL,
  n    INTEGER NOT NULL,
  seq  INTEGER NOT NULL,
  body BLOB NOT NULL,
  at   INTEGER NOT NULL,
  PRIMARY KEY (sync, side, n, seq)
) STRICT;
