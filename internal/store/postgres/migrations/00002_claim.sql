-- +goose NO TRANSACTION
-- +goose Up

-- Readers of one inbox take messages from it under leases. token and holder belong to
-- the last lease; they stay when the delivery is acknowledged. hidden is until when
-- nobody else may take the entry, NULL while it was never taken; taken is when hidden
-- was written. token is NULL for a delay without a lease, and holder is the id of the
-- key that holds the lease.
ALTER TABLE delivery ADD COLUMN IF NOT EXISTS hidden bigint, ADD COLUMN IF NOT EXISTS taken bigint,
  ADD COLUMN IF NOT EXISTS token bigint, ADD COLUMN IF NOT EXISTS holder text COLLATE "C";
-- Entries that were read or taken before, by the time at which they may be taken. The
-- others are the unread ones, which have an index already: taking marks an entry read.
DROP INDEX CONCURRENTLY IF EXISTS delivery_taken;
CREATE INDEX CONCURRENTLY delivery_taken ON delivery (agent, coalesce(hidden, read), seq)
  WHERE state = 5 AND NOT pushed AND read IS NOT NULL AND agent <> 0;

-- How often a message may be taken, 0 for any number.
ALTER TABLE agent ADD COLUMN IF NOT EXISTS max_deliveries bigint NOT NULL DEFAULT 0;
