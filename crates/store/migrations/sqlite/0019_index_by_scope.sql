-- The index of words is kept by pod and by organization from here on, in segments that both engines store alike, so that
-- a search never reads what lies beside its scope. What was indexed before is indexed again.
DROP TABLE search_index;
DROP INDEX search_documents_by_doc;
DELETE FROM search_documents;
DELETE FROM search_queue;
INSERT INTO search_queue (organization_id, inbox_key, message_key, pod_id)
  SELECT organization_id, inbox_key, message_key, pod_id FROM messages;

-- Segments of a scope: a pod, or, with an empty name, the whole organization. oldest and newest: the numbers of its first
-- and last document. gone: how many of its documents were deleted, about. numbers: those of all its documents, or of every
-- 256th.
CREATE TABLE search_segments (
  organization_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  segment_id TEXT NOT NULL,
  level BIGINT NOT NULL,
  documents BIGINT NOT NULL,
  oldest BIGINT NOT NULL,
  newest BIGINT NOT NULL,
  gone BIGINT NOT NULL,
  numbers BLOB NOT NULL,
  PRIMARY KEY (organization_id, scope, segment_id)
) WITHOUT ROWID;

-- Tokens of a segment with the documents that carry them, in blocks by their first token.
CREATE TABLE search_blocks (
  organization_id TEXT NOT NULL,
  segment_id TEXT NOT NULL,
  name TEXT NOT NULL,
  entries BLOB NOT NULL,
  PRIMARY KEY (organization_id, segment_id, name)
);

-- Scopes whose segments want tending: there are many of one size, or, unless it is 0, this document was deleted.
CREATE TABLE search_work (
  organization_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  work_id BIGINT NOT NULL,
  document BIGINT NOT NULL,
  PRIMARY KEY (organization_id, scope, work_id)
) WITHOUT ROWID;
