-- Whoever knew an address could keep its person out by failing as that person from anywhere. Failures
-- are counted by account and address together; where the person came in lately, those of others do not count.

ALTER TABLE login_slowdown ADD COLUMN succeeded_at timestamptz;
COMMENT ON TABLE  login_slowdown IS 'Failed logins per account and address together, per account, and per address (global; housekeeping); and where an account came in. A line goes 24 hours after its last try, or 30 days after its last success.';
COMMENT ON COLUMN login_slowdown.subject_hash IS 'SHA-256 of the surface with the account and the address, the account, or the address.';
COMMENT ON COLUMN login_slowdown.last_at IS 'The last one, or the success that ended them.';
COMMENT ON COLUMN login_slowdown.succeeded_at IS 'When the account last came in from this address; NULL: never, or a line of another kind.';
