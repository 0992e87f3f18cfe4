-- The gate tells a customer at once when a running export is stopped, differs or never ends: it may
-- put messages into the outbox of the customers in its batch, and read none.

CREATE POLICY batch ON message FOR INSERT TO mandate_gate WITH CHECK (customer_id = ANY (batch_customers()));
GRANT INSERT ON message, job TO mandate_gate;

-- The privacy contacts of a customer in the batch.
CREATE FUNCTION batch_privacy_contacts(in_customer uuid) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT privacy_contacts FROM customer WHERE id = in_customer AND id = ANY (batch_customers()) $$;
REVOKE ALL ON FUNCTION batch_privacy_contacts(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION batch_privacy_contacts(uuid) TO mandate_gate;
