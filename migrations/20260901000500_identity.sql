-- Who acts: persons and memberships, authority, ops persons, sessions, API keys, and the one-time
-- path of a customer's first signatory.

CREATE TABLE person (
    id            uuid PRIMARY KEY,
    email         text NOT NULL CONSTRAINT person_email UNIQUE,
    name          text NOT NULL,
    password_hash text,
    created_at    timestamptz NOT NULL
);
COMMENT ON TABLE  person IS 'Persons of customers (global, closed list): one may serve many customers.';
COMMENT ON COLUMN person.id IS 'Immutable.';
COMMENT ON COLUMN person.email IS 'Login, lower case.';
COMMENT ON COLUMN person.name IS 'Name.';
COMMENT ON COLUMN person.password_hash IS 'Argon2id, PHC string; NULL until the invitation was accepted.';
COMMENT ON COLUMN person.created_at IS 'When. Immutable.';

CREATE TABLE ops_person (
    id            uuid PRIMARY KEY,
    email         text NOT NULL CONSTRAINT ops_person_email UNIQUE,
    name          text NOT NULL,
    role          text NOT NULL CONSTRAINT ops_person_role CHECK (role IN ('ops_admin', 'ops_privacy', 'ops_security', 'ops_reader')),
    password_hash text,
    created_at    timestamptz NOT NULL,
    ended_at      timestamptz
);
COMMENT ON TABLE  ops_person IS 'The processor''s staff (global, closed list). Role immutable: another role is another person record.';
COMMENT ON COLUMN ops_person.id IS 'Immutable.';
COMMENT ON COLUMN ops_person.email IS 'Login, lower case.';
COMMENT ON COLUMN ops_person.name IS 'Name.';
COMMENT ON COLUMN ops_person.role IS 'ops_admin, ops_privacy, ops_security, ops_reader.';
COMMENT ON COLUMN ops_person.password_hash IS 'Argon2id, PHC string; NULL until the invitation was accepted.';
COMMENT ON COLUMN ops_person.created_at IS 'When.';
COMMENT ON COLUMN ops_person.ended_at IS 'When access ended.';

CREATE TABLE membership (
    customer_id uuid NOT NULL CONSTRAINT membership_customer REFERENCES customer (id),
    id          uuid NOT NULL,
    person_id   uuid NOT NULL CONSTRAINT membership_person REFERENCES person (id),
    role        text NOT NULL CONSTRAINT membership_role CHECK (role IN ('customer_admin', 'customer_reader', 'auditor')),
    until_on    date,
    began_at    timestamptz NOT NULL,
    ended_at    timestamptz,
    CONSTRAINT membership_key PRIMARY KEY (customer_id, id),
    CONSTRAINT membership_auditor_ends CHECK (role <> 'auditor' OR until_on IS NOT NULL)
);
CREATE UNIQUE INDEX membership_one ON membership (customer_id, person_id) WHERE ended_at IS NULL;
COMMENT ON TABLE  membership IS 'Binds a person to a customer with a role. Only ended_at changes, once.';
COMMENT ON COLUMN membership.customer_id IS 'The customer.';
COMMENT ON COLUMN membership.id IS 'Id.';
COMMENT ON COLUMN membership.person_id IS 'The person.';
COMMENT ON COLUMN membership.role IS 'customer_admin, customer_reader, auditor.';
COMMENT ON COLUMN membership.until_on IS 'Last day in the customer''s zone; required for an auditor.';
COMMENT ON COLUMN membership.began_at IS 'Since when.';
COMMENT ON COLUMN membership.ended_at IS 'When it was ended.';

CREATE TABLE authority (
    customer_id   uuid NOT NULL,
    membership_id uuid NOT NULL,
    kind          text NOT NULL CONSTRAINT authority_kind CHECK (kind IN ('processing', 'export', 'deletion', 'restriction', 'agreement', 'sub_processor', 'people')),
    units         text[],
    begins_at     timestamptz NOT NULL,
    granted_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    CONSTRAINT authority_key PRIMARY KEY (customer_id, membership_id, kind, granted_at),
    CONSTRAINT authority_membership FOREIGN KEY (customer_id, membership_id) REFERENCES membership (customer_id, id)
);
CREATE UNIQUE INDEX authority_one ON authority (customer_id, membership_id, kind) WHERE ended_at IS NULL;
COMMENT ON TABLE  authority IS 'What a member may instruct. Only ended_at changes, once.';
COMMENT ON COLUMN authority.customer_id IS 'The customer.';
COMMENT ON COLUMN authority.membership_id IS 'The member.';
COMMENT ON COLUMN authority.kind IS 'Kind of act.';
COMMENT ON COLUMN authority.units IS 'Units it holds for; NULL: all.';
COMMENT ON COLUMN authority.begins_at IS 'From when it holds; for a first signatory 72 hours after the delivered notice.';
COMMENT ON COLUMN authority.granted_at IS 'When it was granted.';
COMMENT ON COLUMN authority.ended_at IS 'When it was taken back.';

