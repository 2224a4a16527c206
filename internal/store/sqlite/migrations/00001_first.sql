-- +goose Up

-- An agent keeps its id for good, and an id is never used again.
CREATE TABLE agent (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  name         TEXT    NOT NULL,              -- as registered
  domain       TEXT    NOT NULL,
  mode         TEXT    NOT NULL,              -- pull or push
  description  TEXT    NOT NULL,
  role         TEXT    NOT NULL,
  capabilities TEXT    NOT NULL,              -- JSON array or ''
  schemas      TEXT    NOT NULL,              -- JSON array or ''
  listed       INTEGER NOT NULL,
  created      INTEGER NOT NULL,              -- µs
  active       INTEGER NOT NULL,              -- µs
  removed      INTEGER,                       -- µs, NULL while it lives
  target       TEXT    NOT NULL DEFAULT '',   -- where a push agent receives
  receipts     TEXT    NOT NULL DEFAULT ''    -- the agent's setting for receipts: '', always or never
) STRICT;
CREATE UNIQUE INDEX agent_name ON agent (domain, name COLLATE NOCASE) WHERE removed IS NULL;
-- Removed agents, which the purge forgets later.
CREATE INDEX agent_removed ON agent (id) WHERE removed IS NOT NULL;

CREATE TABLE agent_key (
  id      TEXT    PRIMARY KEY,
  agent   INTEGER NOT NULL,
  hash    BLOB    NOT NULL UNIQUE,            -- SHA-256 of the secret
  created INTEGER NOT NULL,
  used    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- The keys of one agent, which end with it.
CREATE INDEX agent_key_agent ON agent_key (agent);

-- One row per message. The row id is the order of acceptance.
CREATE TABLE message (
  id             INTEGER PRIMARY KEY,
  uuid           BLOB    NOT NULL,            -- canonical id, 16 bytes
  sender_agent   INTEGER,                     -- local sender
  sender         TEXT,                        -- any other sender
  class          INTEGER NOT NULL,            -- gateway.Class
  trust          INTEGER NOT NULL,
  authentication TEXT,                        -- JSON; NULL for the usual one of the class
  received       INTEGER NOT NULL,            -- µs
  stamped        INTEGER,                     -- the sender's timestamp if it differs, µs
  request        INTEGER NOT NULL,
  given_id       TEXT,                        -- the sender's own id if it differs
  subject        TEXT,
  in_reply_to    TEXT,
  thread         TEXT,                        -- in the sender's mailbox; NULL is the own id
  fingerprint    BLOB,                        -- written when the body is purged
  body           BLOB                         -- as received; NULL after its retention
) STRICT;
CREATE UNIQUE INDEX message_uuid ON message (uuid);
CREATE INDEX message_sender ON message (sender_agent) WHERE sender_agent IS NOT NULL;
-- Messages from other domains are looked up by the sender's address.
CREATE INDEX message_from ON message (sender) WHERE sender IS NOT NULL;
CREATE INDEX message_received ON message (received);

-- One row per message and recipient. The row id is the inbox sequence: given
-- in commit order when the message enters the inbox. While a delivery is queued
-- and has a job, state and attempts are those of the job.
CREATE TABLE delivery (
  seq        INTEGER PRIMARY KEY,
  message    INTEGER NOT NULL,
  agent      INTEGER NOT NULL,                -- local recipient, 0 for a remote one
  address    TEXT,                            -- remote recipient
  state      INTEGER NOT NULL,                -- gateway.State
  changed    INTEGER NOT NULL,                -- µs
  delivered  INTEGER,
  acked      INTEGER,
  read       INTEGER,
  leases     INTEGER,                         -- how often it was leased to a reader
  job        INTEGER,                         -- the job that will decide it
  attempts   INTEGER,
  code       TEXT,
  reason     TEXT,
  thread     TEXT,                            -- in this mailbox; NULL is the message's own id
  pushed     INTEGER,                         -- 1 for a local recipient that gets it by push, not from the inbox
  place      INTEGER,                         -- among the recipients, where seq does not give the order
  first_try  INTEGER,                         -- of a failed delivery
  last_try   INTEGER,
  dead       INTEGER,                         -- µs, since when it is a dead letter
  generation INTEGER,                         -- how often it was redriven
  refused    INTEGER,                         -- µs, when the recipient refused the work
  further    INTEGER,                         -- 1 when it has an id and a key of its own, because
                                              -- another recipient of its domain was named before it
  redriven   INTEGER                          -- µs, of the redrive whose new id it is sent under
) STRICT;
CREATE INDEX delivery_message ON delivery (message);
-- The index of an inbox has only the entries that wait in it, none that were
-- acknowledged or pushed. Unread entries have an index of their own.
CREATE INDEX delivery_box ON delivery (agent) WHERE state = 5 AND pushed IS NULL;
CREATE INDEX delivery_unread ON delivery (agent) WHERE state = 5 AND pushed IS NULL AND read IS NULL;
-- The messages to an agent, and to an address in another domain.
CREATE INDEX delivery_agent ON delivery (agent, message) WHERE agent <> 0;
CREATE INDEX delivery_to ON delivery (address COLLATE NOCASE, message) WHERE address IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (seq) WHERE dead IS NOT NULL;
CREATE INDEX delivery_dead_code ON delivery (code) WHERE dead IS NOT NULL;
CREATE INDEX delivery_dead_to ON delivery (agent, substr(address, instr(address, '@') + 1)) WHERE dead IS NOT NULL;

-- The work after the answer: one row per message and destination, and one per
-- report, with the lease, the fence, the attempts and the schedule. A row is deleted
-- when no delivery waits for it, that of a report when all deliveries in its payload are
-- reported. An id is never used again.
CREATE TABLE job (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  destination TEXT    NOT NULL,               -- gateway.Destination
  message     INTEGER NOT NULL,
  state       INTEGER NOT NULL,               -- gateway.State: queued, delivering, retrying
  changed     INTEGER NOT NULL,               -- µs, of the last change of state
  fence       INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  due         INTEGER NOT NULL,               -- µs; of a leased job never before its lease ends
  lease       INTEGER,                        -- µs, NULL unless delivering
  begun       INTEGER NOT NULL,               -- µs
  first_try   INTEGER,
  last_try    INTEGER,
  rekeys      INTEGER NOT NULL,
  redriven    INTEGER,                        -- µs
  size        INTEGER NOT NULL,               -- bytes of the body
  code        TEXT,                           -- of the last attempt
  reason      TEXT,
  since       INTEGER,                        -- µs, of the first attempt in a row with that code
  same        INTEGER NOT NULL,               -- attempts in that row
  turn        INTEGER NOT NULL DEFAULT 0,     -- gateway.Turn
  troubles    TEXT,                           -- of recipients whose state differs from the job's (gateway.Job)
  payload     TEXT                            -- JSON; the deliveries that a report names (store.EncodeReport)
) STRICT;
-- The turn orders the jobs of a destination: a job that was never tried is under its
-- flow, and a job that was tried comes after all flows. The flows with new mail are
-- found by skipping from one to the next, however many jobs each has.
CREATE INDEX job_turn ON job (destination, turn, due);
CREATE INDEX job_destination ON job (destination);
CREATE INDEX job_message ON job (message);
CREATE INDEX job_lease ON job (lease) WHERE lease IS NOT NULL;
-- The oldest jobs are given up, wherever they are in the order of acceptance.
CREATE INDEX job_begun ON job (begun);

-- Idempotency keys that were used, as store.DedupKey.
CREATE TABLE dedup (
  key     BLOB    PRIMARY KEY,
  message INTEGER NOT NULL,
  used    INTEGER                             -- µs; NULL while the key is in the message's body: then
                                              -- the row is found through the body, without a second index
) STRICT, WITHOUT ROWID;
CREATE INDEX dedup_used ON dedup (message) WHERE used IS NOT NULL;

-- Ids that senders gave and that did not become canonical. They are deleted with their
-- message.
CREATE TABLE alias (
  id      TEXT    NOT NULL,
  agent   INTEGER NOT NULL,                   -- local sender, 0 for another
  sender  TEXT    NOT NULL,                   -- any other sender, '' for a local one
  variant BLOB    NOT NULL,                   -- the content's fingerprint for a sender without proof, else empty
  message INTEGER NOT NULL,
  PRIMARY KEY (id, agent, sender, variant)
) STRICT, WITHOUT ROWID;
CREATE INDEX alias_message ON alias (message);

-- When the purge looks at a message again. Messages without a row here are found
-- by the time of their arrival.
CREATE TABLE purge_turn (
  message INTEGER PRIMARY KEY,
  due     INTEGER NOT NULL                    -- µs
) STRICT;
CREATE INDEX purge_turn_due ON purge_turn (due);

-- Other domains that have sent messages. The index finds those that have sent none for
-- long.
CREATE TABLE peer (
  domain       TEXT    PRIMARY KEY,
  first_seen   INTEGER NOT NULL,              -- µs
  last_seen    INTEGER NOT NULL,
  first_signed INTEGER,
  last_signed  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX peer_seen ON peer (last_seen);

-- The other domains to which an agent has written. They are served when the disk is short.
CREATE TABLE contact (
  agent  INTEGER NOT NULL,
  domain TEXT    NOT NULL,
  PRIMARY KEY (agent, domain)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_domain ON contact (domain);

-- Addresses of other domains that an agent has met, each with the first message to
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

-- Receipts for other domains: one row per message and recipient. A row is deleted when
-- the receipt was sent, and a day later in any case.
CREATE TABLE receipt (
  message INTEGER NOT NULL,
  agent   INTEGER NOT NULL,                   -- the recipient
  domain  TEXT    NOT NULL,                   -- the domain that gets the receipt
  read    INTEGER,                            -- µs
  acked   INTEGER,
  refused INTEGER,
  due     INTEGER NOT NULL,
  PRIMARY KEY (message, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_due ON receipt (domain, due);

-- Small documents, each changed as a whole with all of its kind. The key of a sealed
-- part is not in this file.
CREATE TABLE document (
  kind    TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  sealed  BLOB    NOT NULL,                   -- empty when nothing is sealed
  facts   BLOB    NOT NULL,                   -- JSON or empty
  created INTEGER NOT NULL,                   -- µs
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Work that only one gateway on a store does at a time, and the gateway that does it.
CREATE TABLE lease (
  name  TEXT    PRIMARY KEY,
  owner TEXT    NOT NULL,
  until INTEGER NOT NULL                      -- µs
) STRICT, WITHOUT ROWID;

-- Facts of this gateway, and the row that readiness writes.
CREATE TABLE setting (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
