-- The second factor of a person (TOTP, RFC 6238) with its recovery codes, and the way back of a
-- person who lost password or factor: two ops persons, a notice, 72 hours, and no authority at any
-- customer until that customer confirms it.

CREATE TABLE second_factor (
    id            uuid NOT NULL CONSTRAINT second_factor_key PRIMARY KEY,
    person_id     uuid CONSTRAINT second_factor_person REFERENCES person (id),
    ops_person_id uuid CONSTRAINT second_factor_ops_person REFERENCES ops_person (id),
    sealed        bytea NOT NULL CONSTRAINT second_factor_sealed CHECK (octet_length(sealed) = 48),
    begun_at      timestamptz NOT NULL,
    confirmed_at  timestamptz,
    ended_at      timestamptz,
    last_step     bigint NOT NULL DEFAULT 0,
    CONSTRAINT second_factor_holder CHECK ((person_id IS NULL) <> (ops_person_id IS NULL)),
    CONSTRAINT second_factor_ends CHECK (ended_at IS NULL OR confirmed_at IS NOT NULL)
);
CREATE UNIQUE INDEX second_factor_of_person     ON second_factor (person_id)     WHERE confirmed_at IS NOT NULL AND ended_at IS NULL;
CREATE UNIQUE INDEX second_factor_of_ops_person ON second_factor (ops_person_id) WHERE confirmed_at IS NOT NULL AND ended_at IS NULL;
CREATE UNIQUE INDEX second_factor_begun_of_person     ON second_factor (person_id)     WHERE confirmed_at IS NULL;
CREATE UNIQUE INDEX second_factor_begun_of_ops_person ON second_factor (ops_person_id) WHERE confirmed_at IS NULL;
COMMENT ON TABLE  second_factor IS 'Second factors of both surfaces (global, closed list): one in use and one begun per person. Columns up to begun_at immutable; one that was never confirmed is deleted when another is begun.';
COMMENT ON COLUMN second_factor.id IS 'Id.';
COMMENT ON COLUMN second_factor.person_id IS 'The person of customers whose it is.';
COMMENT ON COLUMN second_factor.ops_person_id IS 'The ops person whose it is.';
COMMENT ON COLUMN second_factor.sealed IS 'The shared secret, 160 bits, encrypted with the key of secrets.key_file (AES-256-GCM: 12 bytes of nonce, ciphertext, tag), bound to this row and person. It must be readable to verify a code, so a hash cannot do; a copy of the database alone is worth nothing.';
COMMENT ON COLUMN second_factor.begun_at IS 'When the secret was drawn and shown.';
COMMENT ON COLUMN second_factor.confirmed_at IS 'When the first code of it was sent: in use from then on.';
COMMENT ON COLUMN second_factor.ended_at IS 'When another took its place, or the account was recovered.';
COMMENT ON COLUMN second_factor.last_step IS 'The time step of the last code that was accepted (Unix time by 30 s). It only grows, so that a code works once.';

CREATE TABLE recovery_code (
    second_factor_id uuid NOT NULL CONSTRAINT recovery_code_factor REFERENCES second_factor (id),
    code_hash        bytea NOT NULL CONSTRAINT recovery_code_hash CHECK (octet_length(code_hash) = 32),
    used_at          timestamptz,
    CONSTRAINT recovery_code_key PRIMARY KEY (second_factor_id, code_hash)
);
COMMENT ON TABLE  recovery_code IS 'Recovery codes (global, closed list): each stands for the factor once. Only used_at changes, once.';
COMMENT ON COLUMN recovery_code.second_factor_id IS 'The factor it stands for.';
COMMENT ON COLUMN recovery_code.code_hash IS 'SHA-256 of the code; it has 80 random bits, so that no slower hash is needed.';
COMMENT ON COLUMN recovery_code.used_at IS 'When it was used.';

