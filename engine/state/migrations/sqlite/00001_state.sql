-- +goose Up

-- Times are nanoseconds since 1970 (0: none), sides 0 left and 1 right, statuses as record.Status counts them.

-- live, held and detached count links, so that nobody has to count a million rows to show a status.
CREATE TABLE sync (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    live     INTEGER NOT NULL DEFAULT 0,
    held     INTEGER NOT NULL DEFAULT 0,
    detached INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A shape names the paths that the positions of stored values stand for.
CREATE TABLE shape (
    id    INTEGER PRIMARY KEY,
    sync  INTEGER NOT NULL REFERENCES sync (id),
    side  INTEGER NOT NULL,
    paths TEXT    NOT NULL, -- JSON list
    UNIQUE (sync, side, paths)
) STRICT;

-- base, sent and now are values by position. key is null without a record and once the link ended; what it was
-- then is in was: so a record has at most one link that is not ended, and the keys of those can be read from the
-- indexes alone. AUTOINCREMENT: a link's id is never given to another one.
CREATE TABLE link (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    sync          INTEGER NOT NULL,
    status        INTEGER NOT NULL,
    key_left      TEXT,
    key_right     TEXT,
    was_left      TEXT,
    was_right     TEXT,
    label_left    TEXT    NOT NULL,
    label_right   TEXT    NOT NULL,
    version_left  TEXT    NOT NULL,
    version_right TEXT    NOT NULL,
    shape_left    INTEGER NOT NULL,
    shape_right   INTEGER NOT NULL,
    base_left     BLOB,
    base_right    BLOB,
    sent_left     BLOB,
    sent_right    BLOB,
    now_left      BLOB,
    now_right     BLOB
) STRICT;

CREATE UNIQUE INDEX link_left ON link (sync, key_left) WHERE key_left IS NOT NULL;
CREATE UNIQUE INDEX link_right ON link (sync, key_right) WHERE key_right IS NOT NULL;
-- Links that are not live are few and asked for by status; the live ones are read in the order of the table.
CREATE INDEX link_status ON link (sync, status) WHERE status <> 0;

-- Fingerprints are read whole in every full scan, so they live apart. hash has its top bit flipped: the
-- order of signed integers is then the order of the unsigned hashes.
CREATE TABLE print (
    sync  INTEGER NOT NULL,
    side  INTEGER NOT NULL,
    hash  INTEGER NOT NULL,
    print INTEGER NOT NULL,
    PRIMARY KEY (sync, side, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor (
    sync         INTEGER NOT NULL REFERENCES sync (id),
    side         INTEGER NOT NULL,
    since        TEXT    NOT NULL,
    rules        TEXT    NOT NULL,
    endpoint     TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    full_scan    INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    measured     INTEGER NOT NULL,
    clock_offset INTEGER NOT NULL,
    clock_error  INTEGER NOT NULL,
    PRIMARY KEY (sync, side)
) STRICT;

-- Who set a path's value last; what was there before is in history.
CREATE TABLE origin (
    link   INTEGER NOT NULL,
    side   INTEGER NOT NULL,
    path   TEXT    NOT NULL,
    rule   TEXT    NOT NULL,
    run    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    author TEXT    NOT NULL,
    PRIMARY KEY (link, side, path)
) STRICT;

-- Values that were overwritten or lost a conflict. The id restores one.
CREATE TABLE history (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sync        INTEGER NOT NULL,
    link        INTEGER NOT NULL, -- 0: the record had none
    side        INTEGER NOT NULL,
    key         TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    value       BLOB    NOT NULL,
    replaced_by BLOB    NOT NULL,
    rule        TEXT    NOT NULL,
    run         INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    author      TEXT    NOT NULL
) STRICT;

CREATE INDEX history_link ON history (link, side, path);

-- Conflicts and holds. With link 0 the keys say which records wait; shown has the values of a conflict, body
-- everything else.
CREATE TABLE waiting (
    id        INTEGER PRIMARY KEY,
    sync      INTEGER NOT NULL,
    conflict  INTEGER NOT NULL, -- 0: a hold
    link      INTEGER NOT NULL,
    key_left  TEXT    NOT NULL,
    key_right TEXT    NOT NULL,
    field     TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    tries     INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    choice    BLOB,
    seen      BLOB    NOT NULL,
    shown     BLOB    NOT NULL,
    body      TEXT    NOT NULL -- JSON
) STRICT;

CREATE INDEX waiting_link ON waiting (sync, link, key_left, key_right, field);
CREATE INDEX waiting_right ON waiting (sync, key_right) WHERE link = 0 AND key_right <> '';
CREATE INDEX waiting_since ON waiting (since);

CREATE TABLE intent (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    sync     INTEGER NOT NULL,
    link     INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    side     INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    twin     TEXT    NOT NULL,
    marker   TEXT    NOT NULL,
    version  TEXT    NOT NULL,
    expected BLOB,
    source   BLOB,
    new      BLOB,
    at       INTEGER NOT NULL,
    run      INTEGER NOT NULL
) STRICT;

CREATE INDEX intent_sync ON intent (sync);

-- Keys of links that ended: no create until then.
CREATE TABLE tomb (
    sync   INTEGER NOT NULL REFERENCES sync (id),
    side   INTEGER NOT NULL,
    key    TEXT    NOT NULL,
    link   INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    reason TEXT    NOT NULL,
    PRIMARY KEY (sync, side, key)
) STRICT;

CREATE INDEX tomb_link ON tomb (link);

CREATE TABLE run (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    sync     INTEGER NOT NULL REFERENCES sync (id),
    good     INTEGER NOT NULL, -- when it ended, if it was complete and without an error
    body     TEXT    NOT NULL  -- JSON
) STRICT;

CREATE INDEX run_sync ON run (sync);
CREATE INDEX run_good ON run (sync, good);

-- By name, so that taking a lease makes nothing that outlives it but this row.
CREATE TABLE lease (
    sync    TEXT    PRIMARY KEY,
    owner   TEXT    NOT NULL, -- "": released
    fence   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE used_plan (
    digest TEXT    PRIMARY KEY,
    at     INTEGER NOT NULL
) STRICT;
