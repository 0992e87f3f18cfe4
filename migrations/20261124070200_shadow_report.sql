-- The shadow report reads the dry runs of one platform over all customers by time. The index holds
-- dry runs and requests for unknown customers only: no other entry pays for it.
CREATE INDEX log_entry_shadow ON log_entry (platform, at) WHERE type IN ('export.tried', 'gate.unknown_refused');
