-- Everything a tenant owns leads its keys with organization_id. Times are microseconds UTC, booleans 0 and 1, JSON text.

-- Settings of the installation itself: the shared domain's signing key, the key of download links.
CREATE TABLE installation (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

-- How far each reader of the event log has come.
CREATE TABLE cursors (
  name TEXT NOT NULL PRIMARY KEY,
  txn BIGINT NOT NULL,
  seq BIGINT NOT NULL
);

CREATE TABLE organizations (
  organization_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  inbox_limit BIGINT,
  domain_limit BIGINT,
  send_per_day BIGINT,
  suspended BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE pods (
  organization_id TEXT NOT NULL,
  pod_id TEXT NOT NULL,
  name TEXT NOT NULL,
  client_id TEXT,
  subdomain TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, pod_id)
);
CREATE INDEX pods_by_time ON pods (organization_id, created_at, pod_id);

-- Who made what under which client_id. kind: pod, inbox, webhook, domain.
CREATE TABLE client_ids (
  organization_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  client_id TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  PRIMARY KEY (organization_id, kind, client_id)
) WITHOUT ROWID;

CREATE TABLE api_keys (
  organization_id TEXT NOT NULL,
  api_key_id TEXT NOT NULL,
  pod_id TEXT,
  inbox_key TEXT,
  inbox_id TEXT,
  key_hash TEXT NOT NULL,
  prefix TEXT NOT NULL,
  name TEXT NOT NULL,
  permissions TEXT,
  expires_at BIGINT,
  used_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, api_key_id)
);
CREATE INDEX api_keys_by_time ON api_keys (organization_id, created_at, api_key_id);
CREATE INDEX api_keys_by_pod ON api_keys (organization_id, pod_id, created_at, api_key_id);
CREATE INDEX api_keys_by_inbox ON api_keys (organization_id, inbox_key, created_at, api_key_id);

-- Directories: what is unique in the whole installation.
CREATE TABLE key_directory (
  key_hash TEXT NOT NULL PRIMARY KEY,
  organization_id TEXT NOT NULL,
  api_key_id TEXT NOT NULL
) WITHOUT ROWID;
-- inbox_key is NULL while a deleted address of the shared domain is held for its former owner.
CREATE TABLE address_directory (
  address TEXT NOT NULL PRIMARY KEY,
  organization_id TEXT NOT NULL,
  pod_id TEXT NOT NULL,
  inbox_key TEXT,
  released_at BIGINT
) WITHOUT ROWID;
CREATE TABLE domain_directory (
  domain TEXT NOT NULL PRIMARY KEY,
  organization_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE subdomain_directory (
  label TEXT NOT NULL PRIMARY KEY,
  organization_id TEXT NOT NULL,
  pod_id TEXT NOT NULL
) WITHOUT ROWID;

-- inbox_key names one incarnation of an address. governing_domain: the registered domain that covers the address,
-- NULL on the installation's shared domain. label_seq: last number given in the inbox's label history.
CREATE TABLE inboxes (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  pod_id TEXT NOT NULL,
  inbox_id TEXT NOT NULL,
  governing_domain TEXT,
  display_name TEXT,
  client_id TEXT,
  paused BIGINT NOT NULL,
  metadata TEXT,
  label_seq BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, inbox_key)
);
CREATE UNIQUE INDEX inboxes_by_address ON inboxes (organization_id, inbox_id);
CREATE INDEX inboxes_by_time ON inboxes (organization_id, created_at, inbox_key);
CREATE INDEX inboxes_by_pod ON inboxes (organization_id, pod_id, created_at, inbox_key);
CREATE INDEX inboxes_by_domain ON inboxes (organization_id, governing_domain);

-- Deleted inboxes whose rows are still being removed, piece by piece; readers skip what they name.
CREATE TABLE purges (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, inbox_key)
) WITHOUT ROWID;

