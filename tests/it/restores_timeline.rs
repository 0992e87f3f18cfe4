//! A base backup is restored on a cluster of its own, with a timeline of its own. A start that is broken off
//! records nothing else and is gone on with; a log that is whole goes on without confirmation.
//!
//! Control: without `may_write`'s look at `restoring`, what is asked in between is answered 403 and not 503.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use mandate::db::server::{Cluster, Options, Status};
use mandate::db::{Opened, PrivateServer};
use mandate::evidence::RestoreGround;
use mandate::fsck::{Verdict, check};
use mandate::restore::{opened_epochs, take_in};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::restores::{STEPS, World, exact, lost_entries, nothing_is_redeemable, outside, ran, sizes, step, world};
use crate::support::{Client, Harness, audit, export, instruction, run_on, with};

/// A folder of clusters, whose servers end with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let dir = PathBuf::from(format!("/tmp/mandate-restore-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for cluster in ["a", "b"].map(|name| self.0.join(name)) {
            if let Ok(Status::Running { pid, .. }) = Cluster::status(&cluster) {
                let _ = Command::new("kill").args(["-INT", &pid.to_string()]).status();
                for _ in 0..2_000 {
                    if !cluster.join("data/postmaster.pid").exists() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn given(path: &Path, owner: &std::fs::Metadata) {
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| given(&entry.unwrap().path(), owner));
    }
}

/// A base backup, and what makes a server recover from it on a timeline of its own.
fn base_backup(h: &Harness, scratch: &Scratch) {
    let data = scratch.0.join("b/data");
    std::fs::create_dir(scratch.0.join("b")).unwrap();
    let url = h.database.owner_url.expose_secret().replace("user=mandate_owner", "user=postgres");
    ran("pg_basebackup", &["-D", data.to_str().unwrap(), "-d", &url, "-X", "stream", "-c", "fast", "--no-sync"]);
    std::fs::write(data.join("recovery.signal"), "").unwrap();
    let mut settings = std::fs::read_to_string(data.join("postgresql.auto.conf")).unwrap();
    settings.push_str("restore_command = 'false'\n");
    std::fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
    given(&data, &std::fs::metadata(scratch.0.join("a/data")).unwrap());
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// A start that is broken off in the middle leaves what it opened, and records nothing else.
async fn broken_off(back: &Harness, w: &World) {
    let mut owner = PgConnection::connect(back.database.owner_url.expose_secret()).await.unwrap();
    let held = format!(
        "BEGIN; SELECT 1 FROM log_head h JOIN log l ON l.id = h.customer_id WHERE l.name = '{}' FOR UPDATE OF h",
        back.customer("Søby")
    );
    owner.execute(AssertSqlSafe(held)).await.unwrap();
    assert!(mandate::app::prepare(&back.app).await.is_err());
    let opened = opened_epochs(&back.app.db).await.unwrap();
    assert!(!opened.is_empty(), "the registry was first");
    back.ask(&w.platform_on(back), "meanwhile", &export()).await.expect(503);
    owner.execute("ROLLBACK").await.unwrap();
}

/// A process that lives through a failover, and connects to what was promoted, refuses everything.
/// Control: without `after_connect` of `db::pools` it is asked, and answers 201.
async fn lived_through(h: &Harness, back: &Harness, w: &World) {
    // The alarm is meant here.
    let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    let app = back.another(&back.database.urls, 2);
    app.db.serve_only(&h.app.db.standing().await.unwrap());
    let platform = Client { router: mandate::app::router(app.clone()).unwrap(), ..w.platform_on(back) };
    back.ask(&platform, "lived-through", &export()).await.expect(503);
    assert!(app.db.answers().await.is_err(), "and says that it is not ready");
    app.db.close().await;
}

/// Opens a database once its server has ended its recovery, and so takes writes.
async fn promoted(server: &PrivateServer, name: &str) -> Opened {
    for _ in 0..200 {
        match server.open(name, true).await {
            Ok(opened) => return opened,
            Err(error) => assert!(format!("{error:?}").contains("25006"), "{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the server does not end its recovery");
}

#[tokio::test]
async fn restores_of_a_base_backup_are_seen_by_its_timeline_and_a_log_that_is_whole_goes_on() {
    if std::env::var("DATABASE_URL").is_ok_and(|url| !url.is_empty()) {
        // The server of somebody else is not restored.
        return;
    }
    let scratch = Scratch::new();
    let server = PrivateServer::ensure(None, &scratch.0.join("a"), Options { fsync: false }).await.unwrap();
    run_on(&server, async |h: &Harness| {
        let mut w = world(h).await;
        base_backup(h, &scratch);
        for number in 0..STEPS {
            step(h, &mut w, number).await;
        }
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        let outside = outside(h);
        let again = PrivateServer::ensure(None, &scratch.0.join("b"), Options { fsync: false }).await.unwrap();
        let back = h.restored(promoted(&again, &h.database.name).await);
        assert_eq!(back.app.db.standing().await.unwrap().timeline, 2);
        lived_through(h, &back, &w).await;
        let held = sizes(&back).await;
        broken_off(&back, &w).await;
        mandate::app::prepare(&back.app).await.unwrap();
        let opened = opened_epochs(&back.app.db).await.unwrap();
        exact(&opened, &held, &outside);
        let platform = w.platform_on(&back);
        nothing_is_redeemable(&back, &w, &platform).await;
        // Søby's log is whole: its people go on at once, in the new epoch.
        let mette = back.person("mette.holm@soby.example").await;
        let state = mette.get("/api/v1/evidence/state").await.expect(200).json();
        assert_eq!((&state["epoch"], &state["unconfirmed"], &state["missing_from"]), (&json!(2), &json!(false), &Value::Null));
        back.signed(&mette, &instruction()).await;
        let asked = with(export(), json!({"customer": "site-2002-its", "subjects": [{"kind": "whole"}]}));
        back.ask(&platform, "soby", &asked).await.expect(201);
        let nordvik = opened.iter().find(|epoch| epoch.log == h.customer("Nordvik")).unwrap();
        lost_entries(&back, &w, nordvik.missing.unwrap()).await;
        // Declared again, it opens another epoch, and what was confirmed stays so.
        let twice = take_in(&back.app.db, back.app.notary.outside(), &back.app.notary.public_keys(), true).await.unwrap().unwrap();
        assert_eq!(twice.ground, RestoreGround::Declared);
        let report = check(&back.app.db, back.app.notary.outside(), None, |_| {}).await.unwrap();
        assert_eq!(report.verdict(), Verdict::Clean, "{report}");
        mandate::app::deliver_due(&back.app).await.unwrap();
        audit(&back).await;
        back.app.db.close().await;
        again.stop().await.unwrap();
    })
    .await;
    server.stop().await.unwrap();
}
