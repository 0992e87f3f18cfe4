//! Convention 9 where an id does not stand in the path: in the body of a request, and at the gate,
//! where another platform is the neighbour. The ids are found in the document that is generated from
//! the routes, so a new one must be given its case here. A body that repeats the id it was asked for
//! is compared with the id masked; at the gate the receipt is masked too, since each is an entry.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::{Value, json};

use crate::routes::{absent, neighbours};
use crate::support::{ADMIN, Answer, Client, Harness, KARI, PRIVACY, export, fresh_key, instruction, run, with};

/// Where an id stands in a body: method and path, pointer.
type Site = (String, String);

/// Every id in a schema, by its pattern.
fn ids_in(document: &Value, schema: &Value, pointer: &str, depth: usize, found: &mut BTreeSet<String>) {
    if schema["pattern"].as_str().is_some_and(|pattern| pattern.ends_with("_[0-9a-f]{32}$")) {
        found.insert(pointer.to_owned());
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')).filter(|_| depth < 12) {
        ids_in(document, document.pointer(name).unwrap(), pointer, depth + 1, found);
    }
    let alternatives = ["oneOf", "anyOf", "allOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
    alternatives.for_each(|one| ids_in(document, one, pointer, depth + 1, found));
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        ids_in(document, member, &format!("{pointer}/{name}"), depth + 1, found);
    }
    if schema["items"].is_object() {
        ids_in(document, &schema["items"], &format!("{pointer}/*"), depth + 1, found);
    }
}

fn sites() -> BTreeSet<Site> {
    let document = serde_json::to_value(mandate::http::openapi(&mandate::app::table())).unwrap();
    let mut sites = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let mut found = BTreeSet::new();
            for media in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                ids_in(&document, &media.1["schema"], "", 0, &mut found);
            }
            sites.extend(found.into_iter().map(|pointer| (format!("{method} {path}"), pointer)));
        }
    }
    sites
}

/// A request whose body has `ID` where the id goes, and the neighbour's id for it.
struct Case {
    site: (&'static str, &'static str),
    client: Client,
    path: String,
    etag: Option<String>,
    body: Value,
    theirs: String,
}

/// The answer with the id masked.
async fn masked(case: &Case, id: &str) -> (u16, String) {
    let method = if case.site.0.starts_with("put") { Method::PUT } else { Method::POST };
    let (key, body) = (fresh_key(), case.body.to_string().replace("ID", id));
    let mut headers = vec![("idempotency-key", key.as_str()), ("x-request-id", "the-same-for-both"), ("content-type", "application/json")];
    headers.extend(case.etag.as_deref().map(|etag| ("if-match", etag)));
    let answer = case.client.raw(method, &case.path, &headers, body.into_bytes()).await;
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.bytes).replace(id, "ID"))
}

/// The id of the first row of a list.
async fn first(client: &Client, path: &str) -> String {
    client.get(path).await.expect(200).text("/data/0/id")
}