-- checks_since: from when the intervals between checks stretch. version counts changes: whoever decided on an older
-- one decides again. next_check_at equals leased_until while a check runs and nobody asked for another.
CREATE TABLE domains (
  organization_id TEXT NOT NULL,
  domain TEXT NOT NULL,
  pod_id TEXT,
  client_id TEXT,
  status TEXT NOT NULL,
  reason TEXT,
  feedback_enabled BIGINT NOT NULL,
  inbound_enabled BIGINT NOT NULL,
  subdomains_enabled BIGINT NOT NULL,
  tracking_enabled BIGINT NOT NULL,
  dkim_selector TEXT NOT NULL,
  dkim_private BLOB NOT NULL,
  dkim_public TEXT NOT NULL,
  records TEXT NOT NULL,
  verified_at BIGINT,
  sending BIGINT NOT NULL,
  forced BIGINT NOT NULL,
  failed_checks BIGINT NOT NULL,
  next_check_at BIGINT,
  checked_at BIGINT,
  leased_until BIGINT,
  checks_since BIGINT NOT NULL,
  verify_requested_at BIGINT,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, domain)
);
CREATE INDEX domains_by_time ON domains (organization_id, created_at, domain);
CREATE INDEX domains_by_check ON domains (next_check_at);

-- restricted: bits of spam 1, blocked 2, unauthenticated 4, trash 8. direction: 0 received, 1 sent.
CREATE TABLE messages (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  message_key TEXT NOT NULL,
  pod_id TEXT NOT NULL,
  inbox_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  direction BIGINT NOT NULL,
  restricted BIGINT NOT NULL,
  sent_at BIGINT,
  timestamp BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  size BIGINT NOT NULL,
  fingerprint TEXT NOT NULL,
  labels TEXT NOT NULL,
  sender TEXT NOT NULL,
  recipients_to TEXT NOT NULL,
  recipients_cc TEXT NOT NULL,
  recipients_bcc TEXT NOT NULL,
  subject TEXT,
  preview TEXT,
  in_reply_to TEXT,
  reference_ids TEXT,
  attachments TEXT,
  object TEXT,
  PRIMARY KEY (organization_id, inbox_key, message_key)
);
CREATE INDEX messages_by_time ON messages (organization_id, inbox_key, timestamp, message_key);
CREATE INDEX messages_by_id ON messages (organization_id, inbox_key, message_id);
CREATE INDEX messages_by_thread ON messages (organization_id, thread_id, timestamp, message_key);

-- The raw message, zstd-compressed, when it is small; larger ones lie in the object store under messages.object.
CREATE TABLE message_bytes (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  message_key TEXT NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (organization_id, inbox_key, message_key)
);

-- Other names of a message: the sender's id when ours replaced it, the id that a relay put in place of ours.
CREATE TABLE message_aliases (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  alias TEXT NOT NULL,
  message_key TEXT NOT NULL,
  PRIMARY KEY (organization_id, inbox_key, alias, message_key)
) WITHOUT ROWID;
CREATE INDEX message_aliases_by_message ON message_aliases (organization_id, inbox_key, message_key);

CREATE TABLE message_labels (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  label TEXT NOT NULL,
  timestamp BIGINT NOT NULL,
  message_key TEXT NOT NULL,
  PRIMARY KEY (organization_id, inbox_key, label, timestamp, message_key)
) WITHOUT ROWID;

-- Every label ever added or removed, numbered per inbox. added: 1 added, 0 removed.
CREATE TABLE label_events (
  organization_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  seq BIGINT NOT NULL,
  pod_id TEXT NOT NULL,
  message_key TEXT NOT NULL,
  message_id TEXT NOT NULL,
  label TEXT NOT NULL,
  added BIGINT NOT NULL,
  event_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, inbox_key, seq)
) WITHOUT ROWID;

