-- Erasure: the eraser, and nobody else, takes away whose data entries and permits were about, and only
-- in the transaction of the entry that names them. What still has effect, or was signed, is not erased.
-- With the subjects goes what they could be guessed by: the permit's hash of them, whose salt stands in
-- the record, and the hash of the request.

ALTER TABLE export ALTER COLUMN subjects DROP NOT NULL;
ALTER TABLE export ALTER COLUMN permit DROP NOT NULL;
COMMENT ON COLUMN export.subjects IS 'Selectors of subjects of the request; NULL: erased.';
COMMENT ON COLUMN export.permit IS 'Claims of the permit, with a hash of the subjects; NULL: erased with them.';

ALTER TABLE log_entry
    DROP CONSTRAINT log_entry_gate,
    ADD CONSTRAINT log_entry_gate CHECK ((platform IS NULL) = (route IS NULL) AND (request_hash IS NULL OR key_hash IS NOT NULL) AND (key_hash IS NULL OR route IS NOT NULL));
COMMENT ON TABLE  log_entry IS 'Entries, append-only. All columns immutable, except that the eraser may set subjects, subjects_nonce and request_hash to NULL.';
COMMENT ON COLUMN log_entry.request_hash IS 'For entries made at the gate: SHA-256 of the canonical request; NULL: erased with the references in it, and the key is answered no more.';

CREATE POLICY erasure_read ON export FOR SELECT TO mandate_eraser USING (customer_id = current_customer());
CREATE POLICY erasure      ON export FOR UPDATE TO mandate_eraser USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
GRANT SELECT (customer_id, id, epoch, index, subjects, permit, expires_at, redeemed_at, completed_at, aborted_at, swept_at) ON export TO mandate_eraser;
GRANT UPDATE (subjects, permit) ON export TO mandate_eraser;
GRANT UPDATE (subjects, subjects_nonce, request_hash) ON log_entry TO mandate_eraser;

-- Packs hold what was not erased when they were made: those that are done go with it.
CREATE POLICY erasure ON operation FOR ALL TO mandate_eraser
    USING (customer_id = current_customer() AND kind = 'evidence-pack' AND ended_at IS NOT NULL) WITH CHECK (false);
CREATE POLICY erasure ON operation_part FOR ALL TO mandate_eraser
    USING (customer_id = current_customer() AND EXISTS (SELECT 1 FROM operation o WHERE o.customer_id = operation_part.customer_id AND o.id = operation_part.operation_id))
    WITH CHECK (false);
GRANT SELECT (customer_id, id, kind, ended_at), DELETE ON operation TO mandate_eraser;
GRANT SELECT (customer_id, operation_id), DELETE ON operation_part TO mandate_eraser;

-- An entry's subjects go when an entry that is being added names it. Being added: the head, which the
-- transaction holds, is moved over it last. The time of what is ended is that entry's, and not in future.
CREATE FUNCTION demand_erasing_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        erased_at timestamptz;
    BEGIN
        IF NEW.subjects IS NOT NULL OR NEW.subjects_nonce IS NOT NULL OR NEW.request_hash IS NOT NULL THEN
            RAISE EXCEPTION 'what is erased of an entry is erased whole' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        IF OLD.subjects IS NULL THEN
            -- The request of a chunk may name its last file; it goes with the export's subjects.
            IF NEW.type IN ('export.chunk_authorised', 'export.chunk_refused')
               AND EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.subjects IS NULL
                             AND x.id = split_part(NEW.record ->> 'export', '_', 2)::uuid) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'the request of an entry whose export is not erased' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        SELECT e.at INTO erased_at FROM log_head h JOIN log_entry e ON e.customer_id = h.customer_id AND e.epoch = h.epoch AND e.index >= h.size
            WHERE h.customer_id = NEW.customer_id AND e.type = 'subjects.erased'
              AND EXISTS (SELECT 1 FROM jsonb_array_elements(e.record -> 'entries') n WHERE n = jsonb_build_array(NEW.epoch, NEW.index));
        IF erased_at IS NULL OR (erased_at > clock_timestamp() + interval '5 s' AND NOT (SELECT private FROM installation)) THEN
            RAISE EXCEPTION 'subjects change only by an entry that erases them' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        IF NEW.type IN ('export.refused', 'export.tried')
           OR (NEW.type IN ('export.permitted', 'export.single_permitted')
               AND EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.epoch = NEW.epoch AND x.index = NEW.index
                             AND COALESCE(x.completed_at, x.aborted_at, x.swept_at, CASE WHEN x.redeemed_at IS NULL THEN x.expires_at END) <= erased_at)) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'subjects of an entry that still has effect' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
CREATE TRIGGER log_entry_erased_by_entry BEFORE UPDATE ON log_entry FOR EACH ROW EXECUTE FUNCTION demand_erasing_entry();

-- A permit's subjects go with those of its entry, and its chunks' references with those.
CREATE FUNCTION demand_erased_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NEW.subjects IS NULL AND NEW.permit IS NULL
           AND EXISTS (SELECT 1 FROM log_entry e WHERE e.customer_id = NEW.customer_id AND e.epoch = NEW.epoch AND e.index = NEW.index AND e.subjects IS NULL) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'subjects of a permit change only when those of its entry are erased' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
CREATE TRIGGER export_subjects_set_once BEFORE UPDATE ON export FOR EACH ROW
    WHEN (NEW.subjects IS DISTINCT FROM OLD.subjects OR NEW.permit IS DISTINCT FROM OLD.permit) EXECUTE FUNCTION demand_erased_entry();

CREATE FUNCTION demand_erased_export() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NEW.last_reference IS NULL
           AND EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.id = NEW.export_id AND x.subjects IS NULL) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a reference of a chunk goes only when its export is erased' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
CREATE TRIGGER export_chunk_erased_with_export BEFORE UPDATE ON export_chunk FOR EACH ROW
    WHEN (NEW.last_reference IS DISTINCT FROM OLD.last_reference OR NEW.last_nonce IS DISTINCT FROM OLD.last_nonce) EXECUTE FUNCTION demand_erased_export();

-- The other way round: an entry that says that subjects were erased commits with their being gone, and
-- with the head moved over it.
CREATE FUNCTION demand_erasure_of_named() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM log_head h WHERE h.customer_id = NEW.customer_id AND h.epoch = NEW.epoch AND h.size > NEW.index)
           OR EXISTS (SELECT 1 FROM jsonb_array_elements(NEW.record -> 'entries') n
                      LEFT JOIN log_entry e ON e.customer_id = NEW.customer_id AND e.epoch = (n ->> 0)::integer AND e.index = (n ->> 1)::bigint
                      WHERE e.id IS NULL OR e.subjects IS NOT NULL
                         OR EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.epoch = e.epoch AND x.index = e.index
                                      AND (x.subjects IS NOT NULL OR x.permit IS NOT NULL
                                           OR EXISTS (SELECT 1 FROM export_chunk c WHERE c.customer_id = x.customer_id AND c.export_id = x.id AND c.last_reference IS NOT NULL)))) THEN
            RAISE EXCEPTION 'an entry says that subjects were erased which are there' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        RETURN NULL;
    END $$;
CREATE CONSTRAINT TRIGGER log_entry_erases_what_it_names AFTER INSERT ON log_entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.type = 'subjects.erased') EXECUTE FUNCTION demand_erasure_of_named();
