//! An entry commits with the head moved over it, whoever inserts it: one that stood beyond would block its log.

use uuid::Uuid;

use crate::support::{Harness, KARI, bare, connect_as, connect_as_owner, instruction, run, try_rolled_back, try_sql};

/// A further entry, as any role that appends could insert it.
pub fn further_entry(customer: Uuid, epoch: &str, index: &str, word: &str) -> String {
    format!(
        "INSERT INTO log_entry (customer_id, epoch, index, id, type, at, leaf, leaf_hash, root, nonce, record)
         SELECT e.customer_id, {epoch}, {index}, gen_random_uuid(), '{word}', h.last_at, e.leaf, e.leaf_hash, e.root, e.nonce, '{{}}'
         FROM log_entry e JOIN log_head h USING (customer_id) WHERE e.customer_id = '{customer}' AND e.index = 0"
    )
}

/// Negative control: with `log_entry_under_head` disabled each of these commits (rolled back here), and
/// from then on every write of the customer would be refused by `log_head_grows`.
#[tokio::test]
async fn no_entry_commits_beyond_the_head_of_its_log() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let nordvik = bare(&h.customer("Nordvik"));
        let commit = "SET CONSTRAINTS ALL IMMEDIATE";
        let mut owner = connect_as_owner(h).await;
        for login in ["mandate_app", "mandate_gate", "mandate_worker", "mandate_ops", "mandate_eraser"] {
            let mut conn = connect_as(h, login, Some(nordvik)).await;
            let word = if login == "mandate_eraser" { "requests.erased" } else { "export.refused" };
            for (epoch, index) in [("1", "1000000"), ("1", "h.size"), ("2", "0"), ("0", "0")] {
                let entry = further_entry(nordvik, epoch, index, word);
                let statements = [entry.as_str(), commit];
                let said = try_rolled_back(&mut conn, "BEGIN", &statements).await.expect_err(index);
                assert!(said.contains("23514 log_entry_under_head"), "{login} {epoch} {index}: {said}");
                try_sql(&mut owner, "ALTER TABLE log_entry DISABLE TRIGGER log_entry_under_head").await.unwrap();
                assert_eq!(try_rolled_back(&mut conn, "BEGIN", &statements).await, Ok(()), "{login} {epoch} {index}");
                try_sql(&mut owner, "ALTER TABLE log_entry ENABLE TRIGGER log_entry_under_head").await.unwrap();
                // As it would be tried: by a statement that commits.
                assert!(try_sql(&mut conn, &entry).await.unwrap_err().contains("log_entry_under_head"), "{login}");
            }
        }
        let mut eraser = connect_as(h, "mandate_eraser", Some(nordvik)).await;
        let said = try_sql(&mut eraser, &further_entry(nordvik, "1", "h.size", "export.refused")).await.unwrap_err();
        assert!(said.starts_with("42501"), "{said}");
        // The customer writes as before.
        h.signed(&kari, &instruction()).await;
    })
    .await;
}
