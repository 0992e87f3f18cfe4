//! A dump of the database is restored at an earlier point (a base backup: `restores_timeline`). What is
//! missing is told exactly, up to what was kept outside; nothing that was withdrawn comes back to life, and
//! no permit from before is good for anything.
//!
//! Negative controls, to be taken out by hand: `StateUnconfirmed` in `decide::evaluate` and the
//! same line of the database's `export_refusal` (a withdrawn instruction permits again); `open_epoch` of
//! `evidence::facts` with the `voided` column of `export::store` (a permit from before is redeemed, and
//! the database refuses it); the second look under the registry's lock in `restore::run::begin` (two
//! processes open two epochs).
//!
//! `MANDATE_RESTORES=20 cargo test --test it restores_` restores twenty times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Duration;
use mandate::db::Opened;
use mandate::fsck::{Verdict, check};
use mandate::restore::{OpenedEpoch, opened_epochs, take_in};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::accounts::by_password;
use crate::accounts_recovery::{NEW, come_back, enrol};
use crate::support::{ADMIN, Client, Harness, KARI, PRIVACY, audit, errors, export, instruction, run, with};

/// How many restores there are in one run.
fn rounds() -> u64 {
    std::env::var("MANDATE_RESTORES").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

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

/// A dump of the database.
pub fn dump(h: &Harness) -> PathBuf {
    let file = h.mail.with_extension("dump");
    std::fs::remove_file(&file).ok();
    ran("pg_dump", &["-Fc", "-Z0", "-f", file.to_str().unwrap(), "-d", &administrative(h, &h.database.name)]);
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
    all.into_iter().map(|(name, epochs)| (name, epochs[&1].read().unwrap().size)).collect()
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
    platform: Client,
    kari: Client,
    /// Permits with the key that asked for each: redeemed before the dump, and after it.
    permits: Vec<(String, String, String)>,
    running: String,
    withdrawn: String,
}

fn other() -> Value {
    with(instruction(), json!({"purposes": ["archiving"], "data_categories": ["identity"]}))
}

fn asks_other() -> Value {
    with(export(), json!({"purpose": "archiving", "data_categories": ["identity"]}))
}

async fn permitted(h: &Harness, platform: &Client, key: &str) -> (String, String, String) {
    let answer = h.ask(platform, key, &export()).await.expect(201);
    (key.to_owned(), answer.text("/id"), answer.text("/permit"))
}

pub async fn world(h: &Harness) -> World {
    mandate::app::prepare(&h.app).await.unwrap();
    let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
    h.signed(&kari, &instruction()).await;
    let withdrawn = h.signed(&kari, &other()).await;
    h.ask(&platform, "control", &with(asks_other(), json!({"dry_run": true}))).await.expect(200);
    let permits = vec![permitted(h, &platform, "p0").await, permitted(h, &platform, "p1").await];
    let running = permits[0].1.clone();
    h.redeem(&platform, "r0", &running, &permits[0].2).await.expect(201);
    h.chunk(&platform, "c0", &running, &json!({"chunk_no": 1, "rows": 1})).await.expect(201);
    World { platform, kari, permits, running, withdrawn }
}

/// What happens after the backup, one step after the other.
pub async fn step(h: &Harness, w: &mut World, number: u64) {
    match number {
        0 => {
            let (_, id, permit) = w.permits[1].clone();
            h.redeem(&w.platform, "r1", &id, &permit).await.expect(201);
        }
        1 => drop(w.kari.post(&format!("/api/v1/instructions/{}/revocations", w.withdrawn), &json!({})).await.expect(201)),
        2 => w.permits.push(permitted(h, &w.platform, "p2").await),
        3 => drop(h.chunk(&w.platform, "c1", &w.running, &json!({"chunk_no": 2, "rows": 1})).await.expect(201)),
        _ => drop(h.ask(&w.platform, "refused", &with(export(), json!({"purpose": "marketing"}))).await.expect(403)),
    }
}
pub const STEPS: u64 = 5;

/// Nothing from before the restore is good for anything, under its own key or another.
pub async fn nothing_is_redeemable(h: &Harness, w: &World, platform: &Client) {
    for (number, (key, id, permit)) in w.permits.iter().enumerate() {
        for key in [format!("r{number}"), format!("again{number}")] {
            let answer = h.redeem(platform, &key, id, permit).await;
            assert!([403, 404].contains(&answer.status.as_u16()), "{key}: {} {:?}", answer.status, errors().lock().unwrap());
        }
        // The key that asked for it repeats no permit. A key that the backup does not know asks anew.
        let again = h.ask(platform, key, &export()).await;
        if again.status == 201 {
            assert_ne!(again.text("/id"), *id, "{key}");
        }
        let chunk = json!({"chunk_no": 7, "rows": 1});
        let answer = h.chunk(platform, &format!("late{number}"), id, &chunk).await;
        assert!([403, 404].contains(&answer.status.as_u16()), "{}", answer.status);
    }
}

fn reasons(answer: &crate::support::Answer) -> Vec<String> {
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
    kari.post(&format!("/api/v1/instructions/{}/revocations", w.withdrawn), &json!({})).await;
    kari.post("/api/v1/evidence/state-confirmations", &confirmation).await.expect(201);
    kari.post("/api/v1/evidence/state-confirmations", &confirmation).await.expect(409);
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

async fn restored_at(h: &Harness, at: u64, kept: bool) {
    let mut w = world(h).await;
    let mut file = None;
    for number in 0..=STEPS {
        if number == at {
            file = Some(dump(h));
        }
        if number < STEPS {
            step(h, &mut w, number).await;
        }
    }
    if kept {
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
    }
    let outside = outside(h);
    let back = restored(h, &file.unwrap()).await;
    let held = sizes(&back).await;
    let is_seen = outside.iter().any(|(name, size)| held[name] < *size);
    if !is_seen {
        // Nothing kept outside shows it: operations says it.
        assert!(take_in(&back.app.db, back.app.notary.outside(), true).await.unwrap().is_some());
    }
    // Two processes start at once.
    let (one, two) = tokio::join!(mandate::app::prepare(&back.app), mandate::app::prepare(&back.app));
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
    mandate::app::prepare(&back.app).await.unwrap();
    let opened = opened_epochs(&back.app.db).await.unwrap();
    exact(&opened, &held, &outside);
    let platform = w.platform_on(&back);
    nothing_is_redeemable(&back, &w, &platform).await;
    let own = opened.iter().find(|epoch| epoch.log == h.customer("Nordvik")).unwrap();
    println!("restored at step {at} (kept: {kept}, seen: {is_seen}): {:?} is missing", own.missing);
    if let Some(missing) = own.missing {
        lost_entries(&back, &w, missing).await;
    }
    back.ask(&platform, "works", &export()).await.expect(201);
    back.running(&platform, "works-on", &export()).await;
    // Withdrawn in the backup, or again before the confirmation.
    back.ask(&platform, "withdrawn", &asks_other()).await.expect(403);
    let report = check(&back.app.db, back.app.notary.outside(), None, |_| {}).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report}");
    mandate::app::deliver_due(&back.app).await.unwrap();
    audit(&back).await;
    removed(h, &back).await;
}

#[tokio::test]
async fn restores_of_a_dump_bring_nothing_back_to_life() {
    for round in 0..rounds() {
        // Every point is reached in twelve rounds, with and without what the gate did being kept outside.
        let (at, kept) = ((round * 5 + 1) % (STEPS + 1), round % 2 == 0);
        run(async |h: &Harness| restored_at(h, at, kept).await).await;
    }
}

// Negative control, seen to fail: with the heads read before the checkpoints outside, an act in between
// makes its log look shorter than what was kept of it.
#[tokio::test]
async fn a_start_beside_a_process_that_serves_sees_no_restore() {
    run(async |h: &Harness| {
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
                assert!(take_in(&h.app.db, h.app.notary.outside(), false).await.unwrap().is_none(), "after {looked} looks");
                looked += 1;
            }
            assert!(looked > 5, "{looked}");
        };
        tokio::join!(acts, starts);
    })
    .await;
}
