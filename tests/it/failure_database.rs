//! The database gone, or behind a black hole: 503 with Retry-After within 2 s, also for who is in
//! the middle of it, and no restart afterwards. The times are printed; the assertions leave room
//! for a busy machine. Negative control: without the watch, who is in the middle waits for the deadline.

use std::time::{Duration, Instant};

use axum::Router;
use mandate::app::App;
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, Client, Harness, KARI, Mode, Proxy, export, instruction, run};

/// The requirement, and what a machine with other work on it is given.
const BAR: Duration = Duration::from_secs(2);
const ROOM: Duration = Duration::from_secs(4);

async fn timed(answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let began = Instant::now();
    (answer.await, began.elapsed())
}

/// A caller of each surface, at a program behind the proxy.
struct Callers {
    kari: Client,
    ops: Client,
    platform: Client,
}

impl Callers {
    async fn of(h: &Harness, router: &Router) -> Self {
        let at = |client: Client| Client { router: router.clone(), ..client };
        Self { kari: at(h.person(KARI).await), ops: at(h.person("reader@ops.example").await), platform: at(h.platform("itslearning")) }
    }

    /// A request of each surface, all at once.
    async fn ask(&self, key: &str) -> [(Answer, Duration); 3] {
        let (export, headers) = (export(), [("idempotency-key", key)]);
        let (a, b, c) = tokio::join!(
            timed(self.kari.get("/api/v1/agreements")),
            timed(self.ops.get("/api/admin/v1/customers")),
            timed(self.platform.post_with("/gate/v1/exports", &headers, &export)),
        );
        [a, b, c]
    }

    async fn are_served(&self, key: &str) -> bool {
        self.ask(key).await.iter().all(|(answer, _)| answer.status.is_success())
    }
}

/// The longest of these times, each of which ended in 503 with Retry-After.
fn longest(answers: &[(Answer, Duration)]) -> Duration {
    for (answer, _) in answers {
        assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.bytes));
        assert!(answer.headers.contains_key("retry-after"));
    }
    answers.iter().map(|(_, time)| *time).max().unwrap()
}

/// Runs a test on a program behind a proxy, watched or not, whose callers were served once.
async fn behind_a_proxy(is_watched: bool, test: impl AsyncFnOnce(&Harness, &Proxy, &App, &Callers)) {
    run(async |h: &Harness| {
        h.signed(&h.person(KARI).await, &instruction()).await;
        let proxy = Proxy::before(&h.database.urls).await;
        let app = h.another(&proxy.urls(&h.database.urls), 6);
        let stop = CancellationToken::new();
        if is_watched {
            let (db, stop) = (app.db.clone(), stop.clone());
            tokio::spawn(async move { db.watch(&stop).await });
        }
        let callers = Callers::of(h, &mandate::app::router(app.clone()).unwrap()).await;
        assert!(callers.are_served("before").await);
        // The watch asks for the first time.
        tokio::time::sleep(Duration::from_millis(500)).await;
        test(h, &proxy, &app, &callers).await;
        stop.cancel();
    })
    .await;
}

