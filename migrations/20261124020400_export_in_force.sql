-- The database refuses too. A permit's row, and its redemption, are taken only under the locks that
-- a decision needs and only if what they cite holds at that moment. The functions run as the gate's
-- own role, so row level security stays in force: a customer outside the batch has no head to lock.

-- Why an export may not leave now, in the words of the gate's refusals; NULL: nothing stands in its
-- way. The caller holds the registry's lock and the customer's head: every statement here sees what
-- had committed before. Scope, recipient and volume are the decision's; this is the state.
CREATE FUNCTION export_refusal(in_customer uuid, in_export uuid, in_platform text, in_purpose text, in_instruction uuid, in_version integer, in_at timestamptz)
    RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp
    AS $$
    DECLARE reason text;
    BEGIN
        SELECT CASE
            WHEN v.kind <> 'export' THEN 'no_written_instruction'
            WHEN NOT EXISTS (SELECT 1 FROM instruction_term t WHERE t.customer_id = in_customer AND t.platform = in_platform
                             AND t.term = 'purpose:' || in_purpose AND t.instruction_id = in_instruction AND t.version = in_version) THEN 'purpose_not_instructed'
            WHEN NOT EXISTS (SELECT 1 FROM purpose p WHERE p.code = in_purpose AND p.rule = 'instructable') THEN 'purpose_prohibited'
            WHEN in_at < v.valid_from THEN 'instruction_not_yet_valid'
            WHEN v.valid_until <= in_at THEN 'instruction_expired'
            WHEN EXISTS (SELECT 1 FROM instruction_revocation r WHERE r.customer_id = in_customer AND r.instruction_id = in_instruction) THEN 'instruction_revoked'
            WHEN EXISTS (SELECT 1 FROM instruction_contest c WHERE c.customer_id = in_customer AND c.instruction_id = in_instruction AND c.version = in_version
                         AND NOT EXISTS (SELECT 1 FROM instruction_confirmation f WHERE f.customer_id = in_customer AND f.contest_id = c.id)) THEN 'instruction_contested'
            WHEN EXISTS (SELECT 1 FROM instruction_version n WHERE n.customer_id = in_customer AND n.instruction_id = in_instruction
                         AND n.version > in_version AND n.valid_from <= in_at) THEN 'instruction_superseded'
            WHEN v.scope->>'once' = 'true'
                 AND EXISTS (SELECT 1 FROM export e WHERE e.customer_id = in_customer AND e.instruction_id = in_instruction AND e.instruction_version = in_version
                             AND e.id <> in_export AND (e.redeemed_at IS NOT NULL OR (e.aborted_at IS NULL AND e.expires_at > in_at))) THEN 'instruction_exhausted'
            WHEN NOT EXISTS (SELECT 1 FROM agreement a WHERE a.customer_id = in_customer AND a.platform = in_platform AND a.accepted_at IS NOT NULL
                             AND a.in_force_from <= in_at AND (a.in_force_until IS NULL OR in_at < a.in_force_until OR (in_purpose = 'return-at-end' AND a.in_force_from < a.in_force_until))) THEN 'agreement_not_in_force'
            WHEN EXISTS (SELECT 1 FROM suspension s WHERE s.customer_id = in_customer AND s.released_at IS NULL
                         AND (s.made_by = 'customer' OR in_purpose <> 'return-at-end')) THEN 'customer_suspended'
            WHEN EXISTS (SELECT 1 FROM platform_suspension s WHERE s.platform = in_platform AND s.released_at IS NULL) THEN 'platform_suspended'
        END INTO reason
        FROM instruction_version v WHERE v.customer_id = in_customer AND v.instruction_id = in_instruction AND v.version = in_version;
        IF NOT FOUND THEN
            RETURN 'no_written_instruction';
        END IF;
        RETURN reason;
    END $$;

-- Takes the locks of a decision and judges its time: not before the log's last entry, and where the
-- clock is the system's, not more than 5 s from the database's. A private database may have a test
-- clock of any kind, its offset stored or not; every other has the system's.
CREATE FUNCTION demand_present(in_customer uuid, in_at timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp
    AS $$
    DECLARE last timestamptz;
    BEGIN
        -- The registry before heads, as everybody; the key is that of the service's registry lock.
        PERFORM pg_advisory_xact_lock_shared(7881702200285881601);
        -- A snapshot that is older than the head's last change fails here (40001).
        SELECT h.last_at INTO last FROM log_head h WHERE h.customer_id = in_customer FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the customer is not one of this batch' USING ERRCODE = 'check_violation', CONSTRAINT = 'export_in_force';
        END IF;
        -- What changes under the registry's lock changes no head; only here a statement sees it.
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'an export is permitted under READ COMMITTED only' USING ERRCODE = 'check_violation', CONSTRAINT = 'export_in_force';
        END IF;
        IF in_at < last OR (abs(extract(epoch FROM clock_timestamp() - in_at)) > 5 AND NOT (SELECT private FROM installation)) THEN
            RAISE EXCEPTION 'a decision that is not of the present' USING ERRCODE = 'MD001', CONSTRAINT = 'export_decided_now';
        END IF;
    END $$;

CREATE FUNCTION demand_export_in_force() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        at timestamptz := CASE WHEN TG_OP = 'INSERT' THEN NEW.decided_at ELSE NEW.redeemed_at END;
        reason text;
    BEGIN
        PERFORM demand_present(NEW.customer_id, at);
        reason := export_refusal(NEW.customer_id, NEW.id, NEW.platform, NEW.request->>'purpose', NEW.instruction_id, NEW.instruction_version, at);
        IF reason IS NULL THEN
            reason := CASE
                WHEN TG_OP = 'INSERT' AND (NEW.completed_at IS NOT NULL OR NEW.aborted_at IS NOT NULL OR NEW.redeemed_at <> at) THEN 'permit_altered'
                WHEN TG_OP = 'INSERT' AND NOT EXISTS (SELECT 1 FROM agreement a WHERE a.customer_id = NEW.customer_id AND a.id = NEW.agreement_id
                    AND a.platform = NEW.platform AND a.accepted_at IS NOT NULL AND a.in_force_from <= at
                    AND (a.in_force_until IS NULL OR at < a.in_force_until OR (NEW.request->>'purpose' = 'return-at-end' AND a.in_force_from < a.in_force_until))) THEN 'agreement_not_in_force'
                WHEN TG_OP = 'UPDATE' AND NEW.aborted_at IS NOT NULL THEN 'permit_aborted'
                WHEN TG_OP = 'UPDATE' AND at >= NEW.expires_at THEN 'permit_expired'
            END;
        END IF;
        IF reason IS NOT NULL THEN
            RAISE EXCEPTION 'the database refuses the export: %', reason USING ERRCODE = 'check_violation', CONSTRAINT = 'export_in_force';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER export_permitted_in_force BEFORE INSERT ON export FOR EACH ROW EXECUTE FUNCTION demand_export_in_force();
CREATE TRIGGER export_redeemed_in_force BEFORE UPDATE ON export FOR EACH ROW
    WHEN (OLD.redeemed_at IS NULL AND NEW.redeemed_at IS NOT NULL) EXECUTE FUNCTION demand_export_in_force();
