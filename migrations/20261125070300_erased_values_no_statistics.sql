-- What is erased must not live on in the planner's statistics: ANALYZE copies values of a column there.
ALTER TABLE log_entry     ALTER COLUMN subjects SET STATISTICS 0, ALTER COLUMN subjects_nonce SET STATISTICS 0, ALTER COLUMN request_hash SET STATISTICS 0;
ALTER TABLE export        ALTER COLUMN subjects SET STATISTICS 0;
ALTER TABLE export_chunk  ALTER COLUMN last_reference SET STATISTICS 0, ALTER COLUMN last_nonce SET STATISTICS 0;
ALTER TABLE document_part ALTER COLUMN bytes SET STATISTICS 0;
