//! What every test of restores needs: a world, a dump of it and its restore, and what must hold afterwards.
//! Random points: `restores_random`; a base backup: `restores_timeline`.
//!
//! Negative control, seen to fail: with `registry_shorter` left out of `restore::run::open` the customers of
//! `restores_without_entries_of_the_registry_…` are not unconfirmed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Duration;
use mandate::db::Opened;
use mandate::restore::{OpenedEpoch, confirm_processor, opened_epochs, take_in};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::accounts::by_password;
use crate::accounts_recovery::{NEW, come_back, enrol};
use crate::support::{ADMIN, Answer, Client, Harness, KARI, PRIVACY, SECURITY, audit, export, instruction, run, with};

fn program(name: &str) -> PathBuf {
    match std::env::var_os("MANDATE_PG_BIN") {
        Some(folder) => Path::new(&folder).join(name),
        None => mandate::db::server::Binaries::find(&mandate::db::server::Lookup::system()).unwrap().dir.join(name),
    }
}

/// The administrative login to a database of the server of these tests.
fn administrative(h: &Harness, name: &str) -> String {
    let given = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    let of_owner = || h.database.owner_url.expose_secret().replace("user=mandate_owner", "user=postgres");
    let url = given.unwrap_or_else(of_owner);
    let mut url = url::Url::parse(&url).unwrap();
    url.set_path(&format!("/{name}"));
    url.into()
}