CREATE TABLE first_signatory (
    customer_id  uuid NOT NULL CONSTRAINT first_signatory_customer REFERENCES customer (id),
    id           uuid NOT NULL,
    agreement_id uuid NOT NULL,
    person_id    uuid NOT NULL CONSTRAINT first_signatory_person REFERENCES person (id),
    proposed_by  uuid NOT NULL,
    proposed_at  timestamptz NOT NULL,
    approved_by  uuid,
    approved_at  timestamptz,
    notice_id    uuid,
    delivered_at timestamptz,
    authority_begins_at timestamptz,
    membership_id uuid,
    CONSTRAINT first_signatory_key PRIMARY KEY (customer_id, id),
    CONSTRAINT first_signatory_two CHECK (approved_by IS NULL OR approved_by <> proposed_by)
);
CREATE UNIQUE INDEX first_signatory_once ON first_signatory (customer_id);
COMMENT ON TABLE  first_signatory IS 'The path of a customer''s first signatory: two ops persons, a notice, 72 hours. Each column is set once.';
COMMENT ON COLUMN first_signatory.customer_id IS 'The customer.';
COMMENT ON COLUMN first_signatory.id IS 'Id.';
COMMENT ON COLUMN first_signatory.agreement_id IS 'The agreement that names the person.';
COMMENT ON COLUMN first_signatory.person_id IS 'The person.';
COMMENT ON COLUMN first_signatory.proposed_by IS 'The first ops person (ops_admin or ops_privacy).';
COMMENT ON COLUMN first_signatory.proposed_at IS 'When.';
COMMENT ON COLUMN first_signatory.approved_by IS 'The second ops person, of the other of the two roles.';
COMMENT ON COLUMN first_signatory.approved_at IS 'When.';
COMMENT ON COLUMN first_signatory.notice_id IS 'The notice to the agreement''s contact address.';
COMMENT ON COLUMN first_signatory.delivered_at IS 'When that notice was delivered.';
COMMENT ON COLUMN first_signatory.authority_begins_at IS '72 hours after delivery.';
COMMENT ON COLUMN first_signatory.membership_id IS 'The membership made at approval.';

