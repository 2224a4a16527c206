-- +goose NO TRANSACTION
-- +goose Up

-- What all gateways together used of limits, as gateway.Spent: the times by which it
-- has come back, µs. It need not survive a crash, and is in no backup.
CREATE UNLOGGED TABLE IF NOT EXISTS spent (
  name     text   COLLATE "C" PRIMARY KEY,
  messages bigint NOT NULL,
  bytes    bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
