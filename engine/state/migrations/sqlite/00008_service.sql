-- +goose Up

-- Syncs that the service does not run for now.
CREATE TABLE pause (
  sync TEXT PRIMARY KEY,
  by   TEXT NOT NULL,
  at   INTEGER NOT NULL,
  why  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What was done by whom, and why.
CREATE TABLE act (
  id      INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  by      TEXT NOT NULL,
  action  TEXT NOT NULL,
  subject TEXT NOT NULL,
  why     TEXT NOT NULL
) STRICT;