CREATE TABLE invitation (
    id         uuid PRIMARY KEY,
    token_hash bytea NOT NULL CONSTRAINT invitation_token UNIQUE,
    person_id  uuid CONSTRAINT invitation_person REFERENCES person (id),
    ops_person_id uuid CONSTRAINT invitation_ops_person REFERENCES ops_person (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    CONSTRAINT invitation_one CHECK ((person_id IS NULL) <> (ops_person_id IS NULL))
);
COMMENT ON TABLE  invitation IS 'Invitations to set a first password (global, closed list). Only accepted_at changes, once.';
COMMENT ON COLUMN invitation.id IS 'Id.';
COMMENT ON COLUMN invitation.token_hash IS 'SHA-256 of the secret sent by mail.';
COMMENT ON COLUMN invitation.person_id IS 'The invited person of a customer.';
COMMENT ON COLUMN invitation.ops_person_id IS 'The invited ops person.';
COMMENT ON COLUMN invitation.created_at IS 'When.';
COMMENT ON COLUMN invitation.expires_at IS 'Until when it can be accepted.';
COMMENT ON COLUMN invitation.accepted_at IS 'When it was used.';

CREATE TABLE session (
    id            uuid PRIMARY KEY,
    token_hash    bytea NOT NULL CONSTRAINT session_token UNIQUE,
    person_id     uuid CONSTRAINT session_person REFERENCES person (id),
    customer_id   uuid CONSTRAINT session_customer REFERENCES customer (id),
    membership_id uuid,
    ops_person_id uuid CONSTRAINT session_ops_person REFERENCES ops_person (id),
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    stepped_up_at timestamptz,
    revoked_at    timestamptz,
    CONSTRAINT session_membership FOREIGN KEY (customer_id, membership_id) REFERENCES membership (customer_id, id),
    CONSTRAINT session_surface CHECK ((person_id IS NULL) <> (ops_person_id IS NULL) AND (person_id IS NULL) = (customer_id IS NULL) AND (customer_id IS NULL) = (membership_id IS NULL))
);
CREATE INDEX session_of_person ON session (person_id, customer_id);
CREATE INDEX session_of_ops_person ON session (ops_person_id);
COMMENT ON TABLE  session IS 'Login sessions of both surfaces (global, closed list; housekeeping).';
COMMENT ON COLUMN session.id IS 'Id.';
COMMENT ON COLUMN session.token_hash IS 'SHA-256 of the token.';
COMMENT ON COLUMN session.person_id IS 'The person, on the institution surface.';
COMMENT ON COLUMN session.customer_id IS 'The customer the session is bound to.';
COMMENT ON COLUMN session.membership_id IS 'The membership the session is bound to.';
COMMENT ON COLUMN session.ops_person_id IS 'The ops person, on the admin surface.';
COMMENT ON COLUMN session.created_at IS 'Login.';
COMMENT ON COLUMN session.last_used_at IS 'Last use, to the minute; idle for 30 minutes ends it.';
COMMENT ON COLUMN session.expires_at IS 'Absolute end, 12 hours after login.';
COMMENT ON COLUMN session.stepped_up_at IS 'Last step-up; holds for five minutes.';
COMMENT ON COLUMN session.revoked_at IS 'When it was revoked.';

CREATE TABLE api_key (
    id           uuid PRIMARY KEY,
    surface      text NOT NULL CONSTRAINT api_key_surface CHECK (surface IN ('institution', 'admin', 'gate')),
    secret_hash  bytea NOT NULL CONSTRAINT api_key_secret UNIQUE,
    name         text NOT NULL,
    customer_id  uuid CONSTRAINT api_key_customer REFERENCES customer (id),
    platform     text CONSTRAINT api_key_platform REFERENCES platform (code),
    role         text NOT NULL,
    created_by   uuid NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_on date,
    revoked_at   timestamptz,
    CONSTRAINT api_key_holder CHECK (
        (surface = 'institution' AND customer_id IS NOT NULL AND platform IS NULL AND role IN ('customer_admin', 'customer_reader'))
        OR (surface = 'admin' AND customer_id IS NULL AND platform IS NULL AND role = 'ops_reader')
        OR (surface = 'gate' AND customer_id IS NULL AND platform IS NOT NULL AND role = 'platform'))
);
CREATE INDEX api_key_of_customer ON api_key (customer_id);
CREATE INDEX api_key_of_platform ON api_key (platform);
COMMENT ON TABLE  api_key IS 'API keys of all surfaces (global, closed list). Only last_used_on and revoked_at change.';
COMMENT ON COLUMN api_key.id IS 'Id, part of the key''s text.';
COMMENT ON COLUMN api_key.surface IS 'institution, admin or gate.';
COMMENT ON COLUMN api_key.secret_hash IS 'SHA-256 of the key''s text.';
COMMENT ON COLUMN api_key.name IS 'What it is for.';
COMMENT ON COLUMN api_key.customer_id IS 'Its customer, on the institution surface.';
COMMENT ON COLUMN api_key.platform IS 'Its platform, at the gate.';
COMMENT ON COLUMN api_key.role IS 'What it may do; a key never signs, accepts or approves.';
COMMENT ON COLUMN api_key.created_by IS 'Membership or ops person.';
COMMENT ON COLUMN api_key.created_at IS 'When.';
COMMENT ON COLUMN api_key.expires_at IS 'When it ends.';
COMMENT ON COLUMN api_key.last_used_on IS 'Last day of use.';
COMMENT ON COLUMN api_key.revoked_at IS 'When it was revoked.';

CREATE TABLE login_slowdown (
    subject_hash bytea PRIMARY KEY,
    failures     integer NOT NULL,
    last_at      timestamptz NOT NULL
);
COMMENT ON TABLE  login_slowdown IS 'Failed logins per account and per address (global; housekeeping).';
COMMENT ON COLUMN login_slowdown.subject_hash IS 'SHA-256 of the surface and the account or address.';
COMMENT ON COLUMN login_slowdown.failures IS 'Failures in a row.';
COMMENT ON COLUMN login_slowdown.last_at IS 'The last one.';

ALTER TABLE membership      ENABLE ROW LEVEL SECURITY;
ALTER TABLE membership      FORCE  ROW LEVEL SECURITY;
ALTER TABLE authority       ENABLE ROW LEVEL SECURITY;
ALTER TABLE authority       FORCE  ROW LEVEL SECURITY;
ALTER TABLE first_signatory ENABLE ROW LEVEL SECURITY;
ALTER TABLE first_signatory FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON membership      TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY tenant ON authority       TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY tenant ON first_signatory TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY everything ON membership      FOR SELECT TO mandate_ops_read USING (true);
CREATE POLICY everything ON authority       FOR SELECT TO mandate_ops_read USING (true);
CREATE POLICY everything ON first_signatory FOR SELECT TO mandate_ops_read USING (true);
ALTER TABLE session ENABLE ROW LEVEL SECURITY;
ALTER TABLE session FORCE  ROW LEVEL SECURITY;
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant ON session TO mandate_app USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY ops    ON session TO mandate_ops USING (customer_id IS NULL) WITH CHECK (customer_id IS NULL);
CREATE POLICY tenant ON api_key TO mandate_app USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer());
CREATE POLICY ops    ON api_key TO mandate_ops USING (customer_id IS NULL) WITH CHECK (customer_id IS NULL);
CREATE POLICY gate   ON api_key TO mandate_gate USING (surface = 'gate') WITH CHECK (surface = 'gate');
CREATE POLICY owner  ON session TO mandate_owner USING (true);
CREATE POLICY owner  ON api_key TO mandate_owner USING (true);
-- Definer functions below read memberships across customers before a login knows its customer.
CREATE POLICY owner ON membership FOR SELECT TO mandate_owner USING (true);
CREATE POLICY owner ON first_signatory FOR SELECT TO mandate_owner USING (true);

