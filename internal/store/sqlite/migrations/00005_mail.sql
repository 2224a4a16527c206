-- +goose Up

-- Shared mailboxes and groups are agents with members.
ALTER TABLE agent ADD COLUMN kind    TEXT NOT NULL DEFAULT '';  -- gateway.AgentKind
ALTER TABLE agent ADD COLUMN members TEXT NOT NULL DEFAULT '';  -- JSON array of agents' ids, or ''

ALTER TABLE message ADD COLUMN author   INTEGER ;  -- the member that wrote for a shared mailbox
ALTER TABLE message ADD COLUMN priority INTEGER ;  -- gateway.Priority, NULL for normal
