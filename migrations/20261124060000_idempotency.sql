-- Answers kept under an Idempotency-Key, so that a request that is sent again has its effect once.

CREATE TABLE idempotency (
    customer_id  uuid        NOT NULL CONSTRAINT idempotency_log REFERENCES log (id),
    principal_id uuid        NOT NULL,
    route        text        NOT NULL,
    key_hash     bytea       NOT NULL CONSTRAINT idempotency_key_hash CHECK (octet_length(key_hash) = 32),
    attempt      uuid        NOT NULL,
    claimed_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    fingerprint  bytea       CONSTRAINT idempotency_fingerprint CHECK (octet_length(fingerprint) = 32),
    committed_at timestamptz,
    receipts     jsonb,
    status       smallint,
    answer       bytea,
    CONSTRAINT idempotency_key PRIMARY KEY (customer_id, principal_id, route, key_hash),
    CONSTRAINT idempotency_committed CHECK ((committed_at IS NULL) = (receipts IS NULL)),
    CONSTRAINT idempotency_answered CHECK ((status IS NULL) = (answer IS NULL) AND (answer IS NULL OR fingerprint IS NOT NULL))
);
COMMENT ON TABLE  idempotency IS 'What was answered under an Idempotency-Key, for 30 days. Columns up to key_hash name the key and are immutable. A row without committed_at and answer is a request that is running, or whose process ended.';
COMMENT ON COLUMN idempotency.customer_id IS 'The customer whose person or key asked (or the processor''s log id for staff).';
COMMENT ON COLUMN idempotency.principal_id IS 'Who asked: the person, the ops person or the API key, whatever session it was.';
COMMENT ON COLUMN idempotency.route IS 'The route''s operation id.';
COMMENT ON COLUMN idempotency.key_hash IS 'SHA-256 over the key that the client chose and the customer in the path, if the route has one. The key itself is not kept: it unseals the answer.';
COMMENT ON COLUMN idempotency.attempt IS 'The try that holds the key now; only its transaction can commit.';
COMMENT ON COLUMN idempotency.claimed_at IS 'When that try began.';
COMMENT ON COLUMN idempotency.expires_at IS 'From when the key is free again and the row is swept.';
COMMENT ON COLUMN idempotency.fingerprint IS 'HMAC over method, path, query, media type and body, under a key derived from the client''s; NULL while a streamed body is being read.';
COMMENT ON COLUMN idempotency.committed_at IS 'When the effect committed: set in its own transaction.';
COMMENT ON COLUMN idempotency.receipts IS 'The receipts of that transaction''s entries.';
COMMENT ON COLUMN idempotency.status IS 'Status of the answer.';
COMMENT ON COLUMN idempotency.answer IS 'Headers and body of the answer, sealed (AES-256-GCM) under a key derived from the client''s, and for an answer that shows a secret from its token too.';

CREATE INDEX idempotency_expiry ON idempotency (customer_id, expires_at);

ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency TO mandate_app, mandate_worker, mandate_ops
    USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());

GRANT SELECT, INSERT, DELETE ON idempotency TO mandate_app, mandate_ops;
GRANT UPDATE (attempt, claimed_at, expires_at, fingerprint, committed_at, receipts, status, answer) ON idempotency TO mandate_app, mandate_ops;
GRANT SELECT (customer_id, expires_at), DELETE ON idempotency TO mandate_worker;
