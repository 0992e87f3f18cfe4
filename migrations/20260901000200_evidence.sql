-- Append-only logs: one Merkle tree (RFC 6962) per customer, per platform, for the processor and
-- for the registry. A log's id is its customer's id; the others have reserved ids.

CREATE TABLE log (
    id     uuid PRIMARY KEY,
    kind   text NOT NULL CONSTRAINT log_kind CHECK (kind IN ('customer', 'platform', 'processor', 'registry')),
    name   text NOT NULL
);
COMMENT ON TABLE  log IS 'Directory of all logs (global). Immutable.';
COMMENT ON COLUMN log.id IS 'The customer''s id, or a reserved id.';
COMMENT ON COLUMN log.kind IS 'customer, platform, processor or registry.';
COMMENT ON COLUMN log.name IS 'The text id used in the log''s origin, such as cus_… or platform/fronter.';

INSERT INTO log (id, kind, name) VALUES
    ('00000000-0000-7000-8000-000000000001', 'registry', 'registry'),
    ('00000000-0000-7000-8000-000000000002', 'processor', 'processor');

CREATE TABLE log_head (
    customer_id uuid PRIMARY KEY CONSTRAINT log_head_log REFERENCES log (id),
    epoch       integer NOT NULL DEFAULT 1,
    size        bigint  NOT NULL DEFAULT 0,
    edge        bytea   NOT NULL DEFAULT ''::bytea,
    last_at     timestamptz NOT NULL DEFAULT '1970-01-01T00:00:00Z',
    CONSTRAINT log_head_edge CHECK (octet_length(edge) % 32 = 0 AND octet_length(edge) <= 2048)
);
COMMENT ON TABLE  log_head IS 'Head of each log; every transaction that writes a customer''s facts locks it first.';
COMMENT ON COLUMN log_head.customer_id IS 'The log.';
COMMENT ON COLUMN log_head.epoch IS 'Present epoch; a restore opens a new one.';
COMMENT ON COLUMN log_head.size IS 'Number of entries in this epoch.';
COMMENT ON COLUMN log_head.edge IS 'Right edge of the tree: roots of its complete subtrees, largest first, 32 bytes each.';
COMMENT ON COLUMN log_head.last_at IS 'Time of the last entry; time in a log never runs backwards.';

CREATE TABLE log_entry (
    customer_id    uuid    NOT NULL CONSTRAINT log_entry_log REFERENCES log (id),
    epoch          integer NOT NULL,
    index          bigint  NOT NULL,
    id             uuid    NOT NULL,
    type           text    NOT NULL,
    at             timestamptz NOT NULL,
    leaf           bytea   NOT NULL,
    leaf_hash      bytea   NOT NULL CONSTRAINT log_entry_leaf_hash CHECK (octet_length(leaf_hash) = 32),
    root           bytea   NOT NULL CONSTRAINT log_entry_root CHECK (octet_length(root) = 32),
    nonce          bytea   NOT NULL CONSTRAINT log_entry_nonce CHECK (octet_length(nonce) = 32),
    record         jsonb   NOT NULL,
    subjects       jsonb,
    subjects_nonce bytea CONSTRAINT log_entry_subjects_nonce CHECK (octet_length(subjects_nonce) = 32),
    platform       text,
    route          text,
    key_hash       bytea CONSTRAINT log_entry_key_hash CHECK (octet_length(key_hash) = 32),
    request_hash   bytea CONSTRAINT log_entry_request_hash CHECK (octet_length(request_hash) = 32),
    CONSTRAINT log_entry_key PRIMARY KEY (customer_id, epoch, index),
    CONSTRAINT log_entry_id UNIQUE (customer_id, id),
    CONSTRAINT log_entry_gate CHECK ((platform IS NULL) = (route IS NULL) AND (key_hash IS NULL) = (request_hash IS NULL) AND (key_hash IS NULL OR route IS NOT NULL)),
    CONSTRAINT log_entry_subjects CHECK ((subjects IS NULL) = (subjects_nonce IS NULL))
);
COMMENT ON TABLE  log_entry IS 'Entries, append-only. All columns immutable, except that the eraser may set subjects and subjects_nonce to NULL.';
COMMENT ON COLUMN log_entry.customer_id IS 'The log.';
COMMENT ON COLUMN log_entry.epoch IS 'Epoch of the log.';
COMMENT ON COLUMN log_entry.index IS 'Position in the epoch, from 0, without gaps.';
COMMENT ON COLUMN log_entry.id IS 'Made before the transaction, so that an unknown COMMIT can be looked up.';
COMMENT ON COLUMN log_entry.type IS 'Type of the event, as in the leaf.';
COMMENT ON COLUMN log_entry.at IS 'Time of the event, as in the leaf.';
COMMENT ON COLUMN log_entry.leaf IS 'Leaf data: canonical JSON (RFC 8785) of v, type, at, object, actor, commitment.';
COMMENT ON COLUMN log_entry.leaf_hash IS 'SHA-256 of 0x00 and the leaf data.';
COMMENT ON COLUMN log_entry.root IS 'Root of the tree whose last leaf this is, so that a receipt can be given again.';
COMMENT ON COLUMN log_entry.nonce IS 'Nonce of the commitment to the record.';
COMMENT ON COLUMN log_entry.record IS 'Everything that matters about the event, without subject references.';
COMMENT ON COLUMN log_entry.subjects IS 'Selectors of subjects, apart, so that they can be erased.';
COMMENT ON COLUMN log_entry.subjects_nonce IS 'Nonce of the commitment to the subjects.';
COMMENT ON COLUMN log_entry.platform IS 'For entries made at the gate: the platform that asked.';
COMMENT ON COLUMN log_entry.route IS 'For entries made at the gate: the route.';
COMMENT ON COLUMN log_entry.key_hash IS 'For entries made at the gate: SHA-256 of the idempotency key.';
COMMENT ON COLUMN log_entry.request_hash IS 'For entries made at the gate: SHA-256 of the canonical request.';

