-- A report names the sending inbox by its key alone; the organization follows from it.
CREATE UNIQUE INDEX inboxes_by_key ON inboxes (inbox_key);

-- The operator's switch: mail to one recipient gets List-Unsubscribe of our own.
ALTER TABLE domains ADD COLUMN unsubscribe_links BIGINT NOT NULL DEFAULT 0;
