-- What SPF, DKIM and DMARC said of a received message, as JSON; NULL when nothing was checked.
ALTER TABLE messages ADD COLUMN authentication TEXT COLLATE "C";
-- When a sent message was opened first; NULL while that is not known.
ALTER TABLE messages ADD COLUMN opened_at BIGINT;
