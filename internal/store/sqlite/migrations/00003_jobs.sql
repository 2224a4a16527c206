-- +goose Up

-- Nothing was ever written to it.
DROP TABLE shipment;

-- What is to be done after the answer: one row per message and destination, and
-- one per report. Lease, fence, attempts and schedule live here. A row goes when
-- every recipient of it is decided. The id is never used again.
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
  same        INTEGER NOT NULL                -- attempts in that row
) STRICT;
CREATE INDEX job_due ON job (destination, due);
CREATE INDEX job_message ON job (message);
CREATE INDEX job_lease ON job (lease) WHERE lease IS NOT NULL;

-- The job that will decide the delivery, or that reports its failure. While a
-- delivery is queued and has one, state and attempts are those of the job.
ALTER TABLE delivery RENAME COLUMN shipment TO job;
ALTER TABLE delivery ADD COLUMN pushed INTEGER;     -- 1 for a local recipient who gets it by push, not from the inbox
ALTER TABLE delivery ADD COLUMN place INTEGER;      -- among the recipients, where the inbox sequence does not tell it
ALTER TABLE delivery ADD COLUMN first_try INTEGER;  -- of one that failed
ALTER TABLE delivery ADD COLUMN last_try INTEGER;
ALTER TABLE delivery ADD COLUMN dead INTEGER;       -- µs, since when it is a dead letter
ALTER TABLE delivery ADD COLUMN generation INTEGER; -- how often it was tried again after that

DROP INDEX delivery_box;
CREATE INDEX delivery_box ON delivery (agent, pushed, state);
CREATE INDEX delivery_dead ON delivery (seq) WHERE dead IS NOT NULL;

-- Where a push agent receives.
ALTER TABLE agent ADD COLUMN target TEXT NOT NULL DEFAULT '';

-- Who wrote from elsewhere is asked for by address.
CREATE INDEX message_from ON message (sender) WHERE sender IS NOT NULL;

-- What is remembered of other domains.
CREATE TABLE peer (
  domain       TEXT    PRIMARY KEY,
  first_seen   INTEGER NOT NULL,              -- µs
  last_seen    INTEGER NOT NULL,
  first_signed INTEGER,
  last_signed  INTEGER
) STRICT, WITHOUT ROWID;

-- Sealed secrets: what opens them is not in this file.
CREATE TABLE secret (
  kind    TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  sealed  BLOB    NOT NULL,
  facts   BLOB    NOT NULL,                   -- JSON or empty
  created INTEGER NOT NULL,                   -- µs
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
