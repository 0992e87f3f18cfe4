//! Acting for one customer, by direct SQL, no role reaches a row of another: by table or view, COPY,
//! EXPLAIN, statistics, a function of its own that looks at rows before the policy, a definer
//! function, a temporary table in the way, an error's text, or a foreign key. Negative control: the
//! same reading, acting for that other customer, finds its marks; so the finder finds.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{Harness, KARI, bare, connect_as, export, instruction, run, said, try_rolled_back, try_sql, with};

/// The roles that act for one customer, or one batch.
const ACTING: [&str; 4] = ["mandate_app", "mandate_gate", "mandate_worker", "mandate_eraser"];

/// The customer that acts, the other one, and what would betray the other.
struct Two {
    own: Uuid,
    other: Uuid,
    marks: Vec<String>,
    instruction: Uuid,
    export: Uuid,
    person: Uuid,
}

async fn two(h: &Harness) -> Two {
    let kari = h.person(KARI).await;
    h.signed(&kari, &instruction()).await;
    let platform = h.platform("itslearning");
    h.ask(&platform, "own", &export()).await.expect(201);
    let mette = h.person("mette.holm@soby.example").await;
    let instruction = bare(&h.signed(&mette, &instruction()).await);
    let asked = with(export(), json!({"customer": "site-2002-its", "subjects": [{"kind": "whole"}]}));
    let export = bare(&h.ask(&platform, "other", &asked).await.expect(201).text("/id"));
    mette.post("/api/v1/suspensions", &json!({"ground": "mark-of-soby"})).await.expect(201);
    let other = bare(&h.customer("Søby"));
    let mut app = connect_as(h, "mandate_app", Some(other)).await;
    let (member, person): (Uuid, Uuid) = sqlx::query_as(
        "SELECT m.id, m.person_id FROM membership m JOIN authority a ON a.membership_id = m.id WHERE a.kind = 'export' LIMIT 1",
    )
    .fetch_one(&mut app)
    .await
    .unwrap();
    let document: Uuid = sqlx::query_scalar("SELECT document_id FROM instruction_version").fetch_one(&mut app).await.unwrap();
    let ids = [other, instruction, export, member, document].map(|id| id.to_string());
    let words = ["soby.example", "mark-of-soby", "site-2002"].map(str::to_owned);
    let marks = ids.iter().cloned().chain(ids.iter().map(|id| id.replace('-', ""))).chain(words).collect();
    Two { own: bare(&h.customer("Nordvik")), other, marks, instruction, export, person }
}

impl Two {
    #[track_caller]
    fn clean(&self, text: &str, what: &str) {
        for mark in &self.marks {
            assert!(!text.contains(mark.as_str()), "{what} shows {mark}");
        }
    }
    fn betrayed(&self, text: &str) -> bool {
        self.marks.iter().any(|mark| text.contains(mark.as_str()))
    }
}

/// Every table and view of the schema with the columns that this role may read.
async fn readable(conn: &mut PgConnection) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT c.relname::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
           AND has_column_privilege(c.oid, a.attnum, 'SELECT')
         GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(conn)
    .await
    .unwrap()
}

