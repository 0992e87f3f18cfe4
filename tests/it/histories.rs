//! Random histories through the routes: whatever customers, ops and platforms do, the facts that
//! the store reads are those the entries rebuild, and every decision comes out the same when it is
//! decided again. The audit of the harness is the assertion; this file makes the histories.
//! `MANDATE_HISTORIES` sets how many (3 by default), each printed with its seed.
//! Negative control: with the revocation left out of `apply`, the audit fails here.

use chrono::Duration;
use mandate::base::{Entropy as _, SeededEntropy};
use serde_json::{Value, json};

use crate::support::{ADMIN, Client, Harness, KARI, PRIVACY, SECURITY, export, instruction, run, with};

struct Dice(SeededEntropy);

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        let mut bytes = [0_u8; 4];
        self.0.fill(&mut bytes);
        u32::from_be_bytes(bytes) as usize % sides
    }
    fn pick<T: Clone>(&self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

fn subjects(dice: &Dice) -> Value {
    dice.pick(&[
        json!([{"kind": "whole"}]),
        json!([{"kind": "unit", "unit": "S03"}]),
        json!([{"kind": "group", "unit": "S03", "group": "7B"}]),
        json!([{"kind": "subject", "ref": "p-1", "unit": "S03", "groups": ["7B"]}]),
        json!([{"kind": "subject", "ref": "p-2"}, {"kind": "unit", "unit": "S04"}]),
    ])
}

fn some_instruction(dice: &Dice) -> Value {
    if dice.roll(5) == 0 {
        return json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": subjects(dice), "text": "Art. 18."});
    }
    let mut value = with(
        instruction(),
        json!({
            "channels": ["organisation-api", "lti"],
            "purposes": dice.pick(&[json!(["statutory-reporting"]), json!(["support", "statutory-reporting"]), json!(["support"])]),
            "data_categories": dice.pick(&[json!(["identity", "enrolment"]), json!(["identity"]), json!(["identity", "enrolment", "health"])]),
            "subjects": subjects(dice),
        }),
    );
    match dice.roll(4) {
        0 => value["once"] = json!(true),
        1 => value["volume"] = json!({"per_day": {"rows": 150}, "total": {"rows": 400}}),
        2 => value["volume"] = json!({"per_export": {"rows": 100}}),
        _ => {}
    }
    value
}

fn some_export(dice: &Dice) -> Value {
    with(
        export(),
        json!({
            "purpose": dice.pick(&["statutory-reporting", "support", "sale", "nonsense"]),
            "data_categories": dice.pick(&[json!(["identity"]), json!(["identity", "enrolment"]), json!(["identity", "health"])]),
            "subjects": subjects(dice),
            "volume": dice.pick(&[json!({"rows": 50}), json!({"rows": 120}), json!({})]),
            "dry_run": dice.roll(6) == 0,
        }),
    )
}

#[derive(Default)]
struct Made {
    instructions: Vec<String>,
    permits: Vec<(String, String)>,
    chunks: Vec<(String, String, Value)>,
    suspensions: Vec<String>,
    platform_suspensions: Vec<String>,
}

struct Actors {
    kari: Client,
    privacy: Client,
    security: Client,
    admin: Client,
    platform: Client,
}

/// One step of a history. Answers are not asserted: a refusal, a conflict and a success are all history.
async fn step(h: &Harness, dice: &Dice, who: &Actors, made: &mut Made, number: usize) {
    match dice.roll(16) {
        0 | 1 => {
            let drafted = who.kari.post("/api/v1/instructions", &some_instruction(dice)).await.expect(201).text("/id");
            if dice.roll(6) > 0 {
                h.sign(&who.kari, &drafted, 1).await.expect(201);
            }
            made.instructions.push(drafted);
        }
        2 if !made.instructions.is_empty() => {
            let id = dice.pick(&made.instructions);
            who.kari.post(&format!("/api/v1/instructions/{id}/revocations"), &json!({})).await;
        }
        3 if !made.instructions.is_empty() => {
            let id = dice.pick(&made.instructions);
            let path = format!("/api/admin/v1/customers/{}/instructions/{id}/contests", h.customer("Nordvik"));
            let contest = who.privacy.post(&path, &json!({"version": 1, "ground": "GDPR Art. 5"})).await;
            if contest.status == 201 && dice.roll(2) == 0 {
                let body = json!({"contest": contest.text("/versions/0/contests/0/id"), "text": "We confirm."});
                who.kari.post(&format!("/api/v1/instructions/{id}/confirmations"), &body).await.expect(201);
            }
        }
        4 => {
            if let Some(id) = made.suspensions.pop() {
                who.kari.post(&format!("/api/v1/suspensions/{id}/releases"), &json!({})).await.expect(201);
            } else {
                made.suspensions.push(who.kari.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201).text("/id"));
            }
        }
        5 => {
            let path = "/api/admin/v1/platforms/itslearning/suspensions";
            if let Some(id) = made.platform_suspensions.pop() {
                let path = format!("{path}/{id}/releases");
                who.security.post(&path, &json!({})).await.expect(201);
                who.admin.post(&path, &json!({})).await.expect(201);
            } else {
                made.platform_suspensions.push(who.security.post(path, &json!({"ground": "x"})).await.expect(201).text("/id"));
            }
        }
        6 => h.advance(Duration::seconds(i64::try_from(dice.roll(90)).unwrap())),
        _ => platform_step(h, dice, &who.platform, made, &format!("k{number}")).await,
    }
}

