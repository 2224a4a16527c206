-- +goose Up

-- When the key was used. NULL while the message's body tells the key: then the
-- row is found through the body, and costs no second index.
ALTER TABLE dedup ADD COLUMN used INTEGER;     -- µs
CREATE INDEX dedup_used ON dedup (message) WHERE used IS NOT NULL;
