//! Conventions 5, 7, 10 and 11 on every route that exists: the tests walk the table that the router
//! is built from, and find real ids through its lists, so a new route is held to them too.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use chrono::Duration;
use mandate::app::App;
use mandate::http::{Access, Limits, Rates, Route, Surface};
use serde_json::json;

use crate::support::{ADMIN, Answer, Client, Harness, KARI, SECURITY, export, instruction, run};

/// The callers of a walk: one for each surface that reads.
struct Walk {
    kari: Client,
    admin: Client,
    customer: String,
    table: Vec<Route>,
}

impl Walk {
    /// A world in which most lists hold something.
    async fn begin(h: &Harness) -> Self {
        let (kari, admin, security) = (h.person(KARI).await, h.person(ADMIN).await, h.person(SECURITY).await);
        h.signed(&kari, &instruction()).await;
        for key in ["a", "b"] {
            h.ask(&h.platform("itslearning"), key, &export()).await.expect(201);
        }
        for key in ["a", "b"] {
            h.advance(Duration::seconds(1));
            let new = json!({"name": format!("key {key}"), "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
            kari.post("/api/v1/api-keys", &new).await.expect(201);
            kari.post("/api/v1/suspensions", &json!({"ground": key})).await.expect(201);
        }
        let period = json!({"from_at": "2026-11-01T00:00:00Z", "until_at": "2026-11-24T08:00:00Z"});
        for _ in 0..2 {
            kari.post("/api/v1/decision-reports", &period).await.expect(202);
        }
        mandate::operation::run_due(&h.app).await.unwrap();
        security.post("/api/admin/v1/platforms/fronter/suspensions", &json!({"ground": "x"})).await.expect(201);
        Self { kari, admin, customer: h.customer("Nordvik"), table: mandate::app::table() }
    }

    fn caller(&self, route: &Route) -> Option<&Client> {
        match route.surface() {
            Surface::Institution => Some(&self.kari),
            Surface::Admin => Some(&self.admin),
            _ => None,
        }
    }

    /// The route's path with ids that exist, each from the list before it.
    async fn real(&self, route: &Route) -> Option<String> {
        let client = self.caller(route)?;
        let (mut path, mut pattern) = (String::new(), String::new());
        for segment in route.path.split('/').skip(1) {
            let value = match segment {
                "{customer_id}" => self.customer.clone(),
                "{platform}" => "fronter".to_owned(),
                name if name.starts_with('{') => {
                    let list = self.table.iter().find(|other| other.path == pattern && other.is_list())?;
                    let page = self.caller(list)?.get(&path).await.expect(200).json();
                    let row = page["data"].as_array()?.first()?.clone();
                    let id = row.get("id").or_else(|| row.get("index")).or_else(|| row.get("code"))?;
                    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
                }
                fixed => fixed.to_owned(),
            };
            path = format!("{path}/{value}");
            pattern = format!("{pattern}/{segment}");
        }
        assert!(client.token.is_some());
        Some(path)
    }
}

/// Every list, but for the customers of an alarm: no alarm is raised here (`alarms` shows them).
fn walked(route: &Route) -> bool {
    route.is_list() && !route.path.contains("{alarm_id}")
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    client.send(client.request(Method::GET, path, headers, Body::empty())).await
}

/// 5: every list is given as JSON and as CSV with the same rows, and as nothing else.
#[tokio::test]
async fn every_list_is_given_as_json_and_as_csv() {
    run(async |h: &Harness| {
        let walk = Walk::begin(h).await;
        let document = serde_json::to_value(mandate::http::openapi(&walk.table)).unwrap();
        let (mut lists, mut filled) = (0, 0);
        for route in walk.table.iter().filter(|route| walked(route)) {
            let (client, path) = (walk.caller(route).unwrap(), walk.real(route).await.unwrap_or_else(|| panic!("{}", route.path)));
            let page = client.get(&path).await.expect(200);
            assert_eq!(page.headers["vary"], "Accept", "{path}");
            let rows = page.json()["data"].as_array().unwrap().len();
            let csv = get(client, &path, &[("accept", "text/csv")]).await.expect(200);
            assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8; header=present", "{path}");
            assert!(csv.headers["content-disposition"].to_str().unwrap().starts_with("attachment; filename="), "{path}");
            let mut reader = csv::Reader::from_reader(csv.bytes.as_slice());
            let columns = reader.headers().unwrap().len();
            assert!(columns > 1, "{path}: {columns} columns");
            assert_eq!(reader.records().map(Result::unwrap).count(), rows, "{path}");
            let other = get(client, &path, &[("accept", "image/png")]).await.expect(406);
            assert!(other.text("/type").ends_with("/not-acceptable"), "{path}");
            client.get(&format!("{path}?limit=0")).await.expect(400);
            client.get(&format!("{path}?limit=101")).await.expect(400);
            let described = &document["paths"][&route.path]["get"]["responses"];
            assert!(described["406"].is_object() && described["200"]["content"]["text/csv"].is_object(), "{path}");
            lists += 1;
            filled += usize::from(rows > 0);
        }
        assert!(lists >= 25 && filled >= 20, "{lists} lists, {filled} with rows");
    })
    .await;
}

/// 5: a cursor goes on where its page ended, in its own list, with its own filter, for its own
/// customer; what is added in between neither repeats nor hides an element.
#[tokio::test]
async fn a_cursor_is_of_one_list_one_filter_and_one_customer() {
    run(async |h: &Harness| {
        let walk = Walk::begin(h).await;
        let mut cursors: BTreeMap<String, String> = BTreeMap::new();
        for route in walk.table.iter().filter(|route| walked(route)) {
            let (client, path) = (walk.caller(route).unwrap(), walk.real(route).await.unwrap());
            let all = client.get(&format!("{path}?limit=100")).await.expect(200).json()["data"].as_array().unwrap().clone();
            let mut paged = Vec::new();
            let mut next = format!("{path}?limit=1");
            loop {
                let page = client.get(&next).await.expect(200).json();
                paged.extend(page["data"].as_array().unwrap().iter().cloned());
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                cursors.insert(path.clone(), cursor.to_owned());
                next = format!("{path}?limit=1&cursor={cursor}");
            }
            assert_eq!(paged, all, "{path}");
        }
        assert!(cursors.len() >= 12, "{:?}", cursors.keys());
        for (list, cursor) in &cursors {
            for other in cursors.keys() {
                let client = if other.starts_with("/api/admin") { &walk.admin } else { &walk.kari };
                let answer = client.get(&format!("{other}?cursor={cursor}")).await;
                let expected = if list == other { 200 } else { 400 };
                assert_eq!(answer.status, expected, "a cursor of {list} in {other}");
            }
        }
        // Of another customer, and of another filter.
        let mette = h.person("mette.holm@soby.example").await;
        for (list, cursor) in cursors.iter().filter(|(list, _)| list.starts_with("/api/v1/") && !list.ends_with("/history")) {
            let answer = mette.get(&format!("{list}?cursor={cursor}")).await.expect(400);
            assert_eq!(answer.faults()[0].1, "cursor", "{list}");
        }
        let decisions = &cursors["/api/v1/decisions"];
        walk.kari.get(&format!("/api/v1/decisions?dry_run=false&cursor={decisions}")).await.expect(400);
    })
    .await;
}

#[tokio::test]
async fn a_list_is_stable_while_it_grows() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let add = async |name: &str| {
            h.advance(Duration::milliseconds(5));
            let new = json!({"legal_entity": name, "country": "NO", "role": "vendor"});
            kari.post("/api/v1/recipients", &new).await.expect(201).text("/id")
        };
        for number in 0..5 {
            add(&format!("=Recipient {number}")).await;
        }
        let before = kari.get("/api/v1/recipients?limit=100").await.json()["data"].as_array().unwrap().len();
        let (mut seen, mut next) = (Vec::new(), "/api/v1/recipients?limit=2".to_owned());
        for round in 0.. {
            let csv = get(&kari, &next, &[("accept", "text/csv")]).await.expect(200);
            let mut reader = csv::Reader::from_reader(csv.bytes.as_slice());
            let columns = reader.headers().unwrap().clone();
            let place = |name: &str| columns.iter().position(|column| column == name).unwrap();
            let (id, name) = (place("id"), place("legal_entity"));
            for row in reader.records().map(Result::unwrap) {
                assert!(!row[name].starts_with('='), "a spreadsheet would run {}", &row[name]);
                seen.push(row[id].to_owned());
            }
            if round < 3 {
                add(&format!("Late {round}")).await;
            }
            let Some(link) = csv.headers.get("link") else { break };
            next = link.to_str().unwrap().trim_start_matches('<').split('>').next().unwrap().to_owned();
        }
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (before + 3, before + 3));
    })
    .await;
}