/// Asks from the failure on, every 50 ms, until answers come at once; then heals, and asks until all
/// are served again. Gives the longest time of an answer, of one once it is known, and to recovery.
async fn outage(proxy: &Proxy, callers: &Callers, failure: Mode) -> [Duration; 3] {
    proxy.set(failure);
    let began = Instant::now();
    let mut rounds = Vec::new();
    for round in 0..40 {
        let callers = Callers { kari: callers.kari.clone(), ops: callers.ops.clone(), platform: callers.platform.clone() };
        rounds.push(tokio::spawn(async move { callers.ask(&format!("lost-{round}")).await }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut worst = Duration::ZERO;
    for round in rounds {
        worst = worst.max(longest(&round.await.unwrap()));
    }
    assert!(began.elapsed() < ROOM + Duration::from_secs(2));
    let known = longest(&callers.ask("known").await);
    proxy.set(Mode::Forward);
    let healed = Instant::now();
    let mut round = 0;
    while !callers.are_served(&format!("healed-{failure:?}-{round}")).await {
        assert!(healed.elapsed() < Duration::from_secs(10), "it does not recover");
        round += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    [worst, known, healed.elapsed()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_or_silent_is_told_within_two_seconds_and_found_again_without_a_restart() {
    behind_a_proxy(true, async |h, proxy, app, callers| {
        for failure in [Mode::Refuse, Mode::Swallow, Mode::Refuse] {
            let [worst, known, recovery] = outage(proxy, callers, failure).await;
            let bar = if worst < BAR { "within" } else { "OVER" };
            println!(
                "{failure:?}: longest 503 {worst:?} ({bar} {BAR:?}), once known {known:?}, served again {recovery:?} after the network was"
            );
            assert!(worst < ROOM && known < Duration::from_millis(500) && recovery < ROOM);
            app.db.answers().await.unwrap();
        }
        // What was answered 503 may be asked again, and has one answer.
        let asked = h.ask(&callers.platform, "lost-0", &export()).await.expect(201);
        assert_eq!(h.ask(&callers.platform, "lost-0", &export()).await.expect(201).text("/id"), asked.text("/id"));
    })
    .await;
}

/// A request that waits in the database for a head which this session holds.
async fn held(h: &Harness) -> PgConnection {
    let mut owner = PgConnection::connect(h.database.owner_url.expose_secret()).await.unwrap();
    let nordvik: uuid::Uuid = h.customer("Nordvik").strip_prefix("cus_").unwrap().parse().unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut owner).await.unwrap();
    sqlx::query("SELECT 1 FROM log_head WHERE customer_id = $1 FOR UPDATE").bind(nordvik).execute(&mut owner).await.unwrap();
    owner
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_the_middle_of_it_when_it_falls_silent_is_told_too() {
    behind_a_proxy(true, async |h, proxy, app, callers| {
        let holder = held(h).await;
        let platform = callers.platform.clone();
        let export = export();
        let asked =
            tokio::spawn(async move { timed(platform.post_with("/gate/v1/exports", &[("idempotency-key", "middle")], &export)).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.set(Mode::Swallow);
        let silent = Instant::now();
        let (answer, _) = asked.await.unwrap();
        let time = silent.elapsed();
        println!("in the middle: 503 {time:?} after the silence began");
        assert!(answer.text("/type").ends_with("/outcome-unknown"), "what was under way may have happened");
        longest(&[(answer, time)]);
        assert!(time < ROOM);
        drop(holder);
        proxy.set(Mode::Forward);
        tokio::time::sleep(BAR).await;
        // The stuck task keeps its connection of the old pool, and nothing of the new one.
        assert_eq!(app.tracker.len(), 1);
        for round in 0..12 {
            assert!(callers.are_served(&format!("after-{round}")).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_watch_who_is_in_the_middle_waits_for_the_deadline() {
    behind_a_proxy(false, async |h, proxy, app, callers| {
        let hasty = App { deadline: Duration::from_secs(5), ..app.clone() };
        let platform = Client { router: mandate::app::router(hasty).unwrap(), ..callers.platform.clone() };
        let _holder = held(h).await;
        let export = export();
        let asked =
            tokio::spawn(async move { timed(platform.post_with("/gate/v1/exports", &[("idempotency-key", "middle")], &export)).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.set(Mode::Swallow);
        let (answer, time) = asked.await.unwrap();
        println!("without the watch: 503 after {time:?}");
        assert!(longest(&[(answer, time)]) >= Duration::from_secs(5));
        // Its task ends at twice the deadline, and with it the place that its dead socket held.
        tokio::time::timeout(Duration::from_secs(12), async {
            app.tracker.close();
            app.tracker.wait().await;
        })
        .await
        .unwrap();
        app.tracker.reopen();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_while_idle_cost_one_request_a_second_and_no_other_anything() {
    behind_a_proxy(false, async |_, proxy, _, callers| {
        // Some more connections than one, all idle now.
        let many = (0..6).map(|i| {
            let callers = Callers { kari: callers.kari.clone(), ops: callers.ops.clone(), platform: callers.platform.clone() };
            async move { callers.are_served(&format!("many-{i}")).await }
        });
        assert!(futures_util::future::join_all(many).await.into_iter().all(|served| served));
        proxy.set(Mode::SwallowOld);
        let (answer, time) = timed(callers.kari.get("/api/v1/agreements")).await;
        println!("idle connections died: {} after {time:?}", answer.status);
        answer.expect(200);
        assert!(time < BAR);
        let (answer, time) = timed(callers.kari.get("/api/v1/agreements")).await;
        println!("the next request: {time:?}");
        answer.expect(200);
        assert!(time < Duration::from_secs(1));
    })
    .await;
}
