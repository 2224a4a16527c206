-- +goose Up

-- What lists are read by, so that a page costs the same however much is stored.

-- What is not read of an inbox. The sum keeps the server from taking another index
-- that has the same order and all that was read besides.
CREATE INDEX delivery_unread ON delivery (agent, (seq + 0)) WHERE state = 5 AND NOT pushed AND read IS NULL AND agent <> 0;

-- What an agent received, and what an address elsewhere was sent.
CREATE INDEX delivery_agent ON delivery (agent, message) WHERE agent <> 0;
CREATE INDEX delivery_to ON delivery (lower(address), message) WHERE address IS NOT NULL;

CREATE INDEX job_destination ON job (destination, id);

CREATE INDEX delivery_dead_code ON delivery (code, seq) WHERE dead IS NOT NULL;
CREATE INDEX delivery_dead_to ON delivery (agent, coalesce(split_part(address, '@', 2), ''), seq) WHERE dead IS NOT NULL;

-- Who was removed, and is to be forgotten.
CREATE INDEX agent_removed ON agent (id) WHERE removed IS NOT NULL;
