-- An invitation told the inviting customer whether, and under which name, the system knew the
-- address. Until the invited person comes, the customer sees what it wrote itself.

ALTER TABLE membership
    ADD COLUMN invited_name text,
    ADD COLUMN accepted_at  timestamptz;
-- The owner, too, sees no row while row level security is forced.
ALTER TABLE membership NO FORCE ROW LEVEL SECURITY;
UPDATE membership m SET invited_name = p.name FROM person p WHERE p.id = m.person_id;
UPDATE membership m SET accepted_at = s.first_at
    FROM (SELECT customer_id, membership_id, min(created_at) AS first_at FROM session WHERE membership_id IS NOT NULL GROUP BY customer_id, membership_id) s
    WHERE s.customer_id = m.customer_id AND s.membership_id = m.id;
ALTER TABLE membership FORCE ROW LEVEL SECURITY;
ALTER TABLE membership ALTER COLUMN invited_name SET NOT NULL;
COMMENT ON TABLE  membership IS 'Binds a person to a customer with a role. Only accepted_at and ended_at change, once each.';
COMMENT ON COLUMN membership.invited_name IS 'The name as whoever invited wrote it. Immutable.';
COMMENT ON COLUMN membership.accepted_at IS 'When the person logged in for this customer first (housekeeping). Only from then on the customer sees the person''s own name.';

GRANT UPDATE (accepted_at) ON membership TO mandate_app;
