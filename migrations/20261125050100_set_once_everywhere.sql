-- What the comments said is set once, and no trigger held to it. A trigger that is there already
-- under its name is replaced; account_recovery and recovery_code may have one with more columns.

DO $$
DECLARE
    once record;
    changed text;
BEGIN
    FOR once IN SELECT * FROM (VALUES
        ('account_recovery',     '{approved_by,approved_at,notice_id,delivered_at,opens_at,closes_at,token_hash,accepted_at,withdrawn_at}'::text[], false),
        ('api_key',              '{revoked_at,approved_at,approved_by}', true),
        ('authority_suspension', '{confirmed_at,confirmed_by}', true),
        ('first_signatory',      '{approved_by,approved_at,notice_id,delivered_at,authority_begins_at,membership_id,withdrawn_by,withdrawn_at}', true),
        ('membership',           '{accepted_at,ended_at}', true),
        ('ops_person',           '{approved_by,admitted_at,ended_at}', true),
        ('recovery_code',        '{used_at}', false),
        ('second_factor',        '{confirmed_at,ended_at}', true)
    ) AS t (name, columns, replaces) LOOP
        CONTINUE WHEN NOT once.replaces AND EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = once.name || '_set_once');
        SELECT string_agg(format('(OLD.%1$I IS NOT NULL AND NEW.%1$I IS DISTINCT FROM OLD.%1$I)', c), ' OR ') INTO changed FROM unnest(once.columns) c;
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW WHEN (%s) EXECUTE FUNCTION refuse_second_setting()',
                       once.name || '_set_once', once.name, changed);
    END LOOP;
END $$;
-- A code works once, so that its step never falls.
CREATE TRIGGER second_factor_step_grows BEFORE UPDATE ON second_factor FOR EACH ROW
    WHEN (NEW.last_step < OLD.last_step) EXECUTE FUNCTION refuse_second_setting();

COMMENT ON TABLE second_factor IS 'Second factors of both surfaces (global, closed list): one in use and one begun per person. confirmed_at and ended_at are set once, and last_step only grows; one that was never confirmed is deleted when another is begun.';
COMMENT ON TABLE api_key IS 'API keys of all surfaces (global, closed list). revoked_at, approved_by and approved_at are set once; last_used_on changes.';
COMMENT ON TABLE ops_person IS 'The processor''s staff (global, closed list). Role immutable: another role is another person record. approved_by, admitted_at and ended_at are set once; password_hash is the person''s own to change.';
