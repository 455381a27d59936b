-- Messages that the index does not hold yet, or holds as an older program made it.
CREATE TABLE search_queue (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  message_key TEXT NOT NULL,
  pod_id TEXT NOT NULL,
  PRIMARY KEY (organization_id, inbox_key, message_key)
) WITHOUT ROWID;
CREATE INDEX search_queue_by_key ON search_queue (message_key);
INSERT INTO search_queue (organization_id, inbox_key, message_key, pod_id)
  SELECT organization_id, inbox_key, message_key, pod_id FROM messages;

-- Indexed messages. doc_id orders by storage time. text: the folded words of the body, zstd-compressed.
CREATE TABLE search_documents (
  organization_id TEXT NOT NULL,
  doc_id BIGINT NOT NULL,
  pod_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  message_key TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  text BLOB NOT NULL,
  PRIMARY KEY (organization_id, doc_id)
);
CREATE UNIQUE INDEX search_documents_by_doc ON search_documents (doc_id);
CREATE INDEX search_documents_by_message ON search_documents (organization_id, inbox_key, message_key);
CREATE INDEX search_documents_by_thread ON search_documents (organization_id, thread_id);
CREATE INDEX search_documents_by_version ON search_documents (version);

-- What each document can be found by: words, beginnings of words, n-grams of addresses and subjects, and the scopes that
-- it lies in. The rowid is the doc_id.
CREATE VIRTUAL TABLE search_index USING fts5 (
  tokens, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);
