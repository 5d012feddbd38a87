-- +goose Up

CREATE TABLE part (
    sync    bigint NOT NULL,
    side    bigint NOT NULL,
    n       bigint NOT NULL,
    fence   bigint NOT NULL,
    task    bytea  NOT NULL,
    taker   text   COLLATE "C" NOT NULL,
    beats   bigint NOT NULL,
    seen    bigint NOT NULL,
    account bytea,
    at      bigint NOT NULL,
    PRIMARY KEY (sync, side, n)
);

CREATE TABLE part_page (
    sync bigint NOT NULL,
    side bigint NOT NULL,
    n    bigint NOT NULL,
    seq  bigint NOT NULL,
    body bytea  NOT NULL,
    at   bigint NOT NULL,
    PRIMARY KEY (sync, side, n, seq)
);
