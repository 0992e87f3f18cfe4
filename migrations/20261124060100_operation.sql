-- Slow work: what was asked for, how far it is, and what came of it, for 30 days.

CREATE TABLE operation (
    customer_id  uuid        NOT NULL CONSTRAINT operation_customer REFERENCES customer (id),
    id           uuid        NOT NULL,
    principal_id uuid        NOT NULL,
    kind         text        NOT NULL,
    request      jsonb       NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    state        text        NOT NULL DEFAULT 'waiting' CONSTRAINT operation_state CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    attempt      integer     NOT NULL DEFAULT 0,
    done         bigint      NOT NULL DEFAULT 0,
    total        bigint,
    parts        integer     NOT NULL DEFAULT 0,
    bytes        bigint      NOT NULL DEFAULT 0,
    media_type   text,
    problem      jsonb,
    ended_at     timestamptz,
    CONSTRAINT operation_key PRIMARY KEY (customer_id, id),
    CONSTRAINT operation_ended CHECK ((ended_at IS NULL) = (state IN ('waiting', 'running'))),
    CONSTRAINT operation_result CHECK ((state = 'done') = (media_type IS NOT NULL)),
    CONSTRAINT operation_problem CHECK ((state = 'failed') = (problem IS NOT NULL))
);
COMMENT ON TABLE  operation IS 'Slow work, seen by who asked for it. Columns up to expires_at immutable.';
COMMENT ON COLUMN operation.customer_id IS 'The customer it is done for.';
COMMENT ON COLUMN operation.id IS 'Id.';
COMMENT ON COLUMN operation.principal_id IS 'The person or API key that asked; nobody else sees it.';
COMMENT ON COLUMN operation.kind IS 'What is done, such as decision-report.';
COMMENT ON COLUMN operation.request IS 'What was asked for.';
COMMENT ON COLUMN operation.created_at IS 'When it was asked for.';
COMMENT ON COLUMN operation.expires_at IS 'From when it is forgotten, with its result.';
COMMENT ON COLUMN operation.state IS 'waiting, running, done (its result is there) or failed (its problem says why).';
COMMENT ON COLUMN operation.attempt IS 'How often it was begun; only the present attempt writes.';
COMMENT ON COLUMN operation.done IS 'Steps done, in the unit of the kind (a report: rows).';
COMMENT ON COLUMN operation.total IS 'Steps in all; NULL until it is known.';
COMMENT ON COLUMN operation.parts IS 'Parts of the result so far.';
COMMENT ON COLUMN operation.bytes IS 'Bytes of the result so far.';
COMMENT ON COLUMN operation.media_type IS 'Media type of the result.';
COMMENT ON COLUMN operation.problem IS 'Why it failed: type, title, status and detail, as a problem has them.';
COMMENT ON COLUMN operation.ended_at IS 'When it was done or had failed.';

CREATE TABLE operation_part (
    customer_id  uuid    NOT NULL,
    operation_id uuid    NOT NULL,
    part         integer NOT NULL,
    bytes        bytea   NOT NULL,
    CONSTRAINT operation_part_key PRIMARY KEY (customer_id, operation_id, part),
    CONSTRAINT operation_part_operation FOREIGN KEY (customer_id, operation_id) REFERENCES operation (customer_id, id)
);
COMMENT ON TABLE  operation_part IS 'The result of an operation, in parts. Removed when a new attempt begins, and with the operation.';
COMMENT ON COLUMN operation_part.customer_id IS 'The customer.';
COMMENT ON COLUMN operation_part.operation_id IS 'The operation.';
COMMENT ON COLUMN operation_part.part IS 'Number from 0.';
COMMENT ON COLUMN operation_part.bytes IS 'The bytes.';

CREATE INDEX operation_expiry ON operation (customer_id, expires_at);

ALTER TABLE operation      ENABLE ROW LEVEL SECURITY;
ALTER TABLE operation      FORCE  ROW LEVEL SECURITY;
ALTER TABLE operation_part ENABLE ROW LEVEL SECURITY;
ALTER TABLE operation_part FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON operation      TO mandate_app, mandate_worker USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY tenant ON operation_part TO mandate_app, mandate_worker USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
-- The foreign key is checked as the owner.
CREATE POLICY owner ON operation      FOR SELECT TO mandate_owner USING (true);
CREATE POLICY owner ON operation_part FOR SELECT TO mandate_owner USING (true);

GRANT SELECT, INSERT ON operation TO mandate_app;
GRANT SELECT ON operation_part TO mandate_app;
GRANT SELECT, DELETE ON operation TO mandate_worker;
GRANT UPDATE (state, attempt, done, total, parts, bytes, media_type, problem, ended_at) ON operation TO mandate_worker;
GRANT SELECT, INSERT, DELETE ON operation_part TO mandate_worker;
