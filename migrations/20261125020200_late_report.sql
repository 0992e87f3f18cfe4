-- What a platform reports of an export that the service had closed already: kept beside the closing,
-- which it does not change, so that the customer sees both.

ALTER TABLE export
    ADD COLUMN late_report jsonb,
    ADD CONSTRAINT export_late_report CHECK (late_report IS NULL OR swept_at IS NOT NULL);
COMMENT ON COLUMN export.late_report IS 'What the platform reported after swept_at, and how it agrees with the chunks; its volume returns nothing and takes nothing back. Set once.';
GRANT UPDATE (late_report) ON export TO mandate_gate;
CREATE TRIGGER export_late_report_set_once BEFORE UPDATE ON export FOR EACH ROW
    WHEN (OLD.late_report IS NOT NULL AND NEW.late_report IS DISTINCT FROM OLD.late_report) EXECUTE FUNCTION refuse_second_setting();
