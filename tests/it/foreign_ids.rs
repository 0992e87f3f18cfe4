//! Convention 9, many times over: a neighbour's id and an absent one, on every route that looks one
//! up. The bytes must be equal; the times are told, not asserted. A short run by default,
//! `MANDATE_PAIRS=10000` is the full one (`docs/idempotency.md`).

use std::time::{Duration, Instant};

use mandate::base::{Entropy as _, SeededEntropy};
use mandate::http::{Access, Route};

use crate::routes::{absent, call, neighbours, parameters, path};
use crate::support::{ADMIN, Answer, Client, Harness, KARI, PRIVACY, SECURITY, run};

/// Another id that names nothing, of the same kind.
fn fresh(parameter: &str, entropy: &SeededEntropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    match absent(parameter).split_once('_') {
        Some((prefix, digits)) if digits.len() == 32 => format!("{prefix}_{}{}", &digits[..17], &hex::encode(bytes)[..15]),
        _ => absent(parameter),
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn timed(client: &Client, route: &Route, path: &str, times: &mut Vec<Duration>) -> Answer {
    let started = Instant::now();
    let answer = call(client, route, path, "x").await;
    times.push(started.elapsed());
    answer
}

/// Negative control: `a_neighbours_id_and_an_absent_one_get_the_same_bytes_on_every_route` finds the
/// neighbour's id as its owner; here an id of one's own is found and differs.
#[tokio::test]
async fn many_pairs_of_a_foreign_and_an_absent_id_get_the_same_bytes() {
    let pairs: usize = std::env::var("MANDATE_PAIRS").map_or(400, |text| text.parse().unwrap());
    run(async |h: &Harness| {
        let theirs = neighbours(h).await;
        let nordvik = h.customer("Nordvik");
        let entropy = SeededEntropy::new(9);
        let callers = [h.person(KARI).await, h.person(ADMIN).await, h.person(PRIVACY).await, h.person(SECURITY).await];
        let table = mandate::app::table();
        let mut asked = Vec::new();
        for route in &table {
            let named = parameters(route).iter().any(|name| theirs.contains_key(name.as_str()));
            // What staff is refused at a customer is counted and soon held back: `routes` asks those once.
            let counted = route.path.starts_with("/api/admin/v1/customers/{customer_id}") && route.method != axum::http::Method::GET;
            if !named || counted || [Access::Gate, Access::Public].contains(&route.access) {
                continue;
            }
            let nowhere = path(route, |name| if name == "customer_id" { nordvik.clone() } else { absent(name) });
            for client in &callers {
                if call(client, route, &nowhere, "x").await.status == 404 {
                    asked.push((route, client));
                    break;
                }
            }
        }
        assert!(asked.len() >= 20, "{}", asked.len());
        let (mut foreign_times, mut absent_times) = (Vec::new(), Vec::new());
        for (number, (route, client)) in asked.iter().cycle().take(pairs).enumerate() {
            let mine = |name: &str| if name == "customer_id" { nordvik.clone() } else { fresh(name, &entropy) };
            let foreign = path(route, |name| theirs.get(name).cloned().unwrap_or_else(|| mine(name)));
            let nowhere = path(route, mine);
            // In turn, so that whatever the first of two warms does not count for one side.
            let (foreign, nowhere) = if number.is_multiple_of(2) {
                let foreign = timed(client, route, &foreign, &mut foreign_times).await;
                (foreign, timed(client, route, &nowhere, &mut absent_times).await)
            } else {
                let nowhere = timed(client, route, &nowhere, &mut absent_times).await;
                (timed(client, route, &foreign, &mut foreign_times).await, nowhere)
            };
            assert_eq!((foreign.status.as_u16(), &foreign.bytes), (404, &nowhere.bytes), "{} {}", route.method, route.path);
            assert_eq!(nowhere.status, 404, "{} {}", route.method, route.path);
            let told = |answer: &Answer| {
                let names = answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
                (names, answer.headers.get("content-type").cloned())
            };
            assert_eq!(told(&foreign), told(&nowhere), "{} {}", route.method, route.path);
        }
        let own = h.drafted(&callers[0], &crate::support::instruction()).await;
        callers[0].get(&format!("/api/v1/instructions/{own}")).await.expect(200);
        println!(
            "{pairs} pairs on {} routes, bytes equal; median {:?} for a neighbour's id, {:?} for an absent one",
            asked.len(),
            median(&mut foreign_times),
            median(&mut absent_times)
        );
    })
    .await;
}
