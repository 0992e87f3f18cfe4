//! What was signed, decided or entered does not change: which columns a role may change at all is a
//! closed list, what is set once is set once, and a log's head says what its entries say. Negative
//! control of each: the first setting goes in, and without the trigger the second one does too.

use serde_json::json;
use sqlx::PgConnection;

use crate::entries_under_head::further_entry;
use crate::support::{
    ADMIN, Harness, KARI, LOGINS, SECURITY, bare, connect_as, connect_as_owner, export, instruction, run, try_rolled_back, try_sql,
};

/// Every column that a runtime role may change, and every table it may delete from. What is not
/// here is immutable once inserted: versions, terms, revocations, contests, confirmations,
/// documents, entries, permits, keys.
const MAY_CHANGE: &[&str] = &[
    "mandate_app account_recovery: withdrawn_at",
    "mandate_app agreement: accepted_at accepted_by in_force_from in_force_until terminated_at",
    "mandate_app api_key: last_used_on revoked_at",
    "mandate_app authority: ended_at",
    "mandate_app authority_suspension: confirmed_at confirmed_by",
    "mandate_app idempotency: answer attempt claimed_at committed_at expires_at fingerprint receipts status DELETE",
    "mandate_app instruction_draft: changed_at digest document_id prepared_by scope subjects text DELETE",
    "mandate_app log_epoch: confirmed_at confirmed_by",
    "mandate_app log_head: edge last_at size",
    "mandate_app login_slowdown: failures last_at subject_hash succeeded_at DELETE",
    "mandate_app membership: accepted_at ended_at",
    "mandate_app recovery_code: ended_at used_at",
    "mandate_app second_factor: confirmed_at ended_at last_step DELETE",
    "mandate_app session: last_used_at revoked_at stepped_up_at",
    "mandate_app suspension: release_id release_proposed_at release_proposed_by released_at released_by",
    "mandate_eraser document: erased_at",
    "mandate_eraser document_part: DELETE",
    "mandate_eraser export: permit subjects",
    "mandate_eraser export_chunk: last_nonce last_reference",
    "mandate_eraser idempotency: DELETE",
    "mandate_eraser log_entry: request_hash subjects subjects_nonce",
    "mandate_eraser log_head: edge last_at size",
    "mandate_eraser operation: DELETE",
    "mandate_eraser operation_part: DELETE",
    "mandate_gate api_key: last_used_on",
    "mandate_gate export: aborted_at chunk_bytes chunk_files chunk_rows chunks completed_at last_chunk_at last_chunk_no late_report redeemed_at report stopped_at stopped_index swept_at",
    "mandate_gate instruction_usage: bytes files rows",
    "mandate_gate log_head: edge last_at size",
    "mandate_ops account_recovery: approved_at approved_by notice_id withdrawn_at",
    "mandate_ops agreement: offered_at",
    "mandate_ops api_key: approved_at approved_by last_used_on revoked_at",
    "mandate_ops first_signatory: approved_at approved_by membership_id notice_id withdrawn_at withdrawn_by",
    "mandate_ops idempotency: answer attempt claimed_at committed_at expires_at fingerprint receipts status DELETE",
    "mandate_ops instruction_draft: changed_at digest document_id prepared_by scope subjects text",
    "mandate_ops log_epoch: confirmed_at",
    "mandate_ops log_head: edge last_at size",
    "mandate_ops log_key: activated_at retired_at withdrawn_at",
    "mandate_ops log_quarantine: DELETE",
    "mandate_ops login_slowdown: failures last_at subject_hash succeeded_at DELETE",
    "mandate_ops membership: ended_at",
    "mandate_ops ops_person: admitted_at approved_by ended_at",
    "mandate_ops ops_recovery: approved_at approved_by notice_id withdrawn_at",
    "mandate_ops permit_key: activated_at retired_at withdrawn_at",
    "mandate_ops platform_suspension: release_id release_proposed_at release_proposed_by released_at released_by",
    "mandate_ops recovery_code: ended_at used_at",
    "mandate_ops restore: finished_at",
    "mandate_ops second_factor: confirmed_at ended_at last_step DELETE",
    "mandate_ops session: last_used_at revoked_at stepped_up_at",
    "mandate_ops suspension: release_id release_proposed_at release_proposed_by released_at released_by",
    "mandate_worker account_recovery: closes_at delivered_at opens_at token_hash",
    "mandate_worker first_signatory: authority_begins_at delivered_at",
    "mandate_worker gate_activity: DELETE",
    "mandate_worker gate_activity_count: asks rows DELETE",
    "mandate_worker idempotency: DELETE",
    "mandate_worker job: attempts due_at DELETE",
    "mandate_worker log_head: edge last_at size",
    "mandate_worker message: attempts body delivered_at undeliverable_at",
    "mandate_worker operation: attempt bytes done ended_at media_type parts problem state total DELETE",
    "mandate_worker operation_part: DELETE",
    "mandate_worker ops_recovery: closes_at delivered_at opens_at token_hash",
];

