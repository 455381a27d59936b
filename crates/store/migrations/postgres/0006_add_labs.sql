-- Whether the organization has joined (1) or was taken out of (0) Labs; NULL follows the installation's default.
ALTER TABLE organizations ADD COLUMN labs BIGINT;
-- When it joined or was taken out.
ALTER TABLE organizations ADD COLUMN labs_at BIGINT;
