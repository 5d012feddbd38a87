-- +goose Up

-- How far the links of a side were looked at whatever its scans said.
ALTER TABLE cursor ADD COLUMN audit TEXT NOT NULL DEFAULT '';
