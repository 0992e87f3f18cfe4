//! What bad input gets: a clear problem with every fault at once, and nothing stored by halves.
//! Negative control of each case: the sample it spoils is accepted elsewhere in these tests.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Client, Harness, JONAS, KARI, MAJA, export, instruction, run, with};

fn problem(answer: &Answer, status: u16, slug: &str) {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.text("/type").ends_with(slug), "{}", answer.text("/type"));
    assert!(!answer.text("/request_id").is_empty());
}

async fn raw(client: &Client, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    client.raw(Method::POST, path, &[("content-type", "application/json"), ("idempotency-key", "x")], body.into()).await
}

/// How many entries a customer's log has.
async fn size(client: &Client) -> u64 {
    client.get("/api/v1/evidence/log").await.expect(200).json()["size"].as_u64().unwrap()
}

#[tokio::test]
async fn bytes_that_are_not_one_json_value_are_400_with_the_first_fault() {
    run(async |h: &Harness| {
        let platform = h.platform("itslearning");
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        for (body, part) in [
            (r#"{"customer":"a","customer":"b"}"#.to_owned(), "twice"),
            ("{\"customer\":\"a\\u0000b\"}".to_owned(), "NUL"),
            ("{".to_owned(), "one JSON value"),
            (String::new(), "one JSON value"),
            ("{} {}".to_owned(), "one JSON value"),
            (deep, "128 levels"),
        ] {
            let answer = raw(&platform, "/gate/v1/exports", body).await;
            problem(&answer, 400, "malformed-body");
            assert!(answer.text("/detail").contains(part), "{}", answer.text("/detail"));
        }
        let answer = raw(&platform, "/gate/v1/exports", vec![b' '; 1_100_000]).await;
        problem(&answer, 413, "body-too-large");
        let answer = platform
            .raw(Method::POST, "/gate/v1/exports", &[("content-type", "text/plain"), ("idempotency-key", "x")], b"{}".to_vec())
            .await;
        problem(&answer, 415, "unsupported-media-type");
        problem(&platform.get("/gate/v1/exports?x=1").await, 405, "method-not-allowed");
        problem(&platform.get("/gate/v2/exports").await, 404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn shape_and_values_are_422_with_all_faults_at_once() {
    run(async |h: &Harness| {
        let platform = h.platform("itslearning");
        let spoilt = with(
            export(),
            json!({"platform": 7, "subjects": [{"kind": "unit"}, {"kind": "tribe"}, {"kind": "whole", "ref": "x"}],
            "requested_by": {"kind": "ghost", "ref": ""}, "volume": {"rows": -1}, "surprise": true, "recipient": {"country": "NO"}}),
        );
        let answer = raw(&platform, "/gate/v1/exports", spoilt.to_string()).await;
        problem(&answer, 422, "invalid-body");
        let faults: Vec<(String, String)> = answer.faults();
        let faults: Vec<(&str, &str)> = faults.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
        assert_eq!(
            faults,
            [
                ("/platform", "type"),
                ("/subjects/0/unit", "required"),
                ("/subjects/1/kind", "unknown_value"),
                ("/subjects/2/ref", "unknown_field"),
                ("/recipient/legal_entity", "required"),
                ("/recipient/role", "required"),
                ("/volume/rows", "range"),
                ("/requested_by/kind", "unknown_value"),
                ("/requested_by/ref", "text"),
                ("/surprise", "unknown_field"),
            ]
        );
        assert!(!answer.text("/errors").contains("tribe"), "an error never repeats the request");
        let answer = h.ask(&platform, "p", &with(export(), json!({"platform": "fronter", "data_categories": [], "subjects": []}))).await;
        assert_eq!(answer.expect(422).faults().len(), 3);
        problem(&h.person(KARI).await.get("/api/v1/exports?page=2&limit=0").await, 400, "bad-parameters");
    })
    .await;
}

#[tokio::test]
async fn unknown_codes_and_prohibited_purposes_are_faults_of_an_instruction() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let before = size(&kari).await;
        let spoilt = with(
            instruction(),
            json!({"platforms": ["itslearning", "moodle"], "purposes": ["sale", "fun"], "channels": ["migration"],
            "data_categories": ["shoe-size"], "subjects": [{"kind": "unit", "unit": "S99"}],
            "recipients": [{"legal_entity": "X", "country": "ZZ", "role": "vendor"}]}),
        );
        let answer = kari.post("/api/v1/instructions", &spoilt).await;
        problem(&answer, 422, "invalid-body");
        let codes: Vec<String> = answer.faults().into_iter().map(|(_, code)| code).collect();
        assert!(codes.iter().filter(|c| *c == "unknown_code").count() >= 4, "{codes:?}");
        assert!(codes.contains(&"purpose_prohibited".to_owned()), "{codes:?}");
        assert!(answer.faults().iter().any(|(pointer, _)| pointer.starts_with("/subjects")), "{:?}", answer.faults());
        let deletion = kari.post("/api/v1/instructions", &with(instruction(), json!({"kind": "deletion"}))).await;
        problem(&deletion, 422, "invalid-body");
        assert_eq!(size(&kari).await, before, "nothing is stored by halves");
    })
    .await;
}

#[tokio::test]
async fn a_signature_needs_authority_for_the_kind_and_every_unit_and_a_step_up() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let id = h.drafted(&kari, &instruction()).await;
        problem(&h.sign(&h.person(MAJA).await, &id, 1).await, 403, "forbidden");
        problem(&h.sign(&h.login(KARI).await, &id, 1).await, 403, "step-up-required");
        let jonas = h.login(JONAS).await;
        problem(&h.sign(&jonas, &id, 1).await, 403, "forbidden");
        let key = json!({"name": "k", "role": "customer_admin", "expires_at": "2027-01-01T00:00:00Z"});
        let key = h.nobody.with(kari.post("/api/v1/api-keys", &key).await.expect(201).text("/key"));
        problem(&h.sign(&key, &id, 1).await, 403, "forbidden");
        // Maja's authority is for S03: her own unit is hers to sign, with a subject of it.
        let s03 = with(instruction(), json!({"subjects": [{"kind": "unit", "unit": "S03"}]}));
        let maja = h.person(MAJA).await;
        let hers = h.drafted(&maja, &s03).await;
        h.sign(&maja, &hers, 1).await.expect(201);
        let wide =
            h.drafted(&maja, &with(s03, json!({"subjects": [{"kind": "unit", "unit": "S03"}, {"kind": "subject", "ref": "p-1"}]}))).await;
        problem(&h.sign(&maja, &wide, 1).await, 403, "forbidden");
        let restriction =
            json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": [{"kind": "unit", "unit": "S03"}], "text": "x"});
        let restriction = h.drafted(&maja, &restriction).await;
        problem(&h.sign(&maja, &restriction, 1).await, 403, "forbidden");
        // A step-up holds for five minutes.
        h.advance(chrono::Duration::seconds(301));
        problem(&h.sign(&kari, &id, 1).await, 403, "step-up-required");
        h.step_up(&kari, KARI).await;
        h.sign(&kari, &id, 1).await.expect(201);
        assert_ne!(h.sign(&kari, &id, 1).await.status, 201, "a signed version is signed once");
    })
    .await;
}

