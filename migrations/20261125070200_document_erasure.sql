-- The bytes of a document go when nothing in force cites it any more; its row, length and SHA-256 stay,
-- so that whoever has kept a copy can still show that it is what was signed.

ALTER TABLE document ADD COLUMN erased_at timestamptz;
COMMENT ON TABLE  document IS 'Documents. Immutable, except that the eraser sets erased_at.';
COMMENT ON COLUMN document.erased_at IS 'When its bytes were erased; NULL: they are there.';
COMMENT ON TABLE  document_part IS 'The bytes, in parts of 1 MiB, so that neither way needs the whole in memory. Immutable; gone when the document is erased.';

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['document', 'document_part', 'agreement', 'instruction_version', 'instruction_revocation', 'instruction_contest', 'instruction_confirmation', 'instruction_draft'] LOOP
        EXECUTE format('CREATE POLICY erasure_read ON %I FOR SELECT TO mandate_eraser USING (customer_id = current_customer())', t);
    END LOOP;
END $$;
CREATE POLICY erasure ON document      FOR UPDATE TO mandate_eraser USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY erasure ON document_part FOR DELETE TO mandate_eraser USING (customer_id = current_customer());
GRANT SELECT (customer_id, id, sha256, length, stored_at, erased_at), UPDATE (erased_at) ON document TO mandate_eraser;
GRANT SELECT (customer_id, document_id, part), DELETE ON document_part TO mandate_eraser;
GRANT SELECT (customer_id, document_id, accepted_at, in_force_until) ON agreement TO mandate_eraser;
GRANT SELECT (customer_id, instruction_id, version, document_id, valid_from, valid_until) ON instruction_version TO mandate_eraser;
GRANT SELECT (customer_id, instruction_id, revoked_at) ON instruction_revocation TO mandate_eraser;
GRANT SELECT (customer_id, id, instruction_id, version) ON instruction_contest TO mandate_eraser;
GRANT SELECT (customer_id, contest_id, document_id) ON instruction_confirmation TO mandate_eraser;
GRANT SELECT (customer_id, document_id) ON instruction_draft TO mandate_eraser;

-- Until when a document is needed: the end of the last thing that cites it, or when it was stored;
-- infinity: something without an end cites it, or something that is not decided yet.
CREATE FUNCTION document_needed_until(in_customer uuid, in_document uuid) RETURNS timestamptz
    LANGUAGE sql STABLE SET search_path = public, pg_temp
    AS $$
    WITH version AS (
        SELECT v.instruction_id, v.version, v.document_id, COALESCE(LEAST(v.valid_until,
                 (SELECT r.revoked_at FROM instruction_revocation r WHERE r.customer_id = v.customer_id AND r.instruction_id = v.instruction_id),
                 (SELECT min(n.valid_from) FROM instruction_version n WHERE n.customer_id = v.customer_id AND n.instruction_id = v.instruction_id AND n.version > v.version)),
               'infinity') AS ends_at
        FROM instruction_version v WHERE v.customer_id = in_customer)
    SELECT max(ends_at) FROM (
        SELECT d.stored_at AS ends_at FROM document d WHERE d.customer_id = in_customer AND d.id = in_document
        UNION ALL
        SELECT CASE WHEN a.accepted_at IS NULL THEN 'infinity' ELSE COALESCE(a.in_force_until, 'infinity') END
            FROM agreement a WHERE a.customer_id = in_customer AND a.document_id = in_document
        UNION ALL
        SELECT 'infinity' FROM instruction_draft f WHERE f.customer_id = in_customer AND f.document_id = in_document
        UNION ALL
        SELECT v.ends_at FROM version v WHERE v.document_id = in_document
        UNION ALL
        SELECT v.ends_at FROM instruction_confirmation f JOIN instruction_contest c ON c.customer_id = f.customer_id AND c.id = f.contest_id
            JOIN version v ON v.instruction_id = c.instruction_id AND v.version = c.version
            WHERE f.customer_id = in_customer AND f.document_id = in_document
    ) cited
    $$;
REVOKE ALL ON FUNCTION document_needed_until(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION document_needed_until(uuid, uuid) TO mandate_eraser;

CREATE FUNCTION demand_document_erased_by_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        present timestamptz;
    BEGIN
        SELECT e.at INTO present FROM log_head h JOIN log_entry e ON e.customer_id = h.customer_id AND e.epoch = h.epoch AND e.index >= h.size
            WHERE h.customer_id = NEW.customer_id AND e.type = 'document.erased' AND split_part(e.record ->> 'document', '_', 2)::uuid = NEW.id;
        IF present IS NULL OR TG_OP = 'INSERT' OR NEW.erased_at IS DISTINCT FROM present
           OR (present > clock_timestamp() + interval '5 s' AND NOT (SELECT private FROM installation)) THEN
            RAISE EXCEPTION 'a document is erased only by an entry that says so' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        IF OLD.erased_at IS NOT NULL OR document_needed_until(NEW.customer_id, NEW.id) > present THEN
            RAISE EXCEPTION 'a document that is needed' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER document_erased_by_entry BEFORE UPDATE ON document FOR EACH ROW EXECUTE FUNCTION demand_document_erased_by_entry();
CREATE TRIGGER document_stored_whole BEFORE INSERT ON document FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION demand_document_erased_by_entry();

-- Bytes go with their document's erasure, and do not come back.
CREATE FUNCTION demand_document_of_part() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        part document_part := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    BEGIN
        IF EXISTS (SELECT 1 FROM document d WHERE d.customer_id = part.customer_id AND d.id = part.document_id AND (d.erased_at IS NULL) = (TG_OP = 'INSERT')) THEN
            RETURN part;
        END IF;
        RAISE EXCEPTION 'the bytes of a document go with it' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
CREATE TRIGGER document_part_erased_with_document BEFORE INSERT OR DELETE ON document_part FOR EACH ROW EXECUTE FUNCTION demand_document_of_part();

CREATE FUNCTION demand_erasure_of_document() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        erased uuid := split_part(NEW.record ->> 'document', '_', 2)::uuid;
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM log_head h WHERE h.customer_id = NEW.customer_id AND h.epoch = NEW.epoch AND h.size > NEW.index)
           OR NOT EXISTS (SELECT 1 FROM document d WHERE d.customer_id = NEW.customer_id AND d.id = erased AND d.erased_at IS NOT NULL
                            AND encode(d.sha256, 'hex') = NEW.record ->> 'document_sha256')
           OR EXISTS (SELECT 1 FROM document_part p WHERE p.customer_id = NEW.customer_id AND p.document_id = erased) THEN
            RAISE EXCEPTION 'an entry says that a document was erased which is there' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        RETURN NULL;
    END $$;
CREATE CONSTRAINT TRIGGER log_entry_erases_its_document AFTER INSERT ON log_entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.type = 'document.erased') EXECUTE FUNCTION demand_erasure_of_document();
