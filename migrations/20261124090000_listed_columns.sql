-- What ops may read across all customers: listed columns. Whose data an entry is about, the nonces
-- that would open its commitments, and who a member is, are read one customer at a time or not at all.

REVOKE SELECT ON log_entry, agreement, membership, authority, first_signatory FROM mandate_ops_read;
GRANT SELECT (customer_id, epoch, index, id, type, at, leaf_hash, root, record, platform, route) ON log_entry TO mandate_ops_read;
GRANT SELECT (customer_id, id, version, platform, prepared_at, offered_at, accepted_at, in_force_from, in_force_until, terminated_at)
    ON agreement TO mandate_ops_read;