#[tokio::test]
async fn the_columns_that_a_role_may_change_are_a_closed_list() {
    run(async |h: &Harness| {
        let mut owner = connect_as_owner(h).await;
        let logins = LOGINS.map(str::to_owned).to_vec();
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT r || ' ' || c.relname || ':' || COALESCE(' ' || (SELECT string_agg(a.attname, ' ' ORDER BY a.attname) FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(r, c.oid, a.attnum, 'UPDATE')), '')
                    || CASE WHEN has_table_privilege(r, c.oid, 'DELETE') THEN ' DELETE' ELSE '' END
                    || CASE WHEN has_table_privilege(r, c.oid, 'TRUNCATE, REFERENCES, TRIGGER') THEN ' MORE' ELSE '' END
             FROM unnest($1::text[]) r CROSS JOIN pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm')
               AND (has_any_column_privilege(r, c.oid, 'UPDATE') OR has_table_privilege(r, c.oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER'))
             ORDER BY 1",
        )
        .bind(&logins)
        .fetch_all(&mut owner)
        .await
        .unwrap();
        assert_eq!(found, MAY_CHANGE, "{found:#?}");
    })
    .await;
}

/// A role with the columns of a table that it may set once, and an expression for each.
const ONCE: &[(&str, &str, &[(&str, &str)])] = &[
    ("mandate_app", "membership", &[("accepted_at", "began_at"), ("ended_at", "began_at")]),
    ("mandate_app", "second_factor", &[("confirmed_at", "begun_at"), ("ended_at", "confirmed_at")]),
    ("mandate_app", "recovery_code", &[("used_at", "now()")]),
    ("mandate_app", "authority_suspension", &[("confirmed_at", "suspended_at"), ("confirmed_by", "membership_id")]),
    ("mandate_app", "authority", &[("ended_at", "granted_at")]),
    ("mandate_app", "session", &[("revoked_at", "created_at")]),
    ("mandate_app", "api_key", &[("revoked_at", "created_at")]),
    (
        "mandate_app",
        "agreement",
        &[("accepted_at", "offered_at"), ("accepted_by", "gen_random_uuid()"), ("in_force_from", "offered_at"), ("terminated_at", "now()")],
    ),
    ("mandate_app", "suspension", &[("release_id", "gen_random_uuid()"), ("released_by", "suspended_by"), ("released_at", "suspended_at")]),
    (
        "mandate_gate",
        "export",
        &[("redeemed_at", "decided_at"), ("completed_at", "decided_at"), ("aborted_at", "decided_at"), ("report", "'{}'::jsonb")],
    ),
    ("mandate_ops", "agreement", &[("offered_at", "prepared_at")]),
    ("mandate_ops", "session", &[("revoked_at", "created_at")]),
    ("mandate_ops", "api_key", &[("revoked_at", "created_at"), ("approved_at", "created_at"), ("approved_by", "created_by")]),
    (
        "mandate_ops",
        "ops_person",
        &[
            ("ended_at", "created_at"),
            ("admitted_at", "created_at"),
            ("approved_by", "(SELECT id FROM ops_person WHERE role = 'ops_privacy')"),
        ],
    ),
    ("mandate_ops", "second_factor", &[("confirmed_at", "begun_at"), ("ended_at", "confirmed_at")]),
    ("mandate_ops", "recovery_code", &[("used_at", "now()")]),
    (
        "mandate_ops",
        "account_recovery",
        &[("approved_by", "person_id"), ("approved_at", "proposed_at"), ("notice_id", "id"), ("withdrawn_at", "proposed_at")],
    ),
    (
        "mandate_ops",
        "first_signatory",
        &[
            ("approved_by", "person_id"),
            ("approved_at", "proposed_at"),
            ("notice_id", "id"),
            ("membership_id", "person_id"),
            ("withdrawn_by", "person_id"),
            ("withdrawn_at", "proposed_at"),
        ],
    ),
    (
        "mandate_ops",
        "suspension",
        &[
            ("release_id", "id"),
            ("release_proposed_by", "gen_random_uuid()"),
            ("released_by", "gen_random_uuid()"),
            ("released_at", "now()"),
        ],
    ),
    (
        "mandate_ops",
        "platform_suspension",
        &[
            ("release_id", "id"),
            ("release_proposed_by", "gen_random_uuid()"),
            ("released_by", "gen_random_uuid()"),
            ("released_at", "now()"),
        ],
    ),
    ("mandate_worker", "first_signatory", &[("delivered_at", "proposed_at"), ("authority_begins_at", "proposed_at")]),
    ("mandate_worker", "message", &[("delivered_at", "created_at"), ("undeliverable_at", "created_at")]),
    (
        "mandate_worker",
        "account_recovery",
        &[("delivered_at", "proposed_at"), ("opens_at", "now() + interval '1 y'"), ("closes_at", "now()")],
    ),
];

async fn world(h: &Harness) {
    let kari = h.person(KARI).await;
    h.signed(&kari, &instruction()).await;
    let platform = h.platform("itslearning");
    for key in ["a", "b"] {
        h.ask(&platform, key, &export()).await.expect(201);
    }
    let key = json!({"name": "reading", "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
    kari.post("/api/v1/api-keys", &key).await.expect(201);
    // Another customer is suspended, so that Nordvik's permits can still be redeemed.
    let elbtal = h.person("j.voss@elbtal.example").await;
    elbtal.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201);
    let security = h.person(SECURITY).await;
    let path = format!("/api/admin/v1/customers/{}/suspensions", h.customer("Gymnasium"));
    for path in [path.as_str(), "/api/admin/v1/platforms/fronter/suspensions"] {
        security.post(path, &json!({"ground": "x"})).await.expect(201);
    }
    // Invited, with a message that waits, and not yet come.
    let new = json!({"email": "new@nordvik.example", "name": "New", "role": "customer_reader", "authority": []});
    kari.post("/api/v1/people", &new).await.expect(201);
    // Nobody of Nordvik has come back, but for what the first ops person proposed.
    let people = kari.get("/api/v1/people").await.expect(200).json();
    let maja = people["data"].as_array().unwrap().iter().find(|m| m["email"] == crate::support::MAJA).unwrap()["id"].clone();
    let agreement = kari.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
    let path = format!("/api/admin/v1/customers/{}/account-recoveries", h.customer("Nordvik"));
    h.person(ADMIN).await.post(&path, &json!({"membership": maja, "agreement": agreement})).await.expect(201);
}

/// Sets a column where it is null, then again, then back to null; gives what happened to the last two.
async fn twice_more(conn: &mut PgConnection, table: &str, column: &str, value: &str) -> [Result<u64, String>; 2] {
    let first = format!("UPDATE {table} SET {column} = {value} WHERE {column} IS NULL");
    // A redeemed permit may be completed, or an open one aborted: never both.
    let first = match (table, column) {
        ("export", "completed_at") => format!("UPDATE export SET redeemed_at = decided_at, completed_at = {value}"),
        ("first_signatory", "withdrawn_by" | "withdrawn_at") => {
            "UPDATE first_signatory SET withdrawn_by = person_id, withdrawn_at = proposed_at".to_owned()
        }
        ("authority_suspension", _) => {
            "INSERT INTO authority_suspension (customer_id, membership_id, recovery_id, suspended_at, confirmed_at, confirmed_by)
                                        SELECT customer_id, id, id, began_at, began_at, id FROM membership"
                .to_owned()
        }
        ("message", "undeliverable_at") => format!("{first} AND delivered_at IS NULL"),
        _ => first,
    };
    let other = match column {
        c if c.ends_with("_at") || c == "in_force_from" => format!("{column} + interval '1 s'"),
        "report" => r#"'{"rows": 1}'::jsonb"#.to_owned(),
        _ => "gen_random_uuid()".to_owned(),
    };
    let again = format!("UPDATE {table} SET {column} = {other} WHERE {column} IS NOT NULL");
    let back = format!("UPDATE {table} SET {column} = NULL WHERE {column} IS NOT NULL");
    let first = try_sql(conn, &first).await;
    assert!(first.is_ok(), "{table}.{column} is set once: {first:?}");
    let mut rest = Vec::new();
    for statement in [again, back] {
        try_sql(conn, "SAVEPOINT second").await.unwrap();
        rest.push(try_sql(conn, &statement).await);
        try_sql(conn, "ROLLBACK TO second").await.unwrap();
    }
    rest.try_into().unwrap()
}

#[tokio::test]
async fn what_is_set_once_is_not_set_again_and_not_unset() {
    run(async |h: &Harness| {
        world(h).await;
        let (nordvik, elbtal) = (bare(&h.customer("Nordvik")), bare(&h.customer("Gymnasium")));
        for (login, table, columns) in ONCE {
            let customer = if *table == "suspension" { elbtal } else { nordvik };
            let mut conn = connect_as(h, login, Some(customer)).await;
            for (column, value) in *columns {
                try_sql(&mut conn, "BEGIN").await.unwrap();
                let [again, back] = twice_more(&mut conn, table, column, value).await;
                for outcome in [again, back] {
                    let said = outcome.expect_err(&format!("{login} changes {table}.{column}"));
                    assert!(said.contains(&format!("23514 {table}_set_once")), "{login} {table}.{column}: {said}");
                }
                try_sql(&mut conn, "ROLLBACK").await.unwrap();
            }
        }
        // Each side releases its own suspensions only.
        for (login, side) in [("mandate_app", "ops"), ("mandate_ops", "customer")] {
            let mut conn = connect_as(h, login, Some(elbtal)).await;
            let release = format!("UPDATE suspension SET released_at = now() WHERE made_by = '{side}'");
            assert_eq!(try_sql(&mut conn, &release).await, Ok(0), "{login} releases one made by {side}");
        }
        // Negative control: the trigger is what refuses.
        let mut owner = connect_as_owner(h).await;
        try_sql(&mut owner, "ALTER TABLE message DISABLE TRIGGER message_set_once").await.unwrap();
        let mut worker = connect_as(h, "mandate_worker", Some(nordvik)).await;
        try_sql(&mut worker, "BEGIN").await.unwrap();
        let [again, _] = twice_more(&mut worker, "message", "delivered_at", "created_at").await;
        assert!(again.is_ok(), "{again:?}");
        try_sql(&mut worker, "ROLLBACK").await.unwrap();
        try_sql(&mut owner, "ALTER TABLE message ENABLE TRIGGER message_set_once").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_end_of_an_agreement_only_comes_nearer() {
    run(async |h: &Harness| {
        let mut app = connect_as(h, "mandate_app", Some(bare(&h.customer("Nordvik")))).await;
        let end = |from: &str, until: &str| {
            format!("UPDATE agreement SET in_force_until = {until}, terminated_at = COALESCE(terminated_at, {from}) WHERE accepted_at IS NOT NULL")
        };
        let now = "accepted_at + interval '1 h'";
        let ended = end(now, "accepted_at + interval '2 h'");
        let (nearer, later, open) = (end(now, now), end(now, "accepted_at + interval '3 h'"), end(now, "NULL"));
        let without = "UPDATE agreement SET in_force_until = accepted_at + interval '2 h' WHERE accepted_at IS NOT NULL";
        let backdated = end(now, "accepted_at");
        assert_eq!(try_rolled_back(&mut app, "BEGIN", &[&ended, &nearer]).await, Ok(()));
        for changes in [vec![ended.as_str(), later.as_str()], vec![ended.as_str(), open.as_str()], vec![without], vec![backdated.as_str()]] {
            let said = try_rolled_back(&mut app, "BEGIN", &changes).await.unwrap_err();
            assert!(said.contains("agreement_end_set_once"), "{changes:?}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_says_what_its_entries_say() {
    run(async |h: &Harness| {
        world(h).await;
        let nordvik = bare(&h.customer("Nordvik"));
        let entry = |step: u32| further_entry(nordvik, "e.epoch", &format!("h.size + {step}"), "requests.erased");
        let head = |size: &str, last: &str| {
            format!("UPDATE log_head SET size = {size}, last_at = {last}, edge = decode(repeat('00', 32 * bit_count(({size})::bit(64))::int), 'hex') WHERE customer_id = '{nordvik}'")
        };
        let (one, far) = (entry(0), entry(1));
        for login in ["mandate_app", "mandate_gate", "mandate_worker", "mandate_ops", "mandate_eraser"] {
            let mut conn = connect_as(h, login, Some(nordvik)).await;
            let grown = head("size + 1", "last_at");
            assert_eq!(try_rolled_back(&mut conn, "BEGIN", &[&one, &grown]).await, Ok(()), "{login}");
            for (what, statements) in [
                ("a size without its entry", vec![grown.clone()]),
                ("a smaller size", vec![head("size - 1", "last_at")]),
                ("a gap", vec![far.clone(), head("size + 2", "last_at")]),
                ("an entry left out", vec![one.clone(), far.clone(), grown.clone()]),
                ("an earlier time", vec![head("size", "last_at - interval '1 ms'")]),
                ("a time without an entry", vec![head("size", "last_at + interval '1 ms'")]),
                ("another time than the entry's", vec![one.clone(), head("size + 1", "last_at + interval '1 ms'")]),
                ("another edge", vec![head("size", "last_at")]),
                ("an edge of another size", vec![one.clone(), format!("UPDATE log_head SET size = size + 1, edge = decode(repeat('00', 32 * (bit_count((size + 1)::bit(64))::int + 1)), 'hex') WHERE customer_id = '{nordvik}'")]),
            ] {
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                let said = try_rolled_back(&mut conn, "BEGIN", &statements).await.expect_err(what);
                assert!(said.contains("log_head_grows") || said.contains("log_head_edge_size"), "{login} {what}: {said}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_whose_database_no_longer_refuses_does_not_start() {
    run(async |h: &Harness| {
        assert_eq!(mandate::db::guard(&h.app.db).await.unwrap(), Vec::<String>::new());
        let mut owner = connect_as_owner(h).await;
        for (sabotage, repair, fault) in [
            (
                "ALTER TABLE export DISABLE TRIGGER export_permitted_in_force",
                "ALTER TABLE export ENABLE TRIGGER export_permitted_in_force",
                "trigger export_permitted_in_force of export is missing or disabled",
            ),
            (
                "ALTER TABLE log_head DISABLE TRIGGER USER",
                "ALTER TABLE log_head ENABLE TRIGGER USER",
                "trigger log_head_grows of log_head is missing or disabled",
            ),
            (
                "ALTER FUNCTION refuse_second_setting() RESET search_path",
                "ALTER FUNCTION refuse_second_setting() SET search_path = public, pg_temp",
                "function refuse_second_setting of a trigger has no fixed search path",
            ),
            (
                "ALTER TABLE log NO FORCE ROW LEVEL SECURITY",
                "ALTER TABLE log FORCE ROW LEVEL SECURITY",
                "table log lacks forced row level security",
            ),
        ] {
            try_sql(&mut owner, sabotage).await.unwrap();
            assert_eq!(mandate::db::guard(&h.app.db).await.unwrap(), [fault]);
            try_sql(&mut owner, repair).await.unwrap();
        }
        assert_eq!(mandate::db::guard(&h.app.db).await.unwrap(), Vec::<String>::new());
    })
    .await;
}
