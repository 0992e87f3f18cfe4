-- Whoever writes a fact that the gate decides on holds its lock until the commit, whether the
-- caller took it or forgot: a customer's head, or the registry's advisory lock. So a decision
-- either sees the fact or comes before its answer. For a caller that holds the lock this waits
-- for nothing; a snapshot older than the head's last change ends in a serialization failure.

CREATE FUNCTION lock_head_of_fact() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        PERFORM 1 FROM log_head h WHERE h.customer_id = NEW.customer_id FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a fact of a customer whose log is not there' USING ERRCODE = 'check_violation', CONSTRAINT = 'fact_under_head';
        END IF;
        RETURN NEW;
    END $$;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['agreement', 'instruction_version', 'instruction_revocation', 'instruction_contest', 'instruction_confirmation', 'suspension'] LOOP
        EXECUTE format('CREATE TRIGGER fact_under_head BEFORE INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION lock_head_of_fact()', t);
    END LOOP;
END $$;

-- The key is that of the service's registry lock (0x6d616e6461746501).
CREATE FUNCTION lock_registry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(7881702200285881601);
        RETURN NULL;
    END $$;
CREATE TRIGGER fact_under_registry BEFORE INSERT OR UPDATE ON platform_suspension FOR EACH STATEMENT EXECUTE FUNCTION lock_registry();
