-- Headers that lists show, as a JSON object; NULL where there are none, or they are long.
ALTER TABLE messages ADD COLUMN headers TEXT;
