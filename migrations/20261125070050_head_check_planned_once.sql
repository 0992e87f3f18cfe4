-- The check of a head reads a range that the planner takes for a third of the log as long as it does not
-- know where it begins, so it planned anew for every entry: ten times the cost of the check itself. One
-- plan, by the primary key, serves every log.
ALTER FUNCTION demand_entries_of_head() SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION demand_entries_of_head() SET enable_seqscan = off;
