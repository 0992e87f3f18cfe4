-- Facts that hold for all customers: code lists, EEA membership, holidays, platforms and their
-- suspensions. Written under the registry's lock, each with an entry in the registry's log.

CREATE TABLE purpose (
    code text PRIMARY KEY,
    name text NOT NULL,
    rule text NOT NULL CONSTRAINT purpose_rule CHECK (rule IN ('instructable', 'prohibited'))
);
COMMENT ON TABLE  purpose IS 'Purposes of processing. Immutable once loaded.';
COMMENT ON COLUMN purpose.code IS 'Code used in instructions and requests.';
COMMENT ON COLUMN purpose.name IS 'What it means.';
COMMENT ON COLUMN purpose.rule IS 'prohibited: can never be instructed or used (promise P3).';

CREATE TABLE data_category (
    code    text PRIMARY KEY,
    name    text NOT NULL,
    special boolean NOT NULL
);
COMMENT ON TABLE  data_category IS 'Categories of personal data. Immutable once loaded.';
COMMENT ON COLUMN data_category.code IS 'Code used in instructions and requests.';
COMMENT ON COLUMN data_category.name IS 'What it means.';
COMMENT ON COLUMN data_category.special IS 'True for a special category (GDPR Art. 9): must be named, never implied.';

CREATE TABLE platform (
    code   text PRIMARY KEY,
    log_id uuid NOT NULL CONSTRAINT platform_log REFERENCES log (id),
    CONSTRAINT platform_log_unique UNIQUE (log_id)
);
COMMENT ON TABLE  platform IS 'The systems that hold the personal data. Immutable.';
COMMENT ON COLUMN platform.code IS 'itslearning, fronter, skoleintra.';
COMMENT ON COLUMN platform.log_id IS 'The platform''s own log.';

CREATE TABLE channel (
    platform     text NOT NULL CONSTRAINT channel_platform REFERENCES platform (code),
    code         text NOT NULL,
    what_leaves  text NOT NULL,
    datasets     text[] NOT NULL,
    CONSTRAINT channel_key PRIMARY KEY (platform, code)
);
COMMENT ON TABLE  channel IS 'Ways in which personal data leaves a platform. Immutable once loaded.';
COMMENT ON COLUMN channel.platform IS 'The platform.';
COMMENT ON COLUMN channel.code IS 'Code used in instructions and requests.';
COMMENT ON COLUMN channel.what_leaves IS 'What it hands out.';
COMMENT ON COLUMN channel.datasets IS 'Its data sets.';

CREATE TABLE eea_membership (
    country    text NOT NULL,
    from_on    date NOT NULL,
    until_on   date,
    basis      text NOT NULL,
    CONSTRAINT eea_membership_key PRIMARY KEY (country, from_on)
);
COMMENT ON TABLE  eea_membership IS 'Dated membership of the EU/EEA (promise P7). Immutable once loaded.';
COMMENT ON COLUMN eea_membership.country IS 'ISO 3166-1 alpha-2.';
COMMENT ON COLUMN eea_membership.from_on IS 'First day.';
COMMENT ON COLUMN eea_membership.until_on IS 'First day on which it no longer holds; NULL: still.';
COMMENT ON COLUMN eea_membership.basis IS 'EU or EEA, with a note.';

CREATE TABLE public_holiday (
    calendar text NOT NULL,
    on_date  date NOT NULL,
    name     text NOT NULL,
    CONSTRAINT public_holiday_key PRIMARY KEY (calendar, on_date, name)
);
COMMENT ON TABLE  public_holiday IS 'Public holidays for the clocks of agreements. Immutable once loaded.';
COMMENT ON COLUMN public_holiday.calendar IS 'Country or subdivision.';
COMMENT ON COLUMN public_holiday.on_date IS 'The day.';
COMMENT ON COLUMN public_holiday.name IS 'Its name.';

CREATE TABLE platform_suspension (
    id           uuid PRIMARY KEY,
    platform     text NOT NULL CONSTRAINT platform_suspension_platform REFERENCES platform (code),
    ground       text NOT NULL,
    suspended_by uuid NOT NULL,
    suspended_at timestamptz NOT NULL,
    release_id   uuid,
    release_proposed_by uuid,
    release_proposed_at timestamptz,
    released_by  uuid,
    released_at  timestamptz,
    CONSTRAINT platform_suspension_two CHECK (released_by IS NULL OR released_by <> release_proposed_by)
);
COMMENT ON TABLE  platform_suspension IS 'Stops of a platform''s gate by ops_security. First five columns immutable.';
COMMENT ON COLUMN platform_suspension.id IS 'Id.';
COMMENT ON COLUMN platform_suspension.platform IS 'The platform.';
COMMENT ON COLUMN platform_suspension.ground IS 'Why.';
COMMENT ON COLUMN platform_suspension.suspended_by IS 'Ops person.';
COMMENT ON COLUMN platform_suspension.suspended_at IS 'Since when.';
COMMENT ON COLUMN platform_suspension.release_id IS 'Id of the proposed release.';
COMMENT ON COLUMN platform_suspension.release_proposed_by IS 'The ops_security person who proposed the release.';
COMMENT ON COLUMN platform_suspension.release_proposed_at IS 'When.';
COMMENT ON COLUMN platform_suspension.released_by IS 'The second ops person.';
COMMENT ON COLUMN platform_suspension.released_at IS 'When it ended.';

GRANT SELECT ON purpose, data_category, platform, channel, eea_membership, public_holiday, platform_suspension
    TO mandate_app, mandate_gate, mandate_worker, mandate_ops, mandate_ops_read;
GRANT INSERT ON purpose, data_category, platform, channel, eea_membership, public_holiday, platform_suspension TO mandate_ops;
GRANT UPDATE (release_id, release_proposed_by, release_proposed_at, released_by, released_at) ON platform_suspension TO mandate_ops;
