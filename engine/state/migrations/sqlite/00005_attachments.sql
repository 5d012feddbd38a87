-- +goose Up

-- Attachments that are settled, under the side and ID they were first put under. hash is the SHA-256 of the content
-- ('': nobody had to know), copy the ID of the file with that content on the other side, refused why the rules do not
-- let it through ('': they do).
CREATE TABLE attachment (
    id      INTEGER PRIMARY KEY,
    sync    INTEGER NOT NULL,
    link    INTEGER NOT NULL,
    side    INTEGER NOT NULL,
    own     TEXT    NOT NULL,
    hash    TEXT    NOT NULL,
    size    INTEGER NOT NULL,
    copy    TEXT    NOT NULL,
    refused TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    run     INTEGER NOT NULL,
    UNIQUE (link, side, own)
) STRICT;

-- Comments and attachments of a side are listened to apart. rules are those that decide which of them are carried.
CREATE TABLE listened (
    sync  INTEGER NOT NULL REFERENCES sync (id),
    side  INTEGER NOT NULL,
    kind  TEXT    NOT NULL,
    path  TEXT    NOT NULL,
    rules TEXT    NOT NULL,
    since INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    link  INTEGER NOT NULL,
    PRIMARY KEY (sync, side, kind)
) STRICT;

INSERT INTO listened (sync, side, kind, path, rules, since, at, link) SELECT sync, side, 'comment', path, '', since, at, link FROM heard;
DROP TABLE heard;

-- The text of a comment when it was carried, as a hash (0: not known): another one is an edit.
ALTER TABLE thread ADD COLUMN source INTEGER NOT NULL DEFAULT 0;

-- Holds of comments and attachments are not replaced when a record's fields are decided. kind is '' for those that are,
-- side where the comment or file comes from, entry its ID.
ALTER TABLE waiting ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE waiting ADD COLUMN side INTEGER NOT NULL DEFAULT 0;
ALTER TABLE waiting ADD COLUMN entry TEXT NOT NULL DEFAULT '';
CREATE INDEX waiting_kind ON waiting (sync, kind, link) WHERE kind <> '';
