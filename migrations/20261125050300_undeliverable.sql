-- A message that can never be delivered ends: it is told to ops once, and not tried for ever.

ALTER TABLE message ADD COLUMN undeliverable_at timestamptz;
ALTER TABLE message ADD CONSTRAINT message_ends CHECK (delivered_at IS NULL OR undeliverable_at IS NULL);
COMMENT ON TABLE  message IS 'Messages to be sent, by customer (or the processor''s log id for staff). Columns up to created_at immutable, but for body; delivered_at and undeliverable_at are set once, and body is forgotten with either.';
COMMENT ON COLUMN message.undeliverable_at IS 'When it was given up, because no try could ever deliver it.';
GRANT UPDATE (undeliverable_at) ON message TO mandate_worker;
GRANT SELECT (undeliverable_at) ON message TO mandate_ops_read;
CREATE OR REPLACE TRIGGER message_set_once BEFORE UPDATE ON message FOR EACH ROW
    WHEN ((OLD.delivered_at IS NOT NULL AND NEW.delivered_at IS DISTINCT FROM OLD.delivered_at)
          OR (OLD.undeliverable_at IS NOT NULL AND NEW.undeliverable_at IS DISTINCT FROM OLD.undeliverable_at))
    EXECUTE FUNCTION refuse_second_setting();
-- Whoever waits for a second person's approval is told nothing.
GRANT SELECT (admitted_at) ON ops_person TO mandate_worker;
