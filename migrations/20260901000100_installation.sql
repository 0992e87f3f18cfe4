-- What this database is, and the helpers that policies use.

CREATE TABLE installation (
    only_row            boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_single CHECK (only_row),
    private             boolean NOT NULL DEFAULT false,
    clock_offset_millis bigint  NOT NULL DEFAULT 0,
    world_loaded        boolean NOT NULL DEFAULT false,
    CONSTRAINT installation_offset_private CHECK (private OR clock_offset_millis = 0)
);
COMMENT ON TABLE  installation IS 'Facts about this database itself; exactly one row.';
COMMENT ON COLUMN installation.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN installation.private IS 'True on a private database for trying and tests: a test clock and a file transport that counts as delivered are allowed there only.';
COMMENT ON COLUMN installation.clock_offset_millis IS 'The test clock: milliseconds added to the system clock. `mandate serve` refuses a database where it is not 0.';
COMMENT ON COLUMN installation.world_loaded IS 'True once the demo world has been loaded whole.';
INSERT INTO installation DEFAULT VALUES;

-- The customer (or reserved log id) that this transaction acts for; NULL shows no rows.
CREATE FUNCTION current_customer() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT NULLIF(current_setting('mandate.customer', true), '')::uuid $$;

-- The customers of a gate batch; NULL shows no rows.
CREATE FUNCTION batch_customers() RETURNS uuid[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT NULLIF(current_setting('mandate.customers', true), '')::uuid[] $$;

GRANT SELECT ON installation TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser;
