-- A log's head says what its entries say: it grows by the entries that were added, no more and no
-- fewer, and its time is that of the last. The edge has one root for each bit of the size.

ALTER TABLE log_head ADD CONSTRAINT log_head_edge_size CHECK (size >= 0 AND octet_length(edge) = 32 * bit_count(size::bit(64)));

CREATE FUNCTION demand_entries_of_head() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    DECLARE
        since bigint := 0;
        added bigint;
        last_index bigint;
        first_at timestamptz;
        last_at timestamptz;
    BEGIN
        IF TG_OP = 'UPDATE' AND NEW.epoch = OLD.epoch THEN
            since := OLD.size;
        END IF;
        -- One range of the primary key: the entries of this transaction.
        SELECT count(*), max(e.index), min(e.at), max(e.at) INTO added, last_index, first_at, last_at
            FROM log_entry e WHERE e.customer_id = NEW.customer_id AND e.epoch = NEW.epoch AND e.index >= since;
        IF NEW.size = since + added AND (added = 0 OR (last_index = NEW.size - 1 AND last_at = NEW.last_at))
           AND (TG_OP = 'INSERT' OR (NEW.epoch >= OLD.epoch AND NEW.last_at >= OLD.last_at AND (added = 0 OR first_at >= OLD.last_at)
                                     AND (added > 0 OR NEW.epoch > OLD.epoch OR (NEW.edge = OLD.edge AND NEW.last_at = OLD.last_at)))) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a head that is not the head of its entries' USING ERRCODE = 'check_violation', CONSTRAINT = 'log_head_grows';
    END $$;
CREATE TRIGGER log_head_grows BEFORE INSERT OR UPDATE ON log_head FOR EACH ROW EXECUTE FUNCTION demand_entries_of_head();
