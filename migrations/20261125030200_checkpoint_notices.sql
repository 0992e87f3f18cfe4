-- The customer's daily checkpoint: that it was queued for a day, so that it goes out once. What a
-- customer has received is what the processor cannot take back.

CREATE TABLE checkpoint_notice (
    customer_id uuid   NOT NULL CONSTRAINT checkpoint_notice_log REFERENCES log (id),
    day         date   NOT NULL,
    epoch       integer NOT NULL,
    size        bigint  NOT NULL,
    CONSTRAINT checkpoint_notice_key PRIMARY KEY (customer_id, day)
);
COMMENT ON TABLE  checkpoint_notice IS 'Checkpoints that were queued for a customer, one a day. Immutable.';
COMMENT ON COLUMN checkpoint_notice.customer_id IS 'The customer.';
COMMENT ON COLUMN checkpoint_notice.day IS 'The day, in UTC.';
COMMENT ON COLUMN checkpoint_notice.epoch IS 'Epoch of the log.';
COMMENT ON COLUMN checkpoint_notice.size IS 'Size of the log in the checkpoint.';

ALTER TABLE checkpoint_notice ENABLE ROW LEVEL SECURITY;
ALTER TABLE checkpoint_notice FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON checkpoint_notice TO mandate_worker USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON checkpoint_notice FOR SELECT TO mandate_ops_read USING (true);

GRANT SELECT, INSERT ON checkpoint_notice TO mandate_worker;
GRANT SELECT ON checkpoint_notice TO mandate_ops_read;
