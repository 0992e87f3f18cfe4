-- A first signatory who was named wrongly: withdrawn before its authority begins, so that another
-- can be proposed. The name is kept as it was proposed, whatever the person is called elsewhere.

ALTER TABLE first_signatory
    ADD COLUMN name         text,
    ADD COLUMN withdrawn_by uuid,
    ADD COLUMN withdrawn_at timestamptz,
    ADD CONSTRAINT first_signatory_withdrawal CHECK ((withdrawn_by IS NULL) = (withdrawn_at IS NULL)),
    ADD CONSTRAINT first_signatory_in_time CHECK (withdrawn_at IS NULL OR authority_begins_at IS NULL OR withdrawn_at < authority_begins_at);
-- The owner, too, sees no row while row level security is forced.
ALTER TABLE first_signatory NO FORCE ROW LEVEL SECURITY;
UPDATE first_signatory f SET name = p.name FROM person p WHERE p.id = f.person_id;
ALTER TABLE first_signatory FORCE ROW LEVEL SECURITY;
ALTER TABLE first_signatory ALTER COLUMN name SET NOT NULL;
DROP INDEX first_signatory_once;
CREATE UNIQUE INDEX first_signatory_once ON first_signatory (customer_id) WHERE withdrawn_at IS NULL;
COMMENT ON TABLE  first_signatory IS 'The path of a customer''s first signatory: two ops persons, a notice, 72 hours; one at a time that is not withdrawn. Each column is set once.';
COMMENT ON COLUMN first_signatory.name IS 'The person''s name as it was proposed. Immutable.';
COMMENT ON COLUMN first_signatory.withdrawn_by IS 'The ops person (ops_admin, ops_privacy or ops_security) who withdrew it.';
COMMENT ON COLUMN first_signatory.withdrawn_at IS 'When, before authority_begins_at; its membership, if made, ended with it.';

GRANT UPDATE (withdrawn_by, withdrawn_at) ON first_signatory TO mandate_ops;
-- Ops ends exactly one kind of membership: a withdrawn first signatory's.
GRANT UPDATE (ended_at) ON membership TO mandate_ops;
CREATE POLICY withdrawn ON membership AS RESTRICTIVE FOR UPDATE TO mandate_ops
    USING (EXISTS (SELECT 1 FROM first_signatory f
                   WHERE f.customer_id = membership.customer_id AND f.membership_id = membership.id AND f.withdrawn_at IS NOT NULL));