-- One row per combination of restricted labels in the thread.
CREATE TABLE threads (
  organization_id TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  restricted BIGINT NOT NULL,
  pod_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  inbox_id TEXT NOT NULL,
  timestamp BIGINT NOT NULL,
  received_timestamp BIGINT,
  sent_timestamp BIGINT,
  message_count BIGINT NOT NULL,
  size BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  last_message_id TEXT NOT NULL,
  last_message_key TEXT NOT NULL,
  labels TEXT NOT NULL,
  senders TEXT NOT NULL,
  recipients TEXT NOT NULL,
  subject TEXT,
  preview TEXT,
  attachments TEXT,
  PRIMARY KEY (organization_id, thread_id, restricted)
);
CREATE INDEX threads_by_time ON threads (organization_id, timestamp, thread_id);
CREATE INDEX threads_by_pod ON threads (organization_id, pod_id, timestamp, thread_id);
CREATE INDEX threads_by_inbox ON threads (organization_id, inbox_key, timestamp, thread_id);

-- The event log. (txn, seq) is a reader's position; txn is 0 on SQLite, where commits are in order of seq.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  txn BIGINT NOT NULL DEFAULT 0,
  organization_id TEXT NOT NULL,
  pod_id TEXT,
  inbox_key TEXT,
  inbox_id TEXT,
  event_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  message_key TEXT,
  thread_id TEXT,
  facts TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX events_by_position ON events (txn, seq);

-- The payload of an event, rendered once and compressed, while a delivery needs it.
CREATE TABLE event_payloads (
  organization_id TEXT NOT NULL,
  event_id TEXT NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (organization_id, event_id)
);

-- whole: 1 when it receives everything of its owner, whatever pod_ids and inbox_ids say.
CREATE TABLE webhooks (
  organization_id TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  pod_id TEXT,
  inbox_key TEXT,
  inbox_id TEXT,
  whole BIGINT NOT NULL,
  url TEXT NOT NULL,
  secret TEXT NOT NULL,
  event_types TEXT,
  pod_ids TEXT,
  inbox_ids TEXT,
  headers TEXT,
  enabled BIGINT NOT NULL,
  client_id TEXT,
  failing_since BIGINT,
  last_failure_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, webhook_id)
);
CREATE INDEX webhooks_by_time ON webhooks (organization_id, created_at, webhook_id);

-- Which events reach which webhook. kind: organization, pod, inbox; channel: '', pod_id, inbox_key.
CREATE TABLE webhook_channels (
  organization_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  channel TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  PRIMARY KEY (organization_id, kind, channel, webhook_id)
) WITHOUT ROWID;
CREATE INDEX webhook_channels_by_webhook ON webhook_channels (organization_id, webhook_id);

-- Posts to make. A leased row has a lease and a due_at in the future. Rows leave when the post succeeded or was given up.
CREATE TABLE webhook_deliveries (
  organization_id TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  event_id TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  lease TEXT,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, webhook_id, delivery_id)
);
CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (due_at, webhook_id);
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (organization_id, event_id);

-- Outbound mail, one row per recipient. state: held, ready, done, failed; a leased row is ready with a lease and a
-- due_at in the future. sent_at: when message.sent was emitted; kept here too because the message may be deleted.
CREATE TABLE deliveries (
  organization_id TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  pod_id TEXT NOT NULL,
  inbox_key TEXT NOT NULL,
  message_key TEXT NOT NULL,
  inbox_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  object TEXT,
  recipient TEXT NOT NULL,
  destination TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  lease TEXT,
  expires_at BIGINT NOT NULL,
  last_reply TEXT,
  sent_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, delivery_id)
);
CREATE INDEX deliveries_by_due ON deliveries (state, due_at, pod_id, destination);
CREATE INDEX deliveries_by_time ON deliveries (organization_id, created_at);
CREATE INDEX deliveries_by_message ON deliveries (organization_id, inbox_key, message_key);

CREATE TABLE delivery_attempts (
  organization_id TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  at BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  host TEXT,
  reply TEXT,
  PRIMARY KEY (organization_id, delivery_id, attempt)
) WITHOUT ROWID;

CREATE TABLE idempotency_keys (
  organization_id TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  message_id TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, idempotency_key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

-- The oldest program that may still run on this schema (expand, move, contract).
CREATE TABLE schema_minimum (
  version BIGINT NOT NULL
);
INSERT INTO schema_minimum (version) VALUES (1);
