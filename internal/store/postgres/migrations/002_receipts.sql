-- +goose Up

-- What is said of an agent: '', always or never.
ALTER TABLE agent ADD COLUMN receipts text NOT NULL DEFAULT '';

-- When the recipient refused the work.
ALTER TABLE delivery ADD COLUMN refused bigint;

-- To which other domains an agent has written.
CREATE TABLE contact (
  agent  bigint NOT NULL,
  domain text   COLLATE "C" NOT NULL,
  PRIMARY KEY (agent, domain)
);
INSERT INTO contact (agent, domain)
  SELECT DISTINCT m.sender_agent, lower(substr(d.address, strpos(d.address, '@') + 1))
  FROM delivery d JOIN message m ON m.id = d.message
  WHERE d.agent = 0 AND d.address IS NOT NULL AND m.sender_agent IS NOT NULL;

-- What other domains are to be told: one row per message and recipient. It goes
-- when it was told, and a day later in any case.
CREATE TABLE receipt (
  message bigint NOT NULL,
  agent   bigint NOT NULL,                    -- who received it
  domain  text   COLLATE "C" NOT NULL,        -- who is told
  read    bigint,
  acked   bigint,
  refused bigint,
  due     bigint NOT NULL,
  PRIMARY KEY (message, agent)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX receipt_due ON receipt (domain, due);