/// One step of a platform: asks most, and what it makes of the permits it has.
async fn platform_step(h: &Harness, dice: &Dice, platform: &Client, made: &mut Made, key: &str) {
    let digest = "0".repeat(64);
    match dice.roll(8) {
        0 if !made.permits.is_empty() => {
            let (id, permit) = dice.pick(&made.permits);
            h.redeem(platform, key, &id, &permit).await;
        }
        1 if !made.permits.is_empty() => {
            let (id, _) = dice.pick(&made.permits);
            let done = dice.pick(&[json!({"rows": 40, "sha256": digest}), json!({"sha256": digest})]);
            let (path, body) = dice.pick(&[("completions", done), ("abortions", json!({})), ("abortions", json!({"rows": 200}))]);
            let path = format!("/gate/v1/exports/{id}/{path}");
            platform.post_with(&path, &[("idempotency-key", key)], &body).await;
        }
        2 if !made.permits.is_empty() => {
            let reports: Vec<_> = (0..3).map(|_| json!({"export": dice.pick(&made.permits).0, "rows": 40, "sha256": digest})).collect();
            let body = json!({"completions": reports});
            platform.post_with("/gate/v1/export-completions", &[("idempotency-key", key)], &body).await;
        }
        3 | 4 if !made.permits.is_empty() => {
            let (chunk_no, rows) = (dice.roll(4), dice.pick(&[json!(10), json!(40), json!(90), json!(null)]));
            let fresh = (key.to_owned(), dice.pick(&made.permits).0, json!({"chunk_no": chunk_no, "rows": rows}));
            // Now and then a chunk is asked for again with its key.
            let again = dice.roll(3) == 0 && !made.chunks.is_empty();
            let (key, id, chunk) = if again { dice.pick(&made.chunks) } else { fresh };
            h.chunk(platform, &key, &id, &chunk).await;
            made.chunks.push((key, id, chunk));
        }
        _ => {
            let mut ask = some_export(dice);
            if dice.roll(4) == 0 {
                ask = with(ask, json!({"channel": "lti", "mode": "single"}));
            }
            let answer = h.ask(platform, key, &ask).await;
            if answer.status == 201 {
                let (id, permit) = (answer.text("/id"), answer.text("/permit"));
                if dice.roll(2) == 0 {
                    h.redeem(platform, key, &id, &permit).await;
                }
                made.permits.push((id, permit));
            }
        }
    }
}

#[tokio::test]
async fn facts_of_the_store_equal_the_facts_of_the_entries_over_random_histories() {
    let histories: u64 = std::env::var("MANDATE_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for seed in 0..histories {
        println!("history of seed {seed}");
        run(async |h: &Harness| {
            let dice = Dice(SeededEntropy::new(seed));
            let mut made = Made::default();
            for round in 0..3 {
                let who = Actors {
                    kari: h.person(KARI).await,
                    privacy: h.person(PRIVACY).await,
                    security: h.person(SECURITY).await,
                    admin: h.person(ADMIN).await,
                    platform: h.platform("itslearning"),
                };
                // Few enough steps that no step-up of five minutes runs out on the way.
                let until = h.clock_millis() + 180_000;
                for number in 0..40 {
                    if h.clock_millis() > until {
                        break;
                    }
                    step(h, &dice, &who, &mut made, round * 100 + number).await;
                }
                if round == 1 {
                    // What runs and is silent is closed; what the last round does is not.
                    h.advance(Duration::hours(mandate::export::SILENT_HOURS));
                    mandate::export::sweep(&h.app).await.unwrap();
                }
            }
        })
        .await;
    }
}
