-- The bytes of a document that was erased may come again: as another document, with an entry of its own.
-- The same bytes are there once.
ALTER TABLE document DROP CONSTRAINT document_once;
CREATE UNIQUE INDEX document_once ON document (customer_id, sha256) WHERE erased_at IS NULL;
