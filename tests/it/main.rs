//! Behaviour, through HTTP, on a real Postgres as the runtime roles: one file per behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::large_futures,
    clippy::type_complexity,
    reason = "a test fails by panicking, reads its own settings, and cleans up as it can"
)]

mod accounts;
mod accounts_email;
mod accounts_invited;
mod accounts_recovery;
mod alarms;
mod append_bench;
mod bad_input;
mod checkpoints;
mod checkpoints_lost;
mod chunks;
mod citations;
mod command_line;
mod conventions;
mod conventions_walk;
mod crowds;
mod endings;
mod entries_under_head;
mod erasure;
mod erasure_after;
mod erasure_guards;
mod erasure_search;
mod export_in_force;
mod failure_clients;
mod failure_commit;
mod failure_database;
mod failure_pools;
mod failure_shutdown;
mod failure_sockets;
mod foreign_bodies;
mod foreign_ids;
mod foreign_rows;
mod fsck;
mod gate_reasons;
mod gate_redemption;
mod histories;
mod idempotency;
mod idempotency_storm;
mod identity;
mod kills;
mod log_reading;
mod logins;
mod logins_elsewhere;
mod mutated_rows;
mod notices;
mod one_call_stops;
mod operations;
mod ops_recovery;
mod packs;
mod permit_keys;
mod permit_vectors;
mod proof_bench;
mod replayed;
mod restores;
mod restores_commands;
mod restores_erased;
mod restores_packs;
mod restores_pending;
mod restores_random;
mod restores_timeline;
mod restores_unconfirmed;
mod routes;
mod secrets_key;
mod set_once;
mod set_once_comments;
mod shadow_report;
mod single_mode;
mod staff;
mod stolen_ops;
mod stopped_process;
mod stopping;
mod stops;
mod storm;
mod support;
mod tenancy;
mod two_of_staff;
mod undeliverable;
mod unknown_customers;
mod whole_institution;
