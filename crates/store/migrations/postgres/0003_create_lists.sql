-- Allow and block lists. owner: '' for the organization, else the pod_id or inbox_key whose list it is; pod_id and
-- inbox_key are filled as far as the owner has them. automatic: 1 when a bounce, complaint or unsubscription made it.
CREATE TABLE list_entries (
  organization_id TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  direction TEXT COLLATE "C" NOT NULL,
  list_type TEXT COLLATE "C" NOT NULL,
  entry TEXT COLLATE "C" NOT NULL,
  level TEXT COLLATE "C" NOT NULL,
  pod_id TEXT COLLATE "C",
  inbox_key TEXT COLLATE "C",
  inbox_id TEXT COLLATE "C",
  reason TEXT COLLATE "C",
  read_only BIGINT NOT NULL,
  automatic BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, owner, direction, list_type, entry)
);
CREATE INDEX list_entries_by_entry ON list_entries (organization_id, entry);
CREATE INDEX list_entries_by_pod ON list_entries (organization_id, pod_id);
