-- +goose NO TRANSACTION
-- +goose Up

-- Whom an agent has met: addresses of other domains, each with the first message to
-- the agent that its domain proved.
CREATE TABLE IF NOT EXISTS met (
  sender  text   COLLATE "C" NOT NULL,        -- as amtp.Address.Key
  agent   bigint NOT NULL,
  message bigint NOT NULL,
  domain  text   COLLATE "C" NOT NULL,        -- of the sender
  PRIMARY KEY (sender, agent)
);
CREATE INDEX IF NOT EXISTS met_agent ON met (agent);
CREATE INDEX IF NOT EXISTS met_domain ON met (domain);
INSERT INTO met SELECT m.sender, d.agent, min(m.id), split_part(m.sender, '@', 2)
  FROM message m JOIN delivery d ON d.message = m.id WHERE m.class = 2 AND m.sender IS NOT NULL AND d.agent <> 0 GROUP BY m.sender, d.agent
  ON CONFLICT DO NOTHING;

-- To which domains agents wrote: they are served when the disk is short.
DROP INDEX CONCURRENTLY IF EXISTS contact_domain;
CREATE INDEX CONCURRENTLY contact_domain ON contact (domain);
