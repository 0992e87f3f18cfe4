-- After a restore every log opens a new epoch, in one act that can be broken off and taken up again:
-- while it is not finished, nothing is recorded but the openings. What is of an older epoch is void,
-- and a customer whose log lost entries confirms its state before anything leaves.

CREATE TABLE restore (
    id                uuid        NOT NULL CONSTRAINT restore_key PRIMARY KEY,
    ground            text        NOT NULL CONSTRAINT restore_ground CHECK (ground IN ('declared', 'shorter', 'other_database')),
    registry_shorter  boolean     NOT NULL,
    system_identifier text        NOT NULL,
    timeline          bigint      NOT NULL,
    began_at          timestamptz NOT NULL,
    finished_at       timestamptz
);
CREATE UNIQUE INDEX restore_one_open ON restore ((true)) WHERE finished_at IS NULL;
COMMENT ON TABLE  restore IS 'Restores of the database that were taken in (global). Immutable, but for finished_at, which is set once.';
COMMENT ON COLUMN restore.id IS 'Id.';
COMMENT ON COLUMN restore.ground IS 'How it was known: declared (by operations), shorter (a log reaches less far than its checkpoint outside), other_database (the checkpoints outside are of another system identifier or timeline).';
COMMENT ON COLUMN restore.registry_shorter IS 'True if the registry lost entries: then every customer is unconfirmed.';
COMMENT ON COLUMN restore.system_identifier IS 'Postgres''s system identifier when it was taken in.';
COMMENT ON COLUMN restore.timeline IS 'Postgres''s timeline then.';
COMMENT ON COLUMN restore.began_at IS 'Since when nothing but openings is recorded.';
COMMENT ON COLUMN restore.finished_at IS 'When every log had opened its epoch.';
CREATE TRIGGER restore_set_once BEFORE UPDATE ON restore FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.finished_at IS DISTINCT FROM OLD.finished_at) EXECUTE FUNCTION refuse_second_setting();
GRANT SELECT ON restore TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser;
GRANT INSERT, UPDATE (finished_at) ON restore TO mandate_ops;

CREATE TABLE log_epoch (
    customer_id   uuid        NOT NULL CONSTRAINT log_epoch_log REFERENCES log (id),
    epoch         integer     NOT NULL CONSTRAINT log_epoch_later CHECK (epoch > 1),
    restore_id    uuid        NOT NULL CONSTRAINT log_epoch_restore REFERENCES restore (id),
    missing_epoch integer,
    missing_from  bigint,
    missing_until bigint,
    unconfirmed   boolean     NOT NULL,
    opened_at     timestamptz NOT NULL,
    confirmed_at  timestamptz,
    confirmed_by  uuid,
    CONSTRAINT log_epoch_key PRIMARY KEY (customer_id, epoch),
    CONSTRAINT log_epoch_once UNIQUE (customer_id, restore_id),
    CONSTRAINT log_epoch_missing CHECK (num_nulls(missing_epoch, missing_from, missing_until) IN (0, 3) AND missing_from <= missing_until),
    CONSTRAINT log_epoch_confirmed CHECK ((confirmed_at IS NULL) = (confirmed_by IS NULL) AND (confirmed_at IS NULL OR unconfirmed))
);
COMMENT ON TABLE  log_epoch IS 'Epochs of logs that a restore opened. Columns up to opened_at immutable; the others are set once.';
COMMENT ON COLUMN log_epoch.customer_id IS 'The log.';
COMMENT ON COLUMN log_epoch.epoch IS 'The epoch.';
COMMENT ON COLUMN log_epoch.restore_id IS 'The restore.';
COMMENT ON COLUMN log_epoch.missing_epoch IS 'The earlier epoch that lost entries; NULL: none did. Where several did, the first.';
COMMENT ON COLUMN log_epoch.missing_from IS 'Index of the first entry that is missing in it.';
COMMENT ON COLUMN log_epoch.missing_until IS 'Index of the last one that its checkpoint outside knows of.';
COMMENT ON COLUMN log_epoch.unconfirmed IS 'True if a person of the customer must confirm the state before anything leaves.';
COMMENT ON COLUMN log_epoch.opened_at IS 'When.';
COMMENT ON COLUMN log_epoch.confirmed_at IS 'When the state was confirmed.';
COMMENT ON COLUMN log_epoch.confirmed_by IS 'The member who confirmed it.';
ALTER TABLE log_epoch ENABLE ROW LEVEL SECURITY;
ALTER TABLE log_epoch FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON log_epoch TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY batch      ON log_epoch FOR SELECT TO mandate_gate USING (customer_id = ANY (batch_customers()));
CREATE POLICY everything ON log_epoch FOR SELECT TO mandate_ops_read USING (true);
GRANT SELECT ON log_epoch TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read;
GRANT INSERT ON log_epoch TO mandate_ops;
GRANT UPDATE (confirmed_at, confirmed_by) ON log_epoch TO mandate_app;
CREATE TRIGGER fact_under_head BEFORE INSERT OR UPDATE ON log_epoch FOR EACH ROW EXECUTE FUNCTION lock_head_of_fact();
CREATE TRIGGER log_epoch_set_once BEFORE UPDATE ON log_epoch FOR EACH ROW
    WHEN ((OLD.confirmed_at IS NOT NULL AND NEW.confirmed_at IS DISTINCT FROM OLD.confirmed_at) OR (OLD.confirmed_by IS NOT NULL AND NEW.confirmed_by IS DISTINCT FROM OLD.confirmed_by))
    EXECUTE FUNCTION refuse_second_setting();