CREATE TABLE account_recovery (
    customer_id   uuid NOT NULL CONSTRAINT account_recovery_customer REFERENCES customer (id),
    id            uuid NOT NULL,
    membership_id uuid NOT NULL,
    person_id     uuid NOT NULL CONSTRAINT account_recovery_person REFERENCES person (id),
    agreement_id  uuid NOT NULL,
    proposed_by   uuid NOT NULL,
    proposed_at   timestamptz NOT NULL,
    approved_by   uuid,
    approved_at   timestamptz,
    notice_id     uuid,
    delivered_at  timestamptz,
    opens_at      timestamptz,
    closes_at     timestamptz,
    token_hash    bytea,
    accepted_at   timestamptz,
    withdrawn_at  timestamptz,
    CONSTRAINT account_recovery_key PRIMARY KEY (customer_id, id),
    CONSTRAINT account_recovery_membership FOREIGN KEY (customer_id, membership_id) REFERENCES membership (customer_id, id),
    CONSTRAINT account_recovery_agreement FOREIGN KEY (customer_id, agreement_id) REFERENCES agreement (customer_id, id),
    CONSTRAINT account_recovery_two CHECK (approved_by IS NULL OR approved_by <> proposed_by),
    CONSTRAINT account_recovery_ends CHECK (accepted_at IS NULL OR withdrawn_at IS NULL),
    CONSTRAINT account_recovery_waits CHECK (opens_at IS NULL OR opens_at >= delivered_at + interval '72 hours')
);
CREATE UNIQUE INDEX account_recovery_open ON account_recovery (customer_id, membership_id) WHERE accepted_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX account_recovery_token ON account_recovery (token_hash);
COMMENT ON TABLE  account_recovery IS 'The way back into an account whose password or factor was lost: two ops persons, a notice, 72 hours, a token. Each column is set once.';
COMMENT ON COLUMN account_recovery.customer_id IS 'The customer whose agreement''s contact is told.';
COMMENT ON COLUMN account_recovery.id IS 'Id.';
COMMENT ON COLUMN account_recovery.membership_id IS 'The person''s membership there.';
COMMENT ON COLUMN account_recovery.person_id IS 'The person.';
COMMENT ON COLUMN account_recovery.agreement_id IS 'The agreement whose contact is told.';
COMMENT ON COLUMN account_recovery.proposed_by IS 'The first ops person (ops_admin or ops_privacy).';
COMMENT ON COLUMN account_recovery.proposed_at IS 'When.';
COMMENT ON COLUMN account_recovery.approved_by IS 'The second ops person, of the other of the two roles.';
COMMENT ON COLUMN account_recovery.approved_at IS 'When.';
COMMENT ON COLUMN account_recovery.notice_id IS 'The notice to the agreement''s contact address.';
COMMENT ON COLUMN account_recovery.delivered_at IS 'When that notice was delivered.';
COMMENT ON COLUMN account_recovery.opens_at IS 'From when the token is accepted: 72 hours after delivery.';
COMMENT ON COLUMN account_recovery.closes_at IS 'Until when it is accepted: seven days later.';
COMMENT ON COLUMN account_recovery.token_hash IS 'SHA-256 of the token that was mailed to the person''s own address.';
COMMENT ON COLUMN account_recovery.accepted_at IS 'When the person came back with it.';
COMMENT ON COLUMN account_recovery.withdrawn_at IS 'When it was withdrawn.';

CREATE TABLE authority_suspension (
    customer_id   uuid NOT NULL,
    membership_id uuid NOT NULL,
    recovery_id   uuid NOT NULL,
    suspended_at  timestamptz NOT NULL,
    confirmed_at  timestamptz,
    confirmed_by  uuid,
    CONSTRAINT authority_suspension_key PRIMARY KEY (customer_id, membership_id, recovery_id),
    CONSTRAINT authority_suspension_membership FOREIGN KEY (customer_id, membership_id) REFERENCES membership (customer_id, id)
);
COMMENT ON TABLE  authority_suspension IS 'Authority that does not hold since its person''s account was recovered, until the customer confirms it. Columns up to suspended_at immutable; the others are set once.';
COMMENT ON COLUMN authority_suspension.customer_id IS 'The customer.';
COMMENT ON COLUMN authority_suspension.membership_id IS 'The member.';
COMMENT ON COLUMN authority_suspension.recovery_id IS 'The recovery, which may have gone through another customer of the person.';
COMMENT ON COLUMN authority_suspension.suspended_at IS 'Since when.';
COMMENT ON COLUMN authority_suspension.confirmed_at IS 'When the authority was confirmed; it holds again from then on.';
COMMENT ON COLUMN authority_suspension.confirmed_by IS 'The member with authority over people who confirmed it; NULL where nobody else has such authority and a recovery through this very customer took the place of it.';

