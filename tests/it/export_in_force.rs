//! The database refuses by itself: direct SQL as the gate's role, past the service. No row of a
//! permit, and no redemption, without a signed instruction in force at that moment, whatever the
//! isolation. Negative control of every case: the same row before the change goes in; and of all of
//! them: without the trigger the refused row goes in too. Every row is rolled back.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{
    ADMIN, Client, Harness, KARI, LOGINS, PRIVACY, SECURITY, bare, connect_as, connect_as_owner, export, instruction, run, try_rolled_back,
    try_sql, with,
};

const COLUMNS: [&str; 19] = [
    "customer_id",
    "id",
    "platform",
    "instruction_id",
    "instruction_version",
    "agreement_id",
    "agreement_version",
    "request",
    "subjects",
    "granted",
    "permit",
    "epoch",
    "index",
    "day",
    "rows",
    "files",
    "bytes",
    "decided_at",
    "expires_at",
];
const NOW: &str = "BEGIN";
const CHECKED: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// Nordvik, with a permit whose row the cases copy.
struct Place<'h> {
    h: &'h Harness,
    kari: Client,
    platform: Client,
    gate: PgConnection,
    template: Uuid,
}

impl<'h> Place<'h> {
    async fn open(h: &'h Harness) -> Self {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &instruction()).await;
        let template = bare(&h.ask(&platform, "template", &export()).await.expect(201).text("/id"));
        let gate = connect_as(h, "mandate_gate", Some(bare(&h.customer("Nordvik")))).await;
        Self { h, kari, platform, gate, template }
    }

    /// The template's row with columns replaced, as a statement. The id is a new one.
    fn row(&self, changes: &[(&str, &str)]) -> String {
        let of = |column: &&str| {
            let changed = changes.iter().find(|(name, _)| name == column).map(|(_, value)| (*value).to_owned());
            changed.unwrap_or_else(|| if *column == "id" { "gen_random_uuid()".to_owned() } else { (*column).to_owned() })
        };
        let more: Vec<&str> = changes.iter().map(|(name, _)| *name).filter(|name| !COLUMNS.contains(name)).collect();
        let columns: Vec<&str> = COLUMNS.into_iter().chain(more).collect();
        let values: Vec<String> = columns.iter().map(of).collect();
        format!("INSERT INTO export ({}) SELECT {} FROM export WHERE id = '{}'", columns.join(", "), values.join(", "), self.template)
    }

    async fn insert(&mut self, changes: &[(&str, &str)]) -> Result<(), String> {
        let row = self.row(changes);
        try_rolled_back(&mut self.gate, NOW, &[&row, CHECKED]).await
    }

    /// Inserts a row that cites this instruction.
    async fn cite(&mut self, id: &str) -> Result<(), String> {
        self.insert(&[("instruction_id", &format!("'{}'", bare(id)))]).await
    }

    async fn signed(&self, changes: Value) -> String {
        self.h.signed(&self.kari, &with(instruction(), changes)).await
    }

    async fn post(&self, path: &str, body: Value) -> String {
        self.kari.post(&format!("/api/v1/{path}"), &body).await.expect(201).text("/id")
    }
}

#[track_caller]
fn refused(outcome: Result<(), String>, reason: &str) {
    let said = outcome.expect_err(reason);
    assert!(said.contains(reason), "expected {reason}: {said}");
}

