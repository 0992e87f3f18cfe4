-- Entries that a restore lost and that a pack from before has brought back: each fits its commitment, and all
-- of them lead to the root of the checkpoint that was kept outside. They are evidence, and no state: nothing
-- that they widen holds again by them, and what they narrow is demanded before the state is confirmed.

CREATE TABLE supplied_entry (
    customer_id uuid        NOT NULL CONSTRAINT supplied_entry_log REFERENCES log (id),
    epoch       integer     NOT NULL,
    index       bigint      NOT NULL,
    type        text        NOT NULL,
    leaf        bytea       NOT NULL,
    leaf_hash   bytea       NOT NULL CONSTRAINT supplied_entry_leaf_hash CHECK (octet_length(leaf_hash) = 32),
    root        bytea       NOT NULL CONSTRAINT supplied_entry_root CHECK (octet_length(root) = 32),
    nonce       bytea CONSTRAINT supplied_entry_nonce CHECK (octet_length(nonce) = 32),
    record      jsonb,
    supplied_at timestamptz NOT NULL,
    CONSTRAINT supplied_entry_key PRIMARY KEY (customer_id, epoch, index),
    CONSTRAINT supplied_entry_record CHECK ((nonce IS NULL) = (record IS NULL))
);
COMMENT ON TABLE  supplied_entry IS 'Entries that a restore lost, supplied from a pack. Immutable. Whose data they were about is not kept.';
COMMENT ON COLUMN supplied_entry.customer_id IS 'The customer whose log lost them.';
COMMENT ON COLUMN supplied_entry.epoch IS 'The epoch that lost them.';
COMMENT ON COLUMN supplied_entry.index IS 'Index in it.';
COMMENT ON COLUMN supplied_entry.type IS 'Type of the event, as in the leaf.';
COMMENT ON COLUMN supplied_entry.leaf IS 'Leaf data, as it was.';
COMMENT ON COLUMN supplied_entry.leaf_hash IS 'SHA-256 of 0x00 and the leaf data.';
COMMENT ON COLUMN supplied_entry.root IS 'Root of the tree whose last leaf this is.';
COMMENT ON COLUMN supplied_entry.nonce IS 'Nonce of the commitment to the record; NULL: the pack had left the record out.';
COMMENT ON COLUMN supplied_entry.record IS 'The record; NULL: the pack had left it out (a refusal or a dry run outside its period).';
COMMENT ON COLUMN supplied_entry.supplied_at IS 'Instant of the entry that says that they were supplied.';
ALTER TABLE supplied_entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE supplied_entry FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON supplied_entry TO mandate_app, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON supplied_entry FOR SELECT TO mandate_ops_read USING (true);
GRANT SELECT ON supplied_entry TO mandate_app, mandate_ops;
GRANT SELECT (customer_id, epoch, index) ON supplied_entry TO mandate_ops_read;
GRANT INSERT ON supplied_entry TO mandate_ops;
CREATE TRIGGER fact_under_head BEFORE INSERT ON supplied_entry FOR EACH ROW EXECUTE FUNCTION lock_head_of_fact();
