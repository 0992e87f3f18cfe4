//! What the processor's log, the registry or a member's standing lost in a restore is guarded until
//! somebody has looked at it: no platform's key, no two of the staff, and no member beyond the own
//! account; what narrows goes on. What is open meanwhile is a closed list, read off the route table.
//!
//! Negative controls, to be taken out by hand: `unconfirmed.admit` in `http::guard` (the revoked key
//! permits, and the member whose membership had ended reads); the processor in `restore::run::open` (the
//! same at once, without a confirmation); `processor_unconfirmed()` in `accept_invitation` and `invitation_by_token`.

use std::collections::BTreeSet;

use axum::http::Method;
use chrono::Duration;
use mandate::db::LogId;
use mandate::fsck::{Verdict, check};
use mandate::http::{Access, CustomerRole, OpsRole, Route};
use mandate::restore::{confirm_processor, end_staff, processor_state};
use serde_json::{Value, json};

use crate::accounts::{entries, slug};
use crate::accounts_recovery::membership;
use crate::restores::{dump, people_first, removed, restored};
use crate::routes::{absent, call};
use crate::support::{ADMIN, Client, Harness, JONAS, KARI, MAJA, PRIVACY, SECURITY, audit, export, instruction, run};

const KEYS: &str = "/api/admin/v1/platforms/itslearning/api-keys";
const STAFF: &str = "/api/admin/v1/ops-people";
const READER: &str = "reader@ops.example";

/// A route's path, with ids that name nothing.
fn filled(route: &Route) -> String {
    let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(parameter) => absent(parameter),
        None => part.to_owned(),
    };
    route.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What of the table is open to a caller: all that is not answered with the problem of its state.
async fn open_to(client: &Client, mine: impl Fn(&Route) -> bool, held: (u16, &str)) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    for route in mandate::app::table().iter().filter(|route| mine(route)) {
        let answer = call(client, route, &filled(route), "not the password").await;
        if (answer.status.as_u16(), &*slug(&answer)) != held {
            open.insert(route.operation_id.clone());
        }
    }
    open
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn id_of(admin: &Client, path: &str, member: &str, value: &str) -> String {
    let page = admin.get(path).await.expect(200).json();
    page["data"].as_array().unwrap().iter().find(|row| row[member] == value).unwrap()["id"].as_str().unwrap().to_owned()
}

/// The restore of a dump, once what came after it has been kept outside.
async fn taken_back(h: &Harness, file: &std::path::Path) -> Harness {
    h.app.notary.keep_noted(&h.app.db).await.unwrap();
    h.advance(Duration::seconds(1));
    let back = restored(h, file).await;
    mandate::app::prepare(&back.app).await.unwrap();
    back
}

async fn clean(back: &Harness) {
    let report = check(&back.app.db, back.app.notary.outside(), None, |_| {}).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report}");
    mandate::app::deliver_due(&back.app).await.unwrap();
    audit(back).await;
}

async fn joining(h: &Harness) -> String {
    let new = json!({"email": "new@ops.example", "name": "New", "role": "ops_reader"});
    let id = h.person(ADMIN).await.post(STAFF, &new).await.expect(201).text("/id");
    h.person(SECURITY).await.post(&format!("{STAFF}/{id}/approvals"), &json!({})).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    mandate::demo::invitation(&h.mail, "new@ops.example").unwrap()
}

/// Of all that changes something, what is open to each role.
async fn the_staff_only_narrows(back: &Harness) {
    let held = (503, "processor-unconfirmed");
    for (email, role) in [(ADMIN, OpsRole::OpsAdmin), (PRIVACY, OpsRole::OpsPrivacy), (SECURITY, OpsRole::OpsSecurity)] {
        let mine =
            |route: &Route| matches!(route.access, Access::Admin { roles, .. } if roles.contains(&role)) && route.method != Method::GET;
        let open = open_to(&back.person(email).await, mine, held).await;
        let own = [
            "begin_ops_second_factor",
            "confirm_ops_second_factor",
            "change_ops_password",
            "renew_ops_recovery_codes",
            "step_up_ops",
            "revoke_ops_session",
        ];
        let narrowing: &[&str] = match role {
            OpsRole::OpsAdmin => &["revoke_platform_key", "revoke_ops_key"],
            OpsRole::OpsPrivacy => &["contest_instruction"],
            _ => &["revoke_platform_key", "revoke_ops_key", "suspend_customer", "suspend_platform"],
        };
        let withdrawing = ["withdraw_first_signatory", "withdraw_account_recovery", "withdraw_ops_recovery"];
        let snake = |words: BTreeSet<String>| words.into_iter().map(|word| word.replace('_', "").to_lowercase()).collect::<BTreeSet<_>>();
        assert_eq!(snake(open), snake(set(&[&own, narrowing, &withdrawing].concat())), "{email}");
    }
}

