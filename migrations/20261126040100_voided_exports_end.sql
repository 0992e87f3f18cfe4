-- An export of an older epoch is void, and has ended: when the next epoch was opened. What a platform
-- reports of it afterwards is kept as a late report, as of one that the service had closed.

CREATE FUNCTION export_ended_at(in_customer uuid, in_export uuid) RETURNS timestamptz
    LANGUAGE sql STABLE SET search_path = public, pg_temp
    AS $$
    SELECT COALESCE(x.completed_at, x.aborted_at, x.swept_at,
                    LEAST((SELECT min(l.opened_at) FROM log_epoch l WHERE l.customer_id = x.customer_id AND l.epoch > x.epoch),
                          CASE WHEN x.redeemed_at IS NULL THEN x.expires_at END))
    FROM export x WHERE x.customer_id = in_customer AND x.id = in_export
    $$;
COMMENT ON FUNCTION export_ended_at(uuid, uuid) IS 'When an export ended: reported, closed by the service, void since a restore, or never redeemed; NULL: it has not.';
REVOKE ALL ON FUNCTION export_ended_at(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION export_ended_at(uuid, uuid) TO mandate_eraser;

ALTER TABLE export DROP CONSTRAINT export_late_report;
COMMENT ON COLUMN export.late_report IS 'What the platform reported after swept_at, or of an export that is void since a restore, and how it agrees with the chunks; its volume returns nothing and takes nothing back. Set once.';
CREATE FUNCTION demand_closed_export() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF num_nonnulls(NEW.completed_at, NEW.aborted_at) = 0
           AND EXISTS (SELECT 1 FROM log_head h WHERE h.customer_id = NEW.customer_id AND h.epoch > NEW.epoch) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a late report of an export that the service has not closed' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
CREATE TRIGGER export_late_report_of_closed BEFORE INSERT OR UPDATE ON export FOR EACH ROW
    WHEN (NEW.late_report IS NOT NULL AND NEW.swept_at IS NULL) EXECUTE FUNCTION demand_closed_export();
