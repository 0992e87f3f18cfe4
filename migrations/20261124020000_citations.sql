-- What is cited is cited whole: by foreign keys to rows that no role can change, so that a row
-- cannot name a hash that is not the document's, a kind that is not the instruction's, a person
-- that is no member, or an entry that is not in the log. And what the rules of time say of an
-- acceptance and a signature holds in the tables too.

ALTER TABLE document    ADD CONSTRAINT document_content UNIQUE (customer_id, id, sha256);
ALTER TABLE instruction ADD CONSTRAINT instruction_of_kind UNIQUE (customer_id, id, kind);

ALTER TABLE agreement
    DROP CONSTRAINT agreement_document,
    ADD CONSTRAINT agreement_document FOREIGN KEY (customer_id, document_id, document_sha256) REFERENCES document (customer_id, id, sha256),
    ADD CONSTRAINT agreement_member FOREIGN KEY (customer_id, accepted_by) REFERENCES membership (customer_id, id),
    ADD CONSTRAINT agreement_not_backdated CHECK (in_force_from >= accepted_at);

ALTER TABLE instruction_version
    DROP CONSTRAINT instruction_version_instruction,
    DROP CONSTRAINT instruction_version_document,
    ADD CONSTRAINT instruction_version_instruction FOREIGN KEY (customer_id, instruction_id, kind) REFERENCES instruction (customer_id, id, kind),
    ADD CONSTRAINT instruction_version_document FOREIGN KEY (customer_id, document_id, document_sha256) REFERENCES document (customer_id, id, sha256),
    ADD CONSTRAINT instruction_version_not_backdated CHECK (valid_from >= signed_at),
    -- The version is stored before the entry of its signature, in one transaction.
    ADD CONSTRAINT instruction_version_entry FOREIGN KEY (customer_id, signed_epoch, signed_index) REFERENCES log_entry (customer_id, epoch, index) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE instruction_revocation
    ADD CONSTRAINT instruction_revocation_member FOREIGN KEY (customer_id, revoked_by) REFERENCES membership (customer_id, id);
ALTER TABLE instruction_confirmation
    ADD CONSTRAINT instruction_confirmation_member FOREIGN KEY (customer_id, confirmed_by) REFERENCES membership (customer_id, id);

ALTER TABLE export
    ADD CONSTRAINT export_entry FOREIGN KEY (customer_id, epoch, index) REFERENCES log_entry (customer_id, epoch, index) DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT export_life CHECK (expires_at > decided_at AND expires_at - decided_at <= interval '300 seconds');

-- A signature is an entry of that kind, of that moment: not any entry. Asked at the commit, when the
-- transaction may be acting for another of its logs.
CREATE FUNCTION demand_signature_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        acting text := current_setting('mandate.customer', true);
        there boolean;
    BEGIN
        PERFORM set_config('mandate.customer', NEW.customer_id::text, true);
        there := EXISTS (SELECT 1 FROM log_entry e WHERE e.customer_id = NEW.customer_id AND e.epoch = NEW.signed_epoch AND e.index = NEW.signed_index
                         AND e.type = 'instruction.signed' AND e.at = NEW.signed_at);
        PERFORM set_config('mandate.customer', COALESCE(acting, ''), true);
        IF NOT there THEN
            RAISE EXCEPTION 'a signed version without the entry of its signature' USING ERRCODE = 'check_violation', CONSTRAINT = 'instruction_version_signed';
        END IF;
        RETURN NULL;
    END $$;
CREATE CONSTRAINT TRIGGER instruction_version_signed AFTER INSERT ON instruction_version
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION demand_signature_entry();

-- A document that is whole takes no further part: its bytes are what was signed.
ALTER TABLE document_part ADD CONSTRAINT document_part_bytes CHECK (part >= 0 AND octet_length(bytes) > 0);
CREATE FUNCTION refuse_part_beyond_document() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        -- The length of a part is read without its bytes: they are stored apart, not compressed.
        IF (SELECT sum(octet_length(p.bytes)) FROM document_part p WHERE p.customer_id = NEW.customer_id AND p.document_id = NEW.document_id)
           > (SELECT d.length FROM document d WHERE d.customer_id = NEW.customer_id AND d.id = NEW.document_id) THEN
            RAISE EXCEPTION 'more bytes than the document has' USING ERRCODE = 'check_violation', CONSTRAINT = 'document_part_whole';
        END IF;
        RETURN NULL;
    END $$;
CREATE TRIGGER document_part_whole AFTER INSERT ON document_part FOR EACH ROW EXECUTE FUNCTION refuse_part_beyond_document();
