-- +goose Up

-- Agents are named by id for good; the id is never used again.
CREATE TABLE agent (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  name         TEXT    NOT NULL,              -- as registered
  domain       TEXT    NOT NULL,
  mode         TEXT    NOT NULL,              -- pull
  description  TEXT    NOT NULL,
  role         TEXT    NOT NULL,
  capabilities TEXT    NOT NULL,              -- JSON array or ''
  schemas      TEXT    NOT NULL,              -- JSON array or ''
  listed       INTEGER NOT NULL,
  created      INTEGER NOT NULL,              -- µs
  active       INTEGER NOT NULL,              -- µs
  removed      INTEGER                        -- µs, NULL while it lives
) STRICT;
CREATE UNIQUE INDEX agent_name ON agent (domain, name COLLATE NOCASE) WHERE removed IS NULL;

CREATE TABLE agent_key (
  id      TEXT    PRIMARY KEY,
  agent   INTEGER NOT NULL,
  hash    BLOB    NOT NULL UNIQUE,            -- SHA-256 of the secret
  created INTEGER NOT NULL,
  used    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per message. The row id is the order of acceptance.
CREATE TABLE message (
  id             INTEGER PRIMARY KEY,
  uuid           BLOB    NOT NULL,            -- canonical id, 16 bytes
  sender_agent   INTEGER,                     -- local sender
  sender         TEXT,                        -- any other sender
  class          INTEGER NOT NULL,            -- gateway.Class
  trust          INTEGER NOT NULL,
  authentication TEXT,                        -- JSON; NULL for what follows from the class
  received       INTEGER NOT NULL,            -- µs
  stamped        INTEGER,                     -- the sender's timestamp where it counts, µs
  request        INTEGER NOT NULL,
  given_id       TEXT,                        -- the sender's own id where it differs
  subject        TEXT,
  in_reply_to    TEXT,
  thread         TEXT,                        -- in the sender's mailbox; NULL is the own id
  fingerprint    BLOB,                        -- written when the body is purged
  body           BLOB                         -- as received; NULL after its retention
) STRICT;
CREATE UNIQUE INDEX message_uuid ON message (uuid);
CREATE INDEX message_sender ON message (sender_agent) WHERE sender_agent IS NOT NULL;

-- One row per message and recipient. The row id is the inbox sequence: given
-- in commit order when the message enters the inbox.
CREATE TABLE delivery (
  seq       INTEGER PRIMARY KEY,
  message   INTEGER NOT NULL,
  agent     INTEGER NOT NULL,                 -- local recipient, 0 for a remote one
  address   TEXT,                             -- remote recipient
  state     INTEGER NOT NULL,                 -- gateway.State
  changed   INTEGER NOT NULL,                 -- µs
  delivered INTEGER,
  acked     INTEGER,
  read      INTEGER,
  leases    INTEGER,                          -- how often it was leased to a reader
  shipment  INTEGER,
  attempts  INTEGER,
  code      TEXT,
  reason    TEXT,
  thread    TEXT                              -- in this mailbox; NULL is the message's own id
) STRICT;
CREATE INDEX delivery_message ON delivery (message);
CREATE INDEX delivery_box ON delivery (agent, state);

-- What a gateway has to carry elsewhere: one row per message and destination
-- domain, or push agent. Lease, fence, attempts and schedule live here.
CREATE TABLE shipment (
  id          INTEGER PRIMARY KEY,
  message     INTEGER NOT NULL,
  destination TEXT    NOT NULL,
  state       INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  fence       INTEGER NOT NULL,
  owner       TEXT,
  lease       INTEGER,                        -- µs
  attempts    INTEGER NOT NULL,
  due         INTEGER,                        -- µs
  first_try   INTEGER,
  last_try    INTEGER,
  code        TEXT,
  reason      TEXT
) STRICT;
CREATE INDEX shipment_due ON shipment (due) WHERE due IS NOT NULL;
CREATE INDEX shipment_message ON shipment (message);

-- Idempotency keys that were used, as store.DedupKey.
CREATE TABLE dedup (
  key     BLOB    PRIMARY KEY,
  message INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids that senders gave and that did not become canonical.
CREATE TABLE alias (
  id      TEXT    NOT NULL,
  agent   INTEGER NOT NULL,                   -- local sender, 0 for another
  sender  TEXT    NOT NULL,                   -- any other sender, '' for a local one
  variant BLOB    NOT NULL,                   -- the content's fingerprint where nobody vouched for it, else empty
  message INTEGER NOT NULL,
  PRIMARY KEY (id, agent, sender, variant)
) STRICT, WITHOUT ROWID;

-- Facts of this gateway, and the row that readiness writes.
CREATE TABLE setting (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
