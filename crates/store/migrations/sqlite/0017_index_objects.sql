-- Whether anything still refers to an object; most rows have none.
CREATE INDEX messages_by_object ON messages (organization_id, object) WHERE object IS NOT NULL;
CREATE INDEX deliveries_by_object ON deliveries (organization_id, object) WHERE object IS NOT NULL;
CREATE INDEX draft_attachments_by_object ON draft_attachments (organization_id, object) WHERE object IS NOT NULL;
