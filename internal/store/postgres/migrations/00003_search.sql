-- +goose NO TRANSACTION
-- +goose Up

-- The words of messages, with the marks of agents and schemas (store.SearchDocument). It has
-- no content that is not in the messages, and is filled behind them. How far it has come is
-- the row of setting named search.
CREATE TABLE IF NOT EXISTS search (
  message    bigint   PRIMARY KEY,
  deliveries int      NOT NULL,               -- how many the message had when it was taken up
  words      tsvector NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02);
-- New rows are in the index at once: a search never goes through a list of pending ones.
CREATE INDEX IF NOT EXISTS search_words ON search USING gin (words) WITH (fastupdate = off);