-- Before login: the session or key behind a secret's hash. Nothing else is readable by it.
CREATE FUNCTION session_by_token(in_hash bytea) RETURNS SETOF session
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT * FROM session WHERE token_hash = in_hash $$;
CREATE FUNCTION api_key_by_secret(in_hash bytea) RETURNS SETOF api_key
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT * FROM api_key WHERE secret_hash = in_hash $$;
CREATE FUNCTION credential_by_email(in_email text) RETURNS TABLE (person_id uuid, password_hash text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT id, password_hash FROM person WHERE email = in_email $$;
CREATE FUNCTION ops_credential_by_email(in_email text) RETURNS TABLE (ops_person_id uuid, password_hash text, role text, ended_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT id, password_hash, role, ended_at FROM ops_person WHERE email = in_email $$;
CREATE FUNCTION memberships_of_person(in_person uuid) RETURNS TABLE (customer_id uuid, membership_id uuid, role text, until_on date, customer_name text, zone text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT m.customer_id, m.id, m.role, m.until_on, c.name, c.zone FROM membership m JOIN customer c ON c.id = m.customer_id
          WHERE m.person_id = in_person AND m.ended_at IS NULL ORDER BY c.name $$;
CREATE FUNCTION invitation_by_token(in_hash bytea) RETURNS SETOF invitation
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT * FROM invitation WHERE token_hash = in_hash $$;
-- Accepts an invitation once and sets the first password of exactly its person; false if it was not
-- open or the person has a password by now (the caller then rolls back).
CREATE FUNCTION accept_invitation(in_hash bytea, in_password_hash text, in_now timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE found_row invitation;
    BEGIN
        UPDATE invitation SET accepted_at = in_now
            WHERE token_hash = in_hash AND accepted_at IS NULL AND expires_at > in_now
            RETURNING * INTO found_row;
        IF NOT FOUND THEN RETURN false; END IF;
        UPDATE person SET password_hash = in_password_hash WHERE id = found_row.person_id AND password_hash IS NULL;
        IF FOUND THEN RETURN true; END IF;
        UPDATE ops_person SET password_hash = in_password_hash WHERE id = found_row.ops_person_id AND password_hash IS NULL;
        RETURN FOUND;
    END $$;
-- Finds or makes the person behind an address; an existing person is never changed by an invitation.
CREATE FUNCTION person_for_invitation(in_id uuid, in_email text, in_name text, in_now timestamptz) RETURNS TABLE (person_id uuid, has_password boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        INSERT INTO person (id, email, name, created_at) VALUES (in_id, in_email, in_name, in_now) ON CONFLICT (email) DO NOTHING;
        RETURN QUERY SELECT p.id, p.password_hash IS NOT NULL FROM person p WHERE p.email = in_email;
    END $$;
-- Persons of the current customer only: its members, and who was proposed as its first signatory.
CREATE FUNCTION own_persons() RETURNS TABLE (person_id uuid, email text, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT p.id, p.email, p.name FROM person p
          WHERE p.id IN (SELECT m.person_id FROM membership m WHERE m.customer_id = current_customer()
                         UNION SELECT f.person_id FROM first_signatory f WHERE f.customer_id = current_customer()) $$;

REVOKE ALL ON FUNCTION session_by_token(bytea), api_key_by_secret(bytea), credential_by_email(text), ops_credential_by_email(text),
    memberships_of_person(uuid), invitation_by_token(bytea), accept_invitation(bytea, text, timestamptz),
    person_for_invitation(uuid, text, text, timestamptz), own_persons() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_by_token(bytea), api_key_by_secret(bytea) TO mandate_app, mandate_ops, mandate_gate;
GRANT EXECUTE ON FUNCTION credential_by_email(text), memberships_of_person(uuid), invitation_by_token(bytea), own_persons() TO mandate_app;
GRANT EXECUTE ON FUNCTION ops_credential_by_email(text), invitation_by_token(bytea), own_persons() TO mandate_ops;
GRANT EXECUTE ON FUNCTION accept_invitation(bytea, text, timestamptz) TO mandate_app, mandate_ops;
GRANT EXECUTE ON FUNCTION person_for_invitation(uuid, text, text, timestamptz) TO mandate_app, mandate_ops;

GRANT SELECT (id, email, name, role, created_at, ended_at) ON ops_person TO mandate_ops, mandate_ops_read;
GRANT INSERT ON ops_person TO mandate_ops;
GRANT UPDATE (ended_at) ON ops_person TO mandate_ops;
GRANT SELECT, INSERT ON membership, authority TO mandate_app;
GRANT UPDATE (ended_at) ON membership, authority TO mandate_app;
GRANT SELECT ON membership, authority TO mandate_worker, mandate_ops, mandate_ops_read;
-- Ops makes exactly one membership per customer, the first signatory's; its authority is made by the
-- worker when the notice was delivered, so that no ops login can write one.
GRANT INSERT ON membership TO mandate_ops;
GRANT INSERT ON authority TO mandate_worker;
GRANT SELECT, INSERT ON first_signatory TO mandate_ops;
GRANT UPDATE (approved_by, approved_at, notice_id, membership_id) ON first_signatory TO mandate_ops;
GRANT SELECT ON first_signatory TO mandate_app, mandate_worker, mandate_ops_read;
GRANT UPDATE (delivered_at, authority_begins_at) ON first_signatory TO mandate_worker;
GRANT INSERT ON invitation TO mandate_app, mandate_ops;
GRANT SELECT (id, person_id, customer_id, membership_id, ops_person_id, created_at, last_used_at, expires_at, stepped_up_at, revoked_at) ON session TO mandate_app, mandate_ops;
GRANT INSERT ON session TO mandate_app, mandate_ops;
GRANT UPDATE (last_used_at, stepped_up_at, revoked_at) ON session TO mandate_app, mandate_ops;
GRANT SELECT (id, surface, name, customer_id, platform, role, created_by, created_at, expires_at, last_used_on, revoked_at) ON api_key TO mandate_app, mandate_ops, mandate_gate;
GRANT INSERT ON api_key TO mandate_app, mandate_ops;
GRANT UPDATE (last_used_on, revoked_at) ON api_key TO mandate_app, mandate_ops;
GRANT UPDATE (last_used_on) ON api_key TO mandate_gate;
GRANT SELECT, INSERT, UPDATE, DELETE ON login_slowdown TO mandate_app, mandate_ops;
