-- +goose Up

-- What somebody wrote between a read and a write of ours that could not be made conditional: NULL but for links of
-- which that is not settled yet.
ALTER TABLE link ADD COLUMN meant BLOB;
