-- After a restore what was erased is in the database again, and is erased again. An export of an older
-- epoch has ended with it, whatever its row says: its permit is void and no chunk of it may leave. So its
-- subjects may go, from the instant on at which the next epoch was opened.

CREATE POLICY erasure_read ON log_epoch FOR SELECT TO mandate_eraser USING (customer_id = current_customer());
GRANT SELECT (customer_id, epoch, opened_at) ON log_epoch TO mandate_eraser;

CREATE OR REPLACE FUNCTION demand_erasing_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        erased_at timestamptz;
        present integer;
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
        SELECT e.at, h.epoch INTO erased_at, present FROM log_head h JOIN log_entry e ON e.customer_id = h.customer_id AND e.epoch = h.epoch AND e.index >= h.size
            WHERE h.customer_id = NEW.customer_id AND e.type = 'subjects.erased'
              AND EXISTS (SELECT 1 FROM jsonb_array_elements(e.record -> 'entries') n WHERE n = jsonb_build_array(NEW.epoch, NEW.index));
        IF erased_at IS NULL OR (erased_at > clock_timestamp() + interval '5 s' AND NOT (SELECT private FROM installation)) THEN
            RAISE EXCEPTION 'subjects change only by an entry that erases them' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
        END IF;
        IF NEW.type IN ('export.refused', 'export.tried')
           OR (NEW.type IN ('export.permitted', 'export.single_permitted')
               AND EXISTS (SELECT 1 FROM export x WHERE x.customer_id = NEW.customer_id AND x.epoch = NEW.epoch AND x.index = NEW.index
                             AND (x.epoch < present
                                  OR COALESCE(x.completed_at, x.aborted_at, x.swept_at, CASE WHEN x.redeemed_at IS NULL THEN x.expires_at END) <= erased_at))) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'subjects of an entry that still has effect' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
