-- A key for the gate takes two ops persons, as a first signatory does: a stolen account alone must
-- not make itself a platform. What is normal for the key is said when it is made.

ALTER TABLE api_key
    ADD COLUMN normal_customers bigint CONSTRAINT api_key_normal_customers CHECK (normal_customers > 0),
    ADD COLUMN normal_rows      bigint CONSTRAINT api_key_normal_rows CHECK (normal_rows > 0),
    ADD COLUMN approved_by      uuid,
    ADD COLUMN approved_at      timestamptz,
    ADD CONSTRAINT api_key_two CHECK (approved_by <> created_by),
    ADD CONSTRAINT api_key_normal CHECK (surface = 'gate' OR (normal_customers IS NULL AND normal_rows IS NULL)),
    ADD CONSTRAINT api_key_approval CHECK (surface = 'gate' OR (approved_by IS NULL AND approved_at IS NULL));
COMMENT ON TABLE  api_key IS 'API keys of all surfaces (global, closed list). Only approved_by and approved_at, last_used_on, revoked_at change.';
COMMENT ON COLUMN api_key.normal_customers IS 'At the gate: how many customers the key normally asks for in an hour; NULL: as configured. Immutable.';
COMMENT ON COLUMN api_key.normal_rows IS 'At the gate: how many records the key normally asks for in an hour; NULL: as configured. Immutable.';
COMMENT ON COLUMN api_key.approved_by IS 'At the gate: the second ops person; NULL also for keys made before two were needed.';
COMMENT ON COLUMN api_key.approved_at IS 'At the gate: since when the key is good; NULL: not yet.';

-- Keys that platforms use today stay good.
UPDATE api_key SET approved_at = created_at WHERE surface = 'gate';

CREATE POLICY alarms ON api_key FOR SELECT TO mandate_worker USING (surface = 'gate');
GRANT SELECT (id, normal_customers, normal_rows) ON api_key TO mandate_worker;
GRANT SELECT (normal_customers, normal_rows, approved_by, approved_at) ON api_key TO mandate_app, mandate_ops, mandate_gate;
-- Approval is a step of its own: nobody inserts a key that is approved.
REVOKE INSERT ON api_key FROM mandate_app, mandate_ops;
GRANT INSERT (id, surface, secret_hash, name, customer_id, platform, role, created_by, created_at, expires_at) ON api_key TO mandate_app, mandate_ops;
GRANT INSERT (normal_customers, normal_rows) ON api_key TO mandate_ops;
GRANT UPDATE (approved_by, approved_at) ON api_key TO mandate_ops;
