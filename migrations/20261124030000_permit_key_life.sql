-- The life of a permit key: published ahead, active, retired, withdrawn. The private half is a file
-- of the service; here stand the public half and the instants. A key that never signed has no
-- activated_at; what is set once is never set again, so that a withdrawal cannot be taken back.

ALTER TABLE permit_key
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN retired_at   timestamptz,
    ADD COLUMN withdrawn_at timestamptz,
    ADD CONSTRAINT permit_key_order CHECK (
        (activated_at IS NULL OR activated_at >= published_at)
        AND (retired_at IS NULL OR (activated_at IS NOT NULL AND retired_at >= activated_at))
        AND (withdrawn_at IS NULL OR withdrawn_at >= published_at)
    );
CREATE UNIQUE INDEX permit_key_one_active ON permit_key ((activated_at IS NOT NULL))
    WHERE activated_at IS NOT NULL AND retired_at IS NULL AND withdrawn_at IS NULL;

COMMENT ON TABLE  permit_key IS 'Public keys of permits (global). Private keys are files. Columns up to published_at are immutable; the others are set once.';
COMMENT ON COLUMN permit_key.activated_at IS 'Since when it signs; NULL: never. At most one key is active.';
COMMENT ON COLUMN permit_key.retired_at IS 'Since when another signs; it stays in the key set until its last permit has expired, 300 s later.';
COMMENT ON COLUMN permit_key.withdrawn_at IS 'Since when it is out of the key set and its permits are refused.';

CREATE FUNCTION permit_key_set_once() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
BEGIN
    IF (OLD.activated_at IS NOT NULL AND NEW.activated_at IS DISTINCT FROM OLD.activated_at)
        OR (OLD.retired_at IS NOT NULL AND NEW.retired_at IS DISTINCT FROM OLD.retired_at)
        OR (OLD.withdrawn_at IS NOT NULL AND NEW IS DISTINCT FROM OLD) THEN
        RAISE EXCEPTION 'a permit key goes forward only' USING ERRCODE = 'check_violation', CONSTRAINT = 'permit_key_set_once';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION permit_key_set_once() FROM PUBLIC;
CREATE TRIGGER permit_key_set_once BEFORE UPDATE ON permit_key FOR EACH ROW EXECUTE FUNCTION permit_key_set_once();

GRANT UPDATE (activated_at, retired_at, withdrawn_at) ON permit_key TO mandate_ops;