#[tokio::test]
async fn restores_that_lost_entries_of_the_processor_leave_its_keys_and_staff_closed_until_operations_confirms() {
    run(async |h: &Harness| {
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        mandate::app::prepare(&h.app).await.unwrap();
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        let invitation = joining(h).await;
        let admin = h.person(ADMIN).await;
        let key = json!({"name": "reading", "expires_at": "2027-01-01T00:00:00Z"});
        let ops_key = h.nobody.with(admin.post("/api/admin/v1/api-keys", &key).await.expect(201).text("/key"));
        ops_key.get("/api/admin/v1/customers").await.expect(200);
        h.ask(&platform, "control", &crate::support::with(export(), json!({"dry_run": true}))).await.expect(200);
        let running = h.running(&platform, "running", &export()).await;
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        let file = dump(h).await;
        // After the backup the key is revoked, and a person's access ended.
        let revoked = id_of(&admin, KEYS, "role", "platform").await;
        h.person(SECURITY).await.post(&format!("{KEYS}/{revoked}/revocations"), &json!({})).await.expect(201);
        let reader = id_of(&admin, STAFF, "email", READER).await;
        h.person(ADMIN).await.post(&format!("{STAFF}/{reader}/endings"), &json!({})).await.expect(201);
        let back = taken_back(h, &file).await;
        let platform = back.nobody.with(platform.token.as_deref().unwrap());
        let ops_key = back.nobody.with(ops_key.token.as_deref().unwrap());
        // The gate is closed, at a customer that lost nothing too.
        let chunk = json!({"chunk_no": 1, "rows": 1});
        for answer in [back.ask(&platform, "new", &export()).await, back.chunk(&platform, "late", &running, &chunk).await] {
            assert!(answer.headers.contains_key("retry-after"));
            assert_eq!(slug(&answer.expect(503)), "processor-unconfirmed");
        }
        assert_eq!(slug(&ops_key.get("/api/admin/v1/customers").await.expect(503)), "processor-unconfirmed");
        let acceptance = json!({"token": invitation, "password": back.access.password});
        back.nobody.post("/api/admin/v1/invitation-acceptances", &acceptance).await.expect(422);
        // Who was ended is back, and reads; nobody makes keys or people, or agrees on anything.
        back.login(READER).await.get("/api/admin/v1/customers").await.expect(200);
        the_staff_only_narrows(&back).await;
        let shown = processor_state(&back.app.db).await.unwrap();
        assert!(shown.unconfirmed && shown.staff.iter().any(|person| person.email.to_string() == READER));
        // Ended and revoked again, and confirmed.
        // Whoever had ended would end the others: the command line does it, whatever roles are left.
        back.person(ADMIN).await.post(&format!("{STAFF}/{reader}/endings"), &json!({})).await.expect(503);
        end_staff(&back.app.db, reader.parse().unwrap()).await.unwrap();
        end_staff(&back.app.db, reader.parse().unwrap()).await.unwrap_err();
        back.person(SECURITY).await.post(&format!("{KEYS}/{revoked}/revocations"), &json!({})).await.expect(201);
        let confirmed = confirm_processor(&back.app.db).await.unwrap();
        assert!(!confirmed.staff.iter().any(|person| person.email.to_string() == READER));
        assert!(!confirmed.api_keys.iter().any(|key| key.id.to_string() == revoked));
        confirm_processor(&back.app.db).await.unwrap_err();
        assert_eq!(entries(&back, LogId::PROCESSOR).await.iter().filter(|word| *word == "processor_state.confirmed").count(), 1);
        back.ask(&platform, "revoked", &export()).await.expect(401);
        ops_key.get("/api/admin/v1/customers").await.expect(200);
        back.nobody.post("/api/admin/v1/invitation-acceptances", &acceptance).await.expect(201);
        let key = json!({"name": "next", "expires_at": "2027-01-01T00:00:00Z"});
        let made = back.person(ADMIN).await.post(KEYS, &key).await.expect(201);
        back.person(SECURITY).await.post(&format!("{KEYS}/{}/approvals", made.text("/id")), &json!({})).await.expect(201);
        back.ask(&back.nobody.with(made.text("/key")), "works", &export()).await.expect(201);
        clean(&back).await;
        removed(h, &back).await;
    })
    .await;
}

