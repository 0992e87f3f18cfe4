//! Failures elsewhere keep nobody out: a login is slowed down by account and address together, by the
//! account alone only past many failures, and where the person came in lately by the own failures there.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Method;
use chrono::Duration;
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Harness, KARI, run};

async fn from(h: &Harness, address: &str, surface: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json"), ("x-request-id", "same")];
    let mut request = h.nobody.request(Method::POST, &format!("{surface}/sessions"), &headers, Body::from(body.to_string()));
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 4711)));
    h.nobody.send(request).await
}

async fn tried(h: &Harness, address: &str, email: &str, password: &str) -> u16 {
    from(h, address, "/api/v1", json!({"email": email, "password": password})).await.status.as_u16()
}

/// Negative control: with the account's failures counted over all addresses at once, the second login is 429.
#[tokio::test]
async fn who_fails_as_somebody_else_keeps_that_person_out_nowhere() {
    run(async |h: &Harness| {
        let (school, home, away) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
        let right = h.access.password.clone();
        assert_eq!(tried(h, school, KARI, &right).await, 201);
        // Five failures from one address: it waits, and it alone.
        for _ in 0..5 {
            assert_eq!(tried(h, "203.0.113.1", KARI, "wrong").await, 401);
        }
        assert_eq!(tried(h, "203.0.113.1", KARI, &right).await, 429);
        assert_eq!(tried(h, home, KARI, &right).await, 201);
        // Many addresses together pass the account's bound; known and unknown accounts alike.
        for n in 0..20 {
            let address = format!("203.0.113.{}", n + 10);
            for _ in 0..5 {
                let (known, unknown) =
                    (tried(h, &address, KARI, "wrong").await, tried(h, &address, "nobody@nordvik.example", "wrong").await);
                assert_eq!((known, unknown), (401, 401), "{n}");
            }
            h.advance(Duration::milliseconds(1));
        }
        for email in [KARI, "nobody@nordvik.example"] {
            assert_eq!(tried(h, away, email, &right).await, 429, "{email}");
        }
        // Where the person came in lately, those failures do not count; the own ones do.
        assert_eq!(tried(h, school, KARI, &right).await, 201);
        for _ in 0..5 {
            assert_eq!(tried(h, school, KARI, "wrong").await, 401);
        }
        assert_eq!(tried(h, school, KARI, &right).await, 429);
        assert_eq!(tried(h, home, KARI, &right).await, 201);
        // Somebody else is not concerned anywhere.
        assert_eq!(tried(h, away, "mette.holm@soby.example", &right).await, 201);
    })
    .await;
}

/// Where a code is guessed too, the bound of the account is lower, and known places are as free.
#[tokio::test]
async fn an_ops_account_under_attack_is_entered_from_where_it_was_entered_before() {
    run(async |h: &Harness| {
        let enter = async |address: &str| {
            let body = json!({"email": ADMIN, "password": h.access.password, "code": h.code(ADMIN)});
            from(h, address, "/api/admin/v1", body).await.status.as_u16()
        };
        assert_eq!(enter("192.0.2.1").await, 201);
        for n in 0..20 {
            let guess = json!({"email": ADMIN, "password": h.access.password, "code": "abcdef"});
            assert_eq!(from(h, &format!("203.0.113.{n}"), "/api/admin/v1", guess).await.status, 401, "{n}");
        }
        assert_eq!((enter("192.0.2.9").await, enter("192.0.2.1").await), (429, 201));
    })
    .await;
}
