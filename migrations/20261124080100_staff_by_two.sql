-- Somebody joins the processor's staff by two persons of it, as a first signatory does: a stolen
-- account alone must not make the second person that every other rule asks for.

ALTER TABLE ops_person
    ADD COLUMN added_by     uuid CONSTRAINT ops_person_adder REFERENCES ops_person (id),
    ADD COLUMN approved_by  uuid CONSTRAINT ops_person_approver REFERENCES ops_person (id),
    ADD COLUMN admitted_at  timestamptz,
    ADD COLUMN has_password boolean NOT NULL GENERATED ALWAYS AS (password_hash IS NOT NULL) STORED;
-- Whoever was added before two were needed stays.
UPDATE ops_person SET admitted_at = created_at;
ALTER TABLE ops_person
    ADD CONSTRAINT ops_person_two CHECK (approved_by <> added_by AND approved_by <> id),
    ADD CONSTRAINT ops_person_approval CHECK (approved_by IS NULL OR admitted_at IS NOT NULL),
    ADD CONSTRAINT ops_person_admission CHECK (password_hash IS NULL OR admitted_at IS NOT NULL);
COMMENT ON TABLE  ops_person IS 'The processor''s staff (global, closed list). Role immutable: another role is another person record. approved_by, admitted_at, password_hash and ended_at are set once.';
COMMENT ON COLUMN ops_person.added_by IS 'The ops person who proposed it; NULL for one made by the command line, or before two were needed. Immutable.';
COMMENT ON COLUMN ops_person.approved_by IS 'The second ops person; NULL: none yet, or there was none to ask.';
COMMENT ON COLUMN ops_person.admitted_at IS 'When the invitation went out; NULL: it waits for a second person. For 72 hours from then the person counts as none of two.';
COMMENT ON COLUMN ops_person.has_password IS 'True once the invitation was accepted.';

GRANT SELECT (added_by, approved_by, admitted_at, has_password) ON ops_person TO mandate_ops;
-- Approval is a step of its own: nobody inserts a person who is approved.
REVOKE INSERT ON ops_person FROM mandate_ops;
GRANT INSERT (id, email, name, role, password_hash, created_at, added_by, admitted_at) ON ops_person TO mandate_ops;
GRANT UPDATE (approved_by, admitted_at) ON ops_person TO mandate_ops;
