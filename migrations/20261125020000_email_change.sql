-- A person's own address, proved before it counts: a token mailed to the new address, and a step-up
-- when it is asked for and when it is proved. No role reads or writes the table; the two functions
-- do, for exactly the person whose session asks. And recovery codes that are renewed.

CREATE TABLE email_change (
    token_hash    bytea NOT NULL CONSTRAINT email_change_key PRIMARY KEY CONSTRAINT email_change_hash CHECK (octet_length(token_hash) = 32),
    person_id     uuid CONSTRAINT email_change_person REFERENCES person (id),
    ops_person_id uuid CONSTRAINT email_change_ops_person REFERENCES ops_person (id),
    email         text NOT NULL,
    expires_at    timestamptz NOT NULL,
    CONSTRAINT email_change_holder CHECK ((person_id IS NULL) <> (ops_person_id IS NULL))
);
CREATE UNIQUE INDEX email_change_of_person     ON email_change (person_id);
CREATE UNIQUE INDEX email_change_of_ops_person ON email_change (ops_person_id);
COMMENT ON TABLE  email_change IS 'Addresses that wait to be proved (global, closed list): one per person of either surface. Immutable; a line is deleted when it is used, when the person asks again, or by the next asking after its end.';
COMMENT ON COLUMN email_change.token_hash IS 'SHA-256 of the token that was mailed to the new address; of a token that nobody was sent where the address is in use.';
COMMENT ON COLUMN email_change.person_id IS 'The person of customers who asks.';
COMMENT ON COLUMN email_change.ops_person_id IS 'The ops person who asks.';
COMMENT ON COLUMN email_change.email IS 'The new address.';
COMMENT ON COLUMN email_change.expires_at IS 'Until when it can be proved.';
ALTER TABLE email_change ENABLE ROW LEVEL SECURITY;
ALTER TABLE email_change FORCE  ROW LEVEL SECURITY;
CREATE POLICY owner ON email_change TO mandate_owner USING (true) WITH CHECK (true);

-- The session, if it stepped up in the last five minutes: what changes an account asks for it here,
-- whatever the caller has checked before.
CREATE FUNCTION stepped_up_session(in_session uuid, in_now timestamptz) RETURNS SETOF session
    LANGUAGE sql STABLE SET search_path = public, pg_temp
    AS $$ SELECT * FROM session
          WHERE id = in_session AND revoked_at IS NULL AND expires_at > in_now AND stepped_up_at >= in_now - interval '5 minutes' $$;
-- Notes an address to be proved: true if no account of the surface has it, NULL without a step-up.
-- The same statements whether the address is in use or not; only who reads its mail learns which.
CREATE FUNCTION begin_email_change(in_session uuid, in_email text, in_token_hash bytea, in_expires_at timestamptz, in_now timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE own session;
    BEGIN
        SELECT * INTO own FROM stepped_up_session(in_session, in_now);
        IF NOT FOUND THEN RETURN NULL; END IF;
        DELETE FROM email_change WHERE person_id = own.person_id OR ops_person_id = own.ops_person_id OR expires_at <= in_now;
        INSERT INTO email_change (token_hash, person_id, ops_person_id, email, expires_at)
            VALUES (in_token_hash, own.person_id, own.ops_person_id, in_email, in_expires_at);
        RETURN NOT EXISTS (SELECT 1 FROM person p WHERE own.person_id IS NOT NULL AND p.email = in_email)
           AND NOT EXISTS (SELECT 1 FROM ops_person o WHERE own.ops_person_id IS NOT NULL AND o.email = in_email);
    END $$;
-- Uses the token in a session of the person who asked: the address counts, and every other session
-- of that person ends, as with a new password. The new address; NULL if that cannot be, also
-- because another account took the address meanwhile.
CREATE FUNCTION change_email(in_session uuid, in_token_hash bytea, in_now timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        own session;
        proved text;
    BEGIN
        SELECT * INTO own FROM stepped_up_session(in_session, in_now);
        IF NOT FOUND THEN RETURN NULL; END IF;
        DELETE FROM email_change
            WHERE token_hash = in_token_hash AND expires_at > in_now AND (person_id = own.person_id OR ops_person_id = own.ops_person_id)
            RETURNING email INTO proved;
        IF NOT FOUND THEN RETURN NULL; END IF;
        UPDATE session SET revoked_at = in_now
            WHERE id <> in_session AND revoked_at IS NULL AND (person_id = own.person_id OR ops_person_id = own.ops_person_id);
        UPDATE person SET email = proved WHERE id = own.person_id;
        UPDATE ops_person SET email = proved WHERE id = own.ops_person_id;
        RETURN proved;
    EXCEPTION WHEN unique_violation THEN
        RETURN NULL;
    END $$;
REVOKE ALL ON FUNCTION stepped_up_session(uuid, timestamptz), begin_email_change(uuid, text, bytea, timestamptz, timestamptz),
    change_email(uuid, bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_email_change(uuid, text, bytea, timestamptz, timestamptz), change_email(uuid, bytea, timestamptz) TO mandate_app, mandate_ops;

ALTER TABLE recovery_code ADD COLUMN ended_at timestamptz;
COMMENT ON TABLE  recovery_code IS 'Recovery codes (global, closed list): each stands for the factor once. Only used_at and ended_at change, once each.';
COMMENT ON COLUMN recovery_code.ended_at IS 'When other codes took the place of this one, which had not been used.';
GRANT UPDATE (ended_at) ON recovery_code TO mandate_app, mandate_ops;
CREATE TRIGGER recovery_code_set_once BEFORE UPDATE ON recovery_code FOR EACH ROW
    WHEN ((OLD.used_at IS NOT NULL AND NEW.used_at IS DISTINCT FROM OLD.used_at) OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at))
    EXECUTE FUNCTION refuse_second_setting();
