-- Each chunk is a decision of its own: the database refuses it like a redemption.
CREATE FUNCTION demand_chunk_in_force() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE reason text;
    BEGIN
        PERFORM demand_present(NEW.customer_id, NEW.authorised_at);
        SELECT CASE
            WHEN e.redeemed_at IS NULL OR e.completed_at IS NOT NULL OR e.aborted_at IS NOT NULL OR e.swept_at IS NOT NULL THEN 'export_not_running'
            ELSE export_refusal(e.customer_id, e.id, e.platform, e.request->>'purpose', e.instruction_id, e.instruction_version, NEW.authorised_at)
        END INTO reason FROM export e WHERE e.customer_id = NEW.customer_id AND e.id = NEW.export_id;
        IF NOT FOUND THEN
            reason := 'export_not_running';
        END IF;
        IF reason IS NOT NULL THEN
            RAISE EXCEPTION 'the database refuses the chunk: %', reason USING ERRCODE = 'check_violation', CONSTRAINT = 'export_chunk_in_force';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER export_chunk_in_force BEFORE INSERT ON export_chunk FOR EACH ROW EXECUTE FUNCTION demand_chunk_in_force();
ALTER TABLE export_chunk ADD CONSTRAINT export_chunk_entry FOREIGN KEY (customer_id, epoch, index) REFERENCES log_entry (customer_id, epoch, index) DEFERRABLE INITIALLY DEFERRED;
CREATE TRIGGER export_swept_set_once BEFORE UPDATE ON export FOR EACH ROW
    WHEN (OLD.swept_at IS NOT NULL AND NEW.swept_at IS DISTINCT FROM OLD.swept_at) EXECUTE FUNCTION refuse_second_setting();
CREATE TRIGGER export_chunks_grow BEFORE UPDATE ON export FOR EACH ROW
    WHEN (NEW.chunks < OLD.chunks OR NEW.chunk_rows < OLD.chunk_rows OR NEW.chunk_files < OLD.chunk_files OR NEW.chunk_bytes < OLD.chunk_bytes
          OR NEW.last_chunk_at < OLD.last_chunk_at) EXECUTE FUNCTION refuse_second_setting();