/// 7: every resource has a strong tag and answers 304 to it; a tag that is another's does nothing.
#[tokio::test]
async fn every_single_resource_has_a_strong_tag() {
    run(async |h: &Harness| {
        let walk = Walk::begin(h).await;
        let (mut walked, mut missed) = (0, Vec::new());
        for route in walk.table.iter().filter(|route| route.is_single()) {
            let Some(path) = walk.real(route).await else {
                missed.push(route.path.clone());
                continue;
            };
            let client = walk.caller(route).unwrap();
            // Two show what their query names: the log since its first entry, and a receipt.
            let path = if path.ends_with("/consistency-proof") { format!("{path}?from_size=1") } else { path };
            let answer = client.get(&path).await;
            if answer.status == 404 || path.ends_with("/evidence/receipt") {
                missed.push(route.path.clone());
                continue;
            }
            let answer = answer.expect(200);
            let tag = answer.headers["etag"].to_str().unwrap().to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{path}: {tag}");
            let known = get(client, &path, &[("if-none-match", &tag)]).await;
            assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0), "{path}");
            assert_eq!(known.headers["etag"], tag.as_str());
            let other = get(client, &path, &[("if-none-match", "\"another\"")]).await.expect(200);
            assert_eq!(other.headers["etag"], tag.as_str(), "{path}");
            walked += 1;
        }
        assert!(walked >= 18, "{walked} walked, without an example: {missed:?}");
    })
    .await;
}