-- The one way in which a head changes its epoch: forward, to an empty tree, while a restore is taken in.
CREATE FUNCTION open_epoch(in_log uuid, in_epoch integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        UPDATE log_head SET epoch = in_epoch, size = 0, edge = ''::bytea
            WHERE customer_id = in_log AND epoch < in_epoch AND EXISTS (SELECT 1 FROM restore WHERE finished_at IS NULL);
        RETURN FOUND;
    END $$;
-- A session that was ended after the backup was made is open again in it: all end.
CREATE FUNCTION end_sessions(in_at timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE ended bigint;
    BEGIN
        UPDATE session SET revoked_at = in_at WHERE revoked_at IS NULL AND EXISTS (SELECT 1 FROM restore WHERE finished_at IS NULL);
        GET DIAGNOSTICS ended = ROW_COUNT;
        RETURN ended;
    END $$;
REVOKE ALL ON FUNCTION open_epoch(uuid, integer), end_sessions(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_epoch(uuid, integer), end_sessions(timestamptz) TO mandate_ops;

-- Authority of whoever may have lost it in the missing entries is suspended as by a recovery.
GRANT INSERT ON authority_suspension TO mandate_ops;
CREATE POLICY in_restore ON authority_suspension AS RESTRICTIVE FOR INSERT TO mandate_ops
    WITH CHECK (EXISTS (SELECT 1 FROM restore r WHERE r.id = recovery_id AND r.finished_at IS NULL));
COMMENT ON TABLE  authority_suspension IS 'Authority that does not hold since its person''s account was recovered, or since entries of the customer''s log were lost in a restore, until the customer confirms it. Columns up to suspended_at immutable; the others are set once.';
COMMENT ON COLUMN authority_suspension.recovery_id IS 'The recovery, which may have gone through another customer of the person; or the restore.';

-- The database refuses what the gate refuses: of an older epoch, or on a state that nobody confirmed.
CREATE OR REPLACE FUNCTION export_refusal(in_customer uuid, in_export uuid, in_platform text, in_purpose text, in_instruction uuid, in_version integer, in_at timestamptz)
    RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp
    AS $$
    DECLARE reason text;
    BEGIN
        SELECT CASE
            WHEN EXISTS (SELECT 1 FROM log_epoch l WHERE l.customer_id = in_customer AND l.unconfirmed AND l.confirmed_at IS NULL) THEN 'state_unconfirmed'
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

CREATE OR REPLACE FUNCTION demand_export_in_force() RETURNS trigger
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
                WHEN NOT EXISTS (SELECT 1 FROM log_head h WHERE h.customer_id = NEW.customer_id AND h.epoch = NEW.epoch) THEN 'permit_void'
                WHEN TG_OP = 'UPDATE' AND NEW.aborted_at IS NOT NULL THEN 'permit_aborted'
                WHEN TG_OP = 'UPDATE' AND at >= NEW.expires_at THEN 'permit_expired'
            END;
        END IF;
        IF reason IS NOT NULL THEN
            RAISE EXCEPTION 'the database refuses the export: %', reason USING ERRCODE = 'check_violation', CONSTRAINT = 'export_in_force';
        END IF;
        RETURN NEW;
    END $$;

CREATE OR REPLACE FUNCTION demand_chunk_in_force() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE reason text;
    BEGIN
        PERFORM demand_present(NEW.customer_id, NEW.authorised_at);
        SELECT CASE
            WHEN e.redeemed_at IS NULL OR e.completed_at IS NOT NULL OR e.aborted_at IS NOT NULL OR e.swept_at IS NOT NULL THEN 'export_not_running'
            WHEN NOT EXISTS (SELECT 1 FROM log_head h WHERE h.customer_id = e.customer_id AND h.epoch = e.epoch) THEN 'permit_void'
            ELSE export_refusal(e.customer_id, e.id, e.platform, e.request->>'purpose', e.instruction_id, e.instruction_version, NEW.authorised_at)
        END INTO reason FROM export e WHERE e.customer_id = NEW.customer_id AND e.id = NEW.export_id;
        IF NOT FOUND THEN
            reason := 'export_not_running';
        END IF;
        IF reason IS NOT NULL THEN
            RAISE EXCEPTION 'the database refuses the chunk: %', reason USING ERRCODE = 'check_violation', CONSTRAINT = 'export_chunk_in_force';
        END IF;
        RETURN NEW;
    END $$;

-- What is of an older epoch has ended.
CREATE OR REPLACE FUNCTION exports_silent_since(in_since timestamptz, in_limit integer) RETURNS TABLE (customer_id uuid, export_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT e.customer_id, e.id FROM export e
          WHERE e.redeemed_at IS NOT NULL AND e.completed_at IS NULL AND e.aborted_at IS NULL AND e.swept_at IS NULL
            AND e.redeemed_at <= in_since AND (e.last_chunk_at IS NULL OR e.last_chunk_at <= in_since)
            AND e.epoch = (SELECT h.epoch FROM log_head h WHERE h.customer_id = e.customer_id)
          ORDER BY e.redeemed_at LIMIT in_limit $$;