pub fn ran(program_name: &str, arguments: &[&str]) {
    let output = Command::new(program(program_name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program_name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A dump of the database, made while this test goes on with whatever else it does.
pub async fn dump(h: &Harness) -> PathBuf {
    let (file, url) = (h.mail.with_extension("dump"), administrative(h, &h.database.name));
    std::fs::remove_file(&file).ok();
    let to = file.clone();
    tokio::task::spawn_blocking(move || ran("pg_dump", &["-Fc", "-Z0", "-f", to.to_str().unwrap(), "-d", &url])).await.unwrap();
    file
}

/// Another database of this server, with what the dump holds.
pub async fn restored(h: &Harness, dump: &Path) -> Harness {
    let name = format!("{}r", h.database.name);
    let mut admin = PgConnection::connect(&administrative(h, "postgres")).await.unwrap();
    let made = format!("CREATE DATABASE \"{name}\" OWNER mandate_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
    admin.execute(AssertSqlSafe(made)).await.unwrap();
    ran("pg_restore", &["-d", &administrative(h, &name), dump.to_str().unwrap()]);
    std::fs::remove_file(dump).unwrap();
    let there = |url: &SecretString| SecretString::from(url.expose_secret().replace(&h.database.name, &name));
    let urls = mandate::db::RoleUrls { urls: h.database.urls.urls.each_ref().map(there) };
    let database = Opened {
        name: name.clone(),
        created: true,
        urls,
        owner_url: there(&h.database.owner_url),
        eraser_url: there(&h.database.eraser_url),
    };
    h.restored(database)
}

pub async fn removed(h: &Harness, restored: &Harness) {
    restored.app.db.close().await;
    let mut admin = PgConnection::connect(&administrative(h, "postgres")).await.unwrap();
    admin.execute(AssertSqlSafe(format!("DROP DATABASE \"{}\" WITH (FORCE)", restored.database.name))).await.unwrap();
}

/// How far each log reaches outside the database.
pub fn outside(h: &Harness) -> BTreeMap<String, u64> {
    let all = h.app.notary.outside().all().unwrap();
    all.into_iter().map(|(name, epochs)| (name, epochs[&1].as_ref().unwrap().read().unwrap().size)).collect()
}

/// How far each log reaches in the database.
pub async fn sizes(h: &Harness) -> BTreeMap<String, u64> {
    let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT l.name, h.size FROM log_head h JOIN log l ON l.id = h.customer_id").fetch_all(&mut owner).await.unwrap();
    rows.into_iter().map(|(name, size)| (name, size.unsigned_abs())).collect()
}

/// What is known of a customer before anything is lost.
pub struct World {
    pub platform: Client,
    pub kari: Client,
    /// Permits with the key that asked for each: redeemed before the dump, and after it.
    pub permits: Vec<(String, String, String)>,
    /// Exports that run.
    pub running: Vec<String>,
    /// Instructions that are in force, and that are withdrawn again.
    pub in_force: Vec<String>,
    pub withdrawn: Vec<String>,
    /// A key of the customer.
    pub key: String,
}

pub fn other() -> Value {
    with(instruction(), json!({"purposes": ["archiving"], "data_categories": ["identity"]}))
}

pub fn asks_other() -> Value {
    with(export(), json!({"purpose": "archiving", "data_categories": ["identity"]}))
}

pub async fn permitted(h: &Harness, platform: &Client, key: &str) -> (String, String, String) {
    let answer = h.ask(platform, key, &export()).await.expect(201);
    (key.to_owned(), answer.text("/id"), answer.text("/permit"))
}

pub async fn world(h: &Harness) -> World {
    h.app.notary.keep_all(&h.app.db).await.unwrap();
    mandate::app::prepare(&h.app).await.unwrap();
    let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
    h.signed(&kari, &instruction()).await;
    let in_force = vec![h.signed(&kari, &other()).await];
    h.ask(&platform, "control", &with(asks_other(), json!({"dry_run": true}))).await.expect(200);
    let permits = vec![permitted(h, &platform, "p0").await, permitted(h, &platform, "p1").await];
    let running = vec![permits[0].1.clone()];
    h.redeem(&platform, "r0", &running[0], &permits[0].2).await.expect(201);
    h.chunk(&platform, "c0", &running[0], &json!({"chunk_no": 1, "rows": 1})).await.expect(201);
    let key = json!({"name": "reads", "role": "customer_reader", "expires_at": h.app.db.clock().now().plus(Duration::days(30))});
    let key = kari.post("/api/v1/api-keys", &key).await.expect(201).text("/key");
    h.nobody.with(&key).get("/api/v1/instructions").await.expect(200);
    World { platform, kari, permits, running, in_force, withdrawn: Vec::new(), key }
}

/// Withdraws what is in force beside the first instruction.
pub async fn withdraw(w: &mut World) {
    for id in w.in_force.drain(..) {
        w.kari.post(&format!("/api/v1/instructions/{id}/revocations"), &json!({})).await.expect(201);
        w.withdrawn.push(id);
    }
}

/// What happens after the backup, one step after the other.
pub async fn step(h: &Harness, w: &mut World, number: u64) {
    match number {
        0 => {
            let (_, id, permit) = w.permits[1].clone();
            h.redeem(&w.platform, "r1", &id, &permit).await.expect(201);
        }
        1 => withdraw(w).await,
        2 => w.permits.push(permitted(h, &w.platform, "p2").await),
        3 => drop(h.chunk(&w.platform, "c1", &w.running[0], &json!({"chunk_no": 2, "rows": 1})).await.expect(201)),
        _ => drop(h.ask(&w.platform, "refused", &with(export(), json!({"purpose": "marketing"}))).await.expect(403)),
    }
}
pub const STEPS: u64 = 5;

/// Asks again while the platform is told to: refusals for exports that nobody knows are limited.
async fn patient(ask: impl AsyncFn() -> Answer) -> Answer {
    loop {
        let answer = ask().await;
        if answer.status != 429 {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Nothing from before the restore is good for anything, under its own key or another.
pub async fn nothing_is_redeemable(h: &Harness, w: &World, platform: &Client) {
    for (number, (key, id, permit)) in w.permits.iter().enumerate() {
        for key in [format!("r{number}"), format!("again{number}")] {
            let answer = patient(async || h.redeem(platform, &key, id, permit).await).await;
            assert!([403, 404].contains(&answer.status.as_u16()), "{key}: {}", answer.status);
        }
        // The key that asked for it repeats no permit. A key that the backup does not know asks anew.
        let again = h.ask(platform, key, &export()).await;
        if again.status == 201 {
            assert_ne!(again.text("/id"), *id, "{key}");
        }
        let chunk = json!({"chunk_no": 7, "rows": 1});
        let answer = patient(async || h.chunk(platform, &format!("late{number}"), id, &chunk).await).await;
        assert!([403, 404].contains(&answer.status.as_u16()), "{}", answer.status);
    }
}

fn reasons(answer: &Answer) -> Vec<String> {
    let reasons = answer.json()["reasons"].as_array().cloned().unwrap_or_default();
    reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
}

/// Kari comes back by the first signatory's path.
pub async fn people_first(h: &Harness, kari: &Client) -> Client {
    let path = format!("/api/admin/v1/customers/{}/account-recoveries", h.customer("Nordvik"));
    // Kari herself sees nothing but her own account.
    let admin = h.person(ADMIN).await;
    let agreements = format!("/api/admin/v1/customers/{}/agreements", h.customer("Nordvik"));
    let agreement = admin.get(&agreements).await.expect(200).text("/data/0/id");
    let own = kari.get("/api/v1/me").await.expect(200).text("/membership");
    let body = json!({"membership": own, "agreement": agreement});
    let id = admin.post(&path, &body).await.expect(201).text("/id");
    h.person(PRIVACY).await.post(&format!("{path}/{id}/approvals"), &json!({})).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    let token = mandate::demo::mailed(&h.mail, KARI, "mdr_").unwrap();
    h.advance(Duration::hours(72));
    come_back(h, &token).await.expect(201);
    let (kari, session) = by_password(h, KARI, NEW, Some(&h.customer("Nordvik"))).await;
    enrol(h, &kari, &session).await;
    kari
}

/// A customer whose log lost entries: told, stopped, and at work again once it has confirmed.
pub async fn lost_entries(h: &Harness, w: &World, missing: (u32, u64, u64)) {
    let mails = h.mail_with("Entries of your log are missing").await;
    let told = format!("Entries {} to {} of the epoch 1", missing.1, missing.2);
    assert!(mails.iter().any(|mail| mail.replace("=\n", "").contains(&told)), "{told}: {mails:?}");
    for (key, asked) in [("new", export()), ("new-other", asks_other())] {
        let refused = h.ask(&w.platform_on(h), key, &asked).await.expect(403);
        assert!(reasons(&refused).contains(&"state_unconfirmed".to_owned()), "{:?}", reasons(&refused));
    }
    h.nobody.with(w.kari.token.as_deref().unwrap()).get("/api/v1/me").await.expect(401);
    h.nobody.with(&w.key).get("/api/v1/instructions").await.expect(401);
    let kari = h.person(KARI).await;
    let state = kari.get("/api/v1/evidence/state").await.expect(200).json();
    assert_eq!((&state["unconfirmed"], &state["epoch"]), (&json!(true), &json!(2)), "{state}");
    assert_eq!((&state["missing_from"], &state["missing_until"]), (&json!(missing.1), &json!(missing.2)), "{state}");
    let confirmation = json!({"epoch": 2});
    kari.post("/api/v1/evidence/state-confirmations", &confirmation).await.expect(403);
    let kari = people_first(h, &kari).await;
    kari.post("/api/v1/evidence/state-confirmations", &json!({"epoch": 1})).await.expect(409);
    let refused = h.ask(&w.platform_on(h), "people", &export()).await.expect(403);
    assert_eq!(reasons(&refused), ["state_unconfirmed"]);
    // What was withdrawn in the missing entries is withdrawn again before the state is confirmed.
    for id in &w.withdrawn {
        kari.post(&format!("/api/v1/instructions/{id}/revocations"), &json!({})).await;
    }
    kari.post("/api/v1/evidence/state-confirmations", &confirmation).await.expect(201);
    kari.post("/api/v1/evidence/state-confirmations", &confirmation).await.expect(409);
    h.nobody.with(&w.key).get("/api/v1/instructions").await.expect(200);
}

impl World {
    pub fn platform_on(&self, h: &Harness) -> Client {
        h.nobody.with(self.platform.token.as_deref().unwrap())
    }
}

/// What was told to be missing is what is missing, up to what was kept outside.
pub fn exact(opened: &[OpenedEpoch], held: &BTreeMap<String, u64>, outside: &BTreeMap<String, u64>) {
    assert_eq!(opened.iter().map(|epoch| &epoch.log).collect::<std::collections::BTreeSet<_>>().len(), held.len(), "every log");
    assert_eq!(opened.len(), held.len(), "once");
    for epoch in opened {
        let (here, known) = (held[&epoch.log], outside.get(&epoch.log).copied().unwrap_or(0));
        let expected = (known > here).then(|| (1, here, known - 1));
        assert_eq!(epoch.missing, expected, "{}", epoch.log);
        assert_eq!(epoch.unconfirmed, expected.is_some() && (epoch.log.starts_with("cus_") || epoch.log == "processor"), "{}", epoch.log);
    }
}

// What was permitted is void by the epoch alone, also where nothing was lost and nothing is unconfirmed.
#[tokio::test]
async fn restores_that_lost_nothing_void_what_was_permitted_before() {
    run(async |h: &Harness| {
        let w = world(h).await;
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        let file = dump(h).await;
        let back = restored(h, &file).await;
        assert!(take_in(&back.app.db, back.app.notary.outside(), &back.app.notary.public_keys(), true).await.unwrap().is_some());
        mandate::app::prepare(&back.app).await.unwrap();
        let (platform, (_, id, permit)) = (w.platform_on(&back), w.permits[1].clone());
        let redeemed = back.redeem(&platform, "redeem", &id, &permit).await.expect(403);
        assert_eq!(reasons(&redeemed), ["permit_void"]);
        let chunk = back.chunk(&platform, "chunk", &w.running[0], &json!({"chunk_no": 9, "rows": 1})).await.expect(403);
        assert_eq!(reasons(&chunk), ["permit_void"]);
        nothing_is_redeemable(&back, &w, &platform).await;
        back.running(&platform, "works", &export()).await;
        mandate::app::deliver_due(&back.app).await.unwrap();
        audit(&back).await;
        removed(h, &back).await;
    })
    .await;
}

// What the registry lost, such as the stop of a platform, was true for every customer.
#[tokio::test]
async fn restores_without_entries_of_the_registry_leave_every_customer_unconfirmed() {
    run(async |h: &Harness| {
        let w = world(h).await;
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        let file = dump(h).await;
        let path = "/api/admin/v1/platforms/fronter/suspensions";
        h.person(SECURITY).await.post(path, &json!({"ground": "a break-in"})).await.expect(201);
        let back = restored(h, &file).await;
        mandate::app::prepare(&back.app).await.unwrap();
        let opened = opened_epochs(&back.app.db).await.unwrap();
        let customers: Vec<_> = opened.iter().filter(|epoch| epoch.log.starts_with("cus_")).collect();
        assert!(customers.len() >= 2 && customers.iter().all(|epoch| epoch.unconfirmed && epoch.missing.is_none()), "{customers:?}");
        let closed = back.ask(&w.platform_on(&back), "closed", &export()).await.expect(503);
        assert_eq!(closed.text("/type"), "/docs/problems/processor-unconfirmed");
        confirm_processor(&back.app.db).await.unwrap();
        let refused = back.ask(&w.platform_on(&back), "new", &export()).await.expect(403);
        assert_eq!(reasons(&refused), ["state_unconfirmed"]);
        // Nobody of the customer lost anything: whoever could confirm before can now.
        let kari = back.person(KARI).await;
        kari.post("/api/v1/evidence/state-confirmations", &json!({"epoch": 2})).await.expect(201);
        back.ask(&w.platform_on(&back), "works", &export()).await.expect(201);
        mandate::app::deliver_due(&back.app).await.unwrap();
        audit(&back).await;
        removed(h, &back).await;
    })
    .await;
}

// Negative control, seen to fail: with the heads read before the checkpoints outside, an act in between
// makes its log look shorter than what was kept of it.
#[tokio::test]
async fn a_start_beside_a_process_that_serves_sees_no_restore() {
    run(async |h: &Harness| {
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        let kari = h.person(KARI).await;
        let serving = std::cell::Cell::new(true);
        let acts = async {
            for number in 0..60 {
                kari.post("/api/v1/suspensions", &json!({"ground": format!("number {number}")})).await.expect(201);
            }
            serving.set(false);
        };
        let starts = async {
            let mut looked = 0;
            while serving.get() {
                assert!(
                    take_in(&h.app.db, h.app.notary.outside(), &h.app.notary.public_keys(), false).await.unwrap().is_none(),
                    "after {looked} looks"
                );
                looked += 1;
            }
            assert!(looked > 5, "{looked}");
        };
        tokio::join!(acts, starts);
    })
    .await;
}
