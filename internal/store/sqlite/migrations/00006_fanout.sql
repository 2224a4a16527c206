-- +goose Up

-- A delivery to another domain: whether another recipient of the domain was named
-- before it, and of the redrive under whose id it leaves, the time.
ALTER TABLE delivery ADD COLUMN further INTEGER;    -- 1 for one that has an id and a key of its own
ALTER TABLE delivery ADD COLUMN redriven INTEGER;   -- µs

UPDATE delivery SET further = 1 WHERE agent = 0 AND EXISTS (SELECT 1 FROM delivery e WHERE e.message = delivery.message AND e.agent = 0
  AND e.seq < delivery.seq AND substr(e.address, instr(e.address, '@')) = substr(delivery.address, instr(delivery.address, '@')));
UPDATE delivery SET redriven = (SELECT redriven FROM job WHERE job.id = delivery.job) WHERE agent = 0 AND job IS NOT NULL;

-- Aliases go with their message, whatever they were made of.
CREATE INDEX alias_message ON alias (message);
