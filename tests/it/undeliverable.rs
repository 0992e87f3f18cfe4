//! A message that can never be delivered: no address is taken that makes one, and what there is all the
//! same is given up once, and told to ops.

use mandate::db::LogId;
use serde_json::json;
use uuid::Uuid;

use crate::accounts::{entries, mails};
use crate::support::{ADMIN, Harness, KARI, SECURITY, bare, connect_as, run, try_sql};

#[tokio::test]
async fn an_address_that_nobody_could_mail_is_a_fault_of_the_request() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        for (email, status) in
            [("a..b@nordvik.example", 422), (".a@nordvik.example", 422), ("a@-x.example", 422), ("a.b@nordvik.example", 201)]
        {
            let new = json!({"email": email, "name": "New", "role": "customer_reader", "authority": []});
            let answer = kari.post("/api/v1/people", &new).await.expect(status);
            if status == 422 {
                assert_eq!(answer.faults(), [("/email".to_owned(), "text".to_owned())], "{email}");
            }
        }
    })
    .await;
}

/// Negative control: the message beside it, to an address that mail can be sent to, is delivered.
#[tokio::test]
async fn a_message_that_no_try_can_deliver_ends_and_ops_are_told_once() {
    run(async |h: &Harness| {
        let nordvik = bare(&h.customer("Nordvik"));
        let mut app = connect_as(h, "mandate_app", Some(nordvik)).await;
        let mut ids = Vec::new();
        for (n, address) in [(1, "old..rule@nordvik.example"), (2, "good@nordvik.example")] {
            let id = Uuid::from_u128(n);
            for statement in [
                format!("INSERT INTO message (customer_id, id, purpose, subject_id, address, subject, body, created_at) VALUES ('{nordvik}', '{id}', 'invitation', '{id}', '{address}', 'x', 'secret', '2026-11-24T08:00:00Z')"),
                format!("INSERT INTO job (id, kind, customer_id, subject_id, due_at) VALUES ('{id}', 'deliver', '{nordvik}', '{id}', '2026-11-24T08:00:00Z')"),
            ] {
                try_sql(&mut app, &statement).await.unwrap();
            }
            ids.push(id);
        }
        mandate::app::deliver_due(&h.app).await.unwrap();
        let mut worker = connect_as(h, "mandate_worker", Some(nordvik)).await;
        let mut state = async |id: Uuid| -> (bool, bool, bool) {
            let sql = "SELECT undeliverable_at IS NOT NULL, delivered_at IS NOT NULL, body IS NULL FROM message WHERE id = $1";
            sqlx::query_as(sql).bind(id).fetch_one(&mut worker).await.unwrap()
        };
        assert_eq!((state(ids[0]).await, state(ids[1]).await), ((true, false, true), (false, true, true)));
        assert_eq!(h.jobs().await.get("deliver"), None, "nothing is tried for ever");
        let given_up = async || entries(h, LogId::PROCESSOR).await.into_iter().filter(|word| word == "message.undeliverable").count();
        assert_eq!(given_up().await, 1);
        for caretaker in [ADMIN, SECURITY] {
            assert_eq!(mails(h, caretaker, "can never be delivered"), 1, "{caretaker}");
        }
        // What tells of it is not told of in turn, or one bad address of the staff would go on for ever.
        let processor = LogId::PROCESSOR.0;
        let mut ops = connect_as(h, "mandate_ops", Some(processor)).await;
        let id = Uuid::from_u128(3);
        for statement in [
            format!("INSERT INTO message (customer_id, id, purpose, subject_id, address, subject, body, created_at) VALUES ('{processor}', '{id}', 'message_undeliverable', '{id}', 'a..b@ops.example', 'x', 'x', '2026-11-24T08:00:00Z')"),
            format!("INSERT INTO job (id, kind, customer_id, subject_id, due_at) VALUES ('{id}', 'deliver', '{processor}', '{id}', '2026-11-24T08:00:00Z')"),
        ] {
            try_sql(&mut ops, &statement).await.unwrap();
        }
        mandate::app::deliver_due(&h.app).await.unwrap();
        assert_eq!((given_up().await, mails(h, ADMIN, "can never be delivered")), (2, 1));
    })
    .await;
}
