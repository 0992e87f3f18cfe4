-- Exports that run: what each chunk was allowed to carry, the sum of it beside the permit, and how
-- an export ended. The sum stands in columns, so that no decision adds up its history.

ALTER TABLE export
    ADD COLUMN chunks        bigint NOT NULL DEFAULT 0,
    ADD COLUMN chunk_rows    bigint,
    ADD COLUMN chunk_files   bigint,
    ADD COLUMN chunk_bytes   bigint,
    ADD COLUMN last_chunk_no bigint,
    ADD COLUMN last_chunk_at timestamptz,
    ADD COLUMN stopped_at    timestamptz,
    ADD COLUMN stopped_index bigint,
    ADD COLUMN swept_at      timestamptz,
    ADD CONSTRAINT export_chunks CHECK (chunks >= 0 AND (chunks = 0) = (last_chunk_no IS NULL) AND (chunks = 0) = (last_chunk_at IS NULL) AND (chunks = 0 OR redeemed_at IS NOT NULL)),
    ADD CONSTRAINT export_budget CHECK (chunk_rows <= rows AND chunk_files <= files AND chunk_bytes <= bytes),
    ADD CONSTRAINT export_stopped CHECK ((stopped_at IS NULL) = (stopped_index IS NULL) AND (stopped_at IS NULL OR redeemed_at IS NOT NULL)),
    ADD CONSTRAINT export_swept CHECK (swept_at IS NULL OR (redeemed_at IS NOT NULL AND completed_at IS NULL AND aborted_at IS NULL));
COMMENT ON TABLE  export IS 'Permits and what became of them. Columns up to expires_at are immutable; redeemed_at, completed_at, aborted_at, swept_at and report are set once; the chunk columns grow with each chunk; stopped_at and stopped_index follow the last answer to a chunk.';
COMMENT ON COLUMN export.chunks IS 'Number of chunks authorised.';
COMMENT ON COLUMN export.chunk_rows IS 'Records that chunks authorised; null when no chunk stated them.';
COMMENT ON COLUMN export.chunk_files IS 'Files that chunks authorised; null when no chunk stated them.';
COMMENT ON COLUMN export.chunk_bytes IS 'Bytes that chunks authorised; null when no chunk stated them.';
COMMENT ON COLUMN export.last_chunk_no IS 'Number of the chunk authorised last.';
COMMENT ON COLUMN export.last_chunk_at IS 'When it was authorised.';
COMMENT ON COLUMN export.stopped_at IS 'When a chunk was refused for a reason that stops the export; null again once a later chunk is authorised.';
COMMENT ON COLUMN export.stopped_index IS 'Index of the entry of that refusal.';
COMMENT ON COLUMN export.swept_at IS 'When it was closed because it had never ended.';

-- The sweep looks for the oldest that run. No column that a chunk changes stands in this index.
CREATE INDEX export_running ON export (redeemed_at) WHERE redeemed_at IS NOT NULL AND completed_at IS NULL AND aborted_at IS NULL AND swept_at IS NULL;

CREATE TABLE export_chunk (
    customer_id    uuid NOT NULL,
    export_id      uuid NOT NULL,
    chunk_no       bigint NOT NULL CONSTRAINT export_chunk_number CHECK (chunk_no BETWEEN 0 AND 4294967295),
    rows           bigint,
    files          bigint,
    bytes          bigint,
    epoch          integer NOT NULL,
    index          bigint NOT NULL,
    authorised_at  timestamptz NOT NULL,
    last_reference text,
    last_nonce     bytea,
    CONSTRAINT export_chunk_key PRIMARY KEY (customer_id, export_id, chunk_no),
    CONSTRAINT export_chunk_export FOREIGN KEY (customer_id, export_id) REFERENCES export (customer_id, id),
    CONSTRAINT export_chunk_last CHECK ((last_reference IS NULL) = (last_nonce IS NULL) AND (last_nonce IS NULL OR octet_length(last_nonce) = 32))
);
COMMENT ON TABLE  export_chunk IS 'Chunks authorised, append-only. All columns immutable, except that the eraser may set last_reference and last_nonce to NULL.';
COMMENT ON COLUMN export_chunk.customer_id IS 'The customer.';
COMMENT ON COLUMN export_chunk.export_id IS 'The export.';
COMMENT ON COLUMN export_chunk.chunk_no IS 'The platform''s number of the chunk, once per export.';
COMMENT ON COLUMN export_chunk.rows IS 'Records.';
COMMENT ON COLUMN export_chunk.files IS 'Files.';
COMMENT ON COLUMN export_chunk.bytes IS 'Bytes.';
COMMENT ON COLUMN export_chunk.epoch IS 'Epoch of its entry.';
COMMENT ON COLUMN export_chunk.index IS 'Index of its entry.';
COMMENT ON COLUMN export_chunk.authorised_at IS 'When.';
COMMENT ON COLUMN export_chunk.last_reference IS 'The platform''s reference of the last file in it: may point at a person, so it stands here and not in the record, which holds a commitment.';
COMMENT ON COLUMN export_chunk.last_nonce IS 'Nonce of that commitment.';

ALTER TABLE export_chunk ENABLE ROW LEVEL SECURITY;
ALTER TABLE export_chunk FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant  ON export_chunk FOR SELECT TO mandate_app, mandate_eraser USING (customer_id = current_customer());
CREATE POLICY erasure ON export_chunk FOR UPDATE TO mandate_eraser USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY batch   ON export_chunk TO mandate_gate USING (customer_id = ANY (batch_customers())) WITH CHECK (customer_id = ANY (batch_customers()));

GRANT SELECT ON export_chunk TO mandate_app, mandate_gate, mandate_eraser;
GRANT INSERT ON export_chunk TO mandate_gate;
GRANT UPDATE (last_reference, last_nonce) ON export_chunk TO mandate_eraser;
GRANT UPDATE (chunks, chunk_rows, chunk_files, chunk_bytes, last_chunk_no, last_chunk_at, stopped_at, stopped_index, swept_at) ON export TO mandate_gate;
GRANT SELECT (swept_at) ON export TO mandate_ops_read;

-- Whose exports run without a sign of life since an instant: ids only, for the sweep, which then
-- acts as one customer at a time. The owner may read for this function.
CREATE POLICY sweep ON export FOR SELECT TO mandate_owner USING (true);
CREATE FUNCTION exports_silent_since(in_since timestamptz, in_limit integer) RETURNS TABLE (customer_id uuid, export_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT e.customer_id, e.id FROM export e
          WHERE e.redeemed_at IS NOT NULL AND e.completed_at IS NULL AND e.aborted_at IS NULL AND e.swept_at IS NULL
            AND e.redeemed_at <= in_since AND (e.last_chunk_at IS NULL OR e.last_chunk_at <= in_since)
          ORDER BY e.redeemed_at LIMIT in_limit $$;
-- The customer of each of a platform's exports: a batch of reports asks once. No row: not the platform's.
CREATE FUNCTION customers_of_exports(in_platform text, in_exports uuid[]) RETURNS TABLE (export_id uuid, customer_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT d.export_id, d.customer_id FROM export_directory d WHERE d.export_id = ANY (in_exports) AND d.platform = in_platform $$;
REVOKE ALL ON FUNCTION exports_silent_since(timestamptz, integer), customers_of_exports(text, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exports_silent_since(timestamptz, integer), customers_of_exports(text, uuid[]) TO mandate_gate;
