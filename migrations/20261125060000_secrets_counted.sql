-- Which key the secrets are under is counted for ops over all persons, whose factors the institutions'
-- role reaches only where their person acts.
CREATE POLICY counted ON second_factor FOR SELECT TO mandate_ops_read USING (true);
GRANT SELECT (id, person_id, ops_person_id, sealed) ON second_factor TO mandate_ops_read;