#[tokio::test]
async fn restores_that_lost_a_stop_of_a_platform_open_no_gate_by_what_customers_confirm() {
    run(async |h: &Harness| {
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        mandate::app::prepare(&h.app).await.unwrap();
        h.signed(&h.person(KARI).await, &instruction()).await;
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        let file = dump(h).await;
        let stop = "/api/admin/v1/platforms/itslearning/suspensions";
        h.person(SECURITY).await.post(stop, &json!({"ground": "a leak"})).await.expect(201);
        let back = taken_back(h, &file).await;
        let platform = back.platform("itslearning");
        // The school's own log is whole, and it cannot know of the stop.
        back.person(KARI).await.post("/api/v1/evidence/state-confirmations", &json!({"epoch": 2})).await.expect(201);
        assert_eq!(slug(&back.ask(&platform, "closed", &export()).await.expect(503)), "processor-unconfirmed");
        back.person(SECURITY).await.post(stop, &json!({"ground": "a leak"})).await.expect(201);
        assert_eq!(confirm_processor(&back.app.db).await.unwrap().stops.len(), 1);
        assert_eq!(back.ask(&platform, "stopped", &export()).await.expect(403).reasons(), ["platform_suspended"]);
        clean(&back).await;
        removed(h, &back).await;
    })
    .await;
}

#[tokio::test]
async fn restores_leave_a_suspended_member_the_own_account_until_a_person_confirms_the_member() {
    run(async |h: &Harness| {
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        mandate::app::prepare(&h.app).await.unwrap();
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let (maja, jonas) = (membership(&kari, MAJA).await, membership(&kari, JONAS).await);
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        let file = dump(h).await;
        kari.post(&format!("/api/v1/people/{maja}/endings"), &json!({})).await.expect(201);
        let back = taken_back(h, &file).await;
        let ended = back.person(MAJA).await;
        let mine =
            |route: &Route| matches!(route.access, Access::Institution { roles, .. } if roles.contains(&CustomerRole::CustomerAdmin));
        let open = open_to(&ended, mine, (403, "member-unconfirmed")).await;
        let snake = |words: BTreeSet<String>| words.into_iter().map(|word| word.replace('_', "").to_lowercase()).collect::<BTreeSet<_>>();
        let own = [
            "list_sessions",
            "revoke_session",
            "step_up",
            "begin_second_factor",
            "confirm_second_factor",
            "change_password",
            "renew_recovery_codes",
            "get_me",
            "list_own_account_recoveries",
            "get_own_account_recovery",
            "stop_account_recovery",
            "get_state",
        ];
        assert_eq!(snake(open), snake(set(&own)));
        assert_eq!(ended.get("/api/v1/me").await.expect(200).json()["authority_suspended"], true);
        // Who lost nothing goes on at once; who reads only is held back as well.
        back.person("mette.holm@soby.example").await.get("/api/v1/people").await.expect(200);
        assert_eq!(slug(&back.login(JONAS).await.get("/api/v1/decisions").await.expect(403)), "member-unconfirmed");
        let first = back.person(KARI).await;
        assert_eq!(slug(&first.get("/api/v1/people").await.expect(403)), "member-unconfirmed");
        let kari = people_first(&back, &first).await;
        // The others see the recovery of none but themselves.
        let others = back.person(MAJA).await.get("/api/v1/account-recoveries").await.expect(200).json();
        assert_eq!(others["data"], Value::Array(Vec::new()));
        kari.post(&format!("/api/v1/people/{jonas}/confirmations"), &json!({})).await.expect(201);
        back.login(JONAS).await.get("/api/v1/decisions").await.expect(200);
        kari.post(&format!("/api/v1/people/{maja}/endings"), &json!({})).await.expect(201);
        back.nobody.post("/api/v1/sessions", &json!({"email": MAJA, "password": back.access.password})).await.expect(401);
        clean(&back).await;
        removed(h, &back).await;
    })
    .await;
}
