-- +goose Up

-- What systems said of syncs and no run has looked at yet. An empty key: something changed, and nobody knows what, or too
-- much. Each time that it is said it gets another mark. next is when it is due, after as many tries.
CREATE TABLE told (
  sync  TEXT NOT NULL,
  side  INTEGER NOT NULL,
  key   TEXT NOT NULL,
  mark  INTEGER NOT NULL,
  at    INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  next  INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (sync, side, key)
) STRICT;

-- What nodes and their users have to know of each other for a while.
CREATE TABLE slip (
  name  TEXT PRIMARY KEY,
  body  BLOB NOT NULL,
  until INTEGER NOT NULL
) STRICT;

CREATE INDEX slip_until ON slip (until);