#[tokio::test]
async fn a_row_needs_a_signed_instruction_whose_window_holds() {
    run(async |h: &Harness| {
        let mut place = Place::open(h).await;
        assert_eq!(place.insert(&[]).await, Ok(()), "the honest row goes in");
        let drafted = h.drafted(&place.kari, &instruction()).await;
        refused(place.cite(&drafted).await, "no_written_instruction");
        let whole = json!([{"kind": "whole"}]);
        let restriction = json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": whole, "text": "Art. 18."});
        let restriction = h.signed(&place.kari, &restriction).await;
        refused(place.cite(&restriction).await, "no_written_instruction");
        refused(place.insert(&[("instruction_version", "2")]).await, "no_written_instruction");
        let later = place.signed(json!({"valid_from_at": "2026-11-24T09:00:00.000Z"})).await;
        refused(place.cite(&later).await, "instruction_not_yet_valid");
        let ending = place.signed(json!({"valid_until_at": "2026-11-24T09:00:00.000Z"})).await;
        assert_eq!(place.cite(&ending).await, Ok(()));
        let cited = format!("'{}'", bare(&ending));
        let at_its_end = [
            ("instruction_id", cited.as_str()),
            ("decided_at", "'2026-11-24T09:00:00.000Z'"),
            ("expires_at", "'2026-11-24T09:05:00.000Z'"),
        ];
        refused(place.insert(&at_its_end).await, "instruction_expired");
        refused(place.insert(&[("platform", "'fronter'")]).await, "purpose_not_instructed");
        let purpose = [("request", r#"jsonb_set(request, '{purpose}', '"support"')"#)];
        refused(place.insert(&purpose).await, "purpose_not_instructed");
    })
    .await;
}

#[tokio::test]
async fn a_row_needs_an_instruction_that_is_not_revoked_contested_superseded_or_used() {
    run(async |h: &Harness| {
        let mut place = Place::open(h).await;
        let revoked = place.signed(json!({})).await;
        assert_eq!(place.cite(&revoked).await, Ok(()));
        place.post(&format!("instructions/{revoked}/revocations"), json!({})).await;
        refused(place.cite(&revoked).await, "instruction_revoked");

        let contested = place.signed(json!({})).await;
        let path = format!("/api/admin/v1/customers/{}/instructions/{contested}/contests", h.customer("Nordvik"));
        let contest = h.person(PRIVACY).await.post(&path, &json!({"version": 1, "ground": "GDPR Art. 6"})).await.expect(201);
        refused(place.cite(&contested).await, "instruction_contested");
        let confirmation = json!({"contest": contest.text("/versions/0/contests/0/id"), "text": "Confirmed."});
        place.post(&format!("instructions/{contested}/confirmations"), confirmation).await;
        assert_eq!(place.cite(&contested).await, Ok(()));

        place.kari.post(&format!("/api/v1/instructions/{contested}/versions"), &instruction()).await.expect(201);
        assert_eq!(place.cite(&contested).await, Ok(()), "a draft supersedes nothing");
        h.sign(&place.kari, &contested, 2).await.expect(201);
        refused(place.cite(&contested).await, "instruction_superseded");
        let newer = format!("'{}'", bare(&contested));
        assert_eq!(place.insert(&[("instruction_id", &newer), ("instruction_version", "2")]).await, Ok(()));

        let once = place.signed(json!({"once": true})).await;
        assert_eq!(place.cite(&once).await, Ok(()));
        let held = h.ask(&place.platform, "held", &export()).await.expect(201);
        refused(place.cite(&once).await, "instruction_exhausted");
        let cited = format!("'{}'", bare(&once));
        let after = [
            ("instruction_id", cited.as_str()),
            ("decided_at", "decided_at + interval '301 s'"),
            ("expires_at", "expires_at + interval '301 s'"),
        ];
        assert_eq!(place.insert(&after).await, Ok(()), "a permit that ran out holds nothing");
        h.redeem(&place.platform, "used", &held.text("/id"), &held.text("/permit")).await.expect(201);
        refused(place.insert(&after).await, "instruction_exhausted");
    })
    .await;
}

#[tokio::test]
async fn a_row_needs_an_agreement_in_force_and_nobody_suspended() {
    run(async |h: &Harness| {
        let mut place = Place::open(h).await;
        let (security, admin) = (h.person(SECURITY).await, h.person(ADMIN).await);
        let at_end = place.signed(json!({"purposes": ["return-at-end"]})).await;
        let returned = format!("'{}'", bare(&at_end));
        let returned = [("instruction_id", returned.as_str()), ("request", r#"jsonb_set(request, '{purpose}', '"return-at-end"')"#)];

        let own = place.post("suspensions", json!({"ground": "x"})).await;
        refused(place.insert(&[]).await, "customer_suspended");
        refused(place.insert(&returned).await, "customer_suspended");
        place.post(&format!("suspensions/{own}/releases"), json!({})).await;
        assert_eq!(place.insert(&[]).await, Ok(()));

        for (path, reason) in [
            (format!("/api/admin/v1/customers/{}/suspensions", h.customer("Nordvik")), "customer_suspended"),
            ("/api/admin/v1/platforms/itslearning/suspensions".to_owned(), "platform_suspended"),
        ] {
            let made = security.post(&path, &json!({"ground": "x"})).await.expect(201).text("/id");
            refused(place.insert(&[]).await, reason);
            let outcome = place.insert(&returned).await;
            if reason == "customer_suspended" {
                assert_eq!(outcome, Ok(()), "ops never stops the return of data");
            } else {
                refused(outcome, reason);
            }
            for person in [&security, &admin] {
                person.post(&format!("{path}/{made}/releases"), &json!({})).await.expect(201);
            }
            assert_eq!(place.insert(&[]).await, Ok(()));
        }

        refused(place.insert(&[("agreement_id", "gen_random_uuid()")]).await, "agreement_not_in_force");
        let agreement = place.kari.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
        place.post(&format!("agreements/{agreement}/terminations"), json!({})).await;
        refused(place.insert(&[]).await, "agreement_not_in_force");
        assert_eq!(place.insert(&returned).await, Ok(()), "the return of data outlives the agreement");
    })
    .await;
}

#[tokio::test]
async fn a_row_is_of_the_present_of_its_entry_and_of_its_customer() {
    run(async |h: &Harness| {
        let mut place = Place::open(h).await;
        refused(place.insert(&[("decided_at", "decided_at - interval '1 ms'")]).await, "MD001 export_decided_now");
        refused(place.insert(&[("expires_at", "decided_at + interval '301 s'")]).await, "export_life");
        refused(place.insert(&[("index", "9999")]).await, "export_entry");
        refused(place.insert(&[("redeemed_at", "decided_at + interval '1 s'")]).await, "permit_altered");
        refused(place.insert(&[("aborted_at", "decided_at")]).await, "permit_altered");
        assert_eq!(place.insert(&[("redeemed_at", "decided_at")]).await, Ok(()));
        // A private database may have any clock; every other has the system's.
        let far = [("decided_at", "decided_at + interval '20 years'"), ("expires_at", "expires_at + interval '20 years'")];
        assert_eq!(place.insert(&far).await, Ok(()));
        let mut owner = connect_as_owner(h).await;
        try_sql(&mut owner, "UPDATE installation SET private = false").await.unwrap();
        refused(place.insert(&far).await, "MD001 export_decided_now");
        let off = |seconds: &str| {
            [
                ("decided_at", format!("clock_timestamp() + {seconds}")),
                ("expires_at", format!("clock_timestamp() + {seconds} + interval '60 s'")),
            ]
        };
        let present: bool = sqlx::query_scalar("SELECT clock_timestamp() > last_at + interval '10 s' FROM log_head WHERE customer_id = $1")
            .bind(bare(&h.customer("Nordvik")))
            .fetch_one(&mut place.gate)
            .await
            .unwrap();
        // Where the machine's clock is before the world's there is no honest row.
        for (seconds, goes_in) in
            [("interval '4 s'", true), ("interval '-4 s'", true), ("interval '6 s'", false), ("interval '-6 s'", false)]
        {
            let [at, until] = off(seconds);
            let outcome = place.insert(&[(at.0, &at.1), (until.0, &until.1)]).await;
            assert!(!present || outcome.is_ok() == goes_in, "{seconds}: {outcome:?}");
        }
        try_sql(&mut owner, "UPDATE installation SET private = true").await.unwrap();
        // A batch of another customer does not even find the head.
        let row = place.row(&[]);
        let values = format!("INSERT INTO export SELECT (jsonb_populate_record(NULL::export, '{}')).*", copied(&mut place).await);
        let mut other = connect_as(h, "mandate_gate", Some(bare(&h.customer("Gymnasium")))).await;
        refused(try_rolled_back(&mut other, NOW, &[&values]).await, "not one of this batch");
        assert_eq!(try_rolled_back(&mut place.gate, NOW, &[&values, CHECKED]).await, Ok(()));
        for login in LOGINS.into_iter().filter(|login| *login != "mandate_gate") {
            let mut conn = connect_as(h, login, Some(bare(&h.customer("Nordvik")))).await;
            refused(try_rolled_back(&mut conn, NOW, &[&row]).await, "permission denied");
        }
    })
    .await;
}

/// The template's row as JSON, under another id.
async fn copied(place: &mut Place<'_>) -> String {
    let sql = "SELECT (to_jsonb(e) || jsonb_build_object('id', gen_random_uuid()))::text FROM export e WHERE id = $1";
    sqlx::query_scalar(sql).bind(place.template).fetch_one(&mut place.gate).await.unwrap()
}

#[tokio::test]
async fn a_stale_snapshot_hides_nothing() {
    run(async |h: &Harness| {
        let mut place = Place::open(h).await;
        let (security, admin) = (h.person(SECURITY).await, h.person(ADMIN).await);
        for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
            let begin = format!("BEGIN ISOLATION LEVEL {isolation}");
            let row = place.row(&[]);
            refused(try_rolled_back(&mut place.gate, &begin, &[&row]).await, "READ COMMITTED only");

            let id = place.signed(json!({})).await;
            let row = place.row(&[("instruction_id", &format!("'{}'", bare(&id)))]);
            try_sql(&mut place.gate, &begin).await.unwrap();
            try_sql(&mut place.gate, "SELECT count(*) FROM export").await.unwrap();
            place.post(&format!("instructions/{id}/revocations"), json!({})).await;
            refused(try_sql(&mut place.gate, &row).await.map(|_| ()), "40001");
            try_sql(&mut place.gate, "ROLLBACK").await.unwrap();
            refused(try_rolled_back(&mut place.gate, NOW, &[&row]).await, "instruction_revoked");

            // A platform's suspension changes the registry's head and not the customer's.
            let row = place.row(&[]);
            try_sql(&mut place.gate, &begin).await.unwrap();
            try_sql(&mut place.gate, "SELECT count(*) FROM export").await.unwrap();
            let path = "/api/admin/v1/platforms/itslearning/suspensions";
            let made = security.post(path, &json!({"ground": "x"})).await.expect(201).text("/id");
            refused(try_sql(&mut place.gate, &row).await.map(|_| ()), "READ COMMITTED only");
            try_sql(&mut place.gate, "ROLLBACK").await.unwrap();
            for person in [&security, &admin] {
                person.post(&format!("{path}/{made}/releases"), &json!({})).await.expect(201);
            }
        }
        // Negative control: without the trigger, the revoked row goes in, stale or not.
        let id = place.signed(json!({})).await;
        place.post(&format!("instructions/{id}/revocations"), json!({})).await;
        let mut owner = connect_as_owner(h).await;
        try_sql(&mut owner, "ALTER TABLE export DISABLE TRIGGER export_permitted_in_force").await.unwrap();
        assert_eq!(place.cite(&id).await, Ok(()));
        try_sql(&mut owner, "ALTER TABLE export ENABLE TRIGGER export_permitted_in_force").await.unwrap();
        refused(place.cite(&id).await, "instruction_revoked");
    })
    .await;
}

#[tokio::test]
async fn a_row_holds_the_head_so_that_a_revocation_waits_for_its_commit() {
    run(async |h: &Harness| {
        let mut place = Place::open(h).await;
        let id = place.signed(json!({})).await;
        let row = place.row(&[("instruction_id", &format!("'{}'", bare(&id)))]);
        try_sql(&mut place.gate, NOW).await.unwrap();
        try_sql(&mut place.gate, &row).await.unwrap();
        let kari = place.kari.clone();
        let revoking = tokio::spawn(async move { kari.post(&format!("/api/v1/instructions/{id}/revocations"), &json!({})).await });
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert!(!revoking.is_finished(), "it waits for the head");
        try_sql(&mut place.gate, "ROLLBACK").await.unwrap();
        revoking.await.unwrap().expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_redemption_is_taken_only_while_its_instruction_is_in_force() {
    run(async |h: &Harness| {
        let mut place = Place::open(h).await;
        let id = place.signed(json!({"purposes": ["support"]})).await;
        let permitted = h.ask(&place.platform, "a", &with(export(), json!({"purpose": "support"}))).await.expect(201);
        let redeem = |at: &str| format!("UPDATE export SET redeemed_at = {at} WHERE id = '{}'", bare(&permitted.text("/id")));
        let (now, late, early) = (redeem("decided_at"), redeem("expires_at"), redeem("decided_at - interval '1 ms'"));
        assert_eq!(try_rolled_back(&mut place.gate, NOW, &[&now]).await, Ok(()));
        refused(try_rolled_back(&mut place.gate, NOW, &[&late]).await, "permit_expired");
        refused(try_rolled_back(&mut place.gate, NOW, &[&early]).await, "MD001");
        let aborted = format!("UPDATE export SET aborted_at = decided_at WHERE id = '{}'", bare(&permitted.text("/id")));
        refused(try_rolled_back(&mut place.gate, NOW, &[&aborted, &now]).await, "permit_aborted");
        let own = place.post("suspensions", json!({"ground": "x"})).await;
        refused(try_rolled_back(&mut place.gate, NOW, &[&now]).await, "customer_suspended");
        place.post(&format!("suspensions/{own}/releases"), json!({})).await;
        assert_eq!(try_rolled_back(&mut place.gate, NOW, &[&now]).await, Ok(()));
        place.post(&format!("instructions/{id}/revocations"), json!({})).await;
        refused(try_rolled_back(&mut place.gate, NOW, &[&now]).await, "instruction_revoked");
        refused(try_rolled_back(&mut place.gate, "BEGIN ISOLATION LEVEL REPEATABLE READ", &[&now]).await, "READ COMMITTED only");
    })
    .await;
}
