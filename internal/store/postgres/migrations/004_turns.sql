-- +goose NO TRANSACTION
-- +goose Up

-- Gateways of the release before serve while this runs: each statement is a
-- transaction of its own, none holds a lock for long, and all may be run again.

-- Where a job stands among those of its destination that are due: under its flow
-- as long as it was never tried, and behind all of those when it was
-- (gateway.Turn). The flows that have new mail are found by leaping from one to
-- the next, however much each has. The release before writes jobs of flow 0 and
-- leaves the turn of those that it tries as it is.
ALTER TABLE job ADD COLUMN IF NOT EXISTS turn bigint NOT NULL DEFAULT 0;

-- What recipients of one job met that fare otherwise than the job (gateway.Job).
-- The release before leaves it as it is; a line of it says nothing when its
-- recipient is decided.
ALTER TABLE job ADD COLUMN IF NOT EXISTS troubles text;

-- +goose StatementBegin
DO $$
DECLARE
  last bigint := 0;
  upto bigint;
BEGIN
  LOOP
    SELECT max(id) INTO upto FROM (SELECT id FROM job WHERE id > last ORDER BY id LIMIT 2000) part;
    EXIT WHEN upto IS NULL;
    UPDATE job SET turn = CASE WHEN attempts > 0 THEN 9223372036854775807
      ELSE coalesce((SELECT sender_agent FROM message m WHERE m.id = job.message), 0) END
      WHERE id > last AND id <= upto AND turn = 0;
    last := upto;
    COMMIT;
  END LOOP;
END $$;
-- +goose StatementEnd

-- The index job_due stays for the release before, whose claims need it; a later
-- release drops it.
DROP INDEX CONCURRENTLY IF EXISTS job_turn;
CREATE INDEX CONCURRENTLY job_turn ON job (destination, turn, due, id);
