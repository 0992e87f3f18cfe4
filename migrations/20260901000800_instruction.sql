-- Written instructions (GDPR Art. 28(3)(a)): drafts that change, signed versions that never do,
-- and what happened to them, as rows that are only added.

CREATE TABLE instruction (
    customer_id uuid NOT NULL CONSTRAINT instruction_customer REFERENCES customer (id),
    id          uuid NOT NULL,
    kind        text NOT NULL CONSTRAINT instruction_kind CHECK (kind IN ('processing', 'export', 'deletion', 'restriction')),
    created_at  timestamptz NOT NULL,
    CONSTRAINT instruction_key PRIMARY KEY (customer_id, id)
);
COMMENT ON TABLE  instruction IS 'Instructions. Immutable.';
COMMENT ON COLUMN instruction.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction.id IS 'Id.';
COMMENT ON COLUMN instruction.kind IS 'processing, export, deletion, restriction.';
COMMENT ON COLUMN instruction.created_at IS 'When its first draft was made.';

CREATE TABLE instruction_draft (
    customer_id    uuid NOT NULL,
    instruction_id uuid NOT NULL,
    version        integer NOT NULL,
    scope          jsonb NOT NULL,
    subjects       jsonb NOT NULL,
    document_id    uuid,
    text           text,
    digest         bytea NOT NULL,
    prepared_by    text NOT NULL,
    changed_at     timestamptz NOT NULL,
    CONSTRAINT instruction_draft_key PRIMARY KEY (customer_id, instruction_id),
    CONSTRAINT instruction_draft_instruction FOREIGN KEY (customer_id, instruction_id) REFERENCES instruction (customer_id, id),
    CONSTRAINT instruction_draft_document FOREIGN KEY (customer_id, document_id) REFERENCES document (customer_id, id),
    CONSTRAINT instruction_draft_written CHECK ((document_id IS NULL) <> (text IS NULL))
);
COMMENT ON TABLE  instruction_draft IS 'The draft of an instruction''s next version; goes when it is signed.';
COMMENT ON COLUMN instruction_draft.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction_draft.instruction_id IS 'The instruction.';
COMMENT ON COLUMN instruction_draft.version IS 'The version it will be.';
COMMENT ON COLUMN instruction_draft.scope IS 'Scope without subjects.';
COMMENT ON COLUMN instruction_draft.subjects IS 'Selectors of subjects.';
COMMENT ON COLUMN instruction_draft.document_id IS 'What was written, if uploaded.';
COMMENT ON COLUMN instruction_draft.text IS 'What was written, if typed.';
COMMENT ON COLUMN instruction_draft.digest IS 'SHA-256 over the content: the ETag, so that what is signed is what was seen.';
COMMENT ON COLUMN instruction_draft.prepared_by IS 'Text id of the actor.';
COMMENT ON COLUMN instruction_draft.changed_at IS 'Last change.';

CREATE TABLE instruction_version (
    customer_id     uuid NOT NULL,
    instruction_id  uuid NOT NULL,
    version         integer NOT NULL,
    kind            text NOT NULL,
    scope           jsonb NOT NULL,
    subjects        jsonb NOT NULL,
    document_id     uuid NOT NULL,
    document_sha256 bytea NOT NULL,
    valid_from      timestamptz NOT NULL,
    valid_until     timestamptz,
    signed_at       timestamptz NOT NULL,
    signed_by       uuid NOT NULL,
    signed_epoch    integer NOT NULL,
    signed_index    bigint NOT NULL,
    CONSTRAINT instruction_version_key PRIMARY KEY (customer_id, instruction_id, version),
    CONSTRAINT instruction_version_instruction FOREIGN KEY (customer_id, instruction_id) REFERENCES instruction (customer_id, id),
    CONSTRAINT instruction_version_document FOREIGN KEY (customer_id, document_id) REFERENCES document (customer_id, id),
    CONSTRAINT instruction_version_member FOREIGN KEY (customer_id, signed_by) REFERENCES membership (customer_id, id),
    CONSTRAINT instruction_version_window CHECK (valid_until IS NULL OR valid_until > valid_from)
);
COMMENT ON TABLE  instruction_version IS 'Signed versions. Immutable.';
COMMENT ON COLUMN instruction_version.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction_version.instruction_id IS 'The instruction.';
COMMENT ON COLUMN instruction_version.version IS 'From 1.';
COMMENT ON COLUMN instruction_version.kind IS 'As the instruction''s.';
COMMENT ON COLUMN instruction_version.scope IS 'Scope without subjects.';
COMMENT ON COLUMN instruction_version.subjects IS 'Selectors of subjects.';
COMMENT ON COLUMN instruction_version.document_id IS 'What was written.';
COMMENT ON COLUMN instruction_version.document_sha256 IS 'Its hash.';
COMMENT ON COLUMN instruction_version.valid_from IS 'Start of its window, not before its signature.';
COMMENT ON COLUMN instruction_version.valid_until IS 'First instant after its window; NULL: open.';
COMMENT ON COLUMN instruction_version.signed_at IS 'When.';
COMMENT ON COLUMN instruction_version.signed_by IS 'The signatory''s membership.';
COMMENT ON COLUMN instruction_version.signed_epoch IS 'Epoch of the signature''s entry.';
COMMENT ON COLUMN instruction_version.signed_index IS 'Index of the signature''s entry.';

