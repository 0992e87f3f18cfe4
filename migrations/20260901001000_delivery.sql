-- What is sent: messages in the transaction of the act they tell of, and job envelopes for workers.

CREATE TABLE message (
    customer_id  uuid NOT NULL CONSTRAINT message_log REFERENCES log (id),
    id           uuid NOT NULL,
    purpose      text NOT NULL,
    subject_id   uuid NOT NULL,
    address      text NOT NULL,
    subject      text NOT NULL,
    body         text,
    created_at   timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    CONSTRAINT message_key PRIMARY KEY (customer_id, id)
);
COMMENT ON TABLE  message IS 'Messages to be sent, by customer (or the processor''s log id for staff). Columns up to created_at immutable, but for body.';
COMMENT ON COLUMN message.customer_id IS 'The customer it concerns.';
COMMENT ON COLUMN message.id IS 'Id, part of the Message-ID.';
COMMENT ON COLUMN message.purpose IS 'What it tells of, such as first_signatory_notice.';
COMMENT ON COLUMN message.subject_id IS 'The record it tells of.';
COMMENT ON COLUMN message.address IS 'One address.';
COMMENT ON COLUMN message.subject IS 'Subject line, without personal data.';
COMMENT ON COLUMN message.body IS 'Text; set to NULL once delivered, because it may hold a one-time secret.';
COMMENT ON COLUMN message.created_at IS 'When.';
COMMENT ON COLUMN message.attempts IS 'How often it was tried.';
COMMENT ON COLUMN message.delivered_at IS 'When it was delivered.';

CREATE TABLE job (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL,
    customer_id uuid NOT NULL,
    subject_id  uuid NOT NULL,
    due_at      timestamptz NOT NULL,
    attempts    integer NOT NULL DEFAULT 0
);
CREATE INDEX job_due ON job (due_at);
COMMENT ON TABLE  job IS 'Envelopes of work to be done (global, closed list): no content, only where to find it. Deleted when done.';
COMMENT ON COLUMN job.id IS 'Id.';
COMMENT ON COLUMN job.kind IS 'What to do.';
COMMENT ON COLUMN job.customer_id IS 'The customer (or reserved id) to do it for.';
COMMENT ON COLUMN job.subject_id IS 'The record it is about.';
COMMENT ON COLUMN job.due_at IS 'Not before.';
COMMENT ON COLUMN job.attempts IS 'How often it was tried.';

ALTER TABLE message ENABLE ROW LEVEL SECURITY;
ALTER TABLE message FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON message TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON message FOR SELECT TO mandate_ops_read USING (true);

GRANT INSERT ON message, job TO mandate_app, mandate_worker, mandate_ops;
GRANT SELECT ON message TO mandate_worker;
GRANT SELECT (customer_id, id, purpose, subject_id, created_at, attempts, delivered_at) ON message TO mandate_ops_read;
GRANT UPDATE (body, attempts, delivered_at) ON message TO mandate_worker;
GRANT SELECT, DELETE ON job TO mandate_worker;
GRANT UPDATE (attempts, due_at) ON job TO mandate_worker;