-- One answer per idempotency key, for ever.
CREATE UNIQUE INDEX log_entry_idempotency ON log_entry (customer_id, platform, route, key_hash) WHERE key_hash IS NOT NULL;
-- Lists of decisions and histories read the log by type.
CREATE INDEX log_entry_type ON log_entry (customer_id, type, epoch, index);

ALTER TABLE log_head  ENABLE ROW LEVEL SECURITY;
ALTER TABLE log_head  FORCE  ROW LEVEL SECURITY;
ALTER TABLE log_entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE log_entry FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant ON log_head  TO mandate_app, mandate_worker, mandate_ops, mandate_eraser USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY tenant ON log_entry TO mandate_app, mandate_worker, mandate_ops, mandate_eraser USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY batch ON log_head  TO mandate_gate USING (customer_id = ANY (batch_customers())) WITH CHECK (customer_id = ANY (batch_customers()));
CREATE POLICY batch ON log_entry TO mandate_gate USING (customer_id = ANY (batch_customers())) WITH CHECK (customer_id = ANY (batch_customers()));
CREATE POLICY everything ON log_head  FOR SELECT TO mandate_ops_read USING (true);
CREATE POLICY everything ON log_entry FOR SELECT TO mandate_ops_read USING (true);
-- The registry is readable by every customer (its head and its entries hold no customer's data).
CREATE POLICY registry ON log_head  FOR SELECT TO mandate_app, mandate_gate, mandate_worker, mandate_ops USING (customer_id = '00000000-0000-7000-8000-000000000001'::uuid);
CREATE POLICY registry ON log_entry FOR SELECT TO mandate_app, mandate_gate, mandate_worker, mandate_ops USING (customer_id = '00000000-0000-7000-8000-000000000001'::uuid);
CREATE POLICY owner ON log_head TO mandate_owner USING (true) WITH CHECK (true);

INSERT INTO log_head (customer_id) SELECT id FROM log;

GRANT SELECT ON log TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser;
GRANT INSERT ON log TO mandate_ops;
GRANT SELECT ON log_head, log_entry TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser;
GRANT INSERT ON log_head TO mandate_ops;
GRANT UPDATE (size, edge, last_at) ON log_head TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_eraser;
GRANT INSERT ON log_entry TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_eraser;
