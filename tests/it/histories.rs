//! Random histories through the routes: whatever customers, ops and platforms do, the facts that
//! the store reads are those the entries rebuild, and every decision comes out the same when it is
//! decided again. The audit of the harness is the assertion; this file makes the histories, and
//! shows that every kind of act took effect in them.
//! `MANDATE_HISTORIES` sets how many (3 by default), each printed with its seed.
//! Negative control: with the revocation left out of `apply`, the audit fails here.

use std::collections::BTreeMap;

use chrono::Duration;
use mandate::base::{Entropy as _, SeededEntropy};
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Client, Harness, KARI, PRIVACY, SECURITY, export, instruction, run, with};

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

/// A customer of the histories: name, signatory, two units, its name at each platform.
struct Place {
    name: &'static str,
    signatory: &'static str,
    units: [&'static str; 2],
    sites: &'static [(&'static str, &'static str)],
}

const PLACES: [Place; 2] = [
    Place { name: "Nordvik", signatory: KARI, units: ["S03", "S04"], sites: &[("itslearning", "site-1001-its")] },
    Place {
        name: "Søby",
        signatory: "mette.holm@soby.example",
        units: ["Å1", "Å2"],
        sites: &[("itslearning", "site-2002-its"), ("skoleintra", "site-2002-sko")],
    },
];

/// A request of a platform, to be sent again.
type Sent = (&'static str, String, String, Value);

/// What a history has made at one customer.
#[derive(Default)]
struct Made {
    instructions: Vec<String>,
    permits: Vec<(&'static str, String, String)>,
    sent: Vec<Sent>,
    suspensions: Vec<String>,
    ops_suspensions: Vec<String>,
    /// Agreements that were ended, as they were shown.
    ended: Vec<Value>,
}

#[derive(Default)]
struct History {
    made: [Made; 2],
    platform_suspensions: Vec<(&'static str, String)>,
    /// How often each kind of act took effect.
    done: BTreeMap<&'static str, usize>,
}

impl History {
    fn note(&mut self, act: &'static str, answer: &Answer) -> bool {
        let done = answer.status.is_success();
        *self.done.entry(act).or_default() += usize::from(done);
        done
    }
}

struct Actors {
    signatories: [Client; 2],
    privacy: Client,
    security: Client,
    admin: Client,
    platforms: BTreeMap<&'static str, Client>,
}

fn subjects(dice: &Dice, [one, two]: [&str; 2]) -> Value {
    dice.pick(&[
        json!([{"kind": "whole"}]),
        json!([{"kind": "unit", "unit": one}]),
        json!([{"kind": "group", "unit": one, "group": "7B"}]),
        json!([{"kind": "subject", "ref": "p-1", "unit": one, "groups": ["7B"]}]),
        json!([{"kind": "subject", "ref": "p-2"}, {"kind": "unit", "unit": two}]),
    ])
}

fn some_instruction(dice: &Dice, place: &Place) -> Value {
    let platforms: Vec<_> = place.sites.iter().take(1 + dice.roll(place.sites.len())).map(|(platform, _)| platform).collect();
    if dice.roll(5) == 0 {
        // One of everybody would end the history.
        let subjects = json!([{"kind": "group", "unit": place.units[dice.roll(2)], "group": "7B"}]);
        return json!({"kind": "restriction", "platforms": platforms, "subjects": subjects, "text": "Art. 18."});
    }
    let purposes = [json!(["statutory-reporting"]), json!(["support", "statutory-reporting"]), json!(["support", "service-delivery"])];
    let categories = [json!(["identity", "enrolment"]), json!(["identity"]), json!(["identity", "enrolment", "health"])];
    let mut value = with(
        instruction(),
        json!({"platforms": platforms, "channels": ["organisation-api", "lti"], "purposes": dice.pick(&purposes),
            "data_categories": dice.pick(&categories), "subjects": subjects(dice, place.units)}),
    );
    match dice.roll(4) {
        0 => value["once"] = json!(true),
        1 => value["volume"] = json!({"per_day": {"rows": 150}, "total": {"rows": 400}}),
        2 => value["volume"] = json!({"per_export": {"rows": 100}}),
        _ => {}
    }
    value
}

fn some_export(dice: &Dice, place: &Place) -> (&'static str, Value) {
    let (platform, site) = dice.pick(place.sites);
    let purposes = ["statutory-reporting", "support", "service-delivery", "service-delivery", "sale", "nonsense"];
    let value = with(
        export(),
        json!({
            "platform": platform,
            "customer": if dice.roll(12) == 0 { "site-nobody" } else { site },
            "purpose": dice.pick(&purposes),
            "data_categories": dice.pick(&[json!(["identity"]), json!(["identity", "enrolment"]), json!(["identity", "health"])]),
            "subjects": subjects(dice, place.units),
            "volume": dice.pick(&[json!({"rows": 50}), json!({"rows": 120}), json!({})]),
            "dry_run": dice.roll(6) == 0,
        }),
    );
    (platform, if dice.roll(4) == 0 { with(value, json!({"channel": "lti", "mode": "single"})) } else { value })
}

/// One step of a history. Answers are not asserted: a refusal, a conflict and a success are all history.
async fn step(h: &Harness, dice: &Dice, who: &Actors, history: &mut History, key: &str) {
    let at = dice.roll(PLACES.len());
    // Most of a history goes on under an agreement.
    if !history.made[at].ended.is_empty() && dice.roll(4) == 0 {
        return agreement_step(h, dice, who, history, at).await;
    }
    match dice.roll(24) {
        0..=4 => instruction_step(h, dice, who, history, at).await,
        5..=7 => stop_step(h, dice, who, history, at).await,
        8 => agreement_step(h, dice, who, history, at).await,
        9 => h.advance(Duration::seconds(i64::try_from(dice.roll(90)).unwrap())),
        _ => platform_step(dice, who, history, at, key).await,
    }
}

/// Somebody of the customer writes, signs, withdraws; ops contests.
async fn instruction_step(h: &Harness, dice: &Dice, who: &Actors, history: &mut History, at: usize) {
    let signatory = &who.signatories[at];
    let body = some_instruction(dice, &PLACES[at]);
    let known = history.made[at].instructions.clone();
    if known.is_empty() || dice.roll(2) == 0 {
        let drafted = signatory.post("/api/v1/instructions", &body).await.expect(201).text("/id");
        if dice.roll(6) > 0 {
            h.sign(signatory, &drafted, 1).await.expect(201);
        }
        return history.made[at].instructions.push(drafted);
    }
    let id = dice.pick(&known);
    let path = format!("/api/v1/instructions/{id}");
    match dice.roll(3) {
        0 => {
            let revoked = signatory.post(&format!("{path}/revocations"), &json!({})).await;
            history.note("revocation", &revoked);
        }
        1 => {
            let contests = format!("/api/admin/v1/customers/{}/instructions/{id}/contests", h.customer(PLACES[at].name));
            let version = 1 + dice.roll(2);
            let contest = who.privacy.post(&contests, &json!({"version": version, "ground": "GDPR Art. 5"})).await;
            if history.note("contest", &contest) && dice.roll(2) == 0 {
                let body = json!({"contest": contest.text(&format!("/versions/{}/contests/0/id", version - 1)), "text": "We confirm."});
                let confirmed = signatory.post(&format!("{path}/confirmations"), &body).await;
                history.note("confirmation", &confirmed);
            }
        }
        _ => {
            let from = h.app.db.clock().now().plus(Duration::seconds(i64::try_from(dice.roll(120)).unwrap()));
            let body = if dice.roll(2) == 0 { body } else { with(body, json!({"valid_from_at": from})) };
            let drafted = signatory.post(&format!("{path}/versions"), &body).await;
            if drafted.status == 201 {
                let version = drafted.text("/draft/version").parse().unwrap();
                let signed = h.sign(signatory, &id, version).await;
                history.note(if version > 1 { "further version" } else { "signature" }, &signed);
            }
        }
    }
}

/// Somebody stops all exports, or releases what was stopped: the customer, ops at it, or a platform.
async fn stop_step(h: &Harness, dice: &Dice, who: &Actors, history: &mut History, at: usize) {
    let ground = json!({"ground": "x"});
    let begins = dice.roll(4) == 0;
    match dice.roll(3) {
        0 => {
            let path = "/api/v1/suspensions";
            if let Some(id) = history.made[at].suspensions.pop() {
                let released = who.signatories[at].post(&format!("{path}/{id}/releases"), &json!({})).await.expect(201);
                history.note("own release", &released);
            } else if begins {
                let id = who.signatories[at].post(path, &ground).await.expect(201).text("/id");
                history.made[at].suspensions.push(id);
            }
        }
        1 => {
            let path = format!("/api/admin/v1/customers/{}/suspensions", h.customer(PLACES[at].name));
            if let Some(id) = history.made[at].ops_suspensions.pop() {
                who.security.post(&format!("{path}/{id}/releases"), &json!({})).await.expect(201);
                let released = who.admin.post(&format!("{path}/{id}/releases"), &json!({})).await.expect(201);
                history.note("release by ops", &released);
            } else if begins {
                let id = who.security.post(&path, &ground).await.expect(201).text("/id");
                history.made[at].ops_suspensions.push(id);
            }
        }
        _ => {
            let path = |platform: &str| format!("/api/admin/v1/platforms/{platform}/suspensions");
            if let Some((platform, id)) = history.platform_suspensions.pop() {
                let path = format!("{}/{id}/releases", path(platform));
                who.security.post(&path, &json!({})).await.expect(201);
                let released = who.admin.post(&path, &json!({})).await.expect(201);
                history.note("release of a platform", &released);
            } else if begins {
                let (platform, _) = dice.pick(PLACES[at].sites);
                let id = who.security.post(&path(platform), &ground).await.expect(201).text("/id");
                history.platform_suspensions.push((platform, id));
            }
        }
    }
}

/// An agreement ends, at once or soon; the same is agreed again.
async fn agreement_step(h: &Harness, dice: &Dice, who: &Actors, history: &mut History, at: usize) {
    let signatory = &who.signatories[at];
    if let Some(old) = history.made[at].ended.pop() {
        let path = format!("/api/admin/v1/customers/{}/agreements", h.customer(PLACES[at].name));
        let body = json!({"platform": old["platform"], "external_id": old["external_id"], "document": old["document"], "parameters": old["parameters"]});
        let prepared = who.admin.post(&path, &body).await;
        // While the old one runs out there is no room for the new one.
        if prepared.status != 201 {
            return history.made[at].ended.push(old);
        }
        let id = prepared.text("/id");
        who.admin.post(&format!("{path}/{id}/offers"), &json!({})).await.expect(201);
        let acceptance = json!({"document_sha256": old["document_sha256"]});
        let accepted = signatory.post(&format!("/api/v1/agreements/{id}/acceptances"), &acceptance).await.expect(201);
        history.note("acceptance", &accepted);
        return;
    }
    let all = signatory.get("/api/v1/agreements?limit=100").await.expect(200).json();
    let (platform, _) = dice.pick(PLACES[at].sites);
    let found = all["data"].as_array().unwrap().iter().find(|a| a["platform"] == platform && a["state"] == "in_force");
    if let Some(agreement) = found.filter(|_| dice.roll(2) == 0) {
        let soon = h.app.db.clock().now().plus(Duration::seconds(30));
        let body = if dice.roll(2) == 0 { json!({}) } else { json!({"effective_at": soon}) };
        let path = format!("/api/v1/agreements/{}/terminations", agreement["id"].as_str().unwrap());
        let ended = signatory.post(&path, &body).await.expect(201);
        history.note("end of an agreement", &ended);
        history.made[at].ended.push(agreement.clone());
    }
}

/// One step of a platform: asks most, and what it makes of the permits it has; now and then the same again.
async fn platform_step(dice: &Dice, who: &Actors, history: &mut History, at: usize, key: &str) {
    let digest = "0".repeat(64);
    let permits = history.made[at].permits.clone();
    let of_export = |platform: &'static str, path: String, body: Value| -> Sent { (platform, key.to_owned(), path, body) };
    let choice = if permits.is_empty() { 9 } else { dice.roll(10) };
    let (platform, id, permit) =
        if permits.is_empty() { ("", String::new(), String::new()) } else { dice.pick(&permits[permits.len().saturating_sub(3)..]) };
    let path = format!("/gate/v1/exports/{id}");
    let (act, sent) = match choice {
        0 => ("redemption", of_export(platform, format!("{path}/redemptions"), json!({"permit": permit}))),
        1 => {
            let done = dice.pick(&[json!({"rows": 40, "sha256": digest}), json!({"sha256": digest})]);
            let (word, body) = dice.pick(&[("completions", done), ("abortions", json!({})), ("abortions", json!({"rows": 200}))]);
            ("report", of_export(platform, format!("{path}/{word}"), body))
        }
        2 => {
            let reports: Vec<_> = (0..3).map(|_| json!({"export": dice.pick(&permits).1, "rows": 40, "sha256": digest})).collect();
            ("batch", of_export(platform, "/gate/v1/export-completions".to_owned(), json!({"completions": reports})))
        }
        3 | 4 => {
            let chunk = json!({"chunk_no": dice.roll(4), "rows": dice.pick(&[json!(10), json!(40), json!(90), json!(null)])});
            ("chunk", of_export(platform, format!("{path}/chunks"), chunk))
        }
        5 if !history.made[at].sent.is_empty() => ("repeat", dice.pick(&history.made[at].sent)),
        _ => {
            let (platform, ask) = some_export(dice, &PLACES[at]);
            ("permit", of_export(platform, "/gate/v1/exports".to_owned(), ask))
        }
    };
    let (platform, key, path, body) = &sent;
    let send = async |key: &str, path: &str, body: &Value| who.platforms[platform].post_with(path, &[("idempotency-key", key)], body).await;
    let answer = send(key, path, body).await;
    history.note(act, &answer);
    if act == "permit" && answer.status == 201 {
        let (id, permit) = (answer.text("/id"), answer.text("/permit"));
        if dice.roll(2) == 0 {
            let redemption = (*platform, key.clone(), format!("/gate/v1/exports/{id}/redemptions"), json!({"permit": permit}));
            send(key, &redemption.2, &redemption.3).await;
            history.made[at].sent.push(redemption);
        }
        history.made[at].permits.push((*platform, id, permit));
    }
    if act != "repeat" {
        history.made[at].sent.push(sent);
    }
}

/// Turns the clock to the next time of this kind, UTC.
fn turn_to(h: &Harness, hours: i64, minutes: i64) {
    let day = Duration::days(1).num_milliseconds();
    let time = (hours * 60 + minutes) * 60_000;
    h.advance(Duration::milliseconds((time - h.clock_millis() % day).rem_euclid(day)));
}

async fn history(h: &Harness, seed: u64, history: &mut History) {
    let dice = Dice(SeededEntropy::new(seed));
    for round in 0..3 {
        if round == 1 {
            turn_to(h, 22, 58);
        }
        let platforms = ["itslearning", "skoleintra"].map(|platform| (platform, h.platform(platform)));
        let who = Actors {
            signatories: [h.person(PLACES[0].signatory).await, h.person(PLACES[1].signatory).await],
            privacy: h.person(PRIVACY).await,
            security: h.person(SECURITY).await,
            admin: h.person(ADMIN).await,
            platforms: platforms.into(),
        };
        for (place, signatory) in PLACES.iter().zip(&who.signatories) {
            let sites: Vec<_> = place.sites.iter().map(|(platform, _)| platform).collect();
            let broad = json!({"platforms": sites, "channels": ["organisation-api", "lti"], "purposes": ["support", "service-delivery"]});
            h.signed(signatory, &with(instruction(), broad)).await;
        }
        // Few enough steps that no step-up of five minutes runs out on the way.
        let until = h.clock_millis() + 180_000;
        for number in 0..60 {
            // The day changes for both customers while exports run.
            if round == 1 && number == 30 && h.clock_millis() % 86_400_000 < 23 * 3_600_000 {
                turn_to(h, 23, 0);
            }
            if h.clock_millis() > until {
                break;
            }
            step(h, &dice, &who, history, &format!("k{}", round * 100 + number)).await;
        }
        if round == 1 {
            // What runs and is silent is closed; what the last round does is not.
            h.advance(Duration::hours(mandate::export::SILENT_HOURS));
            mandate::export::sweep(&h.app).await.unwrap();
        }
    }
}

#[tokio::test]
async fn facts_of_the_store_equal_the_facts_of_the_entries_over_random_histories() {
    let histories: u64 = std::env::var("MANDATE_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..histories {
        println!("history of seed {seed}");
        run(async |h: &Harness| {
            let mut one = History::default();
            history(h, seed, &mut one).await;
            one.done.into_iter().for_each(|(act, count)| *done.entry(act).or_default() += count);
        })
        .await;
    }
    println!("{done:?}");
    let acts = ["acceptance", "end of an agreement", "further version", "release by ops", "release of a platform", "own release"];
    for act in acts.into_iter().chain(["confirmation", "revocation", "permit", "redemption", "chunk", "report", "batch", "repeat"]) {
        assert!(histories < 3 || done.get(act).is_some_and(|count| *count > 0), "no {act} in any history");
    }
}
