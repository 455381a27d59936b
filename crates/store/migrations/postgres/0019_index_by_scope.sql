-- The index of words is kept by pod and by organization from here on, in segments that both engines store alike, so that
-- a search never reads what lies beside its scope. What was indexed before is indexed again.
ALTER TABLE search_documents DROP COLUMN tokens;
TRUNCATE search_documents;
TRUNCATE search_queue;
INSERT INTO search_queue (organization_id, inbox_key, message_key, pod_id)
  SELECT organization_id, inbox_key, message_key, pod_id FROM messages;

-- Segments of a scope: a pod, or, with an empty name, the whole organization. oldest and newest: the numbers of its first
-- and last document. gone: how many of its documents were deleted, about. numbers: those of all its documents, or of every
-- 256th.
CREATE TABLE search_segments (
  organization_id TEXT COLLATE "C" NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  segment_id TEXT COLLATE "C" NOT NULL,
  level BIGINT NOT NULL,
  documents BIGINT NOT NULL,
  oldest BIGINT NOT NULL,
  newest BIGINT NOT NULL,
  gone BIGINT NOT NULL,
  numbers BYTEA NOT NULL,
  PRIMARY KEY (organization_id, scope, segment_id)
);

-- Tokens of a segment with the documents that carry them, in blocks by their first token.
CREATE TABLE search_blocks (
  organization_id TEXT COLLATE "C" NOT NULL,
  segment_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  entries BYTEA NOT NULL,
  PRIMARY KEY (organization_id, segment_id, name)
);

-- Scopes whose segments want tending: there are many of one size, or, unless it is 0, this document was deleted.
CREATE TABLE search_work (
  organization_id TEXT COLLATE "C" NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  work_id BIGINT NOT NULL,
  document BIGINT NOT NULL,
  PRIMARY KEY (organization_id, scope, work_id)
);

-- Differences of numbers do not shrink: compressing them would only cost time.
ALTER TABLE search_blocks ALTER COLUMN entries SET STORAGE EXTERNAL;
