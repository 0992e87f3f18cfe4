//! Restores to random points: a dump is made at any moment of a random history, while the gate is asked, and
//! restored later. What is missing is told exactly, up to what was kept outside; nothing that was withdrawn
//! comes back to life, and no permit from before is good for anything.
//!
//! Negative controls, each taken out once and seen to fail here: `take_in` that opens no epoch (no log has opened);
//! `known` of `decide::endings` always none (nothing is missing); `end_sessions` (a token from before works);
//! `suspend_authority` (somebody confirms who may have lost the authority); `state_unconfirmed` of `identity` (a key of
//! the customer works); `StateUnconfirmed` in `decide::evaluate` (500: the database refuses), and with it the line of
//! the database's `export_refusal` (a permit is given). Where entries are missing the void of a permit is hidden behind
//! `state_unconfirmed`: `restores_that_lost_nothing_…` looks at it alone.
//!
//! `MANDATE_RESTORES=20 cargo test --test it restores_random` restores twenty times; `MANDATE_SEED` repeats a run.

use std::cell::Cell;
use std::path::PathBuf;

use mandate::base::{Clock as _, Entropy as _, SeededEntropy, SystemClock};
use mandate::fsck::{Verdict, check};
use mandate::restore::{opened_epochs, take_in};
use serde_json::json;

use crate::restores::{
    World, asks_other, dump, exact, lost_entries, nothing_is_redeemable, other, outside, permitted, removed, restored, sizes, withdraw,
    world,
};
use crate::support::{Client, Harness, audit, export, run, with};

/// Acts of one history.
const ACTS: u64 = 16;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

struct Dice(SeededEntropy);

impl Dice {
    fn below(&self, count: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes) % count
    }
    /// One of these; `None` if there is none.
    fn of<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        (!all.is_empty()).then(|| &all[usize::try_from(self.below(all.len() as u64)).unwrap()])
    }
}

/// One act, of the customer or at the gate.
async fn act(h: &Harness, w: &mut World, dice: &Dice, turn: u64) {
    let key = format!("act{turn}");
    match dice.below(10) {
        0 | 1 => w.permits.push(permitted(h, &w.platform, &key).await),
        2 | 3 => {
            let (_, id, permit) = dice.of(&w.permits).unwrap().clone();
            if h.redeem(&w.platform, &key, &id, &permit).await.status == 201 {
                w.running.push(id);
            }
        }
        4 => {
            let id = dice.of(&w.running).unwrap();
            let chunk = json!({"chunk_no": turn + 10, "rows": 1});
            h.chunk(&w.platform, &key, id, &chunk).await;
        }
        5 => {
            let report = json!({"rows": 1, "sha256": "ab".repeat(32)});
            let path = format!("/gate/v1/exports/{}/completions", dice.of(&w.running).unwrap());
            w.platform.post_with(&path, &[("idempotency-key", &key)], &report).await;
        }
        6 => w.in_force.push(h.signed(&w.kari, &other()).await),
        7 => withdraw(w).await,
        8 => {
            let recipient = json!({"legal_entity": format!("Register {turn}"), "country": "NO", "role": "school_authority"});
            w.kari.post("/api/v1/recipients", &recipient).await.expect(201);
        }
        // The ten seconds are over.
        _ => h.app.notary.keep_noted(&h.app.db).await.unwrap(),
    }
}

/// What the gate is asked all the while, at two customers.
async fn traffic(h: &Harness, platform: &Client, over: &Cell<bool>) -> u64 {
    let mut asked = 0;
    while !over.get() {
        for customer in ["site-1001-its", "site-2002-its"] {
            let refused = with(export(), json!({"customer": customer, "purpose": "marketing"}));
            h.ask(platform, &format!("traffic{asked}"), &refused).await.expect(403);
            asked += 1;
        }
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    asked
}

/// A history, with a dump before the act of this number; gives the dump.
async fn history(h: &Harness, w: &mut World, dice: &Dice, at: u64, over: &Cell<bool>) -> PathBuf {
    let mut file = None;
    for turn in 0..=ACTS {
        if turn == at {
            file = Some(dump(h).await);
        }
        match turn {
            // Whatever was instructed beside the first is withdrawn in the end: none of it lives.
            _ if turn + 1 == ACTS => withdraw(w).await,
            ACTS => {}
            _ => act(h, w, dice, turn).await,
        }
    }
    over.set(true);
    file.unwrap()
}

async fn restored_at(h: &Harness, dice: &Dice) {
    let mut w = world(h).await;
    let (at, over, platform) = (dice.below(ACTS + 1), Cell::new(false), h.platform("itslearning"));
    let (asked, file) = tokio::join!(traffic(h, &platform, &over), history(h, &mut w, dice, at, &over));
    if dice.below(2) == 0 {
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
    }
    let (outside, truth) = (outside(h), sizes(h).await);
    let back = restored(h, &file).await;
    let held = sizes(&back).await;
    let is_seen = outside.iter().any(|(name, size)| held[name] < *size);
    if !is_seen {
        // Nothing kept outside shows it: operations says it.
        assert!(take_in(&back.app.db, back.app.notary.outside(), &back.app.notary.public_keys(), true).await.unwrap().is_some());
    }
    // Two processes start at once.
    let (one, two) = tokio::join!(mandate::app::prepare(&back.app), mandate::app::prepare(&back.app));
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
    mandate::app::prepare(&back.app).await.unwrap();
    let opened = opened_epochs(&back.app.db).await.unwrap();
    exact(&opened, &held, &outside);
    let own = h.customer("Nordvik");
    let lost = truth[&own] - held[&own];
    let opened = opened.iter().find(|epoch| epoch.log == own).unwrap();
    println!("restored before act {at} of {ACTS}, {asked} asked beside it: {lost} entries lost, known to be missing {:?}", opened.missing);
    assert_eq!(opened.missing.map_or(0, |(_, from, until)| until + 1 - from), lost - (truth[&own] - outside[&own].max(held[&own])));
    let platform = w.platform_on(&back);
    nothing_is_redeemable(&back, &w, &platform).await;
    back.ask(&platform, "withdrawn", &asks_other()).await.expect(403);
    if let Some(missing) = opened.missing {
        lost_entries(&back, &w, missing).await;
    }
    back.ask(&platform, "works", &export()).await.expect(201);
    back.running(&platform, "works-on", &export()).await;
    // Withdrawn in the backup, or again before the confirmation.
    back.ask(&platform, "withdrawn-still", &asks_other()).await.expect(403);
    nothing_is_redeemable(&back, &w, &platform).await;
    let report = check(&back.app.db, back.app.notary.outside(), None, |_| {}).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report}");
    mandate::app::deliver_due(&back.app).await.unwrap();
    audit(&back).await;
    removed(h, &back).await;
}

#[tokio::test]
async fn restores_to_random_points_bring_nothing_back_to_life() {
    let seed = number("MANDATE_SEED").unwrap_or_else(|| SystemClock::default().now().millis().unsigned_abs());
    println!("MANDATE_SEED={seed}");
    let dice = Dice(SeededEntropy::new(seed));
    for _ in 0..number("MANDATE_RESTORES").unwrap_or(2) {
        run(async |h: &Harness| restored_at(h, &dice).await).await;
    }
}
