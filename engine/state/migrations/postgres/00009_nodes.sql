-- +goose Up

CREATE TABLE told (
    sync  text   COLLATE "C" NOT NULL,
    side  bigint NOT NULL,
    key   text   COLLATE "C" NOT NULL,
    mark  bigint NOT NULL,
    at    bigint NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    next  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (sync, side, key)
);

CREATE TABLE slip (
    name  text   COLLATE "C" PRIMARY KEY,
    body  bytea  NOT NULL,
    until bigint NOT NULL
) WITH (fillfactor = 50); -- what a run does is written every second

CREATE INDEX slip_until ON slip (until);
