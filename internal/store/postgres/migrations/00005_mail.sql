-- +goose Up

-- Shared mailboxes and groups are agents with members.
ALTER TABLE agent ADD COLUMN kind    text NOT NULL DEFAULT '';  -- gateway.AgentKind
ALTER TABLE agent ADD COLUMN members text NOT NULL DEFAULT '';  -- JSON array of agents' ids, or empty

ALTER TABLE message ADD COLUMN author   bigint  ;  -- the member that wrote for a shared mailbox
ALTER TABLE message ADD COLUMN priority smallint;  -- gateway.Priority, NULL for normal
