-- +goose Up

-- When the purge looks at a message again. Which ones have no row here yet, the
-- purge finds by the time of their arrival.
CREATE TABLE purge_turn (
  message bigint PRIMARY KEY,
  due     bigint NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX purge_turn_due ON purge_turn (due);
CREATE INDEX message_received ON message (received, id);

-- Domains that wrote nothing for long are found without reading all of them.
CREATE INDEX peer_seen ON peer (last_seen, domain);
