-- +goose Up

-- What lists are read by, so that a page costs the same however much is stored.

-- An inbox holds what waits in it, and nothing that was acknowledged or went
-- elsewhere. What is not read is a list of its own.
DROP INDEX delivery_box;
CREATE INDEX delivery_box ON delivery (agent) WHERE state = 5 AND pushed IS NULL;
CREATE INDEX delivery_unread ON delivery (agent) WHERE state = 5 AND pushed IS NULL AND read IS NULL;

-- What an agent received, and what an address elsewhere was sent.
CREATE INDEX delivery_agent ON delivery (agent, message) WHERE agent <> 0;
CREATE INDEX delivery_to ON delivery (address COLLATE NOCASE, message) WHERE address IS NOT NULL;

CREATE INDEX job_destination ON job (destination);

CREATE INDEX delivery_dead_code ON delivery (code) WHERE dead IS NOT NULL;
CREATE INDEX delivery_dead_to ON delivery (agent, substr(address, instr(address, '@') + 1)) WHERE dead IS NOT NULL;

-- The keys of one agent, which end with it.
CREATE INDEX agent_key_agent ON agent_key (agent);

-- Who was removed, and is to be forgotten.
CREATE INDEX agent_removed ON agent (id) WHERE removed IS NOT NULL;
