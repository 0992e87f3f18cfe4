//! What may not be erased cannot be: direct SQL as the eraser, and as every other role. Negative controls:
//! the same statements with the entry, the head and all that goes together are taken; and with the one
//! trigger that refuses them disabled, each of these is taken too.

use chrono::Duration;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::erasure::{happened, store, subject};
use crate::support::{Harness, KARI, LOGINS, bare, connect_as, connect_as_owner, export, run, try_rolled_back, try_sql, with};

const ALL: &str = "subjects = NULL, subjects_nonce = NULL, request_hash = NULL";
const NOW: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// The statements of an erasure, each of which the eraser could leave out or change.
struct Erasing {
    customer: Uuid,
    at: String,
}

impl Erasing {
    /// An entry of this type that is being added, and the head moved over it.
    fn entry(&self, word: &str, record: &str) -> String {
        format!(
            "INSERT INTO log_entry (customer_id, epoch, index, id, type, at, leaf, leaf_hash, root, nonce, record)
             SELECT e.customer_id, h.epoch, h.size, gen_random_uuid(), '{word}', '{}', e.leaf, e.leaf_hash, e.root, e.nonce, {record}
             FROM log_entry e JOIN log_head h USING (customer_id) WHERE e.customer_id = '{}' AND e.index = 0",
            self.at, self.customer
        )
    }
    /// One that names the entries of this kind.
    fn naming(&self, which: &str) -> String {
        let named = format!(
            "(SELECT jsonb_build_object('ground', 'retention', 'entries', COALESCE(jsonb_agg(jsonb_build_array(n.epoch, n.index)), '[]'))
              FROM log_entry n WHERE n.customer_id = e.customer_id AND {which})"
        );
        self.entry("subjects.erased", &named)
    }
    fn naming_document(&self, document: &str, sha256: &str) -> String {
        self.entry(
            "document.erased",
            &format!("'{{\"ground\": \"retention\", \"document\": \"{document}\", \"document_sha256\": \"{sha256}\"}}'"),
        )
    }
    fn head(&self) -> String {
        format!(
            "UPDATE log_head SET size = size + 1, last_at = '{}', edge = decode(repeat('00', 32 * bit_count((size + 1)::bit(64))::int), 'hex')
             WHERE customer_id = '{}'",
            self.at, self.customer
        )
    }
    fn gone(document: Uuid, at: &str) -> Vec<String> {
        vec![
            format!("UPDATE document SET erased_at = '{at}' WHERE id = '{document}'"),
            format!("DELETE FROM document_part WHERE document_id = '{document}'"),
        ]
    }
}

async fn outcome(conn: &mut PgConnection, statements: &[String]) -> Result<(), String> {
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    try_rolled_back(conn, "BEGIN", &statements).await
}

