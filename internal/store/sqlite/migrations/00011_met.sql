-- +goose Up

-- Whom an agent has met: addresses of other domains, each with the first message to
-- the agent that its domain proved.
CREATE TABLE met (
  sender  TEXT    NOT NULL,                   -- as amtp.Address.Key
  agent   INTEGER NOT NULL,
  message INTEGER NOT NULL,
  domain  TEXT    NOT NULL,                   -- of the sender
  PRIMARY KEY (sender, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX met_agent ON met (agent);
CREATE INDEX met_domain ON met (domain);
INSERT INTO met SELECT m.sender, d.agent, min(m.id), substr(m.sender, instr(m.sender, '@') + 1)
  FROM message m JOIN delivery d ON d.message = m.id WHERE m.class = 2 AND m.sender IS NOT NULL AND d.agent <> 0 GROUP BY m.sender, d.agent;

-- To which domains agents wrote: they are served when the disk is short.
CREATE INDEX contact_domain ON contact (domain);