ALTER TABLE second_factor        ENABLE ROW LEVEL SECURITY;
ALTER TABLE second_factor        FORCE  ROW LEVEL SECURITY;
ALTER TABLE recovery_code        ENABLE ROW LEVEL SECURITY;
ALTER TABLE recovery_code        FORCE  ROW LEVEL SECURITY;
ALTER TABLE account_recovery     ENABLE ROW LEVEL SECURITY;
ALTER TABLE account_recovery     FORCE  ROW LEVEL SECURITY;
ALTER TABLE authority_suspension ENABLE ROW LEVEL SECURITY;
ALTER TABLE authority_suspension FORCE  ROW LEVEL SECURITY;
-- Each surface reaches the factors of its own persons; ops never those of a customer's.
CREATE POLICY persons_read   ON second_factor FOR SELECT TO mandate_app USING (person_id IS NOT NULL);
CREATE POLICY persons_begin  ON second_factor FOR INSERT TO mandate_app WITH CHECK (person_id IS NOT NULL AND confirmed_at IS NULL);
CREATE POLICY persons_change ON second_factor FOR UPDATE TO mandate_app USING (person_id IS NOT NULL) WITH CHECK (person_id IS NOT NULL);
CREATE POLICY persons_drop   ON second_factor FOR DELETE TO mandate_app USING (person_id IS NOT NULL AND confirmed_at IS NULL);
CREATE POLICY ops_read_own   ON second_factor FOR SELECT TO mandate_ops USING (ops_person_id IS NOT NULL);
CREATE POLICY ops_begin      ON second_factor FOR INSERT TO mandate_ops WITH CHECK (ops_person_id IS NOT NULL AND confirmed_at IS NULL);
CREATE POLICY ops_change     ON second_factor FOR UPDATE TO mandate_ops USING (ops_person_id IS NOT NULL) WITH CHECK (ops_person_id IS NOT NULL);
CREATE POLICY ops_drop       ON second_factor FOR DELETE TO mandate_ops USING (ops_person_id IS NOT NULL AND confirmed_at IS NULL);
CREATE POLICY owner          ON second_factor TO mandate_owner USING (true) WITH CHECK (true);
-- Whose factor a role does not see, its codes it does not see either.
CREATE POLICY of_factor ON recovery_code TO mandate_app, mandate_ops
    USING (EXISTS (SELECT 1 FROM second_factor f WHERE f.id = second_factor_id))
    WITH CHECK (EXISTS (SELECT 1 FROM second_factor f WHERE f.id = second_factor_id));
CREATE POLICY tenant     ON account_recovery TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON account_recovery FOR SELECT TO mandate_ops_read USING (true);
CREATE POLICY owner      ON account_recovery TO mandate_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant     ON authority_suspension TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON authority_suspension FOR SELECT TO mandate_ops_read USING (true);
-- A definer function below looks at authority before a session has its tenant.
CREATE POLICY owner ON authority FOR SELECT TO mandate_owner USING (true);

