//! What the database refuses by itself, to each runtime role, by direct SQL: rows of another
//! customer, and changes of what was signed or decided. Negative control of each: the same
//! statement as the owner of the right, or with the right tenant, works.

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::support::{Harness, KARI, export, instruction, run};
use mandate::db::Role;
use secrecy::ExposeSecret as _;

async fn connect(h: &Harness, role: Role) -> PgConnection {
    let url = h.database.urls.urls[role as usize].expose_secret().to_owned();
    PgConnection::connect(&url).await.unwrap()
}

async fn fill(h: &Harness) {
    let kari = h.person(KARI).await;
    h.signed(&kari, &instruction()).await;
    h.ask(&h.platform("itslearning"), "k", &export()).await.expect(201);
}

#[tokio::test]
async fn the_guard_finds_no_fault_and_names_one_that_is_made() {
    run(async |h: &Harness| {
        assert_eq!(mandate::db::guard(&h.app.db).await.unwrap(), Vec::<String>::new());
        let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
        owner.execute("ALTER TABLE export NO FORCE ROW LEVEL SECURITY; CREATE TABLE stray (id int); CREATE VIEW peek AS SELECT 1 AS one; GRANT TRUNCATE ON unit TO mandate_app").await.unwrap();
        let faults = mandate::db::guard(&h.app.db).await.unwrap().join("\n");
        for part in ["export lacks forced", "stray has no customer_id", "view peek lacks", "may truncate"] {
            assert!(faults.contains(part), "{part}: {faults}");
        }
        owner.execute("ALTER TABLE export FORCE ROW LEVEL SECURITY; DROP TABLE stray; DROP VIEW peek; REVOKE TRUNCATE ON unit FROM mandate_app").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_role_sees_a_row_without_its_tenant() {
    run(async |h: &Harness| {
        fill(h).await;
        let tables = [
            "export",
            "export_chunk",
            "instruction_version",
            "instruction",
            "agreement",
            "membership",
            "log_entry",
            "document",
            "suspension",
        ];
        for (role, setting) in [(Role::App, "mandate.customer"), (Role::Gate, "mandate.customers"), (Role::Ops, "mandate.customer")] {
            let mut conn = connect(h, role).await;
            for table in tables {
                let sql = format!("SELECT count(*) FROM {table} WHERE customer_id <> '00000000-0000-7000-8000-000000000001'");
                match sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await {
                    Ok(row) => assert_eq!(row.get::<i64, _>(0), 0, "{role:?} sees {table} without {setting}"),
                    Err(error) => assert!(error.to_string().contains("permission denied"), "{role:?} {table}: {error}"),
                }
            }
        }
        // With its own tenant the role sees its rows, and none of a neighbour's.
        let mut app = connect(h, Role::App).await;
        let nordvik: uuid::Uuid = h.customer("Nordvik").strip_prefix("cus_").unwrap().parse().unwrap();
        let mut tx = app.begin().await.unwrap();
        sqlx::query("SELECT set_config('mandate.customer', $1, true)").bind(nordvik.to_string()).execute(&mut *tx).await.unwrap();
        let row = sqlx::query("SELECT count(*), count(*) FILTER (WHERE customer_id <> $1) FROM export")
            .bind(nordvik)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (1, 0));
        tx.rollback().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn ops_ends_no_membership_but_a_withdrawn_first_signatorys() {
    run(async |h: &Harness| {
        let nordvik: uuid::Uuid = h.customer("Nordvik").strip_prefix("cus_").unwrap().parse().unwrap();
        // Negative control: the same statement as the role that may end memberships.
        for (role, ends) in [(Role::Ops, false), (Role::App, true)] {
            let mut conn = connect(h, role).await;
            let mut tx = conn.begin().await.unwrap();
            sqlx::query("SELECT set_config('mandate.customer', $1, true)").bind(nordvik.to_string()).execute(&mut *tx).await.unwrap();
            let done = sqlx::query("UPDATE membership SET ended_at = now()").execute(&mut *tx).await.unwrap();
            assert_eq!(done.rows_affected() > 0, ends, "{role:?}");
            tx.rollback().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_customers_login_names_no_other_customer_to_a_platform() {
    run(async |h: &Harness| {
        let id = |name: &str| -> uuid::Uuid { h.customer(name).strip_prefix("cus_").unwrap().parse().unwrap() };
        let (nordvik, soby) = (id("Nordvik"), id("Søby"));
        let mut app = connect(h, Role::App).await;
        for (named, may) in [(soby, false), (nordvik, true)] {
            let mut tx = app.begin().await.unwrap();
            sqlx::query("SELECT set_config('mandate.customer', $1, true)").bind(nordvik.to_string()).execute(&mut *tx).await.unwrap();
            let insert =
                "INSERT INTO external_id (platform, external_id, customer_id, since_at) VALUES ('skoleintra', 'stolen', $1, now())";
            let inserted = sqlx::query(insert).bind(named).execute(&mut *tx).await;
            match inserted {
                Ok(_) => assert!(may),
                Err(error) => assert!(!may && error.to_string().contains("row-level security"), "{error}"),
            }
            tx.rollback().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn no_runtime_role_changes_what_was_signed_or_decided() {
    run(async |h: &Harness| {
        fill(h).await;
        for role in Role::ALL {
            let mut conn = connect(h, role).await;
            for statement in [
                "UPDATE instruction_version SET scope = '{}'",
                "DELETE FROM instruction_version",
                "UPDATE log_entry SET record = '{}'",
                "DELETE FROM log_entry",
                "TRUNCATE log_entry",
                "UPDATE export SET instruction_id = id",
                "DELETE FROM export",
                "UPDATE export_chunk SET rows = 0",
                "DELETE FROM export_chunk",
                "UPDATE agreement SET parameters = '{}'",
                "DELETE FROM agreement",
                "DELETE FROM suspension",
                "DELETE FROM instruction_revocation",
                "UPDATE membership SET role = 'customer_admin'",
                "UPDATE log_head SET epoch = 2",
                "UPDATE installation SET private = true",
                "SELECT password_hash FROM person",
            ] {
                let error = conn.execute(statement).await.unwrap_err().to_string();
                assert!(error.contains("permission denied"), "{role:?} {statement}: {error}");
            }
        }
        // Ops can write no signature, no acceptance, no authority, whatever it claims to be.
        let mut ops = connect(h, Role::Ops).await;
        for statement in [
            "INSERT INTO instruction_version DEFAULT VALUES",
            "INSERT INTO authority DEFAULT VALUES",
            "INSERT INTO instruction_confirmation DEFAULT VALUES",
            "UPDATE agreement SET accepted_at = now()",
            "INSERT INTO export DEFAULT VALUES",
        ] {
            let error = ops.execute(statement).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{statement}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_guard_names_a_function_that_passes_row_level_security_by() {
    run(async |h: &Harness| {
        let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
        let made = "CREATE FUNCTION leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM export';
                    ALTER TABLE session NO FORCE ROW LEVEL SECURITY";
        owner.execute(made).await.unwrap();
        let faults = mandate::db::guard(&h.app.db).await.unwrap().join("\n");
        for part in
            ["leak runs as its owner and is not listed", "without a fixed search path", "anybody may call it", "session lacks forced"]
        {
            assert!(faults.contains(part), "{part}: {faults}");
        }
        owner.execute("DROP FUNCTION leak(); ALTER TABLE session FORCE ROW LEVEL SECURITY").await.unwrap();
        // Negative control: without them there is no fault.
        assert_eq!(mandate::db::guard(&h.app.db).await.unwrap(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn whoever_reads_across_customers_reads_listed_columns_only() {
    run(async |h: &Harness| {
        fill(h).await;
        let mut reader = connect(h, Role::OpsRead).await;
        for statement in [
            "SELECT subjects FROM log_entry",
            "SELECT nonce FROM log_entry",
            "SELECT * FROM log_entry",
            "SELECT contact FROM agreement",
            "SELECT person_id FROM membership",
            "SELECT request FROM export",
            "SELECT body FROM message",
        ] {
            let error = reader.execute(statement).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{statement}: {error}");
        }
        // Negative control: the listed columns of all customers are there.
        let seen = sqlx::query("SELECT type FROM log_entry WHERE type = 'export.permitted'").fetch_all(&mut reader).await.unwrap();
        assert_eq!(seen.len(), 1);
    })
    .await;
}
