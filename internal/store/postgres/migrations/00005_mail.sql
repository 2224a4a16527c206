-- +goose NO TRANSACTION
-- +goose Up

-- Shared mailboxes and groups are agents with members.
ALTER TABLE agent ADD COLUMN IF NOT EXISTS kind    text NOT NULL DEFAULT '',  -- gateway.AgentKind
                  ADD COLUMN IF NOT EXISTS members text NOT NULL DEFAULT '';  -- JSON array of agents' ids, or empty

ALTER TABLE message ADD COLUMN IF NOT EXISTS author   bigint,    -- the member that wrote for a shared mailbox
                    ADD COLUMN IF NOT EXISTS priority smallint;  -- gateway.Priority, NULL for normal
