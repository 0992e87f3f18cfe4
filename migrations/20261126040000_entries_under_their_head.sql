-- An entry commits with the head moved over it. One that stands beyond the head, or in another epoch, would
-- block its log: the next head would not be the head of its entries. The check sees every head, since a
-- transaction may add to several logs and ends as the tenant of one of them; so it runs as the owner.
CREATE FUNCTION demand_entry_under_head() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        -- One row of the primary key; planned once.
        PERFORM 1 FROM log_head h WHERE h.customer_id = NEW.customer_id AND h.epoch = NEW.epoch AND h.size > NEW.index;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION 'an entry beyond the head of its log' USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END $$;
REVOKE ALL ON FUNCTION demand_entry_under_head() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER log_entry_under_head AFTER INSERT ON log_entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION demand_entry_under_head();

-- The eraser says what it erases, and nothing else.
CREATE POLICY erasing ON log_entry AS RESTRICTIVE FOR INSERT TO mandate_eraser
    WITH CHECK (type IN ('subjects.erased', 'requests.erased', 'document.erased'));
