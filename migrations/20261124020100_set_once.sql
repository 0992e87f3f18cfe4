-- What is set once is set once: a column that is null until an act sets it is never set again and
-- never back to null, whichever role may set it. The condition stands in the trigger, so that an
-- update of other columns pays a comparison and no call.

CREATE FUNCTION refuse_second_setting() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        RAISE EXCEPTION 'a column of % that is set once was set before', TG_TABLE_NAME USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;

DO $$
DECLARE
    once record;
    changed text;
BEGIN
    FOR once IN SELECT * FROM (VALUES
        ('agreement',           '{offered_at,accepted_at,accepted_by,in_force_from,terminated_at}'::text[]),
        ('api_key',             '{revoked_at}'),
        ('authority',           '{ended_at}'),
        ('export',              '{redeemed_at,completed_at,aborted_at,report}'),
        ('first_signatory',     '{approved_by,approved_at,notice_id,delivered_at,authority_begins_at,membership_id}'),
        ('invitation',          '{accepted_at}'),
        ('membership',          '{ended_at}'),
        ('message',             '{delivered_at}'),
        ('ops_person',          '{ended_at}'),
        ('platform_suspension', '{release_id,release_proposed_by,release_proposed_at,released_by,released_at}'),
        ('session',             '{revoked_at}'),
        ('suspension',          '{release_id,release_proposed_by,release_proposed_at,released_by,released_at}')
    ) AS t (name, columns) LOOP
        SELECT string_agg(format('(OLD.%1$I IS NOT NULL AND NEW.%1$I IS DISTINCT FROM OLD.%1$I)', c), ' OR ') INTO changed FROM unnest(once.columns) c;
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW WHEN (%s) EXECUTE FUNCTION refuse_second_setting()',
                       once.name || '_set_once', once.name, changed);
    END LOOP;
END $$;

-- An accepted agreement's end only comes nearer, by a termination, and never before it.
CREATE TRIGGER agreement_end_set_once BEFORE UPDATE ON agreement FOR EACH ROW
    WHEN (OLD.accepted_at IS NOT NULL AND NEW.in_force_until IS DISTINCT FROM OLD.in_force_until
          AND (NEW.in_force_until < COALESCE(OLD.in_force_until, 'infinity') AND NEW.in_force_until >= NEW.terminated_at) IS NOT TRUE)
    EXECUTE FUNCTION refuse_second_setting();