#[tokio::test]
async fn a_stale_or_missing_if_match_signs_nothing() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let id = h.drafted(&kari, &instruction()).await;
        let path = format!("/api/v1/instructions/{id}");
        let seen = kari.get(&path).await.expect(200).headers["etag"].to_str().unwrap().to_owned();
        let narrower = with(instruction(), json!({"data_categories": ["identity"]}));
        let put = kari.json(Method::PUT, &format!("{path}/draft"), &[("if-match", &seen)], &narrower).await;
        assert!(put.status.is_success(), "{}", String::from_utf8_lossy(&put.bytes));
        let sign = format!("{path}/signatures");
        let stale = kari.post_with(&sign, &[("if-match", &seen), ("idempotency-key", "s")], &json!({"version": 1})).await;
        problem(&stale, 412, "precondition-failed");
        problem(&kari.post_with(&sign, &[("idempotency-key", "s")], &json!({"version": 1})).await, 428, "precondition-required");
        h.sign(&kari, &id, 1).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn documents_are_what_they_say_or_are_not_stored() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let before = size(&kari).await;
        let pdf = mandate::document::pdf_of_lines("Instruction", &["Export nothing.".to_owned()]);
        let upload = async |kind: &str, digest: Option<&str>, bytes: Vec<u8>| {
            let mut headers = vec![("content-type", kind)];
            headers.extend(digest.map(|d| ("content-digest", d)));
            kari.raw(Method::POST, "/api/v1/documents", &headers, bytes).await
        };
        problem(&upload("image/png", None, pdf.clone()).await, 422, "invalid-body");
        problem(&upload("text/html", None, b"<html>".to_vec()).await, 415, "unsupported-media-type");
        problem(&upload("application/pdf", None, Vec::new()).await, 422, "invalid-body");
        let wrong = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        problem(&upload("application/pdf", Some(wrong), pdf.clone()).await, 422, "invalid-body");
        let mut huge = pdf.clone();
        huge.resize(26 * 1024 * 1024, b' ');
        problem(&upload("application/pdf", None, huge).await, 413, "body-too-large");
        // Cut off in the middle.
        let (first, _) = pdf.split_at(pdf.len() / 2);
        let parts = [Ok(first.to_vec()), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
        let body = Body::from_stream(futures_util::stream::iter(parts));
        let cut = kari.send(kari.request(Method::POST, "/api/v1/documents", &[("content-type", "application/pdf")], body)).await;
        assert!(cut.status.is_client_error(), "{}", cut.status);
        assert_eq!(size(&kari).await, before, "nothing is stored by halves");
        // Negative control, and once only under its hash.
        let stored = upload("application/pdf", None, pdf.clone()).await.expect(201);
        let again = upload("application/pdf", None, pdf.clone()).await.expect(200);
        assert_eq!(stored.text("/id"), again.text("/id"));
        let content = kari.get(&format!("/api/v1/documents/{}/content", stored.text("/id"))).await.expect(200);
        assert_eq!(content.bytes, pdf);
        assert!(content.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
        assert_eq!(content.headers["x-content-type-options"], "nosniff");
    })
    .await;
}

