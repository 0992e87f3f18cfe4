-- Acting for a customer, a role reached the second factor of every person, and learned the address of
-- any person whose id it wrote into a membership. Now a person is a customer's only where somebody has
-- written that person's address for the customer, and a factor is reached only where its person acts.

CREATE TABLE introduction (
    customer_id   uuid NOT NULL CONSTRAINT introduction_customer REFERENCES customer (id),
    person_id     uuid NOT NULL CONSTRAINT introduction_person REFERENCES person (id),
    introduced_at timestamptz NOT NULL,
    CONSTRAINT introduction_key PRIMARY KEY (customer_id, person_id)
);
COMMENT ON TABLE  introduction IS 'Which persons were named to a customer by their address. Immutable. Written by person_for_invitation() alone: no role of the service reads or writes it.';
COMMENT ON COLUMN introduction.customer_id IS 'The customer.';
COMMENT ON COLUMN introduction.person_id IS 'The person behind the address.';
COMMENT ON COLUMN introduction.introduced_at IS 'When the address was written first; for what is older than this table, when the membership or the proposal began.';
ALTER TABLE introduction ENABLE ROW LEVEL SECURITY;
ALTER TABLE introduction FORCE  ROW LEVEL SECURITY;
CREATE POLICY owner ON introduction TO mandate_owner USING (true) WITH CHECK (true);

INSERT INTO introduction (customer_id, person_id, introduced_at)
    SELECT customer_id, person_id, min(at) FROM (
        SELECT customer_id, person_id, began_at AS at FROM membership
        UNION ALL SELECT customer_id, person_id, proposed_at FROM first_signatory) named
    GROUP BY customer_id, person_id;
ALTER TABLE membership      ADD CONSTRAINT membership_introduced      FOREIGN KEY (customer_id, person_id) REFERENCES introduction (customer_id, person_id);
ALTER TABLE first_signatory ADD CONSTRAINT first_signatory_introduced FOREIGN KEY (customer_id, person_id) REFERENCES introduction (customer_id, person_id);

-- Finds or makes the person behind an address, and introduces it to the customer that is acted for.
CREATE OR REPLACE FUNCTION person_for_invitation(in_id uuid, in_email text, in_name text, in_now timestamptz) RETURNS TABLE (person_id uuid, has_password boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        INSERT INTO person (id, email, name, created_at) VALUES (in_id, in_email, in_name, in_now) ON CONFLICT (email) DO NOTHING;
        INSERT INTO introduction (customer_id, person_id, introduced_at)
            SELECT current_customer(), p.id, in_now FROM person p WHERE p.email = in_email
            ON CONFLICT ON CONSTRAINT introduction_key DO NOTHING;
        RETURN QUERY SELECT p.id, p.password_hash IS NOT NULL FROM person p WHERE p.email = in_email;
    END $$;

-- Where a person may go, and whether the person ever went there: until then only an invitation says so.
DROP FUNCTION memberships_of_person(uuid);
CREATE FUNCTION memberships_of_person(in_person uuid) RETURNS TABLE (customer_id uuid, membership_id uuid, role text, until_on date, customer_name text, zone text, accepted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT m.customer_id, m.id, m.role, m.until_on, c.name, c.zone, m.accepted_at IS NOT NULL FROM membership m JOIN customer c ON c.id = m.customer_id
          WHERE m.person_id = in_person AND m.ended_at IS NULL
            AND (m.customer_id = current_customer() OR NOT EXISTS (SELECT 1 FROM customer own WHERE own.id = current_customer()))
          ORDER BY c.name $$;
REVOKE ALL ON FUNCTION memberships_of_person(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memberships_of_person(uuid) TO mandate_app;

-- A factor, and its codes with it, is reached where its person has come and acts. Logging in asks for
-- none; enrolling and stepping up happen in a session, which has accepted the membership.
CREATE FUNCTION acts_here(in_person uuid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = public, pg_temp
    AS $$ SELECT EXISTS (SELECT 1 FROM membership m WHERE m.customer_id = current_customer() AND m.person_id = in_person
                           AND m.ended_at IS NULL AND m.accepted_at IS NOT NULL) $$;
REVOKE ALL ON FUNCTION acts_here(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acts_here(uuid) TO mandate_app;
DROP POLICY persons_read   ON second_factor;
DROP POLICY persons_begin  ON second_factor;
DROP POLICY persons_change ON second_factor;
DROP POLICY persons_drop   ON second_factor;
CREATE POLICY persons_read   ON second_factor FOR SELECT TO mandate_app USING (acts_here(person_id));
CREATE POLICY persons_begin  ON second_factor FOR INSERT TO mandate_app WITH CHECK (acts_here(person_id) AND confirmed_at IS NULL);
CREATE POLICY persons_change ON second_factor FOR UPDATE TO mandate_app USING (acts_here(person_id)) WITH CHECK (acts_here(person_id));
CREATE POLICY persons_drop   ON second_factor FOR DELETE TO mandate_app USING (acts_here(person_id) AND confirmed_at IS NULL);
