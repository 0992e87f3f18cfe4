-- Tiles of the logs (C2SP tlog-tiles): 256 hashes of one height beside each other, kept when they
-- are full, so that a proof reads a few rows however long the log is. A tile follows from the
-- entries, and is written in the transaction of the entry that fills it.

CREATE TABLE log_tile (
    customer_id uuid     NOT NULL CONSTRAINT log_tile_log REFERENCES log (id),
    epoch       integer  NOT NULL,
    level       smallint NOT NULL CONSTRAINT log_tile_level CHECK (level BETWEEN 0 AND 7),
    index       bigint   NOT NULL CONSTRAINT log_tile_index CHECK (index >= 0),
    root        bytea    NOT NULL CONSTRAINT log_tile_root CHECK (octet_length(root) = 32),
    hashes      bytea    NOT NULL CONSTRAINT log_tile_hashes CHECK (octet_length(hashes) = 8192),
    CONSTRAINT log_tile_key PRIMARY KEY (customer_id, epoch, level, index)
);
-- Hashes do not compress.
ALTER TABLE log_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
COMMENT ON TABLE  log_tile IS 'Full tiles of the logs, append-only. All columns immutable.';
COMMENT ON COLUMN log_tile.customer_id IS 'The log.';
COMMENT ON COLUMN log_tile.epoch IS 'Epoch of the log.';
COMMENT ON COLUMN log_tile.level IS '0: the hashes are those of leaves; above: the roots of the tiles of the level below.';
COMMENT ON COLUMN log_tile.index IS 'Place in its level, from 0.';
COMMENT ON COLUMN log_tile.root IS 'Root of the subtree of its hashes: its hash in the tile above.';
COMMENT ON COLUMN log_tile.hashes IS '256 hashes of 32 bytes, from the left.';

-- What the logs hold already: the tiles of the leaves, then those above.
ALTER TABLE log_entry NO FORCE ROW LEVEL SECURITY;
CREATE FUNCTION pg_temp.subtree_root(hashes bytea[]) RETURNS bytea LANGUAGE plpgsql AS $$
    BEGIN
        WHILE cardinality(hashes) > 1 LOOP
            SELECT array_agg(sha256('\x01'::bytea || hashes[2 * i - 1] || hashes[2 * i]) ORDER BY i) INTO hashes
                FROM generate_series(1, cardinality(hashes) / 2) i;
        END LOOP;
        RETURN hashes[1];
    END $$;
INSERT INTO log_tile (customer_id, epoch, level, index, root, hashes)
    SELECT customer_id, epoch, 0, index / 256, pg_temp.subtree_root(array_agg(leaf_hash ORDER BY index)), string_agg(leaf_hash, ''::bytea ORDER BY index)
    FROM log_entry GROUP BY customer_id, epoch, index / 256 HAVING count(*) = 256;
DO $$
    BEGIN
        FOR below IN 0..6 LOOP
            INSERT INTO log_tile (customer_id, epoch, level, index, root, hashes)
                SELECT customer_id, epoch, below + 1, index / 256, pg_temp.subtree_root(array_agg(root ORDER BY index)), string_agg(root, ''::bytea ORDER BY index)
                FROM log_tile WHERE level = below GROUP BY customer_id, epoch, index / 256 HAVING count(*) = 256;
        END LOOP;
    END $$;
DROP FUNCTION pg_temp.subtree_root(bytea[]);
ALTER TABLE log_entry FORCE ROW LEVEL SECURITY;

ALTER TABLE log_tile ENABLE ROW LEVEL SECURITY;
ALTER TABLE log_tile FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON log_tile TO mandate_app, mandate_worker, mandate_ops, mandate_eraser USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY batch      ON log_tile TO mandate_gate USING (customer_id = ANY (batch_customers())) WITH CHECK (customer_id = ANY (batch_customers()));
CREATE POLICY everything ON log_tile FOR SELECT TO mandate_ops_read USING (true);
-- The registry is readable by every customer.
CREATE POLICY registry   ON log_tile FOR SELECT TO mandate_app, mandate_gate, mandate_worker, mandate_ops USING (customer_id = '00000000-0000-7000-8000-000000000001'::uuid);

GRANT SELECT, INSERT ON log_tile TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_eraser;
GRANT SELECT (customer_id, epoch, level, index, root) ON log_tile TO mandate_ops_read;