CREATE TABLE instruction_term (
    customer_id    uuid NOT NULL,
    platform       text NOT NULL,
    term           text NOT NULL,
    instruction_id uuid NOT NULL,
    version        integer NOT NULL,
    CONSTRAINT instruction_term_key PRIMARY KEY (customer_id, platform, term, instruction_id, version),
    CONSTRAINT instruction_term_version FOREIGN KEY (customer_id, instruction_id, version) REFERENCES instruction_version (customer_id, instruction_id, version)
);
COMMENT ON TABLE  instruction_term IS 'Terms by which the gate finds versions with leakproof operators. Immutable.';
COMMENT ON COLUMN instruction_term.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction_term.platform IS 'A platform of its scope.';
COMMENT ON COLUMN instruction_term.term IS 'purpose:CODE, recipient:HASH, or kind:restriction.';
COMMENT ON COLUMN instruction_term.instruction_id IS 'The instruction.';
COMMENT ON COLUMN instruction_term.version IS 'The version.';

CREATE TABLE instruction_revocation (
    customer_id    uuid NOT NULL,
    instruction_id uuid NOT NULL,
    revoked_at     timestamptz NOT NULL,
    revoked_by     uuid NOT NULL,
    CONSTRAINT instruction_revocation_key PRIMARY KEY (customer_id, instruction_id),
    CONSTRAINT instruction_revocation_instruction FOREIGN KEY (customer_id, instruction_id) REFERENCES instruction (customer_id, id)
);
COMMENT ON TABLE  instruction_revocation IS 'Withdrawals, of all versions. Immutable.';
COMMENT ON COLUMN instruction_revocation.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction_revocation.instruction_id IS 'The instruction.';
COMMENT ON COLUMN instruction_revocation.revoked_at IS 'When.';
COMMENT ON COLUMN instruction_revocation.revoked_by IS 'Membership.';

CREATE TABLE instruction_contest (
    customer_id    uuid NOT NULL,
    id             uuid NOT NULL,
    instruction_id uuid NOT NULL,
    version        integer NOT NULL,
    ground         text NOT NULL,
    contested_at   timestamptz NOT NULL,
    contested_by   uuid NOT NULL,
    CONSTRAINT instruction_contest_key PRIMARY KEY (customer_id, id),
    CONSTRAINT instruction_contest_version FOREIGN KEY (customer_id, instruction_id, version) REFERENCES instruction_version (customer_id, instruction_id, version)
);
CREATE INDEX instruction_contest_of ON instruction_contest (customer_id, instruction_id);
COMMENT ON TABLE  instruction_contest IS 'Marks of a version as appearing to infringe the law (GDPR Art. 28(3), last paragraph). Immutable.';
COMMENT ON COLUMN instruction_contest.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction_contest.id IS 'Id.';
COMMENT ON COLUMN instruction_contest.instruction_id IS 'The instruction.';
COMMENT ON COLUMN instruction_contest.version IS 'The version; a narrower new version is not contested by it.';
COMMENT ON COLUMN instruction_contest.ground IS 'Legal reason.';
COMMENT ON COLUMN instruction_contest.contested_at IS 'When.';
COMMENT ON COLUMN instruction_contest.contested_by IS 'Ops person.';

CREATE TABLE instruction_confirmation (
    customer_id  uuid NOT NULL,
    contest_id   uuid NOT NULL,
    document_id  uuid NOT NULL,
    confirmed_at timestamptz NOT NULL,
    confirmed_by uuid NOT NULL,
    CONSTRAINT instruction_confirmation_key PRIMARY KEY (customer_id, contest_id),
    CONSTRAINT instruction_confirmation_contest FOREIGN KEY (customer_id, contest_id) REFERENCES instruction_contest (customer_id, id),
    CONSTRAINT instruction_confirmation_document FOREIGN KEY (customer_id, document_id) REFERENCES document (customer_id, id)
);
COMMENT ON TABLE  instruction_confirmation IS 'The customer''s written confirmations of contested versions. Immutable.';
COMMENT ON COLUMN instruction_confirmation.customer_id IS 'The customer.';
COMMENT ON COLUMN instruction_confirmation.contest_id IS 'The contest it ends.';
COMMENT ON COLUMN instruction_confirmation.document_id IS 'What was written.';
COMMENT ON COLUMN instruction_confirmation.confirmed_at IS 'When.';
COMMENT ON COLUMN instruction_confirmation.confirmed_by IS 'Membership.';

