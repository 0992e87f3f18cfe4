//! Private databases against a real server: opened twice, copied from a template by several at
//! once, and left alone where another installation has its logins. The server is the one of
//! `DATABASE_URL`, else the program's own below `target`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, and reads DATABASE_URL where config does for the program"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mandate::base::{Error, SystemClock, SystemEntropy};
use mandate::db::server::Options;
use mandate::db::{self, Db, Opened, PrivateServer};
use secrecy::{ExposeSecret, SecretString};

async fn server() -> PrivateServer {
    let given = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()).map(SecretString::from);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    PrivateServer::ensure(given.as_ref(), &dir, Options { fsync: false }).await.unwrap()
}

fn pools(opened: &Opened) -> Db {
    Db::new(&opened.urls, 2, Arc::new(SystemClock::default()), Arc::new(SystemEntropy)).unwrap()
}

#[tokio::test]
async fn a_private_database_is_opened_again_with_its_clock_and_passes_the_guard() {
    let server = server().await;
    let name = format!("mandate_test_try_{}_0", std::process::id());
    let first = server.open(&name, true).await.unwrap();
    assert!(first.created);
    let mut owner = db::connect(first.owner_url.expose_secret()).await.unwrap();
    db::advance_clock(&mut owner, chrono::Duration::hours(72)).await.unwrap();
    let again = server.open(&name, true).await.unwrap();
    assert!(!again.created);
    let pools = pools(&again);
    let facts = pools.installation().await.unwrap();
    assert!(facts.private && facts.clock_offset_millis == 72 * 3_600_000, "{facts:?}");
    assert_eq!(db::guard(&pools).await.unwrap(), Vec::<String>::new());
    assert_eq!(db::pending(&pools).await.unwrap(), Vec::<String>::new());
    pools.close().await;
    server.remove(&name).await.unwrap();
}

#[tokio::test]
async fn the_clock_of_a_database_that_is_not_private_stands() {
    let server = server().await;
    let name = format!("mandate_test_real_{}_0", std::process::id());
    let opened = server.open(&name, false).await.unwrap();
    let mut owner = db::connect(opened.owner_url.expose_secret()).await.unwrap();
    let refused = db::advance_clock(&mut owner, chrono::Duration::hours(1)).await;
    assert!(matches!(refused, Err(Error::Conflict { code: "not_private", .. })), "{refused:?}");
    let facts = db::installation_at(&mut owner).await.unwrap();
    assert!(!facts.private && facts.clock_offset_millis == 0, "{facts:?}");
    drop(owner);
    server.remove(&name).await.unwrap();
}

#[tokio::test]
async fn copies_of_one_template_are_made_side_by_side_and_are_apart() {
    let server = Arc::new(server().await);
    let began = Instant::now();
    // Both may find no template; only one makes it.
    let (one, two) = tokio::join!(server.template(), server.template());
    let template = one.unwrap();
    assert_eq!(template, two.unwrap());
    println!("template: {:?}", began.elapsed());
    let began = Instant::now();
    let copies = (0..16).map(|_| {
        let (server, template) = (Arc::clone(&server), template.clone());
        tokio::spawn(async move { server.copy_of(&template).await.unwrap() })
    });
    let copies: Vec<_> = futures_util::future::join_all(copies).await.into_iter().map(Result::unwrap).collect();
    println!("16 copies: {:?}", began.elapsed());
    let mut owner = db::connect(copies[0].owner_url.expose_secret()).await.unwrap();
    db::advance_clock(&mut owner, chrono::Duration::hours(1)).await.unwrap();
    for (number, copy) in copies.iter().enumerate() {
        let pools = pools(copy);
        let facts = pools.installation().await.unwrap();
        assert!(facts.private, "{}", copy.name);
        assert_eq!(facts.clock_offset_millis != 0, number == 0, "{}", copy.name);
        pools.close().await;
    }
    let began = Instant::now();
    for copy in &copies {
        server.remove(&copy.name).await.unwrap();
    }
    println!("16 removals: {:?}", began.elapsed());
}
