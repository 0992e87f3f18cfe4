//! Kills at random moments under load: of the server's process, as many as `MANDATE_KILLS` says (6 by
//! default), and of Postgres with all its processes (`MANDATE_POSTGRES_KILLS`, 2). Nothing that was
//! acknowledged is lost, effects and entries are equal both ways, and what was not answered has one
//! effect once it is asked again by its key. What could not be checked is counted apart from what is
//! lost, and is nothing in the end. All of it: `docs/crashes.md`.

mod broken;
mod judge;
mod load;

use std::time::{Duration, Instant};

use mandate::base::{Entropy as _, SeededEntropy};
use mandate::db::advance_clock;
use mandate::evidence::Outside;
use mandate::fsck::{Verdict, check};

use crate::support::{Crashing, Harness, KARI, Server, Spawn, connect_as_owner, instruction, run_crashing, run_today, run_unaudited};
use judge::Judge;
use load::{Ended, Line, Load, Person};

/// Kills in one world: each is followed by a check of all of it.
const WORLD: usize = 25;
/// After how long a key that a killed process had claimed is free for another try.
const LEFT_BEHIND: Duration = Duration::from_secs(61);

/// A step-up holds for five minutes.
const STEP_UP_AGAIN: Duration = Duration::from_secs(120);

/// What came of the kills.
#[derive(Default, Debug)]
struct Tally {
    kills: usize,
    acknowledged: usize,
    /// Requests that were under way at a kill; of them, those that had taken effect.
    unanswered: usize,
    in_effect: usize,
    /// Acknowledged entries that are not there, or not as their receipts say.
    lost: Vec<String>,
    /// Requests that have more effects than one, or none.
    not_once: Vec<String>,
    /// What the check of the logs found.
    differences: Vec<String>,
    /// Receipts and logs that could not be checked after a kill, and those that never could.
    unchecked: usize,
    never_checked: usize,
    /// Until it was served again, milliseconds, in order.
    restarts: Vec<u128>,
}

impl Tally {
    fn print(&self, name: &str, began: Instant) {
        let Self { kills, acknowledged, unanswered, in_effect, unchecked, never_checked, restarts, .. } = self;
        let median = restarts.get(restarts.len() / 2).copied().unwrap_or_default();
        println!(
            "{name}: {kills} kills, {acknowledged} acknowledged, {} lost, {unanswered} under way at a kill ({in_effect} in effect), {} not once, \
             {} differences, {unchecked} could not be checked at once ({never_checked} never), served again after {median} ms in the middle, {} ms at most, {:.0} s in all",
            self.lost.len(),
            self.not_once.len(),
            self.differences.len(),
            restarts.last().copied().unwrap_or_default(),
            began.elapsed().as_secs_f64()
        );
        for fault in self.lost.iter().chain(&self.not_once).chain(&self.differences).take(20) {
            println!("  {fault}");
        }
    }

    fn faults(&self) -> usize {
        self.lost.len() + self.not_once.len() + self.differences.len() + self.never_checked
    }
}

/// What is killed.
enum Victim<'a> {
    Server,
    Postgres(&'a Crashing),
}

/// A world in which it happens.
struct Storm<'a> {
    h: &'a Harness,
    victim: Victim<'a>,
    server: Server,
    lines: Vec<Line>,
    persons: Vec<Person>,
    stepped_up: Instant,
    judge: Judge,
    tally: &'a mut Tally,
}

impl<'a> Storm<'a> {
    async fn of(h: &'a Harness, victim: Victim<'a>, spawn: Option<Spawn>, tally: &'a mut Tally) -> Self {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let (lines, persons) = match spawn {
            Some(_) => (Line::suspending(h).await, Vec::new()),
            None => Line::all(h).await,
        };
        let server = match spawn {
            Some(spawn) => Server::start_by(h, "killed", spawn).await,
            None => Server::start(h, "killed").await,
        };
        Self { h, victim, server, lines, persons, stepped_up: Instant::now(), judge: Judge::of(h), tally }
    }

    /// Load, a kill at a random moment of it, a restart, and the check of everything.
    async fn kill(&mut self) {
        let number = self.tally.kills;
        if self.stepped_up.elapsed() > STEP_UP_AGAIN {
            for (client, email) in &self.persons {
                self.h.step_up(client, email).await;
            }
            self.stepped_up = Instant::now();
        }
        let load = Load::begin(&self.lines, &self.server.base, number);
        tokio::time::sleep(pause(number)).await;
        match self.victim {
            Victim::Server => self.server.kill(),
            Victim::Postgres(crashing) => assert!(crashing.kill() > 5, "the server and its children"),
        }
        let killed = Instant::now();
        let ended = load.ended().await;
        match self.victim {
            Victim::Server => self.server.again(self.h).await,
            Victim::Postgres(crashing) => {
                crashing.server().await;
                self.server.ready().await;
            }
        }
        self.tally.restarts.push(killed.elapsed().as_millis());
        self.tally.kills += 1;
        self.judged(ended).await;
    }

    async fn judged(&mut self, ended: Vec<Ended>) {
        // Connections of before a crash are dead.
        let app = self.h.another(&self.h.database.urls, 2);
        for ended in ended {
            self.tally.acknowledged += ended.acknowledged.len();
            self.judge.acknowledged(ended.acknowledged);
            if let Some(sent) = ended.open {
                self.tally.unanswered += 1;
                self.judge.open.push(sent);
            }
        }
        // Before anything else is written.
        let read = self.judge.read(&app.db).await;
        self.judge.compare(read.is_ok(), self.tally);
        self.tally.in_effect += self.judge.open_in_effect();
        self.logs(&app).await;
        self.judge.ask_again(&self.server.base, 3).await;
        app.db.close().await;
    }

    /// The check of all logs, with their effects, and with the checkpoints that the server kept.
    async fn logs(&mut self, app: &mandate::app::App) {
        let outside = Outside::new(&self.server.folder.join("checkpoints"));
        match check(&app.db, &outside, None, |_| {}).await {
            Ok(report) => {
                self.tally.differences.extend(report.differences.iter().map(|difference| format!("{difference:?}")));
                self.tally.unchecked += report.undecided.len();
                assert!(report.verdict() != Verdict::Clean || report.logs >= 7, "{report}");
            }
            Err(error) => {
                println!("the logs could not be checked after kill {}: {error}", self.tally.kills);
                self.tally.unchecked += 1;
            }
        }
    }

    /// Answers what is open, and checks everything from the first entry on.
    async fn end(mut self) {
        let mut owner = connect_as_owner(self.h).await;
        advance_clock(&mut owner, chrono::Duration::from_std(LEFT_BEHIND).unwrap()).await.unwrap();
        self.judge.ask_again(&self.server.base, 300).await;
        let said = self.judge.said.clone();
        self.tally.not_once.extend(self.judge.open.drain(..).map(|sent| format!("never answered: {} (at last {})", sent.effect, said)));
        self.server.signal("-TERM");
        assert!(self.server.child.wait().unwrap().success(), "{}", self.server.log());
        let app = self.h.another(&self.h.database.urls, 2);
        self.judge.forget();
        let read = self.judge.read(&app.db).await;
        self.judge.compare(read.is_ok(), self.tally);
        self.tally.never_checked += self.judge.unchecked();
        self.tally.not_once.extend(self.judge.not_once());
        let before = (self.tally.unchecked, self.tally.differences.len());
        self.logs(&app).await;
        self.tally.never_checked += self.tally.unchecked - before.0;
        self.tally.restarts.sort_unstable();
        app.db.close().await;
        // The audit carries out what the server had not yet delivered.
        self.h.advance(chrono::Duration::hours(1));
    }
}

