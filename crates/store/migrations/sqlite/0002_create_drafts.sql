-- Unsent messages. state: plain, scheduled, sending, failed. resume: what a draft that is being sent goes back to.
-- due_at: when it is to be sent, or until when whoever sends it has to be done.
CREATE TABLE drafts (
  organization_id TEXT NOT NULL,
  draft_id TEXT NOT NULL,
  pod_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  inbox_id TEXT NOT NULL,
  state TEXT NOT NULL,
  resume TEXT NOT NULL,
  send_at BIGINT,
  due_at BIGINT,
  lease TEXT,
  labels TEXT NOT NULL,
  content TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  text TEXT,
  html TEXT,
  PRIMARY KEY (organization_id, draft_id)
);
CREATE INDEX drafts_by_time ON drafts (organization_id, updated_at, draft_id);
CREATE INDEX drafts_by_pod ON drafts (organization_id, pod_id, updated_at, draft_id);
CREATE INDEX drafts_by_inbox ON drafts (organization_id, inbox_key, updated_at, draft_id);
CREATE INDEX drafts_by_due ON drafts (due_at, draft_id);

-- Bytes of a draft's attachments, zstd-compressed: inline when small, else under their object's name.
CREATE TABLE draft_attachments (
  organization_id TEXT NOT NULL,
  draft_id TEXT NOT NULL,
  attachment_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  bytes BLOB,
  object TEXT,
  PRIMARY KEY (organization_id, draft_id, attachment_id)
);
CREATE INDEX draft_attachments_by_inbox ON draft_attachments (organization_id, inbox_key);

-- What drafts with a client_id were when they were sent, so that making one again finds it.
CREATE TABLE sent_drafts (
  organization_id TEXT NOT NULL,
  draft_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  snapshot TEXT NOT NULL,
  sent_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, draft_id)
);
CREATE INDEX sent_drafts_by_inbox ON sent_drafts (organization_id, inbox_key);
CREATE INDEX sent_drafts_by_time ON sent_drafts (sent_at);
