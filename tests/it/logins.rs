//! Logins under load and under guessing: how many passwords are hashed at once, and that known and
//! unknown persons cannot be told apart by any answer, or by what the service does for it.

use std::sync::Arc;
use std::time::Instant;

use axum::http::Method;
use chrono::Duration;
use mandate::identity::{PasswordHasher, PasswordParams};
use serde_json::json;

use crate::support::{Answer, Client, Harness, KARI, export, instruction, run, statements};

/// Hashes that may be computed at once, as `identity/password.rs` bounds them: four times 64 MiB.
const AT_ONCE: usize = 4;

/// Negative control: with room for 100,000 in the queue, every login is hashed and none is turned away.
#[tokio::test]
async fn a_thousand_logins_at_once_hash_four_at_a_time_turn_the_rest_away_and_leave_the_gate_alone() {
    run(async |h: &Harness| {
        h.signed(&h.person(KARI).await, &instruction()).await;
        let platform = h.platform("itslearning");
        // The same program with hashes that take their time.
        let mut app = h.app.clone();
        app.passwords = Arc::new(PasswordHasher::new(PasswordParams { memory_kib: 16_384, passes: 1, lanes: 1 }).unwrap());
        let nobody = Client { router: mandate::app::router(app.clone()).unwrap(), token: None };
        let logins = (0..1000).map(|n| {
            let body = json!({"email": format!("somebody-{n}@nordvik.example"), "password": "not the password"});
            let nobody = nobody.clone();
            async move { nobody.post("/api/v1/sessions", &body).await }
        });
        let gate = async {
            let mut slowest = std::time::Duration::ZERO;
            for n in 0..20 {
                let began = Instant::now();
                h.ask(&platform, &format!("during-{n}"), &export()).await.expect(201);
                slowest = slowest.max(began.elapsed());
            }
            slowest
        };
        let began = Instant::now();
        let (answers, slowest) = tokio::join!(futures_util::future::join_all(logins), gate);
        let (refused, hashed): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 503);
        assert!(hashed.iter().all(|answer| answer.status == 401));
        assert!(refused.iter().all(|answer| answer.headers.contains_key("retry-after")));
        let peak = app.passwords.peak();
        println!(
            "1,000 logins in {:?}: {} hashed, {} turned away, {peak} hashes at once at most (as many times 64 MiB); slowest of 20 answers of the gate meanwhile: {slowest:?}",
            began.elapsed(),
            hashed.len(),
            refused.len()
        );
        assert_eq!(peak, AT_ONCE);
        assert!(refused.len() >= 500, "{} were turned away", refused.len());
    })
    .await;
}

fn hashes(handle: &metrics_exporter_prometheus::PrometheusHandle) -> u64 {
    let text = handle.render();
    let line = text.lines().find_map(|line| line.strip_prefix("password_hashes_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Negative control: with the decoy hash left out for unknown persons, the counts differ at the first pair.
#[tokio::test]
async fn a_hundred_pairs_of_known_and_unknown_persons_get_the_same_answer_by_the_same_path() {
    run(async |h: &Harness| {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let headers = [("x-request-id", "same"), ("content-type", "application/json")];
        let log_in = async |surface: &str, email: &str| {
            let body = json!({"email": email, "password": "not the password"}).to_string();
            let (_, hashes_before, began) = (statements(), hashes(&handle), Instant::now());
            let answer = h.nobody.raw(Method::POST, &format!("{surface}/sessions"), &headers, body.into_bytes()).await;
            (answer, statements(), hashes(&handle) - hashes_before, began.elapsed())
        };
        let (mut known_times, mut unknown_times) = (Vec::new(), Vec::new());
        for pair in 0..100 {
            let login = &h.access.logins[pair % h.access.logins.len()];
            let surface = if login.customer.is_some() { "/api/v1" } else { "/api/admin/v1" };
            let unknown = format!("unknown-{pair}@nordvik.example");
            let (a, a_statements, a_hashes, a_time) = log_in(surface, &login.email).await;
            let (b, b_statements, b_hashes, b_time) = log_in(surface, &unknown).await;
            assert_eq!((a.status.as_u16(), &a.bytes), (401, &b.bytes), "{pair}");
            assert_eq!(b.status, 401);
            assert_eq!((&a_statements, a_hashes), (&b_statements, b_hashes), "{pair}: statements and hashes");
            assert!(a_statements.len() > 5 && a_hashes == 1, "{a_statements:?} {a_hashes}");
            let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(&a), names(&b));
            known_times.push(a_time);
            unknown_times.push(b_time);
            h.advance(Duration::minutes(16));
        }
        let median = |times: &mut Vec<std::time::Duration>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        println!("100 pairs: median of known {:?}, of unknown {:?}", median(&mut known_times), median(&mut unknown_times));
    })
    .await;
}
