-- Customers, their units, and the names under which platforms know them.

CREATE TABLE customer (
    id            uuid PRIMARY KEY CONSTRAINT customer_log REFERENCES log (id),
    name          text NOT NULL,
    kind          text NOT NULL CONSTRAINT customer_kind CHECK (kind IN ('school_owner', 'school', 'university', 'other')),
    country       text NOT NULL,
    zone          text NOT NULL,
    language      text NOT NULL,
    privacy_contacts text[] NOT NULL,
    second_contacts  text[] NOT NULL,
    registered_at timestamptz NOT NULL
);
COMMENT ON TABLE  customer IS 'Directory of customers (global, closed list). Immutable so far.';
COMMENT ON COLUMN customer.id IS 'The tenant, and the id of its log.';
COMMENT ON COLUMN customer.name IS 'Legal name of the institution.';
COMMENT ON COLUMN customer.kind IS 'school_owner, school, university, other.';
COMMENT ON COLUMN customer.country IS 'ISO 3166-1 alpha-2.';
COMMENT ON COLUMN customer.zone IS 'IANA time zone.';
COMMENT ON COLUMN customer.language IS 'BCP 47 language of its notices.';
COMMENT ON COLUMN customer.privacy_contacts IS 'Addresses of its privacy contacts.';
COMMENT ON COLUMN customer.second_contacts IS 'Addresses for escalation.';
COMMENT ON COLUMN customer.registered_at IS 'When it was registered.';

CREATE TABLE unit (
    customer_id uuid NOT NULL CONSTRAINT unit_customer REFERENCES customer (id),
    code        text NOT NULL,
    name        text NOT NULL,
    added_at    timestamptz NOT NULL,
    CONSTRAINT unit_key PRIMARY KEY (customer_id, code)
);
COMMENT ON TABLE  unit IS 'Units (schools) of a customer. Immutable.';
COMMENT ON COLUMN unit.customer_id IS 'The customer.';
COMMENT ON COLUMN unit.code IS 'Code used in selectors.';
COMMENT ON COLUMN unit.name IS 'Name of the unit.';
COMMENT ON COLUMN unit.added_at IS 'When it was added.';

CREATE TABLE external_id (
    platform    text NOT NULL CONSTRAINT external_id_platform REFERENCES platform (code),
    external_id text NOT NULL,
    customer_id uuid NOT NULL CONSTRAINT external_id_customer REFERENCES customer (id),
    since_at    timestamptz NOT NULL,
    CONSTRAINT external_id_key PRIMARY KEY (platform, external_id),
    CONSTRAINT external_id_one UNIQUE (customer_id, platform)
);
COMMENT ON TABLE  external_id IS 'How a platform names a customer (global, closed list); effective with the accepted agreement. Immutable.';
COMMENT ON COLUMN external_id.platform IS 'The platform.';
COMMENT ON COLUMN external_id.external_id IS 'Its name for the customer, unique per platform.';
COMMENT ON COLUMN external_id.customer_id IS 'The customer.';
COMMENT ON COLUMN external_id.since_at IS 'Since when.';

ALTER TABLE unit ENABLE ROW LEVEL SECURITY;
ALTER TABLE unit FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON unit TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON unit FOR SELECT TO mandate_ops_read USING (true);

-- The customer behind a platform's name for it, or behind its own id; NULL when there is none.
CREATE FUNCTION customer_by_external_id(in_platform text, in_external_id text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT customer_id FROM external_id WHERE platform = in_platform AND external_id = in_external_id $$;
CREATE FUNCTION customer_exists(in_customer uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT EXISTS (SELECT 1 FROM customer WHERE id = in_customer) $$;
-- The caller's own row of the directory.
CREATE FUNCTION own_customer() RETURNS SETOF customer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT * FROM customer WHERE id = current_customer() $$;
CREATE FUNCTION own_external_ids() RETURNS SETOF external_id
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT * FROM external_id WHERE customer_id = current_customer() $$;
REVOKE ALL ON FUNCTION customer_by_external_id(text, text), customer_exists(uuid), own_customer(), own_external_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION customer_by_external_id(text, text), customer_exists(uuid) TO mandate_gate;
GRANT EXECUTE ON FUNCTION own_customer(), own_external_ids() TO mandate_app, mandate_worker;

GRANT SELECT, INSERT ON customer, unit TO mandate_ops;
GRANT SELECT ON customer, unit, external_id TO mandate_ops_read;
GRANT SELECT ON external_id TO mandate_ops;
GRANT SELECT ON unit TO mandate_app, mandate_worker;
GRANT INSERT ON external_id TO mandate_app;
