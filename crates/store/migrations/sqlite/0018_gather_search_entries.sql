-- The index of this engine gathers already.
SELECT 1;