/// What the eraser tries: what it is, the statements, the trigger that refuses, and the trigger's table.
type Tried = (&'static str, Vec<String>, &'static str, &'static str);

/// Refused each, and taken when its one guard is disabled.
async fn all_refused(h: &Harness, customer: Uuid, tried: Vec<Tried>) {
    let (mut eraser, mut owner) = (connect_as(h, "mandate_eraser", Some(customer)).await, connect_as_owner(h).await);
    for (what, statements, guard, table) in tried {
        let said = outcome(&mut eraser, &statements).await.expect_err(what);
        assert!(said.contains(&format!("23514 {guard}")), "{what}: {said}");
        try_sql(&mut owner, &format!("ALTER TABLE {table} DISABLE TRIGGER {guard}")).await.unwrap();
        assert_eq!(outcome(&mut eraser, &statements).await, Ok(()), "{what}, without {guard}");
        try_sql(&mut owner, &format!("ALTER TABLE {table} ENABLE TRIGGER {guard}")).await.unwrap();
    }
}

/// An export that runs, and a permit that can still be redeemed.
async fn two_that_are_not_over(h: &Harness) {
    let platform = h.platform("itslearning");
    h.running(&platform, "running", &with(export(), json!({"subjects": subject("running")}))).await;
    h.advance(Duration::minutes(10));
    h.ask(&platform, "open", &with(export(), json!({"subjects": subject("open")}))).await.expect(201);
}

#[tokio::test]
async fn subjects_go_only_with_their_entry_and_only_of_what_is_over() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        happened(h, &kari).await;
        two_that_are_not_over(h).await;
        let customer = bare(&h.customer("Nordvik"));
        let erasing = Erasing { customer, at: h.app.db.clock().now().to_string() };
        let refused = "type IN ('export.refused', 'export.tried')".to_owned();
        let permitted = "type = 'export.permitted' AND index = (SELECT min(index) FROM export)".to_owned();
        let erase = |which: &str| format!("UPDATE log_entry SET {ALL} WHERE {which}");
        let permit = "UPDATE export SET subjects = NULL, permit = NULL WHERE index = (SELECT min(index) FROM export)".to_owned();
        let of_chunk = "export_id = (SELECT id FROM export ORDER BY index LIMIT 1)";
        let chunk = format!("UPDATE export_chunk SET last_reference = NULL, last_nonce = NULL WHERE {of_chunk}");
        let asked = "UPDATE log_entry SET request_hash = NULL WHERE type = 'export.chunk_refused'".to_owned();
        let mut eraser = connect_as(h, "mandate_eraser", Some(customer)).await;
        // All that goes together is taken.
        let whole = vec![
            erasing.naming(&permitted),
            erase(&permitted),
            permit.clone(),
            chunk.clone(),
            asked.clone(),
            erasing.head(),
            NOW.to_owned(),
        ];
        assert_eq!(outcome(&mut eraser, &whole).await, Ok(()));
        let (by_entry, named, under) = ("log_entry_erased_by_entry", "log_entry_erases_what_it_names", "log_entry_under_head");
        let last = |which: &str| format!("type = 'export.permitted' AND index = (SELECT {which} FROM export)");
        let (open, running) = (last("max(index)"), last("(array_agg(index ORDER BY index DESC))[2]"));
        let signed = "type = 'instruction.signed'".to_owned();
        let tried: Vec<Tried> = vec![
            ("without an entry", vec![erase(&refused)], by_entry, "log_entry"),
            ("an entry that names others", vec![erasing.naming(&permitted), erase(&refused)], by_entry, "log_entry"),
            ("an entry of before", vec![erasing.naming(&refused), erasing.head(), erase(&refused)], by_entry, "log_entry"),
            ("a permit that can be redeemed", vec![erasing.naming(&open), erase(&open)], by_entry, "log_entry"),
            ("an export that runs", vec![erasing.naming(&running), erase(&running)], by_entry, "log_entry"),
            ("what was signed", vec![erasing.naming(&signed), erase(&signed)], by_entry, "log_entry"),
            (
                "other subjects",
                vec![erasing.naming(&refused), format!("UPDATE log_entry SET subjects = '[]' WHERE {refused}")],
                by_entry,
                "log_entry",
            ),
            ("the request's hash alone", vec![format!("UPDATE log_entry SET request_hash = NULL WHERE {refused}")], by_entry, "log_entry"),
            ("a chunk's request, of an export that is not erased", vec![asked], by_entry, "log_entry"),
            ("a permit's subjects before its entry's", vec![permit.clone()], "export_subjects_set_once", "export"),
            ("a permit's claims alone", vec!["UPDATE export SET permit = NULL".to_owned()], "export_subjects_set_once", "export"),
            ("a chunk's reference before its export's", vec![chunk.clone()], "export_chunk_erased_with_export", "export_chunk"),
            ("a head that stays behind", vec![erasing.naming(&refused), erase(&refused), NOW.to_owned()], under, "log_entry"),
            ("an entry, and nothing erased", vec![erasing.naming(&refused), erasing.head(), NOW.to_owned()], named, "log_entry"),
            (
                "a permit that is kept",
                vec![erasing.naming(&permitted), erase(&permitted), erasing.head(), NOW.to_owned()],
                named,
                "log_entry",
            ),
            (
                "a chunk's reference that is kept",
                vec![erasing.naming(&permitted), erase(&permitted), permit, erasing.head(), NOW.to_owned()],
                named,
                "log_entry",
            ),
        ];
        all_refused(h, customer, tried).await;
    })
    .await;
}

