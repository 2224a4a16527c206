-- +goose NO TRANSACTION
-- +goose Up

-- When the purge looks at a message again. Which ones have no row here yet, the
-- purge finds by the time of their arrival.
CREATE TABLE IF NOT EXISTS purge_turn (
  message bigint PRIMARY KEY,
  due     bigint NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX IF NOT EXISTS purge_turn_due ON purge_turn (due);
DROP INDEX CONCURRENTLY IF EXISTS message_received;
CREATE INDEX CONCURRENTLY message_received ON message (received, id);

-- Domains that wrote nothing for long are found without reading all of them.
DROP INDEX CONCURRENTLY IF EXISTS peer_seen;
CREATE INDEX CONCURRENTLY peer_seen ON peer (last_seen, domain);

-- Gateways of the release before may serve for a while beside those of this one, and
-- write no row of purge_turn. A day later the purge looks at everything once more.
INSERT INTO setting (name, value)
  SELECT 'purge_again', ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 86400000000)::text
  WHERE EXISTS (SELECT FROM message) ON CONFLICT (name) DO NOTHING;
