-- Global tables that hold a line per customer: acting for one customer, a role sees and writes that
-- customer's lines only. Policies by role; the owner's is for the definer functions and migrations.

-- The directory of logs would otherwise list every customer's id.
ALTER TABLE log ENABLE ROW LEVEL SECURITY;
ALTER TABLE log FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON log FOR SELECT TO mandate_app, mandate_worker, mandate_eraser USING (kind <> 'customer' OR id = current_customer());
CREATE POLICY batch      ON log FOR SELECT TO mandate_gate USING (kind <> 'customer' OR id = ANY (batch_customers()));
CREATE POLICY everything ON log FOR SELECT TO mandate_ops, mandate_ops_read USING (true);
CREATE POLICY begun      ON log FOR INSERT TO mandate_ops WITH CHECK (id = current_customer());
CREATE POLICY owner      ON log TO mandate_owner USING (true) WITH CHECK (true);

-- A platform's name for a customer is written by that customer's own acceptance.
ALTER TABLE external_id ENABLE ROW LEVEL SECURITY;
ALTER TABLE external_id FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant     ON external_id FOR INSERT TO mandate_app WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON external_id FOR SELECT TO mandate_ops, mandate_ops_read USING (true);
CREATE POLICY owner      ON external_id TO mandate_owner USING (true) WITH CHECK (true);

ALTER TABLE export_directory ENABLE ROW LEVEL SECURITY;
ALTER TABLE export_directory FORCE  ROW LEVEL SECURITY;
CREATE POLICY batch ON export_directory FOR INSERT TO mandate_gate WITH CHECK (customer_id = ANY (batch_customers()));
CREATE POLICY owner ON export_directory TO mandate_owner USING (true) WITH CHECK (true);

-- A job is put out by whoever acts for its customer; the worker takes them all.
ALTER TABLE job ENABLE ROW LEVEL SECURITY;
ALTER TABLE job FORCE  ROW LEVEL SECURITY;
CREATE POLICY put_out ON job FOR INSERT TO mandate_app, mandate_worker, mandate_ops, mandate_gate WITH CHECK (customer_id = current_customer() OR customer_id = ANY (batch_customers()));
CREATE POLICY taken   ON job FOR SELECT TO mandate_worker USING (true);
CREATE POLICY leased  ON job FOR UPDATE TO mandate_worker USING (true) WITH CHECK (true);
CREATE POLICY done    ON job FOR DELETE TO mandate_worker USING (true);
CREATE POLICY owner   ON job TO mandate_owner USING (true) WITH CHECK (true);

-- A suspension is made in one's own name, and released by the side that made it.
CREATE POLICY own_side     ON suspension AS RESTRICTIVE FOR INSERT TO mandate_app WITH CHECK (made_by = 'customer');
CREATE POLICY own_release  ON suspension AS RESTRICTIVE FOR UPDATE TO mandate_app USING (made_by = 'customer');
CREATE POLICY ops_side     ON suspension AS RESTRICTIVE FOR INSERT TO mandate_ops WITH CHECK (made_by = 'ops');
CREATE POLICY ops_release  ON suspension AS RESTRICTIVE FOR UPDATE TO mandate_ops USING (made_by = 'ops');

-- Where a person may go is asked before a customer is acted for; afterwards only that one is named.
CREATE OR REPLACE FUNCTION memberships_of_person(in_person uuid) RETURNS TABLE (customer_id uuid, membership_id uuid, role text, until_on date, customer_name text, zone text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT m.customer_id, m.id, m.role, m.until_on, c.name, c.zone FROM membership m JOIN customer c ON c.id = m.customer_id
          WHERE m.person_id = in_person AND m.ended_at IS NULL
            AND (m.customer_id = current_customer() OR NOT EXISTS (SELECT 1 FROM customer own WHERE own.id = current_customer()))
          ORDER BY c.name $$;