#[tokio::test]
async fn a_documents_bytes_go_only_with_their_entry_and_only_when_nothing_needs_it() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let loose = store(&kari, "nothing cites it").await.expect(201).json();
        let cited = store(&kari, "a draft cites it").await.expect(201).json();
        let draft = with(crate::support::instruction(), json!({"text": null, "document": cited["id"]}));
        h.drafted(&kari, &draft).await;
        let customer = bare(&h.customer("Nordvik"));
        let erasing = Erasing { customer, at: h.app.db.clock().now().to_string() };
        let mut owner = connect_as_owner(h).await;
        try_sql(&mut owner, "ALTER TABLE agreement NO FORCE ROW LEVEL SECURITY").await.unwrap();
        try_sql(&mut owner, "ALTER TABLE document NO FORCE ROW LEVEL SECURITY").await.unwrap();
        let agreed = format!(
            "SELECT d.id, encode(d.sha256, 'hex') FROM agreement a JOIN document d ON d.id = a.document_id AND d.customer_id = a.customer_id
             WHERE a.customer_id = '{customer}' AND a.accepted_at IS NOT NULL AND a.in_force_until IS NULL LIMIT 1"
        );
        let (agreed, agreed_sha256): (Uuid, String) = sqlx::query_as(sqlx::AssertSqlSafe(agreed)).fetch_one(&mut owner).await.unwrap();
        for table in ["agreement", "document"] {
            try_sql(&mut owner, &format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY")).await.unwrap();
        }
        let id = |document: &serde_json::Value| bare(document["id"].as_str().unwrap());
        let text = |document: &serde_json::Value, member: &str| document[member].as_str().unwrap().to_owned();
        let named = |document: &serde_json::Value| erasing.naming_document(&text(document, "id"), &text(document, "sha256"));
        let gone = |document: Uuid| Erasing::gone(document, &erasing.at);
        let joined = |entry: Vec<String>, rest: Vec<String>| entry.into_iter().chain(rest).collect::<Vec<_>>();
        let mut eraser = connect_as(h, "mandate_eraser", Some(customer)).await;
        let mut whole = joined(vec![named(&loose)], gone(id(&loose)));
        whole.extend([erasing.head(), NOW.to_owned()]);
        assert_eq!(outcome(&mut eraser, &whole).await, Ok(()));
        let agreed_entry = erasing.naming_document(&format!("doc_{}", agreed.simple()), &agreed_sha256);
        let (by_entry, part, its) = ("document_erased_by_entry", "document_part_erased_with_document", "log_entry_erases_its_document");
        let tried: Vec<Tried> = vec![
            ("without an entry", gone(id(&loose)), by_entry, "document"),
            ("an entry that names another", joined(vec![named(&cited)], gone(id(&loose))), by_entry, "document"),
            ("one that a draft cites", joined(vec![named(&cited)], gone(id(&cited))), by_entry, "document"),
            ("that of an agreement in force", joined(vec![agreed_entry], gone(agreed)), by_entry, "document"),
            ("the bytes alone", gone(id(&loose))[1..].to_vec(), part, "document_part"),
            ("bytes that are kept", vec![named(&loose), gone(id(&loose))[0].clone(), erasing.head(), NOW.to_owned()], its, "log_entry"),
            ("an entry, and nothing erased", vec![named(&loose), erasing.head(), NOW.to_owned()], its, "log_entry"),
            (
                "a head that stays behind",
                joined(joined(vec![named(&loose)], gone(id(&loose))), vec![NOW.to_owned()]),
                "log_entry_under_head",
                "log_entry",
            ),
        ];
        all_refused(h, customer, tried).await;
        // What is erased takes no bytes again, and nothing is stored without its bytes from the start.
        crate::erasure::later(h).await;
        assert!(crate::erasure::erase(h, crate::erasure::KEPT).await.documents > 0);
        let mut app = connect_as(h, "mandate_app", Some(customer)).await;
        let again =
            format!("INSERT INTO document_part (customer_id, document_id, part, bytes) VALUES ('{customer}', '{}', 0, 'x')", id(&loose));
        assert!(try_sql(&mut app, &again).await.unwrap_err().contains(part));
        let stored = format!(
            "INSERT INTO document (customer_id, id, sha256, length, media_type, stored_at, stored_by, erased_at)
             VALUES ('{customer}', gen_random_uuid(), sha256('x'), 1, 'x', now(), 'x', now())"
        );
        assert!(try_sql(&mut app, &stored).await.unwrap_err().contains("document_stored_whole"));
    })
    .await;
}