#[tokio::test]
async fn a_second_agreement_for_the_same_customer_and_platform_is_a_conflict() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let present = kari.get("/api/v1/agreements").await.expect(200).json()["data"][0].clone();
        let path = format!("/api/admin/v1/customers/{}/agreements", h.customer("Nordvik"));
        let body = json!({"platform": "itslearning", "external_id": "site-1001-its", "document": present["document"]["id"].as_str().or(present["document"].as_str()),
            "parameters": present["parameters"]});
        let answer = h.person(ADMIN).await.post(&path, &body).await;
        problem(&answer, 409, "conflict");
        let spoilt: Value = with(body, json!({"external_id": "other", "parameters": with(present["parameters"].clone(), json!({"purposes": ["sale", "x"], "residency": ["XX"], "valid_to_on": "2001-01-01"}))}));
        let answer = h.person(ADMIN).await.post(&path, &spoilt).await;
        problem(&answer, 422, "invalid-body");
        assert!(answer.faults().len() >= 3, "{:?}", answer.faults());
    })
    .await;
}

#[tokio::test]
async fn an_index_that_no_log_can_reach_is_absent() {
    run(async |h: &Harness| {
        let kari = h.login(KARI).await;
        for index in ["9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616"] {
            kari.get(&format!("/api/v1/decisions/{index}")).await.expect(404);
        }
        // Negative control: a decision that is there is found.
        h.ask(&h.platform("itslearning"), "a", &export()).await.expect(403);
        let refused = kari.get("/api/v1/decisions").await.expect(200).json()["data"][0]["index"].clone();
        kari.get(&format!("/api/v1/decisions/{refused}")).await.expect(200);
    })
    .await;
}

/// Negative control: without the bounds the first is stored, and no entry behind it can be read.
#[tokio::test]
async fn a_time_that_could_not_be_read_again_is_refused_and_nothing_is_stored() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let before = size(&kari).await;
        let agreement = kari.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
        let far = json!({"effective_at": "9999-12-31T23:59:59-12:00"});
        let path = format!("/api/v1/agreements/{agreement}/terminations");
        let ended = kari.post_with(&path, &[("idempotency-key", "far")], &far).await;
        assert_eq!(ended.faults()[0].0, "/effective_at");
        for (field, value) in [("valid_from_at", "0000-01-01T00:00:00+12:00"), ("valid_until_at", "9999-12-31T23:59:59-12:00")] {
            let draft = kari.post("/api/v1/instructions", &with(instruction(), json!({field: value}))).await;
            problem(&draft, 422, "invalid-body");
            assert_eq!(draft.faults(), [(format!("/{field}"), "instant".to_owned())]);
        }
        assert_eq!(size(&kari).await, before);
    })
    .await;
}
