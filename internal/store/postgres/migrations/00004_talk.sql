-- +goose NO TRANSACTION
-- +goose Up

-- The messages of a thread in a mailbox: those that its agent sent, and those that it
-- received. The message that begins a thread is in neither index.
DROP INDEX CONCURRENTLY IF EXISTS message_thread;
CREATE INDEX CONCURRENTLY message_thread ON message (sender_agent, thread, id)
  WHERE thread IS NOT NULL AND sender_agent IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS delivery_thread;
CREATE INDEX CONCURRENTLY delivery_thread ON delivery (agent, thread, message) WHERE thread IS NOT NULL;

-- The labels that an agent gave to messages in its mailbox. They are deleted with their
-- message.
CREATE TABLE IF NOT EXISTS label (
  message bigint NOT NULL,
  agent   bigint NOT NULL,
  name    text   COLLATE "C" NOT NULL,
  PRIMARY KEY (message, agent, name)
);
-- The messages with a label in a mailbox.
CREATE INDEX IF NOT EXISTS label_agent ON label (agent, name, message);
