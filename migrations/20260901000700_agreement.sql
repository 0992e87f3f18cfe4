-- Agreements (data processing agreements): prepared and offered by ops, in force by acceptance.

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE agreement (
    customer_id     uuid NOT NULL CONSTRAINT agreement_customer REFERENCES customer (id),
    id              uuid NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    platform        text NOT NULL CONSTRAINT agreement_platform REFERENCES platform (code),
    external_id     text NOT NULL,
    parameters      jsonb NOT NULL,
    contact         text NOT NULL,
    document_id     uuid NOT NULL,
    document_sha256 bytea NOT NULL,
    prepared_by     uuid NOT NULL,
    prepared_at     timestamptz NOT NULL,
    offered_at      timestamptz,
    accepted_at     timestamptz,
    accepted_by     uuid,
    in_force_from   timestamptz,
    in_force_until  timestamptz,
    terminated_at   timestamptz,
    CONSTRAINT agreement_key PRIMARY KEY (customer_id, id),
    CONSTRAINT agreement_version_key UNIQUE (customer_id, id, version),
    CONSTRAINT agreement_document FOREIGN KEY (customer_id, document_id) REFERENCES document (customer_id, id),
    CONSTRAINT agreement_order CHECK ((accepted_at IS NULL OR offered_at IS NOT NULL) AND (accepted_at IS NULL) = (accepted_by IS NULL) AND (accepted_at IS NULL) = (in_force_from IS NULL)),
    CONSTRAINT agreement_one_in_force EXCLUDE USING gist (customer_id WITH =, platform WITH =, tstzrange(in_force_from, in_force_until) WITH &&) WHERE (accepted_at IS NOT NULL AND (in_force_until IS NULL OR in_force_until > in_force_from))
);
COMMENT ON TABLE  agreement IS 'Agreements. Columns up to prepared_at are immutable; the others are set once, in_force_until may be brought forward by a termination.';
COMMENT ON COLUMN agreement.customer_id IS 'The customer.';
COMMENT ON COLUMN agreement.id IS 'Id.';
COMMENT ON COLUMN agreement.version IS 'Version of the parameters.';
COMMENT ON COLUMN agreement.platform IS 'The platform it covers.';
COMMENT ON COLUMN agreement.external_id IS 'How the platform names the customer; effective with the acceptance.';
COMMENT ON COLUMN agreement.parameters IS 'All its parameters.';
COMMENT ON COLUMN agreement.contact IS 'Address for notices about it.';
COMMENT ON COLUMN agreement.document_id IS 'The document that was signed.';
COMMENT ON COLUMN agreement.document_sha256 IS 'Its hash, which the acceptance names.';
COMMENT ON COLUMN agreement.prepared_by IS 'Ops person.';
COMMENT ON COLUMN agreement.prepared_at IS 'When.';
COMMENT ON COLUMN agreement.offered_at IS 'When it was offered.';
COMMENT ON COLUMN agreement.accepted_at IS 'When a person with agreement authority accepted the document''s hash.';
COMMENT ON COLUMN agreement.accepted_by IS 'That person''s membership.';
COMMENT ON COLUMN agreement.in_force_from IS 'The later of the start of valid_from_on and the acceptance.';
COMMENT ON COLUMN agreement.in_force_until IS 'First instant at which it is no longer in force; NULL: open.';
COMMENT ON COLUMN agreement.terminated_at IS 'When it was terminated.';

ALTER TABLE agreement ENABLE ROW LEVEL SECURITY;
ALTER TABLE agreement FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON agreement TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY batch  ON agreement TO mandate_gate USING (customer_id = ANY (batch_customers()));
CREATE POLICY everything ON agreement FOR SELECT TO mandate_ops_read USING (true);
ALTER TABLE first_signatory ADD CONSTRAINT first_signatory_agreement FOREIGN KEY (customer_id, agreement_id) REFERENCES agreement (customer_id, id);

GRANT SELECT ON agreement TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read;
GRANT INSERT (customer_id, id, version, platform, external_id, parameters, contact, document_id, document_sha256, prepared_by, prepared_at) ON agreement TO mandate_ops;
GRANT UPDATE (offered_at) ON agreement TO mandate_ops;
GRANT UPDATE (accepted_at, accepted_by, in_force_from, in_force_until, terminated_at) ON agreement TO mandate_app;
