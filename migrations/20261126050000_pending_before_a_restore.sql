-- What was pending before a restore cannot be used after it: it may have been stopped in the entries
-- that the backup does not have. No row changes for that, since a row changes with an entry only:
-- each look at a token, and each second person's approval, asks when the database was last restored.

CREATE FUNCTION restored_at() RETURNS timestamptz
    LANGUAGE sql STABLE SET search_path = public, pg_temp
    AS $$ SELECT COALESCE(max(began_at), '-infinity'::timestamptz) FROM restore $$;
COMMENT ON FUNCTION restored_at() IS 'Since when the database is what the last restore made of it; -infinity: it never was restored.';

CREATE OR REPLACE FUNCTION recovery_by_token(in_hash bytea, in_now timestamptz) RETURNS TABLE (customer_id uuid, id uuid, person_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT r.customer_id, r.id, r.person_id FROM account_recovery r
          JOIN membership m ON m.customer_id = r.customer_id AND m.id = r.membership_id AND m.ended_at IS NULL
          WHERE r.token_hash = in_hash AND r.accepted_at IS NULL AND r.withdrawn_at IS NULL AND r.opens_at <= in_now AND r.closes_at > in_now
            AND r.proposed_at >= restored_at() $$;
CREATE OR REPLACE FUNCTION ops_recovery_by_token(in_hash bytea, in_now timestamptz) RETURNS TABLE (id uuid, ops_person_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT r.id, r.ops_person_id FROM ops_recovery r JOIN ops_person o ON o.id = r.ops_person_id AND o.ended_at IS NULL
          WHERE r.token_hash = in_hash AND r.accepted_at IS NULL AND r.withdrawn_at IS NULL AND r.opens_at <= in_now AND r.closes_at > in_now
            AND r.proposed_at >= restored_at() $$;

ALTER TABLE email_change ADD COLUMN asked_at timestamptz;
COMMENT ON COLUMN email_change.asked_at IS 'When it was asked for; NULL in a line that is older than this column. One from before a restore proves nothing.';
CREATE OR REPLACE FUNCTION begin_email_change(in_session uuid, in_email text, in_token_hash bytea, in_expires_at timestamptz, in_now timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE own session;
    BEGIN
        SELECT * INTO own FROM stepped_up_session(in_session, in_now);
        IF NOT FOUND THEN RETURN NULL; END IF;
        DELETE FROM email_change WHERE person_id = own.person_id OR ops_person_id = own.ops_person_id OR expires_at <= in_now;
        INSERT INTO email_change (token_hash, person_id, ops_person_id, email, expires_at, asked_at)
            VALUES (in_token_hash, own.person_id, own.ops_person_id, in_email, in_expires_at, in_now);
        RETURN NOT EXISTS (SELECT 1 FROM person p WHERE own.person_id IS NOT NULL AND p.email = in_email)
           AND NOT EXISTS (SELECT 1 FROM ops_person o WHERE own.ops_person_id IS NOT NULL AND o.email = in_email);
    END $$;
CREATE OR REPLACE FUNCTION change_email(in_session uuid, in_token_hash bytea, in_now timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        own session;
        proved text;
    BEGIN
        SELECT * INTO own FROM stepped_up_session(in_session, in_now);
        IF NOT FOUND THEN RETURN NULL; END IF;
        DELETE FROM email_change
            WHERE token_hash = in_token_hash AND expires_at > in_now AND COALESCE(asked_at, '-infinity'::timestamptz) >= restored_at()
              AND (person_id = own.person_id OR ops_person_id = own.ops_person_id)
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

-- A release that was proposed before a restore is proposed anew, in the place of the old proposal: the
-- one case in which the three columns are set a second time.
CREATE FUNCTION refuse_second_release() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF OLD.released_at IS NULL AND OLD.released_by IS NULL AND NEW.released_at IS NULL AND NEW.released_by IS NULL
           AND OLD.release_proposed_at < restored_at() AND NEW.release_proposed_at >= restored_at() THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a column of % that is set once was set before', TG_TABLE_NAME USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
DO $$
DECLARE
    released text;
    changed text;
BEGIN
    FOREACH released IN ARRAY '{platform_suspension,suspension}'::text[] LOOP
        SELECT string_agg(format('(OLD.%1$I IS NOT NULL AND NEW.%1$I IS DISTINCT FROM OLD.%1$I)', c), ' OR ') INTO changed
            FROM unnest('{release_id,release_proposed_by,release_proposed_at,released_by,released_at}'::text[]) c;
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW WHEN (%s) EXECUTE FUNCTION refuse_second_release()',
                       released || '_set_once', released, changed);
    END LOOP;
END $$;
