-- Keys of the logs: what signs checkpoints and receipts (Ed25519). The private half is a file of
-- the service; here stand the public half and the instants of its life. A public key stays
-- published for ever: what it signed must be verifiable for ever.

CREATE TABLE log_key (
    kid          text PRIMARY KEY CONSTRAINT log_key_kid CHECK (kid ~ '^[0-9a-f]{64}$'),
    public_key   bytea NOT NULL CONSTRAINT log_key_public CHECK (octet_length(public_key) = 32),
    published_at timestamptz NOT NULL,
    activated_at timestamptz,
    retired_at   timestamptz,
    withdrawn_at timestamptz,
    CONSTRAINT log_key_order CHECK (
        (activated_at IS NULL OR activated_at >= published_at)
        AND (retired_at IS NULL OR (activated_at IS NOT NULL AND retired_at >= activated_at))
        AND (withdrawn_at IS NULL OR withdrawn_at >= published_at)
    )
);
CREATE UNIQUE INDEX log_key_one_active ON log_key ((activated_at IS NOT NULL))
    WHERE activated_at IS NOT NULL AND retired_at IS NULL AND withdrawn_at IS NULL;
COMMENT ON TABLE  log_key IS 'Public keys of checkpoints and receipts (global). Private keys are files. Columns up to published_at are immutable; the others are set once.';
COMMENT ON COLUMN log_key.kid IS 'Id: SHA-256 of the public half, 64 hexadecimal digits.';
COMMENT ON COLUMN log_key.public_key IS 'The public half: Ed25519, 32 bytes (RFC 8032).';
COMMENT ON COLUMN log_key.published_at IS 'Since when it is published.';
COMMENT ON COLUMN log_key.activated_at IS 'Since when it signs; NULL: never. At most one key is active.';
COMMENT ON COLUMN log_key.retired_at IS 'Since when another signs. What it signed before keeps its worth.';
COMMENT ON COLUMN log_key.withdrawn_at IS 'Since when it is known to be in other hands, or lost: only what was kept elsewhere before counts.';

CREATE FUNCTION log_key_set_once() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
BEGIN
    IF (OLD.activated_at IS NOT NULL AND NEW.activated_at IS DISTINCT FROM OLD.activated_at)
        OR (OLD.retired_at IS NOT NULL AND NEW.retired_at IS DISTINCT FROM OLD.retired_at)
        OR (OLD.withdrawn_at IS NOT NULL AND NEW IS DISTINCT FROM OLD) THEN
        RAISE EXCEPTION 'a key of the logs goes forward only' USING ERRCODE = 'check_violation', CONSTRAINT = 'log_key_set_once';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION log_key_set_once() FROM PUBLIC;
CREATE TRIGGER log_key_set_once BEFORE UPDATE ON log_key FOR EACH ROW EXECUTE FUNCTION log_key_set_once();

GRANT SELECT ON log_key TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser;
GRANT INSERT ON log_key TO mandate_ops;
GRANT UPDATE (activated_at, retired_at, withdrawn_at) ON log_key TO mandate_ops;
