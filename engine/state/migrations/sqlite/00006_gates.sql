-- +goose Up

-- What a side told of itself: which system it is, its account's time zone, and the records that changed last there
-- (JSON; '': none). '' is not known.
ALTER TABLE cursor ADD COLUMN system TEXT NOT NULL DEFAULT '';
ALTER TABLE cursor ADD COLUMN zone TEXT NOT NULL DEFAULT '';
ALTER TABLE cursor ADD COLUMN newest TEXT NOT NULL DEFAULT '';
