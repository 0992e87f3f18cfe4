//! The server that must be caught: it writes an effect in one transaction and its entry in the next.
//! It is this test program itself, started again; the program has no such way. All that it serves is
//! the suspension of one customer.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use mandate::base::{SuspensionId, SystemClock, SystemEntropy};
use mandate::db::{Db, Lock, LogId, Role, RoleUrls};
use mandate::evidence::{Actor, Event, NewEntry, commit_one};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::load::CUSTOMERS;
use crate::support::{Harness, bare, connect_as_owner, free_addresses, try_sql};

const SETTINGS: &str = "MANDATE_TEST_BROKEN_SERVER";

/// Lets the owner write the effect: for the program's own roles, the database refuses it.
pub async fn allow(h: &Harness) {
    let mut owner = connect_as_owner(h).await;
    try_sql(&mut owner, "ALTER TABLE suspension NO FORCE ROW LEVEL SECURITY").await.unwrap();
    try_sql(&mut owner, "ALTER TABLE suspension DISABLE TRIGGER USER").await.unwrap();
}

/// Starts it.
pub fn server(h: &Harness, folder: &Path) -> (Child, String, String) {
    let [main, health] = free_addresses();
    let urls: Vec<&str> = h.database.urls.urls.iter().map(|url| url.expose_secret()).collect();
    let settings = json!({"main": main, "health": health, "urls": urls, "owner": h.database.owner_url.expose_secret(),
        "customer": bare(&h.customer(CUSTOMERS[1].0))});
    std::fs::create_dir_all(folder.join("checkpoints")).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kills::broken::entry_of_the_broken_server", "--nocapture"]).env(SETTINGS, settings.to_string());
    let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    (child, format!("http://{main}"), format!("http://{health}"))
}

struct Broken {
    owner: Mutex<PgConnection>,
    db: Db,
    customer: Uuid,
}

async fn suspend(State(broken): State<Arc<Broken>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let effect = "INSERT INTO suspension (customer_id, id, made_by, ground, suspended_by, suspended_at)
                  VALUES ($1, gen_random_uuid(), 'customer', $2, gen_random_uuid(), now()) RETURNING id";
    let ground = body["ground"].as_str().unwrap();
    let mut owner = broken.owner.lock().await;
    let id: Uuid = sqlx::query_scalar(effect).bind(broken.customer).bind(ground).fetch_one(&mut *owner).await.unwrap();
    drop(owner);
    let (id, log) = (SuspensionId::from(id), LogId(broken.customer));
    let record = json!({"suspension": id, "made_by": "customer", "ground": ground});
    let event: Event = serde_json::from_value(json!({"type": "customer.suspended", "record": record})).unwrap();
    let tx = broken.db.write(Role::App, "second transaction", Lock::Heads, log, &[]).await.unwrap();
    let receipt = commit_one(tx, NewEntry::new(log, id, &Actor::system(), event)).await.unwrap();
    (StatusCode::CREATED, Json(json!({"id": id, "receipt": receipt})))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_of_the_broken_server() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let urls = settings["urls"].as_array().unwrap();
    let urls = RoleUrls { urls: Role::ALL.map(|role| text(&urls[role as usize]).into()) };
    let db = Db::new(&urls, 4, Arc::new(SystemClock::default()), Arc::new(SystemEntropy)).unwrap();
    let owner = Mutex::new(PgConnection::connect(&text(&settings["owner"])).await.unwrap());
    let broken = Arc::new(Broken { owner, db, customer: text(&settings["customer"]).parse().unwrap() });
    let main = tokio::net::TcpListener::bind(text(&settings["main"])).await.unwrap();
    let health = tokio::net::TcpListener::bind(text(&settings["health"])).await.unwrap();
    let router = Router::new().route("/api/v1/suspensions", post(suspend)).with_state(broken);
    let ready = Router::new().route("/readyz", get(|| async { "" }));
    let (one, two) = tokio::join!(axum::serve(main, router), axum::serve(health, ready));
    one.and(two).unwrap();
}
