-- Messages that the index does not hold yet, or holds as an older program made it.
CREATE TABLE search_queue (
  organization_id TEXT COLLATE "C" NOT NULL,
  inbox_key TEXT COLLATE "C" NOT NULL,
  message_key TEXT COLLATE "C" NOT NULL,
  pod_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (organization_id, inbox_key, message_key)
);
CREATE INDEX search_queue_by_key ON search_queue (message_key);
INSERT INTO search_queue (organization_id, inbox_key, message_key, pod_id)
  SELECT organization_id, inbox_key, message_key, pod_id FROM messages;

-- Indexed messages. doc_id orders by storage time. text: the folded words of the body, zstd-compressed. tokens: what each
-- can be found by: words, beginnings of words, n-grams of addresses and subjects, and the scopes that it lies in.
CREATE TABLE search_documents (
  organization_id TEXT COLLATE "C" NOT NULL,
  doc_id BIGINT NOT NULL,
  pod_id TEXT COLLATE "C" NOT NULL,
  inbox_key TEXT COLLATE "C" NOT NULL,
  message_key TEXT COLLATE "C" NOT NULL,
  thread_id TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  text BYTEA NOT NULL,
  tokens TSVECTOR NOT NULL,
  PRIMARY KEY (organization_id, doc_id)
);
CREATE INDEX search_documents_by_message ON search_documents (organization_id, inbox_key, message_key);
CREATE INDEX search_documents_by_thread ON search_documents (organization_id, thread_id);
CREATE INDEX search_documents_by_version ON search_documents (version);
CREATE INDEX search_documents_by_token ON search_documents USING gin (tokens) WITH (fastupdate = off);
