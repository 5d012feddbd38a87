-- +goose Up

-- Comments that are settled, under the side and ID they were first written with. copy is the ID of the copy on the
-- other side ('': none that can be read), hash is of the copy's text (0: there is no copy).
CREATE TABLE thread (
    id   INTEGER PRIMARY KEY,
    sync INTEGER NOT NULL,
    link INTEGER NOT NULL,
    side INTEGER NOT NULL,
    own  TEXT    NOT NULL,
    copy TEXT    NOT NULL,
    hash INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    run  INTEGER NOT NULL,
    UNIQUE (link, side, own)
) STRICT;

-- How far the comments of a side were listened to. Links with a larger id than link never were.
CREATE TABLE heard (
    sync  INTEGER NOT NULL REFERENCES sync (id),
    side  INTEGER NOT NULL,
    path  TEXT    NOT NULL,
    since INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    link  INTEGER NOT NULL,
    PRIMARY KEY (sync, side)
) STRICT;