/// The cases of drafts: a recipient of the address book, and a document.
fn drafts(own: [(&'static str, Client, String, Option<String>); 4], theirs: &BTreeMap<&'static str, String>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (site, client, path, etag) in own {
        for (pointer, parameter, change) in [
            ("/document", "document_id", json!({"text": null, "document": "ID"})),
            ("/recipients/*", "recipient_id", json!({"recipients": ["ID"]})),
        ] {
            let (client, path, etag) = (client.clone(), path.clone(), etag.clone());
            let body = with(instruction(), change);
            cases.push(Case { site: (site, pointer), client, path, etag, body, theirs: theirs[parameter].clone() });
        }
    }
    cases
}

/// Every case at Nordvik, with what is Søby's.
async fn cases(h: &Harness) -> Vec<Case> {
    let mut theirs = neighbours(h).await;
    let (kari, admin, privacy) = (h.person(KARI).await, h.person(ADMIN).await, h.person(PRIVACY).await);
    let mette = h.person("mette.holm@soby.example").await;
    // An address book of theirs, whose first entry could be in an instruction here too.
    let recipient = json!({"legal_entity": "Utdanningsregisteret", "country": "NO", "role": "school_authority"});
    theirs.insert("recipient_id", mette.post("/api/v1/recipients", &recipient).await.expect(201).text("/id"));
    let contest = async |customer: &str, id: &str| {
        let path = format!("/api/admin/v1/customers/{}/instructions/{id}/contests", h.customer(customer));
        let contested = privacy.post(&path, &json!({"version": 1, "ground": "GDPR Art. 6"})).await.expect(201);
        contested.text("/versions/0/contests/0/id")
    };
    let their_contest = contest("Søby", &theirs["instruction_id"]).await;
    let (drafted, signed, contested) =
        (h.drafted(&kari, &instruction()).await, h.signed(&kari, &instruction()).await, h.signed(&kari, &instruction()).await);
    let own_contest = contest("Nordvik", &contested).await;
    let etag = kari.get(&format!("/api/v1/instructions/{drafted}")).await.expect(200);
    let etag = etag.headers["etag"].to_str().unwrap().to_owned();
    let (customer, own) = (h.customer("Nordvik"), "/api/v1/instructions");
    let at = format!("/api/admin/v1/customers/{customer}");
    let mut cases = drafts(
        [
            ("post /api/v1/instructions", kari.clone(), own.to_owned(), None),
            ("put /api/v1/instructions/{instruction_id}/draft", kari.clone(), format!("{own}/{drafted}/draft"), Some(etag)),
            ("post /api/v1/instructions/{instruction_id}/versions", kari.clone(), format!("{own}/{signed}/versions"), None),
            ("post /api/admin/v1/customers/{customer_id}/instruction-drafts", admin.clone(), format!("{at}/instruction-drafts"), None),
        ],
        &theirs,
    );
    let mut add = |site, client: &Client, path: String, body, theirs: &str| {
        cases.push(Case { site, client: client.clone(), path, etag: None, body, theirs: theirs.to_owned() });
    };
    let confirm = "post /api/v1/instructions/{instruction_id}/confirmations";
    let confirmations = format!("{own}/{contested}/confirmations");
    add((confirm, "/contest"), &kari, confirmations.clone(), json!({"contest": "ID", "text": "Yes."}), &their_contest);
    add((confirm, "/document"), &kari, confirmations, json!({"contest": own_contest, "document": "ID"}), &theirs["document_id"]);
    let (member, agreement) = (first(&kari, "/api/v1/people").await, first(&kari, "/api/v1/agreements").await);
    let recover = "post /api/admin/v1/customers/{customer_id}/account-recoveries";
    let recoveries = format!("{at}/account-recoveries");
    add(
        (recover, "/membership"),
        &admin,
        recoveries.clone(),
        json!({"membership": "ID", "agreement": agreement}),
        &theirs["membership_id"],
    );
    add((recover, "/agreement"), &admin, recoveries, json!({"membership": member, "agreement": "ID"}), &theirs["agreement_id"]);
    let parameters = kari.get("/api/v1/agreements").await.expect(200).json()["data"][0]["parameters"].clone();
    let body = json!({"platform": "fronter", "external_id": "site-1001-fro", "document": "ID", "parameters": parameters});
    let prepare = "post /api/admin/v1/customers/{customer_id}/agreements";
    add((prepare, "/document"), &admin, format!("{at}/agreements"), body, &theirs["document_id"]);
    let body = json!({"agreement": "ID", "email": "new@nordvik.example", "name": "New"});
    let name = "post /api/admin/v1/customers/{customer_id}/first-signatories";
    add((name, "/agreement"), &admin, format!("{at}/first-signatories"), body, &theirs["agreement_id"]);
    let login = json!({"email": KARI, "password": h.access.password, "customer": "ID"});
    add(("post /api/v1/sessions", "/customer"), &h.nobody, "/api/v1/sessions".to_owned(), login, &h.customer("Søby"));
    cases
}

/// The parameter whose absent id has the same prefix.
fn absent_like(id: &str) -> String {
    match id.split_once('_').unwrap().0 {
        "con" => "con_0190a0b0c0d0700080000123456789ab".to_owned(),
        prefix => {
            let all = ["customer_id", "instruction_id", "agreement_id", "document_id", "export_id", "membership_id", "recipient_id"];
            all.into_iter().map(absent).find(|id| id.starts_with(prefix)).unwrap()
        }
    }
}

/// Negative control: with one's own recipient and document the same requests are accepted.
#[tokio::test]
async fn a_neighbours_id_in_a_body_and_an_absent_one_get_the_same_bytes() {
    run(async |h: &Harness| {
        let cases = cases(h).await;
        let mut open = sites();
        // Of a platform: the next test.
        assert!(open.remove(&("post /gate/v1/export-completions".to_owned(), "/completions/*/export".to_owned())));
        // A member of the staff is no customer's.
        assert!(open.remove(&("post /api/admin/v1/ops-recoveries".to_owned(), "/ops_person".to_owned())));
        for case in &cases {
            let (operation, pointer) = case.site;
            let foreign = masked(case, &case.theirs).await;
            assert_eq!(foreign, masked(case, &absent_like(&case.theirs)).await, "{operation} {pointer}");
            // About the id, and nothing else.
            let (status, text) = foreign;
            let place = pointer.replace('*', "0");
            let is_about_it = match status {
                422 => serde_json::from_str::<Value>(&text).unwrap()["errors"].as_array().is_some_and(|all| all.len() == 1 && all[0]["pointer"] == place),
                _ => [401, 404].contains(&status),
            };
            assert!(is_about_it, "{operation} {pointer}: {status} {text}");
            open.remove(&(operation.to_owned(), pointer.to_owned()));
        }
        assert!(open.is_empty(), "ids in bodies without a case: {open:#?}");
        let kari = h.person(KARI).await;
        for (pointer, own) in [("/document", first(&kari, "/api/v1/documents").await), ("/recipients/*", first(&kari, "/api/v1/recipients").await)] {
            let case = cases.iter().find(|case| case.site == ("post /api/v1/instructions", pointer)).unwrap();
            assert_eq!(masked(case, &own).await.0, 201, "{pointer}");
        }
        // Codes of units are no ids, and yet a neighbour's.
        let mut asked = BTreeSet::new();
        for unit in ["Å1", "S99"] {
            let person = json!({"email": "x@nordvik.example", "name": "X", "role": "customer_admin", "authority": [{"kind": "export", "units": [unit]}]});
            let drafted = with(instruction(), json!({"subjects": [{"kind": "unit", "unit": unit}]}));
            for (path, body) in [("/api/v1/people", person), ("/api/v1/instructions", drafted)] {
                let answer = kari.post(path, &body).await.expect(422);
                asked.insert((path, with(answer.json(), json!({"request_id": null})).to_string().replace(unit, "UNIT")));
            }
        }
        assert_eq!(asked.len(), 2, "{asked:#?}");
    })
    .await;
}

/// What the answer says, but for the id, the request's id and its own entry.
fn said(answer: &Answer, id: &str) -> (u16, String) {
    let json = if answer.json().is_object() { with(answer.json(), json!({"receipt": null, "request_id": null})) } else { Value::Null };
    (answer.status.as_u16(), json.to_string().replace(id, "ID"))
}

/// Negative control: the platform whose export it is gets another answer on each of these routes.
#[tokio::test]
async fn another_platforms_export_and_an_absent_one_get_the_same_answer_at_the_gate() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let (own, other) = (h.platform("itslearning"), h.platform("skoleintra"));
        let theirs = h.running(&own, "e", &with(export(), json!({"volume": {"rows": 9}}))).await;
        let digest = "0".repeat(64);
        let mut walked = BTreeSet::new();
        for (path, body) in [
            ("/gate/v1/exports/{export_id}/redemptions", json!({"permit": "x.y.z"})),
            ("/gate/v1/exports/{export_id}/chunks", json!({"chunk_no": 1, "rows": 1})),
            ("/gate/v1/exports/{export_id}/abortions", json!({"rows": 1})),
            ("/gate/v1/exports/{export_id}/completions", json!({"rows": 1, "sha256": digest})),
            ("/gate/v1/export-completions", json!({"completions": [{"export": "ID", "rows": 1, "sha256": digest}]})),
        ] {
            let send = async |client: &Client, id: &str| {
                let body: Value = serde_json::from_str(&body.to_string().replace("ID", id)).unwrap();
                said(&client.post(&path.replace("{export_id}", id), &body).await, id)
            };
            let foreign = send(&other, &theirs).await;
            assert_eq!(foreign, send(&other, &absent("export_id")).await, "{path}");
            assert_ne!(foreign, send(&own, &theirs).await, "{path}");
            walked.insert(format!("post {path}"));
        }
        // By the name it has at another platform a customer is nobody.
        let ask = with(export(), json!({"platform": "skoleintra"}));
        let foreign = said(&h.ask(&other, "a", &ask).await, "site-1001-its");
        let nobody = said(&h.ask(&other, "b", &with(ask, json!({"customer": "site-absent"}))).await, "site-absent");
        assert_eq!(foreign, nobody);
        walked.insert("post /gate/v1/exports".to_owned());
        let table = mandate::app::table();
        let gate = table.iter().filter(|route| route.path.starts_with("/gate/"));
        let gate: BTreeSet<_> = gate.map(|route| format!("{} {}", route.method.as_str().to_lowercase(), route.path)).collect();
        assert_eq!(walked, gate, "every route of the gate");
    })
    .await;
}
