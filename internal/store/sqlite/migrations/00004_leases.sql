-- +goose Up

-- Who does what only one gateway on a store does at a time.
CREATE TABLE lease (
  name  TEXT    PRIMARY KEY,
  owner TEXT    NOT NULL,
  until INTEGER NOT NULL                      -- µs
) STRICT, WITHOUT ROWID;
