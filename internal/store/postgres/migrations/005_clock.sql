-- +goose Up

-- The oldest jobs are given up, wherever they stand in the order of acceptance.
CREATE INDEX job_begun ON job (begun, id);
