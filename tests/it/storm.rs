//! Storms: pairs of a stop and an ask, sent at the same moment, as many as `MANDATE_STORM` says for
//! each storm (8 by default). Whatever the order in which they meet, nothing is permitted,
//! redeemed or repeated after the stop was answered, and nobody is the victim of a deadlock. The
//! audit of each world decides every decision again. All of it: `docs/storms.md`.

mod judge;
mod place;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use mandate::base::{Entropy as _, SeededEntropy};

use crate::support::{Harness, connect_as_owner, run};
use judge::{Asked, Stop, faults};
use place::{BUSY, Place, Way};

/// Pairs in one world: an ask looks at every instruction that shares its purpose.
const WORLD: usize = 240;
/// Pairs of one instruction each that meet at the same time.
const AT_ONCE: usize = 16;

#[derive(Default)]
struct Storm {
    pairs: usize,
    /// The ask was before the stop, or after it.
    first: usize,
    late: usize,
    faults: Vec<String>,
    deadlocks: i64,
}

fn pairs() -> usize {
    std::env::var("MANDATE_STORM").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// A pause of up to so many milliseconds, drawn from the pair's number.
async fn pause(number: usize, most: u64) {
    let mut bytes = [0_u8; 2];
    SeededEntropy::new(number as u64 * 100 + most).fill(&mut bytes);
    tokio::time::sleep(Duration::from_micros(u64::from(u16::from_be_bytes(bytes)) % (most * 1_000))).await;
}

/// One pair; then, the stop answered, the same key, a new key, and the permit if there is one.
async fn pair(place: &Place, way: Way, subject: &str, number: usize, asked_for: usize, agreement: &str) -> (Stop, String, Vec<Asked>) {
    let key = |word: &str| format!("{way:?}-{word}-{number}");
    let ask = async {
        pause(number, 4).await;
        place.ask(subject, asked_for, &key("at-once")).await
    };
    let stop = async {
        // An ask has the longer way to the head: sent together, it would always come second.
        pause(number, 24).await;
        place.stop(way, subject, agreement).await
    };
    let ((first, answer), (stop, stopped)) = tokio::join!(ask, stop);
    let mut asks = vec![first];
    asks.push(place.ask(subject, asked_for, &key("after")).await.0);
    if asks[0].permitted {
        asks.push(place.ask(subject, asked_for, &key("at-once")).await.0);
        asks.push(place.redeem(subject, &answer, &key("redeemed")).await);
    }
    (stop, stopped, asks)
}

/// Pairs that stop one instruction each, several at a time.
async fn single(h: &Harness, places: &[Place], way: Way, count: usize) -> (Vec<Stop>, Vec<Asked>) {
    let pairs = (0..count).map(async |number| {
        let place = &places[number % places.len()];
        let number = number + way as usize * 100_000;
        let subject = place.signed(h, number).await;
        let (stop, _, asks) = pair(place, way, &subject, number, number, "").await;
        (stop, asks)
    });
    let done: Vec<_> = stream::iter(pairs).buffer_unordered(AT_ONCE).collect().await;
    let (stops, asks): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    (stops, asks.into_iter().flatten().collect())
}

/// Pairs that stop everything until they are undone: one after the other at a customer, the
/// customers side by side.
async fn whole(h: &Harness, places: &[Place], way: Way, count: usize) -> (Vec<Stop>, Vec<Asked>) {
    // A platform's suspension stops every customer, so that only one may be at it.
    let lanes = if way == Way::PlatformSuspension { &places[..1] } else { places };
    let done = futures_util::future::join_all(lanes.iter().enumerate().map(async |(lane, place)| {
        let asked_for = way as usize * 100_000;
        place.signed(h, asked_for).await;
        let mut agreement = if way == Way::EndOfAgreement { place.agreement().await } else { String::new() };
        let (mut stops, mut asks) = (Vec::new(), Vec::new());
        for number in (lane..count).step_by(lanes.len()) {
            h.advance(chrono::Duration::milliseconds(1));
            let (mut stop, stopped, more) = pair(place, way, place.name, number, asked_for, &agreement).await;
            stop.released = Some(place.release(way, &stopped, &mut agreement).await);
            stops.push(stop);
            asks.extend(more);
        }
        (stops, asks)
    }))
    .await;
    let (stops, asks): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    (stops.into_iter().flatten().collect(), asks.into_iter().flatten().collect())
}

async fn deadlocks(h: &Harness) -> i64 {
    let mut owner = connect_as_owner(h).await;
    // The counters of a connection that still idles are up to a second behind.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetch_one(&mut owner).await.unwrap()
}

impl Storm {
    fn judge(&mut self, stops: &[Stop], asks: &[Asked]) {
        self.pairs += stops.len();
        self.first += asks.iter().filter(|ask| ask.permitted).count();
        self.late += asks.iter().filter(|ask| !ask.permitted).count();
        self.faults.extend(faults(stops, asks));
    }

    /// One world after the other, until all pairs of each way are done.
    async fn of(ways: &[Way]) -> Self {
        let (mut storm, mut left) = (Self::default(), pairs().div_ceil(ways.len()));
        while left > 0 {
            let count = left.min(WORLD);
            left -= count;
            run(async |h: &Harness| {
                let places = Place::all(h).await;
                let done = futures_util::future::join_all(ways.iter().map(async |way| {
                    if way.of_one_instruction() { single(h, &places, *way, count).await } else { whole(h, &places, *way, count).await }
                }));
                for (stops, asks) in done.await {
                    storm.judge(&stops, &asks);
                }
                storm.deadlocks += deadlocks(h).await;
                while mandate::app::deliver_due(&h.app).await.unwrap() > 0 {}
            })
            .await;
        }
        storm
    }
}

async fn storm(name: &str, ways: &[Way]) {
    let began = Instant::now();
    let storm = Storm::of(ways).await;
    println!(
        "{name}: {} pairs, {} permits before their stop, {} refusals, {} permits after it, {} deadlocks, {} answers 503 so far, {:.1} s",
        storm.pairs,
        storm.first,
        storm.late,
        storm.faults.len(),
        storm.deadlocks,
        BUSY.load(Ordering::Relaxed),
        began.elapsed().as_secs_f64(),
    );
    assert_eq!(storm.faults, Vec::<String>::new());
    assert_eq!(storm.deadlocks, 0);
    assert!(storm.pairs >= pairs());
    // Of a hundred pairs, some met in either order; of a few, all may have met in one.
    assert!(storm.pairs < 100 || (storm.first > 0 && storm.late > storm.pairs), "the pairs did not meet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_revocations() {
    storm("revocation", &[Way::Revocation]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_contests() {
    storm("contest", &[Way::Contest]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_suspensions() {
    storm("suspension", &[Way::Suspension]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_ends_of_agreements() {
    storm("end of agreement", &[Way::EndOfAgreement]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_platform_suspensions() {
    storm("platform suspension", &[Way::PlatformSuspension]).await;
}

/// All ways at once: each is stopped by the others too, which makes refusals and no faults.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_all_ways_at_once() {
    storm("all at once", &Way::ALL).await;
}