/// How long the load runs before a kill: at most 675 ms, drawn from the kill's number.
fn pause(number: usize) -> Duration {
    let mut bytes = [0_u8; 2];
    SeededEntropy::new(number as u64 + 0x6b69_6c6c).fill(&mut bytes);
    Duration::from_micros(20_000 + u64::from(u16::from_be_bytes(bytes)) * 10)
}

fn of_environment(name: &str, or: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_under_load_and_nothing_acknowledged_is_lost() {
    let (kills, began, mut tally) = (of_environment("MANDATE_KILLS", 6), Instant::now(), Tally::default());
    while tally.kills < kills {
        let in_this_world = WORLD.min(kills - tally.kills);
        run_today(async |h: &Harness| {
            let mut storm = Storm::of(h, Victim::Server, None, &mut tally).await;
            for _ in 0..in_this_world {
                storm.kill().await;
            }
            storm.end().await;
        })
        .await;
        tally.print("server", began);
        assert_eq!(tally.faults(), 0);
    }
    assert!(tally.acknowledged > tally.kills && tally.unanswered > tally.kills, "there was load: {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_killed_under_load_and_nothing_acknowledged_is_lost() {
    let (kills, began, mut tally) = (of_environment("MANDATE_POSTGRES_KILLS", 2), Instant::now(), Tally::default());
    while tally.kills < kills {
        let in_this_world = WORLD.min(kills - tally.kills);
        let crashing = Crashing::new(true);
        run_crashing(&crashing, true, async |h: &Harness| {
            let mut storm = Storm::of(h, Victim::Postgres(&crashing), None, &mut tally).await;
            for _ in 0..in_this_world {
                storm.kill().await;
            }
            storm.end().await;
        })
        .await;
        tally.print("postgres", began);
        assert_eq!(tally.faults(), 0);
    }
    assert!(tally.acknowledged > tally.kills && tally.unanswered > tally.kills, "there was load: {tally:?}");
}

// The negative control of both: an effect in one transaction, its entry in the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_appends_the_entry_in_a_second_transaction_is_caught() {
    let (began, mut tally) = (Instant::now(), Tally::default());
    run_unaudited(async |h: &Harness| {
        // The alarm is an error in the log, which no test may leave: here it is meant.
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        broken::allow(h).await;
        let mut storm = Storm::of(h, Victim::Server, Some(broken::server), &mut tally).await;
        for _ in 0..40 {
            storm.kill().await;
            if is_caught(storm.tally) {
                break;
            }
        }
    })
    .await;
    tally.print("entry in a second transaction (control)", began);
    assert!(is_caught(&tally), "{tally:?}");
}

/// That its effects have other times than their entries is found too, and proves nothing here.
fn is_caught(tally: &Tally) -> bool {
    tally.differences.iter().any(|told| told.contains("has a row, and no entry"))
}

// The negative control of the second: a Postgres that answers a COMMIT before it has written it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_answers_before_it_has_written_is_caught() {
    let (began, mut tally) = (Instant::now(), Tally::default());
    let crashing = Crashing::new(false);
    run_crashing(&crashing, false, async |h: &Harness| {
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let mut storm = Storm::of(h, Victim::Postgres(&crashing), None, &mut tally).await;
        for _ in 0..20 {
            storm.kill().await;
            if !storm.tally.lost.is_empty() {
                break;
            }
        }
    })
    .await;
    tally.print("postgres without synchronous commit (control)", began);
    assert!(!tally.lost.is_empty(), "{tally:?}");
}
