-- +goose Up

-- Where a job stands among those of its destination that are due: under its flow
-- as long as it was never tried, and behind all of those when it was
-- (gateway.Turn). The flows that have new mail are found by leaping from one to
-- the next, however much each has.
ALTER TABLE job ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
UPDATE job SET turn = CASE WHEN attempts > 0 THEN 9223372036854775807
  ELSE coalesce((SELECT sender_agent FROM message m WHERE m.id = job.message), 0) END;
DROP INDEX job_due;
CREATE INDEX job_turn ON job (destination, turn, due);

-- What recipients of one job met that fare otherwise than the job (gateway.Job).
ALTER TABLE job ADD COLUMN troubles TEXT;
