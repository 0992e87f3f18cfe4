-- Documents: the original bytes of what was written, stored once under their SHA-256.

CREATE TABLE document (
    customer_id uuid NOT NULL CONSTRAINT document_customer REFERENCES customer (id),
    id          uuid NOT NULL,
    sha256      bytea NOT NULL CONSTRAINT document_sha256_length CHECK (octet_length(sha256) = 32),
    length      bigint NOT NULL CONSTRAINT document_length CHECK (length BETWEEN 1 AND 26214400),
    media_type  text NOT NULL,
    stored_at   timestamptz NOT NULL,
    stored_by   text NOT NULL,
    CONSTRAINT document_key PRIMARY KEY (customer_id, id),
    CONSTRAINT document_once UNIQUE (customer_id, sha256)
);
COMMENT ON TABLE  document IS 'Documents. Immutable.';
COMMENT ON COLUMN document.customer_id IS 'The customer.';
COMMENT ON COLUMN document.id IS 'Id.';
COMMENT ON COLUMN document.sha256 IS 'SHA-256 of the bytes.';
COMMENT ON COLUMN document.length IS 'Bytes.';
COMMENT ON COLUMN document.media_type IS 'Media type, by content.';
COMMENT ON COLUMN document.stored_at IS 'When.';
COMMENT ON COLUMN document.stored_by IS 'Who: text id of the actor.';

CREATE TABLE document_part (
    customer_id uuid NOT NULL,
    document_id uuid NOT NULL,
    part        integer NOT NULL,
    bytes       bytea NOT NULL,
    CONSTRAINT document_part_key PRIMARY KEY (customer_id, document_id, part),
    CONSTRAINT document_part_document FOREIGN KEY (customer_id, document_id) REFERENCES document (customer_id, id)
);
ALTER TABLE document_part ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE  document_part IS 'The bytes, in parts of 1 MiB, so that neither way needs the whole in memory. Immutable.';
COMMENT ON COLUMN document_part.customer_id IS 'The customer.';
COMMENT ON COLUMN document_part.document_id IS 'The document.';
COMMENT ON COLUMN document_part.part IS 'From 0.';
COMMENT ON COLUMN document_part.bytes IS 'The bytes.';

ALTER TABLE document      ENABLE ROW LEVEL SECURITY;
ALTER TABLE document      FORCE  ROW LEVEL SECURITY;
ALTER TABLE document_part ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_part FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON document      TO mandate_app, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY tenant ON document_part TO mandate_app, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
GRANT SELECT, INSERT ON document, document_part TO mandate_app, mandate_ops;
