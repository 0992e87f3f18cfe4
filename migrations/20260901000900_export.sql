-- The gate's effects: permits and what became of them. Every decision itself is an entry of the log.

CREATE TABLE export (
    customer_id         uuid NOT NULL CONSTRAINT export_customer REFERENCES customer (id),
    id                  uuid NOT NULL,
    platform            text NOT NULL CONSTRAINT export_platform REFERENCES platform (code),
    instruction_id      uuid NOT NULL,
    instruction_version integer NOT NULL,
    agreement_id        uuid NOT NULL,
    agreement_version   integer NOT NULL,
    request             jsonb NOT NULL,
    subjects            jsonb NOT NULL,
    granted             jsonb NOT NULL,
    permit              jsonb NOT NULL,
    epoch               integer NOT NULL,
    index               bigint NOT NULL,
    day                 date NOT NULL,
    rows                bigint,
    files               bigint,
    bytes               bigint,
    decided_at          timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    redeemed_at         timestamptz,
    completed_at        timestamptz,
    aborted_at          timestamptz,
    report              jsonb,
    CONSTRAINT export_key PRIMARY KEY (customer_id, id),
    CONSTRAINT export_instruction FOREIGN KEY (customer_id, instruction_id, instruction_version) REFERENCES instruction_version (customer_id, instruction_id, version),
    CONSTRAINT export_agreement FOREIGN KEY (customer_id, agreement_id, agreement_version) REFERENCES agreement (customer_id, id, version),
    CONSTRAINT export_order CHECK ((completed_at IS NULL OR redeemed_at IS NOT NULL) AND (completed_at IS NULL OR aborted_at IS NULL))
);
CREATE INDEX export_open ON export (customer_id, instruction_id, instruction_version, expires_at) WHERE redeemed_at IS NULL AND aborted_at IS NULL;
CREATE INDEX export_once ON export (customer_id, instruction_id, instruction_version) WHERE redeemed_at IS NOT NULL;
COMMENT ON TABLE  export IS 'Permits. Columns up to expires_at are immutable; the others are set once.';
COMMENT ON COLUMN export.customer_id IS 'The customer.';
COMMENT ON COLUMN export.id IS 'Id, and jti of the permit.';
COMMENT ON COLUMN export.platform IS 'The platform that may hand out.';
COMMENT ON COLUMN export.instruction_id IS 'The cited instruction.';
COMMENT ON COLUMN export.instruction_version IS 'The cited signed version.';
COMMENT ON COLUMN export.agreement_id IS 'The cited agreement.';
COMMENT ON COLUMN export.agreement_version IS 'Its version.';
COMMENT ON COLUMN export.request IS 'The request, without subjects.';
COMMENT ON COLUMN export.subjects IS 'Selectors of subjects of the request.';
COMMENT ON COLUMN export.granted IS 'The grant, as recorded in its entry.';
COMMENT ON COLUMN export.permit IS 'Claims of the permit.';
COMMENT ON COLUMN export.epoch IS 'Epoch of the permit''s entry.';
COMMENT ON COLUMN export.index IS 'Index of the permit''s entry.';
COMMENT ON COLUMN export.day IS 'Calendar day in the agreement''s zone on which its volume counts.';
COMMENT ON COLUMN export.rows IS 'Reserved records.';
COMMENT ON COLUMN export.files IS 'Reserved files.';
COMMENT ON COLUMN export.bytes IS 'Reserved bytes.';
COMMENT ON COLUMN export.decided_at IS 'When it was permitted.';
COMMENT ON COLUMN export.expires_at IS 'Until when it can be redeemed; an unredeemed permit then returns its reservation.';
COMMENT ON COLUMN export.redeemed_at IS 'When it was redeemed.';
COMMENT ON COLUMN export.completed_at IS 'When it was reported complete.';
COMMENT ON COLUMN export.aborted_at IS 'When it was aborted.';
COMMENT ON COLUMN export.report IS 'What the platform reported: counts and digest.';

