-- +goose Up

-- Readers of one inbox take messages from it under leases. token and holder belong to
-- the last lease; they stay when the delivery is acknowledged.
ALTER TABLE delivery ADD COLUMN hidden INTEGER; -- µs, until when nobody else may take it; NULL while it was never taken
ALTER TABLE delivery ADD COLUMN taken  INTEGER; -- µs, when hidden was written
ALTER TABLE delivery ADD COLUMN token  INTEGER; -- gateway.LeaseToken, NULL for a delay without a lease
ALTER TABLE delivery ADD COLUMN holder TEXT;    -- id of the key that holds the lease
-- Entries that were read or taken before, by the time at which they may be taken. The
-- others are the unread ones, which have an index already: taking marks an entry read.
CREATE INDEX delivery_taken ON delivery (agent, coalesce(hidden, read))
  WHERE state = 5 AND pushed IS NULL AND read IS NOT NULL;

ALTER TABLE agent ADD COLUMN max_deliveries INTEGER NOT NULL DEFAULT 0; -- how often a message may be taken, 0 for any number