// Negative control: the eraser's own statements of this kind get past the grants, to a trigger.
#[tokio::test]
async fn nobody_else_erases_and_the_eraser_nothing_else() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        happened(h, &kari).await;
        let customer = bare(&h.customer("Nordvik"));
        let erasing = [
            "UPDATE log_entry SET subjects = NULL, subjects_nonce = NULL",
            "UPDATE log_entry SET request_hash = NULL",
            "UPDATE export SET subjects = NULL",
            "UPDATE export SET permit = NULL",
            "UPDATE export_chunk SET last_reference = NULL, last_nonce = NULL",
            "UPDATE document SET erased_at = now()",
            "DELETE FROM document_part",
        ];
        for login in LOGINS {
            let mut conn = connect_as(h, login, Some(customer)).await;
            for sql in erasing {
                let said = try_rolled_back(&mut conn, "BEGIN", &[sql]).await.unwrap_err();
                let expected = if login == "mandate_eraser" { "23514" } else { "42501" };
                assert!(said.starts_with(expected), "{login} {sql}: {said}");
            }
        }
        let mut eraser = connect_as(h, "mandate_eraser", Some(customer)).await;
        for sql in [
            "UPDATE log_entry SET record = '{}'",
            "UPDATE log_entry SET leaf = ''",
            "UPDATE log_entry SET nonce = leaf_hash",
            "UPDATE log_entry SET key_hash = NULL",
            "DELETE FROM log_entry",
            "DELETE FROM export",
            "DELETE FROM document",
            "UPDATE document SET sha256 = sha256",
            "UPDATE export SET granted = '{}'",
            "UPDATE instruction_version SET subjects = '[]'",
            "SELECT bytes FROM document_part",
            "SELECT scope FROM instruction_version",
            "INSERT INTO document_part (customer_id, document_id, part, bytes) VALUES (gen_random_uuid(), gen_random_uuid(), 0, 'x')",
        ] {
            let said = try_rolled_back(&mut eraser, "BEGIN", &[sql]).await.expect_err(sql);
            assert!(said.starts_with("42501"), "{sql}: {said}");
        }
        // Of a neighbour it finds nothing.
        let mut theirs = connect_as(h, "mandate_eraser", Some(bare(&h.customer("Søby")))).await;
        let of = format!("WHERE customer_id = '{customer}'");
        for sql in [
            format!("UPDATE log_entry SET {ALL} {of}"),
            format!("UPDATE export SET subjects = NULL, permit = NULL {of}"),
            format!("DELETE FROM document_part {of}"),
        ] {
            assert_eq!(try_sql(&mut theirs, &sql).await, Ok(0), "{sql}");
        }
    })
    .await;
}