/// 7: edits and signatures ask for the tag, what stops something never does.
#[tokio::test]
async fn edits_and_signatures_need_a_tag_and_what_stops_never_does() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let mut demanded = 0;
        for route in mandate::app::table() {
            let edits = [Method::PUT, Method::PATCH].contains(&route.method) || route.path.ends_with("/signatures");
            assert_eq!(route.needs_if_match(), edits, "{} {}", route.method, route.path);
            let stops = ["revocations", "objections", "suspensions"].iter().any(|word| route.path.ends_with(word));
            assert!(!(stops && route.needs_if_match()), "{}", route.path);
            if edits && route.surface() == Surface::Institution {
                let path = route.path.replace(['{', '}'], "");
                let answer = kari.json(route.method.clone(), &path, &[("idempotency-key", "k")], &json!({})).await.expect(428);
                assert!(answer.text("/type").ends_with("/precondition-required"));
                demanded += 1;
            }
        }
        assert!(demanded >= 2, "{demanded}");
    })
    .await;
}

/// A request of every route, as a person, from an address.
fn request(route: &Route, walk: &Walk, headers: &[(&str, &str)], from: &str) -> Request<Body> {
    let nobody = Client { router: walk.kari.router.clone(), token: None };
    let client = walk.caller(route).unwrap_or(&nobody);
    let path = route.path.replace(['{', '}'], "");
    let mut request = client.request(route.method.clone(), &path, headers, Body::empty());
    let from: IpAddr = from.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(from, 4711)));
    request
}

