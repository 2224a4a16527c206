-- +goose Up

-- Messages whose bodies were deleted and that the search index, which is a file of its own,
-- may still have. A row is deleted when the message has left the index.
CREATE TABLE search_gone (
  message INTEGER PRIMARY KEY
) STRICT;
