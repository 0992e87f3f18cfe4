//! What the database refuses by itself, as the guard demands it: the triggers are there, enabled,
//! with a fixed search path, and no function runs with the owner's rights that is not known here.

use crate::base::Result;
use crate::db::{Db, Role};

/// Every trigger that a promise rests on, by table.
const TRIGGERS: [(&str, &[&str]); 18] = [
    ("agreement", &["agreement_end_set_once", "agreement_set_once", "fact_under_head"]),
    ("api_key", &["api_key_set_once"]),
    ("authority", &["authority_set_once"]),
    ("document_part", &["document_part_whole"]),
    ("export", &["export_permitted_in_force", "export_redeemed_in_force", "export_set_once"]),
    ("first_signatory", &["first_signatory_set_once"]),
    ("instruction_confirmation", &["fact_under_head"]),
    ("instruction_contest", &["fact_under_head"]),
    ("instruction_revocation", &["fact_under_head"]),
    ("instruction_version", &["fact_under_head", "instruction_version_signed"]),
    ("invitation", &["invitation_set_once"]),
    ("log_head", &["log_head_grows"]),
    ("membership", &["membership_set_once"]),
    ("message", &["message_set_once"]),
    ("ops_person", &["ops_person_set_once"]),
    ("platform_suspension", &["fact_under_registry", "platform_suspension_set_once"]),
    ("session", &["session_set_once"]),
    ("suspension", &["fact_under_head", "suspension_set_once"]),
];

/// Functions that run with the owner's rights: a closed list.
const DEFINERS: [&str; 14] = [
    "accept_invitation",
    "api_key_by_secret",
    "credential_by_email",
    "customer_by_external_id",
    "customer_exists",
    "customer_of_export",
    "invitation_by_token",
    "memberships_of_person",
    "ops_credential_by_email",
    "own_customer",
    "own_external_ids",
    "own_persons",
    "person_for_invitation",
    "session_by_token",
];

/// Adds every fault of the triggers and the functions.
pub(super) async fn check(db: &Db, faults: &mut Vec<String>) -> Result<()> {
    triggers(db, faults).await?;
    functions(db, faults).await
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

async fn functions(db: &Db, faults: &mut Vec<String>) -> Result<()> {
    let listed = DEFINERS.map(str::to_owned).to_vec();
    // A function of an extension is the extension's.
    let found: Vec<(String, bool, bool, bool)> = sqlx::query_as(
        "SELECT p.proname::text, p.prosecdef AND p.proname <> ALL ($1),
                (p.prosecdef OR p.prorettype = 'trigger'::regtype) AND NOT EXISTS (SELECT 1 FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%'),
                p.prosecdef AND (p.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(p.proacl) a WHERE a.grantee = 0))
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = 'public' AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY 1",
    )
    .bind(&listed)
    .fetch_all(&db.pool(Role::App).clone())
    .await?;
    for (name, unlisted, loose, anybody) in found {
        if unlisted {
            faults.push(format!("function {name} runs with its owner's rights and is not listed"));
        }
        if loose {
            faults.push(format!("function {name} has no fixed search_path"));
        }
        if anybody {
            faults.push(format!("function {name} runs with its owner's rights for anybody"));
        }
    }
    Ok(())
}
