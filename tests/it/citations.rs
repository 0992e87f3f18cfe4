//! What is cited is cited whole: as the institution's own role, by direct SQL, no signed version
//! without its document, its kind, its signatory, its entry, or before its signature; no acceptance
//! that legalises the past; no further byte in a stored document. Negative control: the same rows
//! unaltered go in. What this does not stop, a thief of the role could forge whole, with entries.

use serde_json::json;

use crate::support::{ADMIN, Harness, KARI, bare, connect_as, instruction, run, try_rolled_back, with};

const CHECKED: &str = "SET CONSTRAINTS ALL IMMEDIATE";

#[tokio::test]
async fn a_signed_version_cites_its_document_kind_signatory_and_entry() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let id = bare(&h.signed(&kari, &instruction()).await);
        let mut app = connect_as(h, "mandate_app", Some(bare(&h.customer("Nordvik")))).await;
        let columns = [
            "customer_id",
            "instruction_id",
            "version",
            "kind",
            "scope",
            "subjects",
            "document_id",
            "document_sha256",
            "valid_from",
            "valid_until",
            "signed_at",
            "signed_by",
            "signed_epoch",
            "signed_index",
        ];
        let version = |changed: &str, value: &str| {
            let values = columns.map(|column| match column {
                "version" => "99",
                column if column == changed => value,
                column => column,
            });
            format!(
                "INSERT INTO instruction_version ({}) SELECT {} FROM instruction_version WHERE instruction_id = '{id}' AND version = 1",
                columns.join(", "),
                values.join(", ")
            )
        };
        assert_eq!(try_rolled_back(&mut app, "BEGIN", &[&version("", ""), CHECKED]).await, Ok(()));
        for (column, value, constraint) in [
            ("document_sha256", "sha256('other')", "instruction_version_document"),
            ("document_id", "gen_random_uuid()", "instruction_version_document"),
            ("kind", "'deletion'", "instruction_version_instruction"),
            ("signed_by", "gen_random_uuid()", "instruction_version_member"),
            ("valid_from", "signed_at - interval '1 ms'", "instruction_version_not_backdated"),
            ("signed_index", "9999", "instruction_version_entry"),
            // An entry, but not that of a signature.
            ("signed_index", "0", "instruction_version_signed"),
        ] {
            let said = try_rolled_back(&mut app, "BEGIN", &[&version(column, value), CHECKED]).await.unwrap_err();
            // Which of the two deferred checks speaks first is the database's choice.
            let either = constraint == "instruction_version_entry" && said.contains("instruction_version_signed");
            assert!(said.contains(constraint) || either, "{column} = {value}: {said}");
        }
        let revoked_by = |by: &str| {
            format!("INSERT INTO instruction_revocation SELECT customer_id, instruction_id, signed_at, {by} FROM instruction_version WHERE instruction_id = '{id}'")
        };
        assert_eq!(try_rolled_back(&mut app, "BEGIN", &[&revoked_by("signed_by"), CHECKED]).await, Ok(()));
        let said = try_rolled_back(&mut app, "BEGIN", &[&revoked_by("gen_random_uuid()"), CHECKED]).await.unwrap_err();
        assert!(said.contains("instruction_revocation_member"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_stored_document_takes_no_further_byte() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let id = bare(&h.signed(&kari, &instruction()).await);
        let mut app = connect_as(h, "mandate_app", Some(bare(&h.customer("Nordvik")))).await;
        let part = |number: i32, bytes: &str| {
            format!(
                "INSERT INTO document_part SELECT customer_id, document_id, {number}, {bytes}::bytea FROM instruction_version WHERE instruction_id = '{id}'"
            )
        };
        for (statement, constraint) in [
            (part(1, "'x'"), "document_part_whole"),
            (part(1, "''"), "document_part_bytes"),
            (part(-1, "'x'"), "document_part_bytes"),
            (part(0, "'x'"), "document_part_key"),
        ] {
            let said = try_rolled_back(&mut app, "BEGIN", &[&statement]).await.unwrap_err();
            assert!(said.contains(constraint), "{statement}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_acceptance_legalises_nothing_before_it() {
    run(async |h: &Harness| {
        let (kari, admin) = (h.person(KARI).await, h.person(ADMIN).await);
        let present = kari.get("/api/v1/agreements").await.expect(200).json()["data"][0].clone();
        let path = format!("/api/admin/v1/customers/{}/agreements", h.customer("Nordvik"));
        let parameters = with(present["parameters"].clone(), json!({"valid_from_on": "2026-11-24"}));
        let body =
            json!({"platform": "fronter", "external_id": "site-1001-fro", "document": present["document"], "parameters": parameters});
        let id = admin.post(&path, &body).await.expect(201).text("/id");
        admin.post(&format!("{path}/{id}/offers"), &json!({})).await.expect(201);
        let mut app = connect_as(h, "mandate_app", Some(bare(&h.customer("Nordvik")))).await;
        let accept = |from: &str, by: &str| {
            format!("UPDATE agreement SET accepted_at = offered_at, accepted_by = {by}, in_force_from = {from} WHERE id = '{}'", bare(&id))
        };
        let member = "(SELECT accepted_by FROM agreement WHERE accepted_by IS NOT NULL LIMIT 1)";
        assert_eq!(try_rolled_back(&mut app, "BEGIN", &[&accept("offered_at", member), CHECKED]).await, Ok(()));
        for (statement, constraint) in [
            (accept("offered_at - interval '1 s'", member), "agreement_not_backdated"),
            (accept("offered_at", "gen_random_uuid()"), "agreement_member"),
        ] {
            let said = try_rolled_back(&mut app, "BEGIN", &[&statement, CHECKED]).await.unwrap_err();
            assert!(said.contains(constraint), "{statement}: {said}");
        }
    })
    .await;
}