-- Whether a member has a factor in use, and authority that makes one a must; a suspended one counts.
CREATE FUNCTION member_standing(in_customer uuid, in_membership uuid, in_person uuid) RETURNS TABLE (has_factor boolean, has_authority boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT EXISTS (SELECT 1 FROM second_factor WHERE person_id = in_person AND confirmed_at IS NOT NULL AND ended_at IS NULL),
                 EXISTS (SELECT 1 FROM authority WHERE customer_id = in_customer AND membership_id = in_membership AND ended_at IS NULL) $$;
-- Sets the password of exactly the person whose session asks, and only after a step-up in the last
-- five minutes; every other session of that person ends. False otherwise.
CREATE FUNCTION change_password(in_session uuid, in_password_hash text, in_now timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE found_row session;
    BEGIN
        SELECT * INTO found_row FROM session
            WHERE id = in_session AND revoked_at IS NULL AND expires_at > in_now AND stepped_up_at >= in_now - interval '5 minutes';
        IF NOT FOUND THEN RETURN false; END IF;
        UPDATE session SET revoked_at = in_now
            WHERE id <> in_session AND revoked_at IS NULL AND (person_id = found_row.person_id OR ops_person_id = found_row.ops_person_id);
        UPDATE person SET password_hash = in_password_hash WHERE id = found_row.person_id;
        IF FOUND THEN RETURN true; END IF;
        UPDATE ops_person SET password_hash = in_password_hash WHERE id = found_row.ops_person_id;
        RETURN FOUND;
    END $$;
-- The recovery behind a token's hash, if the token can be used now.
CREATE FUNCTION recovery_by_token(in_hash bytea, in_now timestamptz) RETURNS TABLE (customer_id uuid, id uuid, person_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT r.customer_id, r.id, r.person_id FROM account_recovery r
          JOIN membership m ON m.customer_id = r.customer_id AND m.id = r.membership_id AND m.ended_at IS NULL
          WHERE r.token_hash = in_hash AND r.accepted_at IS NULL AND r.withdrawn_at IS NULL AND r.opens_at <= in_now AND r.closes_at > in_now $$;
-- Uses that token once: the password is the new one, the old factor and every session have ended.
CREATE FUNCTION recover_person(in_hash bytea, in_password_hash text, in_now timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE found_person uuid;
    BEGIN
        UPDATE account_recovery r SET accepted_at = in_now
            WHERE (r.customer_id, r.id) IN (SELECT t.customer_id, t.id FROM recovery_by_token(in_hash, in_now) t) AND r.accepted_at IS NULL AND r.withdrawn_at IS NULL
            RETURNING r.person_id INTO found_person;
        IF NOT FOUND THEN RETURN false; END IF;
        UPDATE person SET password_hash = in_password_hash WHERE id = found_person;
        UPDATE second_factor SET ended_at = in_now WHERE person_id = found_person AND confirmed_at IS NOT NULL AND ended_at IS NULL;
        DELETE FROM second_factor WHERE person_id = found_person AND confirmed_at IS NULL;
        UPDATE session SET revoked_at = in_now WHERE person_id = found_person AND revoked_at IS NULL;
        RETURN true;
    END $$;

REVOKE ALL ON FUNCTION member_standing(uuid, uuid, uuid), change_password(uuid, text, timestamptz), recovery_by_token(bytea, timestamptz),
    recover_person(bytea, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION member_standing(uuid, uuid, uuid), recovery_by_token(bytea, timestamptz), recover_person(bytea, text, timestamptz) TO mandate_app;
GRANT EXECUTE ON FUNCTION change_password(uuid, text, timestamptz) TO mandate_app, mandate_ops;
-- The worker mails the token to the person's own address.
GRANT EXECUTE ON FUNCTION own_persons() TO mandate_worker;

GRANT SELECT, INSERT, DELETE ON second_factor TO mandate_app, mandate_ops;
GRANT UPDATE (confirmed_at, ended_at, last_step) ON second_factor TO mandate_app, mandate_ops;
GRANT SELECT, INSERT ON recovery_code TO mandate_app, mandate_ops;
GRANT UPDATE (used_at) ON recovery_code TO mandate_app, mandate_ops;
-- Ops proposes and approves; the token is the worker's to draw, after delivery, and the person's to use.
GRANT SELECT (customer_id, id, membership_id, person_id, agreement_id, proposed_by, proposed_at, approved_by, approved_at, notice_id, delivered_at, opens_at, closes_at, accepted_at, withdrawn_at)
    ON account_recovery TO mandate_app, mandate_worker, mandate_ops, mandate_ops_read;
GRANT INSERT (customer_id, id, membership_id, person_id, agreement_id, proposed_by, proposed_at) ON account_recovery TO mandate_ops;
GRANT UPDATE (approved_by, approved_at, notice_id, withdrawn_at) ON account_recovery TO mandate_ops;
GRANT UPDATE (delivered_at, opens_at, closes_at, token_hash) ON account_recovery TO mandate_worker;
GRANT SELECT, INSERT ON authority_suspension TO mandate_app;
GRANT UPDATE (confirmed_at, confirmed_by) ON authority_suspension TO mandate_app;
GRANT SELECT ON authority_suspension TO mandate_worker, mandate_ops, mandate_ops_read;
