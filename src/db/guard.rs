//! The boot guard: reads the catalogue and names everything that would let one customer's rows
//! reach another, or an export past what the database refuses by itself. `serve` refuses to start
//! while there is a fault; a test runs it too.

mod refusals;

use super::{Db, Role};
use crate::base::Result;

/// Tables that belong to no single customer: a closed list.
const GLOBAL: &[&str] = &[
    "_sqlx_migrations",
    "alarm",
    "api_key",
    "channel",
    "customer",
    "data_category",
    "eea_membership",
    "email_change",
    "export_directory",
    "external_id",
    "gate_activity",
    "gate_activity_count",
    "installation",
    "invitation",
    "job",
    "log",
    "log_key",
    "login_slowdown",
    "ops_person",
    "ops_recovery",
    "permit_key",
    "person",
    "platform",
    "platform_suspension",
    "public_holiday",
    "purpose",
    "recovery_code",
    "restore",
    "second_factor",
    "session",
];

/// Functions that run as the owner and so pass row level security by: a closed list, each with one
/// question that a login or the gate must ask before a tenant is known.
const DEFINERS: &[&str] = &[
    "accept_invitation",
    "api_key_by_secret",
    "batch_privacy_contacts",
    "begin_email_change",
    "change_email",
    "change_password",
    "credential_by_email",
    "customer_by_external_id",
    "customer_exists",
    "customer_of_export",
    "customers_of_exports",
    "demand_entry_under_head",
    "end_sessions",
    "exports_silent_since",
    "invitation_by_token",
    "member_standing",
    "member_unconfirmed",
    "memberships_of_person",
    "open_epoch",
    "ops_credential_by_email",
    "ops_recovery_by_token",
    "own_customer",
    "own_external_ids",
    "own_persons",
    "person_for_invitation",
    "processor_unconfirmed",
    "recover_ops_person",
    "recover_person",
    "recovery_by_token",
    "session_by_token",
];

/// Global tables whose rows belong to somebody all the same, or hold a line per customer: policies
/// hold for them too.
const OWNED_GLOBAL: &[&str] = &[
    "api_key",
    "email_change",
    "export_directory",
    "external_id",
    "job",
    "log",
    "ops_recovery",
    "recovery_code",
    "second_factor",
    "session",
];

/// Names every fault of the schema and of the logins; empty when the service may run.
///
/// # Errors
/// When the database does not answer.
pub async fn check(db: &Db) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    schema(db, &mut faults).await?;
    functions(db, &mut faults).await?;
    refusals::check(db, &mut faults).await?;
    for role in Role::ALL {
        login(db, role, &mut faults).await?;
    }
    Ok(faults)
}

/// Names every fault of the login that erases; empty when it is the eraser's and no more.
///
/// # Errors
/// When the database does not answer.
pub async fn check_eraser(db: &Db) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    login(db, Role::Eraser, &mut faults).await?;
    Ok(faults)
}

async fn schema(db: &Db, faults: &mut Vec<String>) -> Result<()> {
    let pool = &db.pool(Role::App);
    let global: Vec<String> = GLOBAL.iter().map(|t| (*t).to_owned()).collect();
    let tables: Vec<(String, bool, bool, bool)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
                EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'customer_id' AND NOT a.attisdropped)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname <> ALL ($1)",
    )
    .bind(&global)
    .fetch_all(pool)
    .await?;
    for (table, enabled, forced, has_customer) in tables {
        if !has_customer {
            faults.push(format!("table {table} has no customer_id and is not a listed global table"));
        }
        if !enabled || !forced {
            faults.push(format!("table {table} lacks forced row level security"));
        }
    }
    let keys: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, i.relname::text FROM pg_index x
         JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
         WHERE n.nspname = 'public' AND x.indisunique AND c.relname <> ALL ($1) AND a.attname <> 'customer_id'",
    )
    .bind(&global)
    .fetch_all(pool)
    .await?;
    faults.extend(keys.into_iter().map(|(table, key)| format!("key {key} of {table} does not start with customer_id")));
    let references: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, k.conname::text FROM pg_constraint k
         JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class f ON f.oid = k.confrelid
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
         WHERE n.nspname = 'public' AND k.contype = 'f' AND c.relname <> ALL ($1) AND f.relname <> ALL ($1) AND a.attname <> 'customer_id'",
    )
    .bind(&global)
    .fetch_all(pool)
    .await?;
    faults.extend(references.into_iter().map(|(table, key)| format!("foreign key {key} of {table} does not start with customer_id")));
    let views: Vec<(String,)> = sqlx::query_as(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind IN ('v', 'm') AND NOT COALESCE(c.reloptions::text LIKE '%security_invoker=true%', false)",
    )
    .fetch_all(pool)
    .await?;
    faults.extend(views.into_iter().map(|(view,)| format!("view {view} lacks security_invoker")));
    Ok(())
}

async fn functions(db: &Db, faults: &mut Vec<String>) -> Result<()> {
    let definers: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT p.proname::text, COALESCE(p.proconfig::text LIKE '%search_path=public, pg_temp%', false),
                EXISTS (SELECT 1 FROM aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public' AND p.prosecdef ORDER BY 1",
    )
    .fetch_all(&db.pool(Role::App))
    .await?;
    for (function, fixed, public) in definers {
        if !DEFINERS.contains(&function.as_str()) {
            faults.push(format!("function {function} runs as its owner and is not listed"));
        }
        if !fixed {
            faults.push(format!("function {function} runs as its owner without a fixed search path"));
        }
        if public {
            faults.push(format!("function {function} runs as its owner and anybody may call it"));
        }
    }
    let open: Vec<(String,)> = sqlx::query_as(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relname = ANY ($1) AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1",
    )
    .bind(OWNED_GLOBAL)
    .fetch_all(&db.pool(Role::App))
    .await?;
    faults.extend(open.into_iter().map(|(table,)| format!("table {table} lacks forced row level security")));
    Ok(())
}

async fn login(db: &Db, role: Role, faults: &mut Vec<String>) -> Result<()> {
    let pool = db.at(role)?.current().0;
    let (login, strong, owns, truncates, member): (String, bool, bool, bool, bool) = sqlx::query_as(
        "SELECT current_user::text, r.rolsuper OR r.rolbypassrls OR r.rolcreaterole,
                EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'public' AND c.relkind = 'r' AND pg_has_role(current_user, c.relowner, 'MEMBER')),
                EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'public' AND c.relkind = 'r' AND has_table_privilege(c.oid, 'TRUNCATE')),
                COALESCE((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1), false)
         FROM pg_roles r WHERE r.rolname = current_user",
    )
    .bind(role.name())
    .fetch_one(&pool)
    .await?;
    let others: Vec<(String,)> = sqlx::query_as(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'mandate\\_%' AND rolname <> $1 AND rolname <> current_user AND pg_has_role(current_user, oid, 'MEMBER')",
    )
    .bind(role.name())
    .fetch_all(&pool)
    .await?;
    let expected = role.name();
    if !member {
        faults.push(format!("the login for {expected} is {login}, which is not a member of it"));
    }
    if strong {
        faults.push(format!("the login {login} is superuser, may bypass row level security, or may create roles"));
    }
    if owns {
        faults.push(format!("the login {login} owns a table"));
    }
    if truncates {
        faults.push(format!("the login {login} may truncate a table"));
    }
    faults.extend(others.into_iter().map(|(other,)| format!("the login {login} is also a member of {other}")));
    Ok(())
}
