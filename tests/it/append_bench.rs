//! What an entry costs a single write: the same row written in a transaction of the service without
//! one, with its entry as the gate appends it, and with its entry, a signed receipt and a synced
//! checkpoint outside the database. A measurement, not run by itself:
//! `DATABASE_URL=… cargo test --release --locked --test it append_bench -- --ignored --nocapture`, on a
//! server that syncs. `MANDATE_WRITES` is how many each of the eight writers makes (500).

use std::sync::Arc;
use std::time::{Duration, Instant};

use mandate::base::{SeededEntropy, SuspensionId, TypedId as _};
use mandate::db::{Db, Lock, LogId, Role};
use mandate::evidence::{Actor, Event, NewEntry, SuspendedBy, append, commit_one, finish};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{Harness, bare, connect_as_owner, run_unaudited};

const WRITERS: usize = 8;
const CUSTOMERS: usize = 32;

/// The effect: one row.
async fn effect(conn: &mut PgConnection, customer: Uuid, id: Uuid) {
    let sql = "INSERT INTO suspension (customer_id, id, made_by, ground, suspended_by, suspended_at) VALUES ($1, $2, 'customer', 'measured', $2, now())";
    sqlx::query(sql).bind(customer).bind(id).execute(conn).await.unwrap();
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Alone,
    WithEntry,
    WithReceipt,
}

impl Way {
    const fn told(self) -> &'static str {
        match self {
            Self::Alone => "the row alone",
            Self::WithEntry => "with its entry",
            Self::WithReceipt => "with entry, receipt and checkpoint outside",
        }
    }
}

async fn alone(db: &Db, customer: Uuid) {
    let mut tx = db.housekeeping(Role::App, "append_bench", LogId(customer)).await.unwrap();
    effect(tx.conn(), customer, Uuid::new_v4()).await;
    tx.commit_housekeeping().await.unwrap();
}

async fn with_entry(db: &Db, customer: Uuid, receipt: bool) {
    let mut tx = db.write(Role::App, "append_bench", Lock::Heads, LogId(customer), &[]).await.unwrap();
    let id: SuspensionId = tx.fresh();
    effect(tx.conn(), customer, id.uuid()).await;
    let event = Event::CustomerSuspended { suspension: id, made_by: SuspendedBy::Customer, ground: "measured".parse().unwrap() };
    let entry = NewEntry::new(LogId(customer), id, &Actor::system(), event);
    if receipt {
        commit_one(tx, entry).await.unwrap();
    } else {
        append(&mut tx, &entry).await.unwrap();
        finish(tx).await.unwrap();
    }
}

/// The time in which the writers, each at customers of its own, make so many writes each.
async fn measured(way: Way, db: &Db, customers: &[Uuid], writes: usize) -> Duration {
    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let own: Vec<Uuid> = customers.iter().copied().skip(writer).step_by(WRITERS).collect();
        let db = db.clone();
        writers.spawn(async move {
            for number in 0..writes {
                let customer = own[number % own.len()];
                match way {
                    Way::Alone => alone(&db, customer).await,
                    Way::WithEntry | Way::WithReceipt => with_entry(&db, customer, way == Way::WithReceipt).await,
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    begun.elapsed()
}

async fn customers(h: &Harness) -> Vec<Uuid> {
    let ops = h.person("admin@ops.example").await;
    let mut customers = Vec::new();
    for number in 0..CUSTOMERS {
        let body = json!({"name": format!("Kommune {number}"), "kind": "school_owner", "country": "NO", "zone": "Europe/Oslo", "language": "nb",
            "privacy_contacts": ["personvern@fjell.example"], "second_contacts": []});
        customers.push(bare(&ops.post("/api/admin/v1/customers", &body).await.expect(201).text("/id")));
    }
    customers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn append_bench_of_single_writes_spread_over_customers() {
    let writes: usize = std::env::var("MANDATE_WRITES").map_or(500, |text| text.parse().unwrap());
    // Its rows are written at other times than their entries.
    run_unaudited(async |h: &Harness| {
        let customers = customers(h).await;
        let mut owner = connect_as_owner(h).await;
        let synced: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut owner).await.unwrap();
        println!("{WRITERS} writers, {CUSTOMERS} customers, {writes} writes each; fsync {synced}");
        let bare_db = Db::new(&h.database.urls, 10, h.clock.clone(), Arc::new(SeededEntropy::new(5))).unwrap();
        let mut rates = Vec::new();
        for round in 0..3 {
            for way in [Way::Alone, Way::WithEntry, Way::WithReceipt] {
                let db = if way == Way::WithEntry { &bare_db } else { &h.app.db };
                let time = measured(way, db, &customers, writes).await;
                let rate = (WRITERS * writes) as f64 / time.as_secs_f64();
                let base = if way == Way::Alone { rate } else { rates[round * 3] };
                println!("{}: {rate:.0} a second, {:.2} of the row alone", way.told(), rate / base);
                rates.push(rate);
            }
        }
        // Rows without entries are none of the service's.
        sqlx::raw_sql("ALTER TABLE suspension NO FORCE ROW LEVEL SECURITY").execute(&mut owner).await.unwrap();
        let sql = "DELETE FROM suspension s WHERE ground = 'measured' AND suspended_by = id AND NOT EXISTS
                   (SELECT 1 FROM log_entry e WHERE e.customer_id = s.customer_id AND e.type = 'customer.suspended'
                    AND e.record ->> 'suspension' = 'sus_' || replace(s.id::text, '-', ''))";
        sqlx::raw_sql("ALTER TABLE log_entry NO FORCE ROW LEVEL SECURITY").execute(&mut owner).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut owner).await.unwrap();
        for table in ["suspension", "log_entry"] {
            let sql = format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
        }
        bare_db.close().await;
    })
    .await;
}
