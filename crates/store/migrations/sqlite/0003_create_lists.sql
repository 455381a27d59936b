-- Allow and block lists. owner: '' for the organization, else the pod_id or inbox_key whose list it is; pod_id and
-- inbox_key are filled as far as the owner has them. automatic: 1 when a bounce, complaint or unsubscription made it.
CREATE TABLE list_entries (
  organization_id TEXT NOT NULL,
  owner TEXT NOT NULL,
  direction TEXT NOT NULL,
  list_type TEXT NOT NULL,
  entry TEXT NOT NULL,
  level TEXT NOT NULL,
  pod_id TEXT,
  inbox_key TEXT,
  inbox_id TEXT,
  reason TEXT,
  read_only BIGINT NOT NULL,
  automatic BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, owner, direction, list_type, entry)
);
CREATE INDEX list_entries_by_entry ON list_entries (organization_id, entry);
CREATE INDEX list_entries_by_pod ON list_entries (organization_id, pod_id);
