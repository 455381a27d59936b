-- Messages whose attachments were not looked at for text yet. A leased row has a lease and a due_at in the future.
CREATE TABLE text_jobs (
  organization_id TEXT COLLATE "C" NOT NULL,
  inbox_key TEXT COLLATE "C" NOT NULL,
  message_key TEXT COLLATE "C" NOT NULL,
  attempts BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  lease TEXT COLLATE "C",
  PRIMARY KEY (organization_id, inbox_key, message_key)
);
CREATE INDEX text_jobs_by_due ON text_jobs (due_at);

-- The plain text of an attachment, zstd-compressed. No row: there is none.
CREATE TABLE attachment_texts (
  organization_id TEXT COLLATE "C" NOT NULL,
  inbox_key TEXT COLLATE "C" NOT NULL,
  message_key TEXT COLLATE "C" NOT NULL,
  attachment_id TEXT COLLATE "C" NOT NULL,
  bytes BYTEA NOT NULL,
  PRIMARY KEY (organization_id, inbox_key, message_key, attachment_id)
);

-- Messages that were here before.
INSERT INTO text_jobs (organization_id, inbox_key, message_key, attempts, due_at)
SELECT organization_id, inbox_key, message_key, 0, created_at FROM messages WHERE attachments IS NOT NULL;
