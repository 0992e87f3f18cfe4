-- What the log of the processor, or the registry, lost in a restore is guarded as a customer's is: until
-- operations confirms it from the command line, no platform's key opens the gate, and no two of the
-- staff agree on anything. And a member whose authority a restore suspended may use the own account only.

ALTER TABLE log_epoch DROP CONSTRAINT log_epoch_confirmed;
ALTER TABLE log_epoch ADD CONSTRAINT log_epoch_confirmed CHECK (
    (confirmed_at IS NULL OR unconfirmed)
    AND (confirmed_by IS NULL) = (confirmed_at IS NULL OR customer_id = '00000000-0000-7000-8000-000000000002'));
COMMENT ON COLUMN log_epoch.unconfirmed IS 'True if the state must be confirmed before anything leaves: by a person of the customer, or the processor''s by operations.';
COMMENT ON COLUMN log_epoch.confirmed_by IS 'The member who confirmed it; NULL for the processor''s, which the command line confirms.';
GRANT UPDATE (confirmed_at) ON log_epoch TO mandate_ops;
CREATE POLICY processors ON log_epoch AS RESTRICTIVE FOR UPDATE TO mandate_ops USING (customer_id = '00000000-0000-7000-8000-000000000002');

CREATE POLICY owner ON log_epoch            FOR SELECT TO mandate_owner USING (true);
CREATE POLICY owner ON authority_suspension FOR SELECT TO mandate_owner USING (true);
CREATE FUNCTION processor_unconfirmed() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT EXISTS (SELECT 1 FROM log_epoch
                         WHERE customer_id = '00000000-0000-7000-8000-000000000002' AND unconfirmed AND confirmed_at IS NULL) $$;
COMMENT ON FUNCTION processor_unconfirmed() IS 'True while operations must confirm the state in which a restore left the processor''s log.';
CREATE FUNCTION member_unconfirmed(in_customer uuid, in_membership uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT EXISTS (SELECT 1 FROM authority_suspension s JOIN restore r ON r.id = s.recovery_id
                         WHERE s.customer_id = in_customer AND s.membership_id = in_membership AND s.confirmed_at IS NULL) $$;
COMMENT ON FUNCTION member_unconfirmed(uuid, uuid) IS 'True while a member''s authority is suspended by a restore.';
REVOKE ALL ON FUNCTION processor_unconfirmed(), member_unconfirmed(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION processor_unconfirmed() TO mandate_app, mandate_gate, mandate_ops;
GRANT EXECUTE ON FUNCTION member_unconfirmed(uuid, uuid) TO mandate_app;

-- An invitation stays: whoever has not come yet has no other way in. One to a customer that lost entries
-- opens the own account only, until the member is confirmed; one to the staff waits for the processor's state.
CREATE OR REPLACE FUNCTION invitation_by_token(in_hash bytea) RETURNS SETOF invitation
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT * FROM invitation WHERE token_hash = in_hash AND (ops_person_id IS NULL OR NOT processor_unconfirmed()) $$;
CREATE OR REPLACE FUNCTION accept_invitation(in_hash bytea, in_password_hash text, in_now timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE found_row invitation;
    BEGIN
        UPDATE invitation SET accepted_at = in_now
            WHERE token_hash = in_hash AND accepted_at IS NULL AND expires_at > in_now AND (ops_person_id IS NULL OR NOT processor_unconfirmed())
            RETURNING * INTO found_row;
        IF NOT FOUND THEN RETURN false; END IF;
        UPDATE person SET password_hash = in_password_hash WHERE id = found_row.person_id AND password_hash IS NULL;
        IF FOUND THEN RETURN true; END IF;
        UPDATE ops_person SET password_hash = in_password_hash WHERE id = found_row.ops_person_id AND password_hash IS NULL;
        RETURN FOUND;
    END $$;
