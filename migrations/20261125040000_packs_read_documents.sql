-- A pack holds the bytes of the customer's documents, and a worker makes it.

CREATE POLICY worker ON document      FOR SELECT TO mandate_worker USING (customer_id = current_customer());
CREATE POLICY worker ON document_part FOR SELECT TO mandate_worker USING (customer_id = current_customer());
GRANT SELECT ON document, document_part TO mandate_worker;
