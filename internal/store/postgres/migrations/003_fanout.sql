-- +goose Up

-- A delivery to another domain: whether another recipient of the domain was named
-- before it, and of the redrive under whose id it leaves, the time.
ALTER TABLE delivery ADD COLUMN further boolean NOT NULL DEFAULT false;    -- it has an id and a key of its own
ALTER TABLE delivery ADD COLUMN redriven bigint;

UPDATE delivery d SET further = true WHERE agent = 0 AND EXISTS (SELECT 1 FROM delivery e WHERE e.message = d.message AND e.agent = 0
  AND e.seq < d.seq AND split_part(e.address, '@', 2) = split_part(d.address, '@', 2));
UPDATE delivery d SET redriven = j.redriven FROM job j WHERE j.id = d.job AND d.agent = 0 AND j.redriven IS NOT NULL;

-- Aliases go with their message.
CREATE INDEX alias_message ON alias (message);
