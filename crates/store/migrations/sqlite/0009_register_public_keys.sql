-- Registered public keys: rows without a secret (key_hash and prefix are empty, key_directory has nothing of them).
-- public_key: the JWK as RFC 7638 writes it; NULL on bearer keys. created_by: the key that registered it.
ALTER TABLE api_keys ADD COLUMN public_key TEXT;
ALTER TABLE api_keys ADD COLUMN client_id TEXT;
ALTER TABLE api_keys ADD COLUMN created_by TEXT;
