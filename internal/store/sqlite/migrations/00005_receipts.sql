-- +goose Up

-- What is said of an agent: '', always or never.
ALTER TABLE agent ADD COLUMN receipts TEXT NOT NULL DEFAULT '';

-- When the recipient refused the work.
ALTER TABLE delivery ADD COLUMN refused INTEGER; -- µs

-- To which other domains an agent has written.
CREATE TABLE contact (
  agent  INTEGER NOT NULL,
  domain TEXT    NOT NULL,
  PRIMARY KEY (agent, domain)
) STRICT, WITHOUT ROWID;
INSERT INTO contact (agent, domain)
  SELECT DISTINCT m.sender_agent, lower(substr(d.address, instr(d.address, '@') + 1))
  FROM delivery d JOIN message m ON m.id = d.message
  WHERE d.agent = 0 AND d.address IS NOT NULL AND m.sender_agent IS NOT NULL;

-- What other domains are to be told: one row per message and recipient. It goes
-- when it was told, and a day later in any case.
CREATE TABLE receipt (
  message INTEGER NOT NULL,
  agent   INTEGER NOT NULL,                   -- who received it
  domain  TEXT    NOT NULL,                   -- who is told
  read    INTEGER,                            -- µs
  acked   INTEGER,
  refused INTEGER,
  due     INTEGER NOT NULL,
  PRIMARY KEY (message, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_due ON receipt (domain, due);
