-- Who touches how many customers at the gate, added up over all processes, and the alarms when
-- that is more than normal: a stolen key or account shows itself by its breadth before anything else.

CREATE TABLE gate_activity (
    kind      text NOT NULL CONSTRAINT gate_activity_kind CHECK (kind IN ('key', 'job', 'person')),
    subject   text NOT NULL,
    bucket_at timestamptz NOT NULL,
    touched   uuid NOT NULL,
    CONSTRAINT gate_activity_key PRIMARY KEY (kind, subject, bucket_at, touched)
);
CREATE INDEX gate_activity_age ON gate_activity (bucket_at);
COMMENT ON TABLE  gate_activity IS 'Which customers a subject has asked the gate for, per ten minutes (global, closed list; housekeeping). Immutable; removed when three hours old, or thirty days after an alarm that counts it.';
COMMENT ON COLUMN gate_activity.kind IS 'key: a platform''s key; job, person: what stood behind requests, by its kind.';
COMMENT ON COLUMN gate_activity.subject IS 'The key''s id, or the SHA-256 of the pseudonymous reference with its platform.';
COMMENT ON COLUMN gate_activity.bucket_at IS 'Start of the ten minutes.';
COMMENT ON COLUMN gate_activity.touched IS 'The customer; for a name that no customer has, the first half of its SHA-256.';

CREATE TABLE gate_activity_count (
    kind      text NOT NULL CONSTRAINT gate_activity_count_kind CHECK (kind IN ('key', 'job', 'person')),
    subject   text NOT NULL,
    bucket_at timestamptz NOT NULL,
    platform  text NOT NULL,
    asks      bigint NOT NULL,
    rows      bigint NOT NULL,
    CONSTRAINT gate_activity_count_key PRIMARY KEY (kind, subject, bucket_at)
);
CREATE INDEX gate_activity_count_age ON gate_activity_count (bucket_at);
COMMENT ON TABLE  gate_activity_count IS 'How much a subject has asked the gate for, per ten minutes (global, closed list; housekeeping). asks and rows grow; removed when three hours old.';
COMMENT ON COLUMN gate_activity_count.kind IS 'As in gate_activity.';
COMMENT ON COLUMN gate_activity_count.subject IS 'As in gate_activity.';
COMMENT ON COLUMN gate_activity_count.bucket_at IS 'Start of the ten minutes.';
COMMENT ON COLUMN gate_activity_count.platform IS 'The platform that asked.';
COMMENT ON COLUMN gate_activity_count.asks IS 'Requests, whatever the answer.';
COMMENT ON COLUMN gate_activity_count.rows IS 'Records that were asked for, at most; capped at 10^15.';

CREATE TABLE alarm (
    id        uuid PRIMARY KEY,
    kind      text NOT NULL CONSTRAINT alarm_kind CHECK (kind IN ('key', 'job', 'person')),
    subject   text NOT NULL,
    platform  text NOT NULL CONSTRAINT alarm_platform REFERENCES platform (code),
    level     text NOT NULL CONSTRAINT alarm_level CHECK (level IN ('unusual', 'extreme')),
    customers bigint NOT NULL,
    rows      bigint NOT NULL,
    normal_customers bigint NOT NULL,
    normal_rows      bigint NOT NULL,
    since_at  timestamptz NOT NULL,
    raised_at timestamptz NOT NULL
);
CREATE INDEX alarm_of_subject ON alarm (kind, subject, raised_at);
COMMENT ON TABLE  alarm IS 'Alarms of unusual activity at the gate (global, closed list); each with an entry in the processor''s log. Immutable.';
COMMENT ON COLUMN alarm.id IS 'Id.';
COMMENT ON COLUMN alarm.kind IS 'As in gate_activity.';
COMMENT ON COLUMN alarm.subject IS 'As in gate_activity.';
COMMENT ON COLUMN alarm.platform IS 'The platform that asked.';
COMMENT ON COLUMN alarm.level IS 'unusual: more than normal; extreme: more than ten times normal.';
COMMENT ON COLUMN alarm.customers IS 'Customers touched, names that no customer has included.';
COMMENT ON COLUMN alarm.rows IS 'Records asked for.';
COMMENT ON COLUMN alarm.normal_customers IS 'The normal at that time.';
COMMENT ON COLUMN alarm.normal_rows IS 'The normal at that time.';
COMMENT ON COLUMN alarm.since_at IS 'From when was counted.';
COMMENT ON COLUMN alarm.raised_at IS 'When it was raised.';

GRANT SELECT, INSERT, DELETE ON gate_activity, gate_activity_count TO mandate_worker;
GRANT UPDATE (asks, rows) ON gate_activity_count TO mandate_worker;
GRANT SELECT, INSERT ON alarm TO mandate_worker;
GRANT SELECT ON gate_activity, alarm TO mandate_ops_read;
-- Whom an alarm is told to, and what is normal for a key.
GRANT SELECT (id, email, role, ended_at) ON ops_person TO mandate_worker;
