-- Unsent messages. state: plain, scheduled, sending, failed. resume: what a draft that is being sent goes back to.
-- due_at: when it is to be sent, or until when whoever sends it has to be done.
CREATE TABLE drafts (
  organization_id TEXT COLLATE "C" NOT NULL,
  draft_id TEXT COLLATE "C" NOT NULL,
  pod_id TEXT COLLATE "C" NOT NULL,
  inbox_key TEXT COLLATE "C" NOT NULL,
  inbox_id TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  resume TEXT COLLATE "C" NOT NULL,
  send_at BIGINT,
  due_at BIGINT,
  lease TEXT COLLATE "C",
  labels TEXT COLLATE "C" NOT NULL,
  content TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  text TEXT COLLATE "C",
  html TEXT COLLATE "C",
  PRIMARY KEY (organization_id, draft_id)
);
CREATE INDEX drafts_by_time ON drafts (organization_id, updated_at, draft_id);
CREATE INDEX drafts_by_pod ON drafts (organization_id, pod_id, updated_at, draft_id);
CREATE INDEX drafts_by_inbox ON drafts (organization_id, inbox_key, updated_at, draft_id);
CREATE INDEX drafts_by_due ON drafts (due_at, draft_id);

-- Bytes of a draft's attachments, zstd-compressed: inline when small, else under their object's name.
CREATE TABLE draft_attachments (
  organization_id TEXT COLLATE "C" NOT NULL,
  draft_id TEXT COLLATE "C" NOT NULL,
  attachment_id TEXT COLLATE "C" NOT NULL,
  inbox_key TEXT COLLATE "C" NOT NULL,
  bytes BYTEA,
  object TEXT COLLATE "C",
  PRIMARY KEY (organization_id, draft_id, attachment_id)
);
CREATE INDEX draft_attachments_by_inbox ON draft_attachments (organization_id, inbox_key);

-- What drafts with a client_id were when they were sent, so that making one again finds it.
CREATE TABLE sent_drafts (
  organization_id TEXT COLLATE "C" NOT NULL,
  draft_id TEXT COLLATE "C" NOT NULL,
  inbox_key TEXT COLLATE "C" NOT NULL,
  snapshot TEXT COLLATE "C" NOT NULL,
  sent_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, draft_id)
);
CREATE INDEX sent_drafts_by_inbox ON sent_drafts (organization_id, inbox_key);
CREATE INDEX sent_drafts_by_time ON sent_drafts (sent_at);