CREATE TABLE recipient (
    customer_id     uuid NOT NULL CONSTRAINT recipient_customer REFERENCES customer (id),
    id              uuid NOT NULL,
    legal_entity    text NOT NULL,
    country         text NOT NULL,
    role            text NOT NULL,
    transfer_ground text,
    added_at        timestamptz NOT NULL,
    CONSTRAINT recipient_key PRIMARY KEY (customer_id, id),
    CONSTRAINT recipient_once UNIQUE (customer_id, legal_entity, country, role)
);
COMMENT ON TABLE  recipient IS 'A customer''s address book of recipients; instructions hold recipients by value. Immutable.';
COMMENT ON COLUMN recipient.customer_id IS 'The customer.';
COMMENT ON COLUMN recipient.id IS 'Id.';
COMMENT ON COLUMN recipient.legal_entity IS 'Name of the legal entity.';
COMMENT ON COLUMN recipient.country IS 'ISO 3166-1 alpha-2.';
COMMENT ON COLUMN recipient.role IS 'What it is to the customer.';
COMMENT ON COLUMN recipient.transfer_ground IS 'Ground of a transfer to a third country.';
COMMENT ON COLUMN recipient.added_at IS 'When.';

CREATE TABLE suspension (
    customer_id   uuid NOT NULL CONSTRAINT suspension_customer REFERENCES customer (id),
    id            uuid NOT NULL,
    made_by       text NOT NULL CONSTRAINT suspension_made_by CHECK (made_by IN ('customer', 'ops')),
    ground        text NOT NULL,
    suspended_by  uuid NOT NULL,
    suspended_at  timestamptz NOT NULL,
    release_id    uuid,
    release_proposed_by uuid,
    release_proposed_at timestamptz,
    released_by   uuid,
    released_at   timestamptz,
    CONSTRAINT suspension_key PRIMARY KEY (customer_id, id),
    CONSTRAINT suspension_two CHECK (made_by = 'customer' OR released_by IS NULL OR released_by <> release_proposed_by)
);
CREATE INDEX suspension_open ON suspension (customer_id) WHERE released_at IS NULL;
COMMENT ON TABLE  suspension IS 'Stops of a customer''s exports. First six columns immutable; the others are set once.';
COMMENT ON COLUMN suspension.customer_id IS 'The customer.';
COMMENT ON COLUMN suspension.id IS 'Id.';
COMMENT ON COLUMN suspension.made_by IS 'customer: a person with authority; ops: ops_security, which never stops return-at-end.';
COMMENT ON COLUMN suspension.ground IS 'Why.';
COMMENT ON COLUMN suspension.suspended_by IS 'Membership or ops person.';
COMMENT ON COLUMN suspension.suspended_at IS 'Since when.';
COMMENT ON COLUMN suspension.release_id IS 'Id of the release.';
COMMENT ON COLUMN suspension.release_proposed_by IS 'Who proposed its release (ops_security), for one made by ops.';
COMMENT ON COLUMN suspension.release_proposed_at IS 'When.';
COMMENT ON COLUMN suspension.released_by IS 'Who released it: the customer''s person, or a second ops person.';
COMMENT ON COLUMN suspension.released_at IS 'When it ended.';

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['instruction', 'instruction_draft', 'instruction_version', 'instruction_term', 'instruction_revocation',
                             'instruction_contest', 'instruction_confirmation', 'recipient', 'suspension'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO mandate_app, mandate_worker, mandate_ops USING (customer_id = current_customer()) WITH CHECK (customer_id = current_customer())', t);
        EXECUTE format('CREATE POLICY batch ON %I FOR SELECT TO mandate_gate USING (customer_id = ANY (batch_customers()))', t);
    END LOOP;
END $$;

GRANT SELECT ON instruction, instruction_version, instruction_term, instruction_revocation, instruction_contest, instruction_confirmation, suspension TO mandate_app, mandate_gate, mandate_ops;
GRANT SELECT ON instruction_draft, recipient TO mandate_app, mandate_ops;
GRANT INSERT ON instruction, instruction_draft TO mandate_app, mandate_ops;
GRANT UPDATE (scope, subjects, document_id, text, digest, prepared_by, changed_at) ON instruction_draft TO mandate_app, mandate_ops;
GRANT DELETE ON instruction_draft TO mandate_app;
GRANT INSERT ON instruction_version, instruction_term, instruction_revocation, instruction_confirmation, recipient TO mandate_app;
GRANT INSERT ON instruction_contest TO mandate_ops;
GRANT INSERT ON suspension TO mandate_app, mandate_ops;
GRANT UPDATE (release_id, release_proposed_by, release_proposed_at, released_by, released_at) ON suspension TO mandate_app, mandate_ops;
