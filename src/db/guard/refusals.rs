//! What the database refuses by itself, as the guard demands it: the triggers are there and enabled,
//! and their functions have a fixed search path.

use crate::base::Result;
use crate::db::{Db, Role};

/// Every trigger that a promise rests on, by table.
const TRIGGERS: &[(&str, &[&str])] = &[
    ("account_recovery", &["account_recovery_set_once"]),
    ("agreement", &["agreement_end_set_once", "agreement_set_once", "fact_under_head"]),
    ("api_key", &["api_key_set_once"]),
    ("authority", &["authority_set_once"]),
    ("authority_suspension", &["authority_suspension_set_once"]),
    ("document", &["document_erased_by_entry", "document_stored_whole"]),
    ("document_part", &["document_part_erased_with_document", "document_part_whole"]),
    (
        "export",
        &[
            "export_chunks_grow",
            "export_late_report_of_closed",
            "export_late_report_set_once",
            "export_permitted_in_force",
            "export_redeemed_in_force",
            "export_set_once",
            "export_subjects_set_once",
            "export_swept_set_once",
        ],
    ),
    ("export_chunk", &["export_chunk_erased_with_export", "export_chunk_in_force"]),
    ("first_signatory", &["first_signatory_set_once"]),
    ("instruction_confirmation", &["fact_under_head"]),
    ("instruction_contest", &["fact_under_head"]),
    ("instruction_revocation", &["fact_under_head"]),
    ("instruction_version", &["fact_under_head", "instruction_version_signed"]),
    ("invitation", &["invitation_set_once"]),
    ("log_epoch", &["fact_under_head", "log_epoch_set_once"]),
    (
        "log_entry",
        &["log_entry_erased_by_entry", "log_entry_erases_its_document", "log_entry_erases_what_it_names", "log_entry_under_head"],
    ),
    ("log_head", &["log_head_grows"]),
    ("log_key", &["log_key_set_once"]),
    ("membership", &["membership_set_once"]),
    ("message", &["message_set_once"]),
    ("ops_person", &["ops_person_set_once"]),
    ("ops_recovery", &["ops_recovery_set_once"]),
    ("permit_key", &["permit_key_set_once"]),
    ("platform_suspension", &["fact_under_registry", "platform_suspension_set_once"]),
    ("recovery_code", &["recovery_code_set_once"]),
    ("restore", &["restore_set_once"]),
    ("second_factor", &["second_factor_set_once", "second_factor_step_grows"]),
    ("session", &["session_set_once"]),
    ("supplied_entry", &["fact_under_head"]),
    ("suspension", &["fact_under_head", "suspension_set_once"]),
];

/// Adds every fault of the triggers and their functions.
pub(super) async fn check(db: &Db, faults: &mut Vec<String>) -> Result<()> {
    triggers(db, faults).await?;
    let pool = db.pool(Role::App).clone();
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT p.proname::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
         WHERE NOT t.tgisinternal AND NOT COALESCE('search_path=public, pg_temp' = ANY (p.proconfig), false) ORDER BY 1",
    )
    .fetch_all(&pool)
    .await?;
    faults.extend(loose.into_iter().map(|name| format!("function {name} of a trigger has no fixed search path")));
    Ok(())
}

async fn triggers(db: &Db, faults: &mut Vec<String>) -> Result<()> {
    let (tables, names): (Vec<String>, Vec<String>) =
        TRIGGERS.iter().flat_map(|(table, names)| names.iter().map(|name| ((*table).to_owned(), (*name).to_owned()))).unzip();
    let missing: Vec<(String, String)> = sqlx::query_as(
        "SELECT d.relation, d.name FROM unnest($1::text[], $2::text[]) AS d (relation, name)
         WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                           WHERE n.nspname = 'public' AND c.relname = d.relation AND t.tgname = d.name AND t.tgenabled IN ('O', 'A'))
         ORDER BY 1, 2",
    )
    .bind(&tables)
    .bind(&names)
    .fetch_all(&db.pool(Role::App).clone())
    .await?;
    faults.extend(missing.into_iter().map(|(table, name)| format!("trigger {name} of {table} is missing or disabled")));
    Ok(())
}
