//! Two processes of the program on one database; one is stopped (SIGSTOP) in the middle of its
//! transactions, in each of which it holds a customer's head and the registry. The other serves all
//! customers again within 3 s, because the database ends what idles in a transaction; continued, the
//! first serves again, and no answered decision is missing from its log.
//! Negative control: without `idle_in_transaction_session_timeout` the other never serves them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::support::{Harness, KARI, Server, bare, connect_as_owner, export, instruction, run_today, try_sql, with};
use mandate::base::Digest;
use mandate::db::{LogId, Role};

const CUSTOMERS: [(&str, &str); 4] =
    [("Nordvik", "site-1001-its"), ("Søby", "site-2002-its"), ("Gymnasium", "site-3003-its"), ("Kantonsschule", "site-4004-its")];

/// Asks for an export of a customer; none when no answer came.
async fn ask(server: &Server, key: &str, customer: &str, platform_key: &str) -> Option<(u16, Value)> {
    let body = with(export(), json!({"customer": customer, "subjects": [{"kind": "whole"}]}));
    server.post("/gate/v1/exports", platform_key, key, &body).await
}

/// Waits until this many of the gate's transactions wait for a table that is locked away.
async fn waiting(owner: &mut PgConnection, count: i64) {
    for _ in 0..150 {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_locks held USING (pid)
             WHERE NOT l.granted AND l.relation = 'instruction_term'::regclass AND held.granted AND held.relation = 'log_head'::regclass",
        )
        .fetch_one(&mut *owner)
        .await
        .unwrap();
        if waiting == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the transactions did not come to wait");
}

/// How long until every customer gets a decision from this process and the registry is free.
async fn served(h: &Harness, server: &Server, since: Instant, answered: &mut Vec<(usize, Value)>) -> Duration {
    let key = &h.access.keys.iter().find(|key| key.platform == "itslearning").unwrap().key;
    let mut owner = connect_as_owner(h).await;
    for (place, (name, customer)) in CUSTOMERS.into_iter().enumerate() {
        for attempt in 0.. {
            match ask(server, &format!("{customer}-{}-{attempt}", answered.len()), customer, key).await {
                Some((201 | 403, decided)) => {
                    answered.push((place, decided));
                    break;
                }
                Some((503, _)) | None => {}
                Some((status, body)) => panic!("{status} {body}"),
            }
            assert!(since.elapsed() < Duration::from_secs(20), "{name} is not served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The key of the service's registry lock.
    while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock(7881702200285881601)").fetch_one(&mut owner).await.unwrap() {
        assert!(since.elapsed() < Duration::from_secs(20), "the registry is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_stopped_inside_its_transactions_holds_nobody_up_for_longer_than_three_seconds() {
    run_today(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let (first, second) = (Server::start(h, "first").await, Server::start(h, "second").await);
        let mut answered = Vec::new();
        for server in [&first, &second] {
            served(h, server, Instant::now(), &mut answered).await;
        }
        // Every decision reads this table under its locks.
        let mut owner = connect_as_owner(h).await;
        try_sql(&mut owner, "BEGIN").await.unwrap();
        try_sql(&mut owner, "LOCK TABLE instruction_term IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let key = h.access.keys.iter().find(|key| key.platform == "itslearning").unwrap().key.clone();
        let cut_off = CUSTOMERS.map(|(_, customer)| ask(&first, customer, customer, &key));
        let ([a, b, c, d], elapsed) = tokio::join!(
            async {
                let [a, b, c, d] = cut_off;
                tokio::join!(a, b, c, d).into()
            },
            async {
                waiting(&mut owner, 4).await;
                first.signal("-STOP");
                let stopped = Instant::now();
                try_sql(&mut owner, "ROLLBACK").await.unwrap();
                let elapsed = served(h, &second, stopped, &mut answered).await;
                first.signal("-CONT");
                elapsed
            }
        );
        println!("served again {:.2} s after SIGSTOP", elapsed.as_secs_f64());
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
        for (place, answer) in [a, b, c, d].into_iter().enumerate() {
            let (status, body): (u16, Value) = answer.expect("a continued process answers");
            match status {
                201 | 403 => answered.push((place, body)),
                status => assert_eq!(status, 503, "{body}"),
            }
        }
        let continued = Instant::now();
        served(h, &first, continued, &mut answered).await;
        println!("the continued process serves {:.2} s later", continued.elapsed().as_secs_f64());
        for server in [first, second] {
            server.signal("-TERM");
            let mut server = server;
            assert!(server.child.wait().unwrap().success(), "{}", server.log());
        }
        nothing_lost(h, &answered).await;
    })
    .await;
}

/// Every receipt that was answered stands in its log.
async fn nothing_lost(h: &Harness, answered: &[(usize, Value)]) {
    assert!(answered.len() >= 16);
    for (place, answer) in answered {
        let log = LogId(bare(&h.customer(CUSTOMERS[*place].0)));
        let mut read = h.app.db.read(Role::App, "answered", log).await.unwrap();
        let entries = mandate::evidence::entries(read.conn(), log, (0, 0), 10_000, None).await.unwrap();
        let index: u64 = answer["receipt"]["index"].as_u64().unwrap();
        let leaf: Digest = answer["receipt"]["leaf_hash"].as_str().unwrap().parse().unwrap();
        assert!(entries.iter().any(|entry| entry.index == index && entry.leaf_hash == leaf), "{answer}");
    }
}
