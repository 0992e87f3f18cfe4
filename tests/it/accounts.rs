//! Second factors: who must have one, what it is asked for, that a code works once and for its person
//! only, and that a stolen password alone gets nowhere. Each refusal stands beside the same request
//! that is let through: that is its negative control.

use axum::http::Method;
use chrono::Duration;
use mandate::base::CustomerId;
use mandate::db::{LogId, Role};
use mandate::identity::step_at;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::{ADMIN, Answer, Client, Harness, JONAS, KARI, MAJA, export, instruction, run, with};
use secrecy::ExposeSecret as _;

/// The types of all entries of a log, in order.
pub async fn entries(h: &Harness, log: LogId) -> Vec<String> {
    let mut read = h.app.db.read(Role::Ops, "entries of a test", log).await.unwrap();
    let all = mandate::evidence::entries(read.conn(), log, (0, 0), 1_000_000, None).await.unwrap();
    all.into_iter().map(|entry| entry.word.to_string()).collect()
}

/// A customer's log.
pub fn log_of(h: &Harness, name: &str) -> LogId {
    h.customer(name).parse::<CustomerId>().unwrap().into()
}

/// How often an event stands in a customer's log.
pub async fn count(h: &Harness, name: &str, event: &str) -> usize {
    entries(h, log_of(h, name)).await.iter().filter(|word| *word == event).count()
}

/// How many messages to an address hold a text.
pub fn mails(h: &Harness, address: &str, text: &str) -> usize {
    let files = std::fs::read_dir(&h.mail).unwrap();
    let read = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().replace("=\r\n", "").replace("=\n", ""));
    read.filter(|mail| mail.lines().any(|line| line.starts_with("To:") && line.contains(address)) && mail.contains(text)).count()
}

