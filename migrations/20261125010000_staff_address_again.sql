-- A proposal for the staff that was turned down, withdrawn or never accepted used up its address.
-- The address belongs to whoever has access or waits for it; all others keep their record, not more.

ALTER TABLE ops_person DROP CONSTRAINT ops_person_email;
CREATE UNIQUE INDEX ops_person_email ON ops_person (email) WHERE ended_at IS NULL;
COMMENT ON COLUMN ops_person.email IS 'Login, lower case; of one person at a time whose access has not ended.';
