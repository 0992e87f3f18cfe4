-- The hash of a request is keyed with its idempotency key, of which only a hash is kept: without the key
-- no guess can be tested. A key can be guessable too, so these hashes go as well: with their export's
-- subjects; of requests for nobody, and of what came after an erasure, by an entry of their own.

COMMENT ON COLUMN log_entry.request_hash IS 'For entries made at the gate: SHA-256 over a tag, the idempotency key and the canonical request; NULL: erased, and the key is answered no more.';

CREATE OR REPLACE FUNCTION demand_erasing_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        erased_at timestamptz;
    BEGIN
        IF NEW.subjects IS NOT NULL OR NEW.subjects_nonce IS NOT NULL OR NEW.request_hash IS NOT NULL THEN
            RAISE EXCEPTION 'what is erased of an entry is erased whole' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        -- The request of a chunk may name its last file, and that of a redemption holds the permit; they go
        -- with the export's subjects.
        IF OLD.subjects IS NULL AND NEW.type IN ('export.redeemed', 'export.redemption_refused', 'export.chunk_authorised', 'export.chunk_refused')
           AND EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.subjects IS NULL
                         AND x.id = split_part(NEW.record ->> 'export', '_', 2)::uuid) THEN
            RETURN NEW;
        END IF;
        IF OLD.subjects IS NULL AND NEW.type <> 'gate.unknown_refused' THEN
            RAISE EXCEPTION 'the request of an entry whose export is not erased' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        SELECT e.at INTO erased_at FROM log_head h JOIN log_entry e ON e.customer_id = h.customer_id AND e.epoch = h.epoch AND e.index >= h.size
            WHERE h.customer_id = NEW.customer_id AND e.type = CASE WHEN OLD.subjects IS NULL THEN 'requests.erased' ELSE 'subjects.erased' END
              AND EXISTS (SELECT 1 FROM jsonb_array_elements(e.record -> 'entries') n WHERE n = jsonb_build_array(NEW.epoch, NEW.index));
        IF erased_at IS NULL OR (erased_at > clock_timestamp() + interval '5 s' AND NOT (SELECT private FROM installation)) THEN
            RAISE EXCEPTION 'subjects change only by an entry that erases them' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        IF NEW.type IN ('export.refused', 'export.tried', 'gate.unknown_refused')
           OR (NEW.type IN ('export.permitted', 'export.single_permitted')
               AND EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.epoch = NEW.epoch AND x.index = NEW.index
                             AND export_ended_at(x.customer_id, x.id) <= erased_at)) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'subjects of an entry that still has effect' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;

-- That the head moves over the entry is demanded of every entry.
CREATE OR REPLACE FUNCTION demand_erasure_of_named() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM jsonb_array_elements(NEW.record -> 'entries') n
                   LEFT JOIN log_entry e ON e.customer_id = NEW.customer_id AND e.epoch = (n ->> 0)::integer AND e.index = (n ->> 1)::bigint
                   WHERE e.id IS NULL OR e.subjects IS NOT NULL OR e.request_hash IS NOT NULL
                      OR EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.epoch = e.epoch AND x.index = e.index
                                   AND (x.subjects IS NOT NULL OR x.permit IS NOT NULL
                                        OR EXISTS (SELECT 1 FROM export_chunk c WHERE c.customer_id = x.customer_id AND c.export_id = x.id AND c.last_reference IS NOT NULL)))) THEN
            RAISE EXCEPTION 'an entry says that something was erased which is there' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        RETURN NULL;
    END $$;
DROP TRIGGER log_entry_erases_what_it_names ON log_entry;
CREATE CONSTRAINT TRIGGER log_entry_erases_what_it_names AFTER INSERT ON log_entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.type IN ('subjects.erased', 'requests.erased')) EXECUTE FUNCTION demand_erasure_of_named();

CREATE OR REPLACE FUNCTION demand_erasure_of_document() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        erased uuid := split_part(NEW.record ->> 'document', '_', 2)::uuid;
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM document d WHERE d.customer_id = NEW.customer_id AND d.id = erased AND d.erased_at IS NOT NULL
                         AND encode(d.sha256, 'hex') = NEW.record ->> 'document_sha256')
           OR EXISTS (SELECT 1 FROM document_part p WHERE p.customer_id = NEW.customer_id AND p.document_id = erased) THEN
            RAISE EXCEPTION 'an entry says that a document was erased which is there' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        RETURN NULL;
    END $$;
