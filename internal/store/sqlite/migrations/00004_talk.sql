-- +goose Up

-- The messages of a thread in a mailbox: those that its agent sent, and those that it
-- received. The message that begins a thread is in neither index.
CREATE INDEX message_thread ON message (sender_agent, thread) WHERE thread IS NOT NULL AND sender_agent IS NOT NULL;
CREATE INDEX delivery_thread ON delivery (agent, thread, message) WHERE thread IS NOT NULL;

-- The labels that an agent gave to messages in its mailbox. They are deleted with their
-- message.
CREATE TABLE label (
  message INTEGER NOT NULL,
  agent   INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  PRIMARY KEY (message, agent, name)
) STRICT, WITHOUT ROWID;
-- The messages with a label in a mailbox.
CREATE INDEX label_agent ON label (agent, name, message);
