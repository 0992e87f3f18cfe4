-- Logs that failed a check: nothing is recorded in them, and their customer is answered that, until
-- they were examined. A log that is wrong must not grow, and must not stop the others.

CREATE TABLE log_quarantine (
    customer_id uuid        NOT NULL CONSTRAINT log_quarantine_log REFERENCES log (id),
    cause       text        NOT NULL CONSTRAINT log_quarantine_cause CHECK (cause <> ''),
    began_at    timestamptz NOT NULL,
    CONSTRAINT log_quarantine_key PRIMARY KEY (customer_id)
);
COMMENT ON TABLE  log_quarantine IS 'Logs in quarantine. Immutable; removed when operations ends the quarantine after a clean check.';
COMMENT ON COLUMN log_quarantine.customer_id IS 'The log.';
COMMENT ON COLUMN log_quarantine.cause IS 'What was wrong, with its first index.';
COMMENT ON COLUMN log_quarantine.began_at IS 'When the check failed.';

ALTER TABLE log_quarantine ENABLE ROW LEVEL SECURITY;
ALTER TABLE log_quarantine FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON log_quarantine TO mandate_app, mandate_worker, mandate_ops, mandate_eraser USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY batch      ON log_quarantine FOR SELECT TO mandate_gate USING (customer_id = ANY (batch_customers()));
CREATE POLICY everything ON log_quarantine FOR SELECT TO mandate_ops_read USING (true);
-- When the registry fails, nobody writes.
CREATE POLICY registry   ON log_quarantine FOR SELECT TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_eraser USING (customer_id = '00000000-0000-7000-8000-000000000001'::uuid);

GRANT SELECT ON log_quarantine TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read, mandate_eraser;
GRANT INSERT, DELETE ON log_quarantine TO mandate_ops;