pub fn slug(answer: &Answer) -> String {
    answer.json()["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned()
}

/// Logs in with a password and nothing else.
pub async fn by_password(h: &Harness, email: &str, password: &str, customer: Option<&str>) -> (Client, String) {
    let body = json!({"email": email, "password": password, "customer": customer});
    let session = h.nobody.post("/api/v1/sessions", &body).await.expect(201);
    (h.nobody.with(session.text("/token")), session.text("/id"))
}

async fn step_up(h: &Harness, client: &Client, session: &str, code: &str) -> Answer {
    let body = json!({"password": h.access.password, "code": code});
    client.post(&format!("/api/v1/sessions/{session}/step-ups"), &body).await
}

#[tokio::test]
async fn nobody_with_authority_and_no_ops_person_does_anything_before_a_second_factor_is_enrolled() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let (email, nordvik) = ("ny@nordvik.example", h.customer("Nordvik"));
        let new = json!({"email": email, "name": "Ny", "role": "customer_admin", "authority": [{"kind": "export"}]});
        kari.post("/api/v1/people", &new).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let token = mandate::demo::invitation(&h.mail, email).unwrap();
        h.nobody.post("/api/v1/invitation-acceptances", &json!({"token": token, "password": h.access.password})).await.expect(201);
        let (ny, session) = by_password(h, email, &h.access.password, Some(&nordvik)).await;
        ny.get("/api/v1/me").await.expect(200);
        assert_eq!(slug(&ny.get("/api/v1/exports").await.expect(403)), "second-factor-required");
        assert_eq!(slug(&ny.post("/api/v1/instructions", &instruction()).await.expect(403)), "second-factor-required");
        assert_eq!(slug(&step_up(h, &ny, &session, "123456").await.expect(403)), "second-factor-required");
        h.enrol(&ny, "/api/v1", email).await;
        ny.get("/api/v1/exports").await.expect(200);
        h.signed(&ny, &instruction()).await;
        assert_eq!(count(h, "Nordvik", "instruction.signed").await, 1);
        // The same on the admin surface, in whatever role.
        let admin = h.person(ADMIN).await;
        let new = json!({"email": "ny@ops.example", "name": "Ny", "role": "ops_reader"});
        let ny = admin.post("/api/admin/v1/ops-people", &new).await.expect(201).text("/id");
        h.person(crate::support::SECURITY).await.post(&format!("/api/admin/v1/ops-people/{ny}/approvals"), &json!({})).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let token = mandate::demo::invitation(&h.mail, "ny@ops.example").unwrap();
        h.nobody.post("/api/admin/v1/invitation-acceptances", &json!({"token": token, "password": h.access.password})).await.expect(201);
        let login = json!({"email": "ny@ops.example", "password": h.access.password});
        let session = h.nobody.post("/api/admin/v1/sessions", &login).await.expect(201);
        let ops = h.nobody.with(session.text("/token"));
        assert_eq!(slug(&ops.get("/api/admin/v1/customers").await.expect(403)), "second-factor-required");
        h.enrol(&ops, "/api/admin/v1", "ny@ops.example").await;
        ops.get("/api/admin/v1/customers").await.expect(200);
        // From now on the password alone is no login of ops.
        h.nobody.post("/api/admin/v1/sessions", &login).await.expect(401);
        h.nobody.post("/api/admin/v1/sessions", &with(login.clone(), json!({"code": h.code("ny@ops.example")}))).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_code_works_once_for_its_person_in_its_half_minute() {
    run(async |h: &Harness| {
        let (kari, session) = by_password(h, KARI, &h.access.password, None).await;
        let code = h.code(KARI);
        step_up(h, &kari, &session, &code).await.expect(201);
        step_up(h, &kari, &session, &code).await.expect(401);
        let next = h.code(KARI);
        step_up(h, &kari, &session, &h.code(MAJA)).await.expect(401);
        // The step before the last accepted one is refused too: the step only grows.
        let present = step_at(h.app.db.clock().now());
        step_up(h, &kari, &session, &next).await.expect(201);
        step_up(h, &kari, &session, &h.secret(KARI).code(present - 1)).await.expect(401);
        h.advance(Duration::seconds(300));
        let present = step_at(h.app.db.clock().now());
        step_up(h, &kari, &session, &h.secret(KARI).code(present - 2)).await.expect(401);
        step_up(h, &kari, &session, &h.secret(KARI).code(present + 2)).await.expect(401);
        step_up(h, &kari, &session, &h.secret(KARI).code(present - 1)).await.expect(201);
        step_up(h, &kari, &session, &h.secret(KARI).code(present + 1)).await.expect(201);
        step_up(h, &kari, &session, &h.secret(KARI).code(present)).await.expect(401);
        // One code sent five times at once is accepted once.
        h.advance(Duration::seconds(960));
        let code = h.secret(KARI).code(step_at(h.app.db.clock().now()));
        let sent = (0..5).map(|_| step_up(h, &kari, &session, &code));
        let answers = futures_util::future::join_all(sent).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_step_up_older_than_five_minutes_signs_nothing() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let id = h.drafted(&kari, &instruction()).await;
        h.advance(Duration::milliseconds(300_001));
        assert_eq!(slug(&h.sign(&kari, &id, 1).await.expect(403)), "step-up-required");
        let key = json!({"name": "k", "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
        assert_eq!(slug(&kari.post("/api/v1/api-keys", &key).await.expect(403)), "step-up-required");
        h.step_up(&kari, KARI).await;
        h.advance(Duration::milliseconds(300_000));
        h.sign(&kari, &id, 1).await.expect(201);
        kari.post("/api/v1/api-keys", &key).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_stolen_password_steps_up_nowhere_and_guessing_codes_is_slowed_down_however_often_it_logs_in() {
    run(async |h: &Harness| {
        let headers = [("x-request-id", "same"), ("content-type", "application/json")];
        let (mut thief, mut session) = by_password(h, KARI, &h.access.password, None).await;
        let post =
            async |client: &Client, path: &str, body: Value| client.raw(Method::POST, path, &headers, body.to_string().into_bytes()).await;
        let mut answers = Vec::new();
        for guess in 0..6 {
            let path = format!("/api/v1/sessions/{session}/step-ups");
            let body = if guess == 2 {
                json!({"password": "not the password", "code": h.code(KARI)})
            } else {
                json!({"password": h.access.password, "code": "abcdef"})
            };
            answers.push(post(&thief, &path, body).await);
            // Negative control: with one counter for both acts, this login would free the next guess.
            (thief, session) = by_password(h, KARI, &h.access.password, None).await;
        }
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
        assert!(answers[..5].iter().all(|answer| answer.bytes == answers[0].bytes), "wrong password and wrong code look alike");
        assert!(answers[5].headers.contains_key("retry-after"));
        assert_eq!(slug(&h.sign(&thief, &h.drafted(&thief, &instruction()).await, 1).await.expect(403)), "step-up-required");
        h.advance(Duration::seconds(2));
        h.step_up(&thief, KARI).await;
        // Ops: password without code, with a wrong one, and a wrong password with a right one.
        let ops = async |body: Value| post(&h.nobody, "/api/admin/v1/sessions", with(json!({"email": ADMIN}), body)).await;
        let known = [
            ops(json!({"password": h.access.password})).await,
            ops(json!({"password": h.access.password, "code": "abcdef"})).await,
            ops(json!({"password": "not the password", "code": h.code(ADMIN)})).await,
        ];
        let unknown = post(&h.nobody, "/api/admin/v1/sessions", json!({"email": "x@ops.example", "password": "x", "code": "abcdef"})).await;
        assert!(known.iter().all(|answer| answer.status == 401 && answer.bytes == unknown.bytes));
        ops(json!({"password": h.access.password, "code": h.code(ADMIN)})).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_recovery_code_stands_for_the_factor_once_and_everybody_is_told() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let codes = h.enrol(&kari, "/api/v1", KARI).await;
        assert_eq!(codes.len(), 10);
        let session = kari.get("/api/v1/me").await.expect(200).text("/session");
        h.advance(Duration::minutes(10));
        step_up(h, &kari, &session, &codes[0]).await.expect(201);
        h.signed(&kari, &instruction()).await;
        step_up(h, &kari, &session, &codes[0]).await.expect(401);
        step_up(h, &kari, &session, &codes[1].to_uppercase().replace('-', " ")).await.expect(201);
        let me = kari.get("/api/v1/me").await.expect(200);
        assert_eq!(me.json()["second_factor"]["recovery_codes_left"], 8);
        assert_eq!(count(h, "Nordvik", "person.recovery_code_used").await, 2);
        mandate::app::deliver_due(&h.app).await.unwrap();
        for told in [KARI, "anders.moe@nordvik.example"] {
            assert_eq!(mails(h, told, "used a recovery code"), 2, "{told}");
        }
        // Another person's code is nothing here, and the stored hashes hold no code.
        step_up(h, &h.login(MAJA).await, &session, &codes[2]).await.expect(404);
        let (maja, session) = by_password(h, MAJA, &h.access.password, None).await;
        step_up(h, &maja, &session, &codes[2]).await.expect(401);
        // A recovery code is a login of ops too.
        let admin = h.person(ADMIN).await;
        let codes = h.enrol(&admin, "/api/admin/v1", ADMIN).await;
        let login = json!({"email": ADMIN, "password": h.access.password, "code": codes[9]});
        h.nobody.post("/api/admin/v1/sessions", &login).await.expect(201);
        h.nobody.post("/api/admin/v1/sessions", &login).await.expect(401);
        assert!(entries(h, LogId::PROCESSOR).await.contains(&"ops_person.recovery_code_used".to_owned()));
    })
    .await;
}

/// Invites somebody of Nordvik to Søby too; the first login for it accepts.
pub async fn at_soby_too(h: &Harness, email: &str, authority: Value) {
    let mette = h.person("mette.holm@soby.example").await;
    let new = json!({"email": email, "name": "Somebody", "role": "customer_admin", "authority": authority});
    mette.post("/api/v1/people", &new).await.expect(201);
}

#[tokio::test]
async fn factor_and_password_are_changed_with_step_up_and_told_to_every_customer_of_the_person() {
    run(async |h: &Harness| {
        at_soby_too(h, KARI, json!([])).await;
        let (nordvik, soby) = (h.customer("Nordvik"), h.customer("Søby"));
        let enrolled = async || (count(h, "Nordvik", "person.factor_changed").await, count(h, "Søby", "person.factor_changed").await);
        let before = enrolled().await;
        let (kari, session) = by_password(h, KARI, &h.access.password, Some(&nordvik)).await;
        let (elsewhere, _) = by_password(h, KARI, &h.access.password, Some(&soby)).await;
        let factors = format!("/api/v1/sessions/{session}/second-factors");
        assert_eq!(slug(&kari.post(&factors, &json!({})).await.expect(403)), "step-up-required");
        let password = json!({"password": "a new battery staple"});
        assert_eq!(slug(&kari.post("/api/v1/me/passwords", &password).await.expect(403)), "step-up-required");
        step_up(h, &kari, &session, &h.code(KARI)).await.expect(201);
        let old = h.secret(KARI);
        // Another session cannot confirm what this one began for itself, nor after ten minutes.
        let begun = kari.post(&factors, &json!({})).await.expect(201).text("/id");
        let confirm = json!({"password": h.access.password, "code": "000000"});
        kari.post(&format!("{factors}/{begun}/confirmations"), &confirm).await.expect(401);
        h.advance(Duration::minutes(10));
        kari.post(&format!("{factors}/{begun}/confirmations"), &confirm).await.expect(404);
        step_up(h, &kari, &session, &h.code(KARI)).await.expect(201);
        h.enrol(&kari, "/api/v1", KARI).await;
        step_up(h, &kari, &session, &old.code(step_at(h.app.db.clock().now()) + 1)).await.expect(401);
        assert_eq!(kari.post("/api/v1/me/passwords", &json!({"password": "short"})).await.expect(422).faults().len(), 1);
        kari.post("/api/v1/me/passwords", &password).await.expect(201);
        kari.get("/api/v1/me").await.expect(200);
        elsewhere.get("/api/v1/me").await.expect(401);
        h.nobody.post("/api/v1/sessions", &json!({"email": KARI, "password": h.access.password})).await.expect(401);
        by_password(h, KARI, "a new battery staple", Some(&soby)).await;
        assert_eq!(enrolled().await, (before.0 + 1, before.1 + 1));
        for customer in ["Nordvik", "Søby"] {
            assert_eq!(count(h, customer, "person.password_changed").await, 1, "{customer}");
        }
        mandate::app::deliver_due(&h.app).await.unwrap();
        for told in [KARI, "anders.moe@nordvik.example", "mette.holm@soby.example", "lars.krogh@soby.example"] {
            assert!(mails(h, told, "changed the password") >= 1 && mails(h, told, "enrolled a second factor") >= 1, "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_needs_no_factor_and_a_person_with_authority_stops_all_exports_with_one_call() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        h.ask(&platform, "before", &export()).await.expect(201);
        h.login(JONAS).await.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(403);
        // Without step-up: stopping must not wait for a code.
        let (maja, _) = by_password(h, MAJA, &h.access.password, None).await;
        maja.post("/api/v1/suspensions", &json!({"ground": "Something is wrong."})).await.expect(201);
        assert_eq!(h.ask(&platform, "after", &export()).await.expect(403).reasons(), ["customer_suspended"]);
    })
    .await;
}

#[tokio::test]
async fn the_database_keeps_factors_from_ops_and_secrets_from_whoever_reads_it() {
    run(async |h: &Harness| {
        let connect = async |role: Role| PgConnection::connect(h.database.urls.urls[role as usize].expose_secret()).await.unwrap();
        let (mut app, mut ops) = (connect(Role::App).await, connect(Role::Ops).await);
        let acting = format!("SELECT set_config('mandate.customer', '{}', false)", crate::support::bare(&h.customer("Nordvik")));
        sqlx::query(sqlx::AssertSqlSafe(acting)).execute(&mut app).await.unwrap();
        let count = "SELECT count(*) FROM second_factor WHERE person_id IS NOT NULL";
        let seen: i64 = sqlx::query_scalar(count).fetch_one(&mut ops).await.unwrap();
        let control: i64 = sqlx::query_scalar(count).fetch_one(&mut app).await.unwrap();
        assert!(seen == 0 && control >= 3, "{seen} {control}");
        let ended = "UPDATE second_factor SET ended_at = now() WHERE person_id IS NOT NULL";
        assert_eq!(sqlx::query(ended).execute(&mut ops).await.unwrap().rows_affected(), 0);
        for denied in [
            "SELECT recover_person('\\x00', 'x', now())",
            "UPDATE person SET password_hash = 'x'",
            "UPDATE account_recovery SET token_hash = '\\x00'",
        ] {
            let error = sqlx::query(denied).execute(&mut ops).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{denied}: {error}");
        }
        // Ops suspends authority only while a restore is taken in.
        let suspended = "INSERT INTO authority_suspension (customer_id, membership_id, recovery_id, suspended_at)
                         SELECT customer_id, id, gen_random_uuid(), now() FROM membership LIMIT 1";
        let acting = format!("SELECT set_config('mandate.customer', '{}', false)", crate::support::bare(&h.customer("Nordvik")));
        sqlx::query(sqlx::AssertSqlSafe(acting)).execute(&mut ops).await.unwrap();
        let error = sqlx::query(suspended).execute(&mut ops).await.unwrap_err().to_string();
        assert!(error.contains("row-level security"), "{error}");
        let error = sqlx::query("UPDATE second_factor SET sealed = ''").execute(&mut app).await.unwrap_err().to_string();
        assert!(error.contains("permission denied"), "{error}");
        // A confirmed factor cannot be deleted, and none is made confirmed.
        assert_eq!(sqlx::query("DELETE FROM second_factor").execute(&mut app).await.unwrap().rows_affected(), 0);
        let sealed: Vec<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM second_factor").fetch_all(&mut app).await.unwrap();
        let secret = h.secret(KARI);
        assert!(!sealed.iter().any(|sealed| sealed.windows(20).any(|part| part == secret.bytes())));
        // No password changes without a step-up of that very session.
        let (_, session) = by_password(h, KARI, &h.access.password, None).await;
        let session: uuid::Uuid = session.strip_prefix("ses_").unwrap().parse().unwrap();
        let changed = "SELECT change_password($1, 'x', '2026-11-24T08:00:00Z')";
        let changed: bool = sqlx::query_scalar(changed).bind(session).fetch_one(&mut app).await.unwrap();
        assert!(!changed);
    })
    .await;
}
