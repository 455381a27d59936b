-- Organizations take turns: the oldest job of the next one.
CREATE INDEX text_jobs_by_turn ON text_jobs (organization_id, due_at);

-- Jobs that wait too long are dropped; those of messages that were here before begin to wait now.
UPDATE text_jobs SET due_at = unixepoch() * 1000000 WHERE lease IS NULL;