async fn text(conn: &mut PgConnection, sql: String) -> String {
    let rows: Vec<Option<String>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await.unwrap();
    rows.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

async fn copied(conn: &mut PgConnection, sql: &str) -> String {
    use futures_util::TryStreamExt as _;
    let stream = conn.copy_out_raw(sql).await.unwrap();
    let chunks: Vec<_> = stream.try_collect().await.unwrap();
    String::from_utf8_lossy(&chunks.concat()).into_owned()
}

#[tokio::test]
async fn no_reading_of_any_table_finds_the_other_customer() {
    run(async |h: &Harness| {
        let two = two(h).await;
        for login in ACTING {
            let mut conn = connect_as(h, login, Some(two.own)).await;
            let mut rightful = connect_as(h, login, Some(two.other)).await;
            let mut found = 0;
            for (table, columns) in readable(&mut conn).await {
                // A worker sees every envelope: ids of customers and messages, and no content.
                if table == "job" {
                    continue;
                }
                let what = format!("{login} {table}");
                let rows = format!("SELECT ROW({columns})::text FROM {table}");
                two.clean(&text(&mut conn, rows.clone()).await, &what);
                found += i32::from(two.betrayed(&text(&mut rightful, rows.clone()).await));
                two.clean(&copied(&mut conn, &format!("COPY {table} ({columns}) TO STDOUT")).await, &format!("COPY by {what}"));
                two.clean(&copied(&mut conn, &format!("COPY ({rows}) TO STDOUT")).await, &format!("COPY of a query by {what}"));
                let explained = text(&mut conn, format!("EXPLAIN (ANALYZE, VERBOSE) SELECT {columns} FROM {table}")).await;
                two.clean(&explained, &format!("EXPLAIN by {what}"));
            }
            assert!(found > 0, "{login}: the other's own reading finds its marks");
            let statistics = text(&mut conn, "SELECT s::text FROM pg_stats s WHERE schemaname = 'public'".to_owned()).await;
            two.clean(&statistics, &format!("statistics for {login}"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_function_that_looks_at_rows_sees_its_own_customers_only() {
    run(async |h: &Harness| {
        let two = two(h).await;
        for login in ACTING {
            for (customer, finds) in [(two.own, false), (two.other, true)] {
                let mut conn = connect_as(h, login, Some(customer)).await;
                // Cheaper than any policy, so that a planner that may would ask it first.
                try_sql(
                    &mut conn,
                    "CREATE TEMP TABLE seen (line text);
                     CREATE FUNCTION pg_temp.look(line text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
                     AS $$ BEGIN INSERT INTO pg_temp.seen VALUES (line); RETURN true; END $$",
                )
                .await
                .unwrap();
                for (table, columns) in readable(&mut conn).await {
                    if table != "job" {
                        try_sql(&mut conn, &format!("SELECT count(*) FROM {table} WHERE pg_temp.look(ROW({columns})::text)"))
                            .await
                            .unwrap();
                    }
                }
                let seen = text(&mut conn, "SELECT line FROM pg_temp.seen".to_owned()).await;
                assert!(!seen.is_empty());
                if finds {
                    assert!(two.betrayed(&seen), "{login}: acting for the other, it sees the other");
                } else {
                    two.clean(&seen, &format!("a look by {login}"));
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn definer_functions_answer_for_the_acting_customer_only() {
    run(async |h: &Harness| {
        let two = two(h).await;
        let Two { other, export, person, instruction, .. } = &two;
        let calls = [
            "SELECT f::text FROM own_customer() f".to_owned(),
            "SELECT f::text FROM own_external_ids() f".to_owned(),
            "SELECT f::text FROM own_persons() f".to_owned(),
            format!("SELECT f::text FROM memberships_of_person('{person}') f"),
            "SELECT f::text FROM session_by_token(sha256('guess')) f".to_owned(),
            "SELECT f::text FROM api_key_by_secret(sha256('guess')) f".to_owned(),
            "SELECT f::text FROM invitation_by_token(sha256('guess')) f".to_owned(),
            "SELECT accept_invitation(sha256('guess'), 'x', now())::text".to_owned(),
            format!("SELECT customer_of_export('fronter', '{export}')::text"),
            "SELECT customer_by_external_id('fronter', 'site-2002-its')::text".to_owned(),
            format!("SELECT customer_exists('{export}')::text"),
        ];
        let mut listed = 0;
        for login in ACTING {
            let mut conn = connect_as(h, login, Some(two.own)).await;
            for call in &calls {
                match sqlx::query_scalar::<_, Option<String>>(sqlx::AssertSqlSafe(call.clone())).fetch_all(&mut conn).await {
                    Ok(rows) => {
                        two.clean(&rows.into_iter().flatten().collect::<Vec<_>>().join("\n"), &format!("{login}: {call}"));
                        listed += 1;
                    }
                    Err(error) => assert!(said(&error).contains("permission denied"), "{login}: {call}: {error}"),
                }
            }
        }
        assert!(listed > 8, "most of them were called: {listed}");
        // By design a platform learns whose its own export and its own name are: an id, no more.
        let mut gate = connect_as(h, "mandate_gate", Some(two.own)).await;
        let whose = text(&mut gate, format!("SELECT customer_of_export('itslearning', '{export}')::text")).await;
        assert_eq!(whose, other.to_string());
        // A table of the caller's own does not stand in a definer function's way.
        let mut app = connect_as(h, "mandate_app", Some(two.own)).await;
        let shadow = format!(
            "CREATE TEMP TABLE membership AS SELECT '{}'::uuid AS customer_id, '{person}'::uuid AS person_id;
             CREATE TEMP TABLE customer AS SELECT '{other}'::uuid AS id",
            two.own
        );
        try_sql(&mut app, &shadow).await.unwrap();
        two.clean(&text(&mut app, "SELECT f::text FROM own_persons() f".to_owned()).await, "own_persons behind a temporary table");
        // Nor in the way of what refuses an export.
        let revocations = "CREATE TEMP TABLE instruction_version AS SELECT * FROM public.instruction_version WHERE false";
        try_sql(&mut gate, revocations).await.unwrap();
        let asked = format!("SELECT export_refusal('{}', gen_random_uuid(), 'itslearning', 'support', '{instruction}', 1, now())", two.own);
        assert_eq!(text(&mut gate, asked).await, "no_written_instruction", "another customer's instruction is none");
    })
    .await;
}

/// Negative control: the other customer's own role reaches the same factor, and once the address was
/// written the same membership goes in.
#[tokio::test]
async fn no_role_reaches_a_persons_factor_or_address_where_the_person_is_a_stranger() {
    run(async |h: &Harness| {
        let (own, other) = (bare(&h.customer("Nordvik")), bare(&h.customer("Søby")));
        let mut theirs = connect_as(h, "mandate_app", Some(other)).await;
        let (person, factor): (Uuid, Uuid) = sqlx::query_as("SELECT person_id, id FROM second_factor WHERE ended_at IS NULL LIMIT 1").fetch_one(&mut theirs).await.unwrap();
        let email: String = sqlx::query_scalar("SELECT email FROM own_persons() WHERE person_id = $1").bind(person).fetch_one(&mut theirs).await.unwrap();
        let end = format!("UPDATE second_factor SET ended_at = now() WHERE id = '{factor}'");
        let use_up = format!("UPDATE recovery_code SET used_at = now() WHERE second_factor_id = '{factor}'");
        let mut app = connect_as(h, "mandate_app", Some(own)).await;
        let strangers = "SELECT count(*) FILTER (WHERE m.person_id IS NULL), count(*) FROM second_factor f LEFT JOIN membership m ON m.person_id = f.person_id";
        let seen: (i64, i64) = sqlx::query_as(strangers).fetch_one(&mut app).await.unwrap();
        assert!(seen.0 == 0 && seen.1 >= 3, "{seen:?}");
        for (conn, rows) in [(&mut app, 0), (&mut theirs, 1)] {
            for (statement, rows) in [(&end, rows), (&use_up, rows * 10)] {
                try_sql(conn, "BEGIN").await.unwrap();
                assert_eq!(try_sql(conn, statement).await, Ok(rows), "{statement}");
                try_sql(conn, "ROLLBACK").await.unwrap();
            }
        }
        let begin = format!("INSERT INTO second_factor (id, person_id, sealed, begun_at) VALUES (gen_random_uuid(), '{person}', decode(repeat('00', 48), 'hex'), now())");
        let code = format!("INSERT INTO recovery_code VALUES ('{factor}', sha256('mine'))");
        for statement in [begin, code] {
            let said = try_rolled_back(&mut app, "BEGIN", &[&statement]).await.unwrap_err();
            assert!(said.contains("row-level security"), "{said}");
        }
        // A membership names nobody whose address nobody wrote.
        let member = format!("INSERT INTO membership (customer_id, id, person_id, role, began_at, invited_name) VALUES ('{own}', gen_random_uuid(), '{person}', 'customer_reader', now(), 'x')");
        let said = try_rolled_back(&mut app, "BEGIN", &[&member]).await.unwrap_err();
        assert!(said.contains("membership_introduced") && !said.contains(&email), "{said}");
        let invited = format!("SELECT person_for_invitation(gen_random_uuid(), '{email}', 'x', now())");
        try_sql(&mut app, "BEGIN").await.unwrap();
        for statement in [&invited, &member] {
            try_sql(&mut app, statement).await.unwrap();
        }
        // Invited, the person is named, and the factor is still out of reach.
        assert!(text(&mut app, "SELECT email FROM own_persons()".to_owned()).await.contains(&email));
        assert_eq!(try_sql(&mut app, &end).await, Ok(0));
        try_sql(&mut app, "ROLLBACK").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_error_says_the_same_of_the_others_row_and_of_none() {
    run(async |h: &Harness| {
        let two = two(h).await;
        let (own, other) = (two.own, two.other);
        let absent = Uuid::nil();
        let mut document = connect_as(h, "mandate_app", Some(other)).await;
        let document: Uuid = sqlx::query_scalar("SELECT document_id FROM instruction_version").fetch_one(&mut document).await.unwrap();
        let draft = |cited: Uuid| {
            format!("INSERT INTO instruction_draft SELECT customer_id, id, 2, '{{}}', '[]', '{cited}', NULL, sha256('x'), 'x', now() FROM instruction")
        };
        let usage = |cited: Uuid| format!("INSERT INTO instruction_usage VALUES ('{own}', '{cited}', 1, '2026-11-24')");
        let directory = |cited: Uuid| format!("INSERT INTO export_directory VALUES ('{}', 'itslearning', '{own}')", cited);
        let revocation = |cited: Uuid| format!("INSERT INTO instruction_revocation VALUES ('{own}', '{cited}', now(), '{absent}')");
        let cases: [(&str, String, String); 4] = [
            ("mandate_app", draft(document), draft(absent)),
            ("mandate_app", revocation(two.instruction), revocation(absent)),
            ("mandate_gate", usage(two.instruction), usage(absent)),
            ("mandate_gate", directory(two.export), directory(absent)),
        ];
        for (login, foreign, none) in cases {
            let mut conn = connect_as(h, login, Some(own)).await;
            let foreign = try_rolled_back(&mut conn, "BEGIN", &[&foreign, "SET CONSTRAINTS ALL IMMEDIATE"]).await.unwrap_err();
            let none = try_rolled_back(&mut conn, "BEGIN", &[&none, "SET CONSTRAINTS ALL IMMEDIATE"]).await.unwrap_err();
            two.clean(&foreign, login);
            // An export's id is one for all customers, so that one in use is a fault of its own.
            if !foreign.contains("export_directory_pkey") {
                assert_eq!(foreign, none, "{login}");
            }
        }
        // A platform's name is taken for all customers; the error does not say by whom.
        let mut app = connect_as(h, "mandate_app", Some(own)).await;
        let taken = format!("INSERT INTO external_id VALUES ('itslearning', 'site-2002-its', '{own}', now())");
        let taken = try_rolled_back(&mut app, "BEGIN", &[&taken]).await.unwrap_err();
        assert!(taken.contains("external_id_") && !taken.contains(&other.to_string()), "{taken}");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_written_for_the_other_customer() {
    run(async |h: &Harness| {
        let two = two(h).await;
        let (own, other) = (two.own, two.other);
        let values = |customer: Uuid| {
            [
                ("mandate_app", format!("INSERT INTO external_id VALUES ('fronter', 'mine', '{customer}', now())")),
                ("mandate_app", format!("INSERT INTO job VALUES (gen_random_uuid(), 'deliver', '{customer}', gen_random_uuid(), now())")),
                (
                    "mandate_worker",
                    format!("INSERT INTO job VALUES (gen_random_uuid(), 'deliver', '{customer}', gen_random_uuid(), now())"),
                ),
                (
                    "mandate_app",
                    format!("INSERT INTO suspension VALUES ('{customer}', gen_random_uuid(), 'customer', 'x', gen_random_uuid(), now())"),
                ),
                ("mandate_app", format!("INSERT INTO recipient VALUES ('{customer}', gen_random_uuid(), 'x', 'NO', 'x', NULL, now())")),
                (
                    "mandate_gate",
                    format!(
                        "INSERT INTO instruction_usage SELECT '{customer}', instruction_id, version, '2026-11-25' FROM instruction_version"
                    ),
                ),
                (
                    "mandate_worker",
                    format!(
                        "INSERT INTO message VALUES ('{customer}', gen_random_uuid(), 'x', gen_random_uuid(), 'x@y.z', 'x', NULL, now())"
                    ),
                ),
            ]
        };
        for ((login, honest), (_, foreign)) in values(own).into_iter().zip(values(other)) {
            let mut conn = connect_as(h, login, Some(own)).await;
            assert_eq!(try_rolled_back(&mut conn, "BEGIN", &[&honest]).await, Ok(()), "{login}: {honest}");
            let said = try_rolled_back(&mut conn, "BEGIN", &[&foreign]).await.unwrap_err();
            assert!(said.contains("row-level security") || said.contains("fact_under_head"), "{login}: {foreign}: {said}");
        }
        // What another holds is not changed either: it is not there.
        for (login, change) in [
            ("mandate_app", format!("UPDATE suspension SET released_at = now() WHERE customer_id = '{other}'")),
            ("mandate_app", format!("UPDATE membership SET ended_at = now() WHERE customer_id = '{other}'")),
            ("mandate_gate", format!("UPDATE export SET aborted_at = now() WHERE id = '{}'", two.export)),
            ("mandate_worker", format!("UPDATE message SET body = 'x' WHERE customer_id = '{other}'")),
            ("mandate_gate", format!("UPDATE log_head SET last_at = now() WHERE customer_id = '{other}'")),
        ] {
            let mut conn = connect_as(h, login, Some(own)).await;
            assert_eq!(try_sql(&mut conn, &change).await, Ok(0), "{login}: {change}");
        }
        // The registry's head is readable, and not writable, by all.
        let registry = "UPDATE log_head SET last_at = last_at WHERE customer_id = '00000000-0000-7000-8000-000000000001'";
        assert_eq!(try_sql(&mut connect_as(h, "mandate_app", Some(own)).await, registry).await, Ok(0));
    })
    .await;
}
