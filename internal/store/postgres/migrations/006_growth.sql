-- +goose NO TRANSACTION
-- +goose Up

-- What lists are read by, so that a page costs the same however much is stored.

-- What is not read of an inbox. The sum keeps the server from taking another index
-- that has the same order and all that was read besides.
DROP INDEX CONCURRENTLY IF EXISTS delivery_unread;
CREATE INDEX CONCURRENTLY delivery_unread ON delivery (agent, (seq + 0)) WHERE state = 5 AND NOT pushed AND read IS NULL AND agent <> 0;

-- What an agent received, and what an address elsewhere was sent.
DROP INDEX CONCURRENTLY IF EXISTS delivery_agent;
CREATE INDEX CONCURRENTLY delivery_agent ON delivery (agent, message) WHERE agent <> 0;
DROP INDEX CONCURRENTLY IF EXISTS delivery_to;
CREATE INDEX CONCURRENTLY delivery_to ON delivery (lower(address), message) WHERE address IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS job_destination;
CREATE INDEX CONCURRENTLY job_destination ON job (destination, id);

DROP INDEX CONCURRENTLY IF EXISTS delivery_dead_code;
CREATE INDEX CONCURRENTLY delivery_dead_code ON delivery (code, seq) WHERE dead IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS delivery_dead_to;
CREATE INDEX CONCURRENTLY delivery_dead_to ON delivery (agent, coalesce(split_part(address, '@', 2), ''), seq) WHERE dead IS NOT NULL;

-- Who was removed, and is to be forgotten.
DROP INDEX CONCURRENTLY IF EXISTS agent_removed;
CREATE INDEX CONCURRENTLY agent_removed ON agent (id) WHERE removed IS NOT NULL;
