//! The exchange of the key that second factors are encrypted with: codes go on working at every step,
//! what was cut off goes on, and what remains under the old key is said. Negative control of each: the
//! old key alone opens nothing any more, and the new one alone nothing before.

use std::sync::Arc;

use mandate::app::App;
use mandate::identity::{Sealing, SecretsKey, reseal_secrets, sealed_secrets};
use serde_json::json;

use crate::support::{ADMIN, Client, Harness, KARI, MAJA, connect_as_owner, run, try_sql};

const OLD: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";

fn key(text: &str) -> SecretsKey {
    SecretsKey::from_text(text).unwrap()
}

/// The status of a step-up at a program with this key.
async fn steps_up(h: &Harness, key: SecretsKey, email: &str) -> u16 {
    let (surface, client) = if email == ADMIN { ("/api/admin/v1", h.login(email).await) } else { ("/api/v1", h.login(email).await) };
    let session = client.get(&format!("{surface}/me")).await.expect(200).text("/session");
    let router = mandate::app::router(App { secrets: Arc::new(key), ..h.app.clone() }).unwrap();
    let body = json!({"password": h.access.password, "code": h.code(email)});
    let there = Client { router, token: client.token };
    there.post(&format!("{surface}/sessions/{session}/step-ups"), &body).await.status.as_u16()
}

#[tokio::test]
async fn the_key_is_exchanged_while_codes_go_on_working_and_what_is_left_is_said() {
    run(async |h: &Harness| {
        let new = "0f".repeat(32);
        let both = || key(&new).with_previous(OLD).unwrap();
        let before = sealed_secrets(&h.app.db, &both()).await.unwrap();
        assert!(before.previous > 5 && (before.present, before.neither) == (0, 0), "{before:?}");
        assert_eq!(sealed_secrets(&h.app.db, &key(&new)).await.unwrap().neither, before.previous);
        for email in [KARI, ADMIN] {
            assert_eq!(steps_up(h, both(), email).await, 201, "{email}");
        }
        // One of them was sealed anew already: what was cut off goes on, and touches nothing twice.
        let mut owner = connect_as_owner(h).await;
        let sealed = "SELECT count(*), count(DISTINCT sealed) FROM second_factor";
        let counted: (i64, i64) = sqlx::query_as(sealed).fetch_one(&mut owner).await.unwrap();
        try_sql(&mut owner, "CREATE TABLE kept AS SELECT id, sealed FROM second_factor ORDER BY id").await.unwrap();
        let done = reseal_secrets(&mut owner, &both(), h.app.db.entropy()).await.unwrap();
        assert_eq!(done, before);
        let back =
            "UPDATE second_factor f SET sealed = k.sealed FROM kept k WHERE k.id = f.id AND f.id > (SELECT id FROM kept OFFSET 3 LIMIT 1)";
        let undone = try_sql(&mut owner, back).await.unwrap();
        try_sql(&mut owner, "DROP TABLE kept").await.unwrap();
        let half = Sealing { present: before.previous - undone, previous: undone, neither: 0 };
        assert_eq!(sealed_secrets(&h.app.db, &both()).await.unwrap(), half);
        assert_eq!(reseal_secrets(&mut owner, &both(), h.app.db.entropy()).await.unwrap(), half);
        let after = Sealing { present: before.previous, ..Sealing::default() };
        assert_eq!(sealed_secrets(&h.app.db, &both()).await.unwrap(), after);
        assert_eq!(sqlx::query_as::<_, (i64, i64)>(sealed).fetch_one(&mut owner).await.unwrap(), counted);
        // The old key is needed by nobody, and opens nothing.
        assert_eq!(steps_up(h, key(&new), KARI).await, 201);
        assert_eq!(sealed_secrets(&h.app.db, &key(OLD)).await.unwrap().neither, before.previous);
        // No role of the service seals anew: to it a secret cannot change.
        let nordvik = h.customer("Nordvik").strip_prefix("cus_").unwrap().parse().unwrap();
        let mut app = crate::support::connect_as(h, "mandate_app", Some(nordvik)).await;
        assert!(reseal_secrets(&mut app, &key(OLD).with_previous(&new).unwrap(), h.app.db.entropy()).await.is_err());
        assert_eq!(sealed_secrets(&h.app.db, &key(&new)).await.unwrap(), after);
        assert_eq!(steps_up(h, key(&new), MAJA).await, 201);
    })
    .await;
}
