-- With a pack that is taken away goes what its Idempotency-Key was answered: the key is free, and makes
-- another pack. The answer was written in the transaction that made the operation, and so has its time.
CREATE POLICY erasure ON idempotency FOR ALL TO mandate_eraser
    USING (customer_id = current_customer() AND route = 'create_pack'
           AND EXISTS (SELECT 1 FROM operation o WHERE o.customer_id = idempotency.customer_id AND o.principal_id = idempotency.principal_id
                         AND o.created_at = idempotency.committed_at))
    WITH CHECK (false);
GRANT SELECT (customer_id, principal_id, route, committed_at), DELETE ON idempotency TO mandate_eraser;
GRANT SELECT (principal_id, created_at) ON operation TO mandate_eraser;