CREATE TABLE instruction_usage (
    customer_id    uuid NOT NULL,
    instruction_id uuid NOT NULL,
    version        integer NOT NULL,
    day            date NOT NULL,
    rows           bigint NOT NULL DEFAULT 0,
    files          bigint NOT NULL DEFAULT 0,
    bytes          bigint NOT NULL DEFAULT 0,
    CONSTRAINT instruction_usage_key PRIMARY KEY (customer_id, instruction_id, version, day),
    CONSTRAINT instruction_usage_version FOREIGN KEY (customer_id, instruction_id, version) REFERENCES instruction_version (customer_id, instruction_id, version)
);
COMMENT ON TABLE  instruction_usage IS 'Volume of redeemed exports per version and day; the sum of them, kept so that no decision scans history.';
COMMENT ON COLUMN instruction_usage.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction_usage.instruction_id IS 'The instruction.';
COMMENT ON COLUMN instruction_usage.version IS 'The version.';
COMMENT ON COLUMN instruction_usage.day IS 'Calendar day in the agreement''s zone.';
COMMENT ON COLUMN instruction_usage.rows IS 'Records.';
COMMENT ON COLUMN instruction_usage.files IS 'Files.';
COMMENT ON COLUMN instruction_usage.bytes IS 'Bytes.';

CREATE TABLE export_directory (
    export_id   uuid PRIMARY KEY,
    platform    text NOT NULL,
    customer_id uuid NOT NULL,
    CONSTRAINT export_directory_export FOREIGN KEY (customer_id, export_id) REFERENCES export (customer_id, id)
);
COMMENT ON TABLE  export_directory IS 'Which customer an export belongs to (global, closed list), for platforms that name only the export. Immutable.';
COMMENT ON COLUMN export_directory.export_id IS 'The export.';
COMMENT ON COLUMN export_directory.platform IS 'Its platform: another platform does not find it.';
COMMENT ON COLUMN export_directory.customer_id IS 'Its customer.';

CREATE TABLE permit_key (
    kid          text PRIMARY KEY,
    public_key   jsonb NOT NULL,
    published_at timestamptz NOT NULL
);
COMMENT ON TABLE  permit_key IS 'Public keys of permits (global). Private keys are files. Immutable.';
COMMENT ON COLUMN permit_key.kid IS 'Key id: RFC 7638 thumbprint.';
COMMENT ON COLUMN permit_key.public_key IS 'JWK (RFC 7517).';
COMMENT ON COLUMN permit_key.published_at IS 'Since when it is in the key set.';

ALTER TABLE export            ENABLE ROW LEVEL SECURITY;
ALTER TABLE export            FORCE  ROW LEVEL SECURITY;
ALTER TABLE instruction_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE instruction_usage FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON export            FOR SELECT TO mandate_app, mandate_ops USING (customer_id = current_customer());
CREATE POLICY tenant ON instruction_usage FOR SELECT TO mandate_app, mandate_ops USING (customer_id = current_customer());
CREATE POLICY batch  ON export            TO mandate_gate USING (customer_id = ANY (batch_customers())) WITH CHECK (customer_id = ANY (batch_customers()));
CREATE POLICY batch  ON instruction_usage TO mandate_gate USING (customer_id = ANY (batch_customers())) WITH CHECK (customer_id = ANY (batch_customers()));
CREATE POLICY everything ON export FOR SELECT TO mandate_ops_read USING (true);

CREATE FUNCTION customer_of_export(in_platform text, in_export uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT customer_id FROM export_directory WHERE export_id = in_export AND platform = in_platform $$;
REVOKE ALL ON FUNCTION customer_of_export(text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION customer_of_export(text, uuid) TO mandate_gate;

GRANT SELECT ON export, instruction_usage TO mandate_app, mandate_ops, mandate_gate;
GRANT SELECT (customer_id, id, platform, decided_at, expires_at, redeemed_at, completed_at, aborted_at) ON export TO mandate_ops_read;
GRANT INSERT ON export, export_directory TO mandate_gate;
GRANT UPDATE (redeemed_at, completed_at, aborted_at, report) ON export TO mandate_gate;
GRANT INSERT, UPDATE (rows, files, bytes) ON instruction_usage TO mandate_gate;
GRANT SELECT ON permit_key TO mandate_app, mandate_gate, mandate_ops;
GRANT INSERT ON permit_key TO mandate_ops;
