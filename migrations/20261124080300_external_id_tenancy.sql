-- The names that platforms have for customers: one customer's login could write another's.

ALTER TABLE external_id ENABLE ROW LEVEL SECURITY;
ALTER TABLE external_id FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON external_id FOR INSERT TO mandate_app WITH CHECK (customer_id = current_customer());
-- Ops must see whose a name is already, whatever customer it acts for.
CREATE POLICY everything ON external_id FOR SELECT TO mandate_ops, mandate_ops_read USING (true);
-- The definer functions find a customer by its name before the gate knows its tenant.
CREATE POLICY owner      ON external_id FOR SELECT TO mandate_owner USING (true);