/// 10, 11: every answer of every route says where the caller stands and names the request.
#[tokio::test]
async fn every_answer_has_a_request_id_and_the_limits() {
    run(async |h: &Harness| {
        let walk = Walk::begin(h).await;
        for route in &walk.table {
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let named = request(route, &walk, &[("x-request-id", "mine-1"), ("traceparent", trace)], "192.0.2.1");
            let named = walk.kari.send(named).await;
            assert_eq!(named.headers["x-request-id"], "mine-1", "{}", route.path);
            let made = walk.kari.send(request(route, &walk, &[("traceparent", "nonsense")], "192.0.2.1")).await;
            assert_eq!(made.headers["x-request-id"].len(), 32, "{}", route.path);
            let policy = match route.access {
                Access::Public | Access::Gate => "address",
                _ => "session",
            };
            let limits = |answer: &Answer| {
                let text = |name: &str| {
                    answer.headers.get(name).unwrap_or_else(|| panic!("{}: no {name}", route.path)).to_str().unwrap().to_owned()
                };
                (text("ratelimit-policy"), text("ratelimit"))
            };
            let (told, left) = limits(&named);
            assert_eq!(told, format!("\"{policy}\";q=100000000;w=60"), "{}", route.path);
            assert!(left.starts_with(&format!("\"{policy}\";r=9999")), "{left}");
        }
    })
    .await;
}

/// 10: the bucket is the key, the session, or the address of the peer; no header chooses it.
#[tokio::test]
async fn past_the_limit_every_route_is_429_with_retry_after() {
    run(async |h: &Harness| {
        let walk = Walk::begin(h).await;
        let three = Limits::new(Rates::all(NonZeroU32::new(3).unwrap()));
        let router = mandate::app::router(App { rates: Arc::new(three), ..h.app.clone() }).unwrap();
        let limited = Client { router, token: None };
        let send = async |headers: &[(&str, &str)], from: &str| {
            let mut request = limited.request(Method::GET, "/.well-known/jwks.json", headers, Body::empty());
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(from.parse().unwrap(), 4711)));
            limited.send(request).await
        };
        for number in 0..3 {
            let from = format!("2001:db8:1:2::{number}");
            send(&[("x-forwarded-for", &format!("192.0.2.{number}")), ("forwarded", "for=192.0.2.9")], &from).await.expect(200);
        }
        let answer = send(&[("x-forwarded-for", "192.0.2.77")], "2001:db8:1:2:ffff::1").await.expect(429);
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=21).contains(&wait), "{wait}");
        assert_eq!(answer.headers["ratelimit"], "\"address\";r=0;t=60");
        assert!(answer.text("/type").ends_with("/too-many-requests"));
        send(&[], "2001:db8:1:3::1").await.expect(200);
        // A wrong token counts for its address, and a right one for itself.
        let wrong = limited.with("mds_".to_owned() + &"0".repeat(64));
        let right = Client { router: limited.router.clone(), token: walk.kari.token.clone() };
        let me = async |client: &Client| {
            let mut request = client.request(Method::GET, "/api/v1/me", &[], Body::empty());
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new("198.51.100.7".parse().unwrap(), 1)));
            client.send(request).await.status.as_u16()
        };
        let statuses = [me(&wrong).await, me(&wrong).await, me(&wrong).await, me(&wrong).await];
        assert_eq!(statuses, [401, 401, 401, 429]);
        assert_eq!([me(&right).await, me(&right).await, me(&right).await, me(&right).await], [200, 200, 200, 429]);
        // By now that session is over its limit on every route of its surface, and only it is.
        for route in walk.table.iter().filter(|route| route.surface() == Surface::Institution && route.access != Access::Public) {
            let answer = right.send(request(route, &Walk { kari: right.clone(), ..walk_of(&walk) }, &[], "198.51.100.8")).await;
            assert_eq!(answer.status, 429, "{}", route.path);
        }
        let again = Client { router: limited.router.clone(), token: h.person(KARI).await.token };
        assert_eq!(me(&again).await, 200);
    })
    .await;
}

fn walk_of(walk: &Walk) -> Walk {
    Walk { kari: walk.kari.clone(), admin: walk.admin.clone(), customer: walk.customer.clone(), table: Vec::new() }
}
