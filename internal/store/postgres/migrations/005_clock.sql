-- +goose NO TRANSACTION
-- +goose Up

-- The oldest jobs are given up, wherever they stand in the order of acceptance.
DROP INDEX CONCURRENTLY IF EXISTS job_begun;
CREATE INDEX CONCURRENTLY job_begun ON job (begun, id);
