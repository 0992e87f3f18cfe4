-- The way back of an ops person who lost password, factor and codes: two other ops persons, a notice
-- to the person's own address, 72 hours, a token. Whoever comes back counts as none of two for 72
-- hours more, as a newcomer does. And the customer's own stop of a recovery of its persons.

CREATE TABLE ops_recovery (
    id            uuid NOT NULL CONSTRAINT ops_recovery_key PRIMARY KEY,
    ops_person_id uuid NOT NULL CONSTRAINT ops_recovery_person REFERENCES ops_person (id),
    proposed_by   uuid NOT NULL CONSTRAINT ops_recovery_proposer REFERENCES ops_person (id),
    proposed_at   timestamptz NOT NULL,
    approved_by   uuid CONSTRAINT ops_recovery_approver REFERENCES ops_person (id),
    approved_at   timestamptz,
    notice_id     uuid,
    delivered_at  timestamptz,
    opens_at      timestamptz,
    closes_at     timestamptz,
    token_hash    bytea,
    accepted_at   timestamptz,
    withdrawn_at  timestamptz,
    CONSTRAINT ops_recovery_two CHECK (proposed_by <> ops_person_id AND approved_by <> ops_person_id AND approved_by <> proposed_by),
    CONSTRAINT ops_recovery_ends CHECK (accepted_at IS NULL OR withdrawn_at IS NULL),
    CONSTRAINT ops_recovery_waits CHECK (opens_at IS NULL OR opens_at >= delivered_at + interval '72 hours')
);
CREATE UNIQUE INDEX ops_recovery_open ON ops_recovery (ops_person_id) WHERE accepted_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX ops_recovery_token ON ops_recovery (token_hash);
COMMENT ON TABLE  ops_recovery IS 'The way back of an ops person (global, closed list): two others, a notice, 72 hours, a token. Columns up to proposed_at immutable; each other one is set once.';
COMMENT ON COLUMN ops_recovery.id IS 'Id.';
COMMENT ON COLUMN ops_recovery.ops_person_id IS 'Who comes back.';
COMMENT ON COLUMN ops_recovery.proposed_by IS 'The first of the two others.';
COMMENT ON COLUMN ops_recovery.proposed_at IS 'When.';
COMMENT ON COLUMN ops_recovery.approved_by IS 'The second of them (ops_admin or ops_security).';
COMMENT ON COLUMN ops_recovery.approved_at IS 'When.';
COMMENT ON COLUMN ops_recovery.notice_id IS 'The notice to the person''s own address.';
COMMENT ON COLUMN ops_recovery.delivered_at IS 'When that notice was delivered.';
COMMENT ON COLUMN ops_recovery.opens_at IS 'From when the token is accepted: 72 hours after delivery.';
COMMENT ON COLUMN ops_recovery.closes_at IS 'Until when it is accepted: seven days later.';
COMMENT ON COLUMN ops_recovery.token_hash IS 'SHA-256 of the token that was mailed to the person''s own address.';
COMMENT ON COLUMN ops_recovery.accepted_at IS 'When the person came back with it.';
COMMENT ON COLUMN ops_recovery.withdrawn_at IS 'When it was withdrawn.';

ALTER TABLE ops_person ADD COLUMN recovered_at timestamptz;
COMMENT ON COLUMN ops_person.recovered_at IS 'When the person last came back by a recovery: for 72 hours from then the person counts as none of two.';
GRANT SELECT (recovered_at) ON ops_person TO mandate_ops;
-- The worker mails the token to the person's own address.
GRANT SELECT (id, email, ended_at) ON ops_person TO mandate_worker;

ALTER TABLE ops_recovery ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops_recovery FORCE  ROW LEVEL SECURITY;
CREATE POLICY staff ON ops_recovery TO mandate_ops, mandate_worker USING (true) WITH CHECK (true);
CREATE POLICY owner ON ops_recovery TO mandate_owner USING (true) WITH CHECK (true);
GRANT SELECT (id, ops_person_id, proposed_by, proposed_at, approved_by, approved_at, notice_id, delivered_at, opens_at, closes_at, accepted_at, withdrawn_at)
    ON ops_recovery TO mandate_ops, mandate_worker;
GRANT INSERT (id, ops_person_id, proposed_by, proposed_at) ON ops_recovery TO mandate_ops;
GRANT UPDATE (approved_by, approved_at, notice_id, withdrawn_at) ON ops_recovery TO mandate_ops;
GRANT UPDATE (delivered_at, opens_at, closes_at, token_hash) ON ops_recovery TO mandate_worker;

-- The recovery behind a token's hash, if the token can be used now.
CREATE FUNCTION ops_recovery_by_token(in_hash bytea, in_now timestamptz) RETURNS TABLE (id uuid, ops_person_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT r.id, r.ops_person_id FROM ops_recovery r JOIN ops_person o ON o.id = r.ops_person_id AND o.ended_at IS NULL
          WHERE r.token_hash = in_hash AND r.accepted_at IS NULL AND r.withdrawn_at IS NULL AND r.opens_at <= in_now AND r.closes_at > in_now $$;
-- Uses that token once: the password is the new one, the old factor and every session have ended.
CREATE FUNCTION recover_ops_person(in_hash bytea, in_password_hash text, in_now timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE found_person uuid;
    BEGIN
        UPDATE ops_recovery r SET accepted_at = in_now
            WHERE r.id IN (SELECT t.id FROM ops_recovery_by_token(in_hash, in_now) t) AND r.accepted_at IS NULL AND r.withdrawn_at IS NULL
            RETURNING r.ops_person_id INTO found_person;
        IF NOT FOUND THEN RETURN false; END IF;
        UPDATE ops_person SET password_hash = in_password_hash, recovered_at = in_now WHERE id = found_person;
        UPDATE second_factor SET ended_at = in_now WHERE ops_person_id = found_person AND confirmed_at IS NOT NULL AND ended_at IS NULL;
        DELETE FROM second_factor WHERE ops_person_id = found_person AND confirmed_at IS NULL;
        UPDATE session SET revoked_at = in_now WHERE ops_person_id = found_person AND revoked_at IS NULL;
        RETURN true;
    END $$;
REVOKE ALL ON FUNCTION ops_recovery_by_token(bytea, timestamptz), recover_ops_person(bytea, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops_recovery_by_token(bytea, timestamptz), recover_ops_person(bytea, text, timestamptz) TO mandate_ops;

-- A customer stops the recovery of one of its persons.
GRANT UPDATE (withdrawn_at) ON account_recovery TO mandate_app;

DO $$
DECLARE
    recovery text;
    changed text;
BEGIN
    FOREACH recovery IN ARRAY '{account_recovery,ops_recovery}'::text[] LOOP
        SELECT string_agg(format('(OLD.%1$I IS NOT NULL AND NEW.%1$I IS DISTINCT FROM OLD.%1$I)', c), ' OR ') INTO changed
            FROM unnest('{approved_by,approved_at,notice_id,delivered_at,opens_at,closes_at,token_hash,accepted_at,withdrawn_at}'::text[]) c;
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW WHEN (%s) EXECUTE FUNCTION refuse_second_setting()',
                       recovery || '_set_once', recovery, changed);
    END LOOP;
END $$;
