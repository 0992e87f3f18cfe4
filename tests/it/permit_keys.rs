//! Permit keys through their life: published ahead, used, retired, withdrawn; and permits that
//! somebody else made.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::Duration;
use mandate::app::App;
use mandate::base::Error;
use mandate::config::KeyFiles;
use mandate::db::{LogId, Role};
use mandate::evidence::{Event, PermitKeyState, RegistryFacts, apply_registry, entries};
use mandate::export::{PermitSigner, SigningKey, activate_permit_key, list_permit_keys, publish_permit_key, withdraw_permit_key};
use mandate::http::Host as _;
use serde_json::{Value, json};

use crate::permit_vectors::forge::{Forge, decode, encode};
use crate::support::{Client, Harness, KARI, export, instruction, run};

const FIRST: &[u8] = include_bytes!("support/permit-key.pem");
const NEXT: &[u8] = include_bytes!("../vectors/permit-key-1.pem");
const LATER: &[u8] = include_bytes!("../vectors/permit-key-2.pem");

fn key(pem: &[u8]) -> SigningKey {
    SigningKey::from_pem(pem).unwrap()
}

/// A folder of key files, gone at the end of its test.
struct Folder(PathBuf);

impl Folder {
    fn new(h: &Harness, name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("keys-{}-{name}", h.database.name));
        std::fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder.put("1.pem", FIRST);
        folder
    }
    fn put(&self, name: &str, pem: &[u8]) {
        std::fs::write(self.0.join(name), pem).unwrap();
    }
    /// Another process of the same service, with the keys of this folder.
    fn process(&self, h: &Harness) -> App {
        let files = KeyFiles { file: PathBuf::new(), directory: self.0.clone() };
        let permits = Arc::new(PermitSigner::of_files(files, "https://mandate.test").unwrap());
        App { permits, ..h.app.clone() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn through(h: &Harness, app: &App) -> Client {
    Client { router: mandate::app::router(app.clone()).unwrap(), token: h.platform("itslearning").token }
}

fn kid_of(permit: &str) -> String {
    let header: Value = serde_json::from_slice(&decode(permit.split('.').next().unwrap())).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn set(h: &Harness) -> Vec<String> {
    let answer = h.nobody.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(answer.headers["cache-control"], "public, max-age=60");
    answer.json()["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap().to_owned()).collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    match result.unwrap_err() {
        Error::Conflict { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

/// The words of the key events of a log, in order.
async fn key_events(h: &Harness, log: LogId) -> Vec<String> {
    let mut read = h.app.db.read(Role::Ops, "key_events", log).await.unwrap();
    let all = entries(read.conn(), log, (0, 0), 10_000, None).await.unwrap();
    all.into_iter().map(|entry| entry.word).filter(|word| word.starts_with("permit_key.")).collect()
}

#[tokio::test]
async fn a_key_is_published_ahead_and_the_one_before_it_serves_until_its_last_permit_has_expired() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let folder = Folder::new(h, "rotation");
        let app = folder.process(h);
        let platform = through(h, &app);
        let (first, next) = (key(FIRST), key(NEXT));
        assert_eq!(set(h).await, [first.kid()]);

        publish_permit_key(&h.app.db, &next).await.unwrap();
        assert_eq!(set(h).await, [first.kid(), next.kid()]);
        assert_eq!(code(publish_permit_key(&h.app.db, &next).await), "permit_key_published");
        assert_eq!(code(activate_permit_key(&h.app.db, next.kid()).await), "permit_key_too_new");
        let before = h.ask(&platform, "a", &export()).await.expect(201);
        assert_eq!(kid_of(&before.text("/permit")), first.kid(), "what is published does not sign yet");

        // The file comes while the service runs; nobody restarts it.
        folder.put("2.pem", NEXT);
        h.advance(Duration::seconds(60));
        let late = h.ask(&platform, "b", &export()).await.expect(201);
        let retired = activate_permit_key(&h.app.db, next.kid()).await.unwrap().unwrap();
        assert_eq!(retired, (first.kid().to_owned(), h.app.db.clock().now().plus(Duration::seconds(300))));
        let after = h.ask(&platform, "c", &export()).await.expect(201);
        assert_eq!(kid_of(&after.text("/permit")), next.kid());
        assert_eq!(set(h).await, [first.kid(), next.kid()]);

        // Permits of the old key can be redeemed until they expire; asked again, they are signed anew.
        h.redeem(&platform, "r1", &before.text("/id"), &before.text("/permit")).await.expect(201);
        let again = h.ask(&platform, "b", &export()).await.expect(201);
        assert_eq!((again.text("/id"), kid_of(&again.text("/permit"))), (late.text("/id"), next.kid().to_owned()));
        h.advance(Duration::milliseconds(299_999));
        h.redeem(&platform, "r2", &late.text("/id"), &late.text("/permit")).await.expect(201);
        assert_eq!(set(h).await, [first.kid(), next.kid()]);
        h.advance(Duration::milliseconds(1));
        assert_eq!(set(h).await, [next.kid()]);
        assert_eq!(code(activate_permit_key(&h.app.db, first.kid()).await), "permit_key_over");
        withdraw_permit_key(&h.app.db, first.kid(), false).await.unwrap();

        let events = ["published", "activated", "published", "retired", "activated", "withdrawn"].map(|word| format!("permit_key.{word}"));
        assert_eq!(key_events(h, LogId::PROCESSOR).await, events);
        assert_eq!(key_events(h, LogId::REGISTRY).await, events, "what decisions rest on stands where replay finds it");
    })
    .await;
}

#[tokio::test]
async fn a_withdrawn_key_is_out_of_the_set_at_once_and_its_permits_are_refused_and_recorded() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let folder = Folder::new(h, "withdrawal");
        folder.put("2.pem", NEXT);
        let platform = through(h, &folder.process(h));
        let (first, next) = (key(FIRST), key(NEXT));
        publish_permit_key(&h.app.db, &next).await.unwrap();
        let redeemed = h.ask(&platform, "a", &export()).await.expect(201);
        h.redeem(&platform, "ra", &redeemed.text("/id"), &redeemed.text("/permit")).await.expect(201);
        let waiting = h.ask(&platform, "b", &export()).await.expect(201);

        assert_eq!(code(withdraw_permit_key(&h.app.db, first.kid(), false).await), "permit_key_needed");
        // Negative control: until the withdrawal such a permit is redeemed.
        let control = h.ask(&platform, "c", &export()).await.expect(201);
        h.redeem(&platform, "rc", &control.text("/id"), &control.text("/permit")).await.expect(201);
        let signs = withdraw_permit_key(&h.app.db, first.kid(), true).await.unwrap();
        assert_eq!(signs.as_deref(), Some(next.kid()), "the published one signs in its place, however new");
        assert_eq!(set(h).await, [next.kid()]);

        let refused = h.redeem(&platform, "rb", &waiting.text("/id"), &waiting.text("/permit")).await.expect(403);
        assert_eq!(refused.reasons(), ["permit_key_withdrawn"]);
        assert_eq!(refused.json()["reasons"][0]["cause"], json!({"type": "permit_key", "kid": first.kid()}));
        let again = h.redeem(&platform, "ra", &redeemed.text("/id"), &redeemed.text("/permit")).await.expect(403);
        assert_eq!(again.reasons(), ["permit_key_withdrawn"], "a repeated answer is decided again");
        let seen = kari.get("/api/v1/decisions?reason=permit_key_withdrawn").await.expect(200).json();
        assert_eq!(seen["data"].as_array().unwrap().len(), 2);

        // What the customer instructed still holds: the same question gives the same permit, signed anew.
        let anew = h.ask(&platform, "b", &export()).await.expect(201);
        assert_eq!((anew.text("/id"), kid_of(&anew.text("/permit"))), (waiting.text("/id"), next.kid().to_owned()));
        h.redeem(&platform, "rn", &anew.text("/id"), &anew.text("/permit")).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn without_a_key_that_signs_nothing_is_issued_and_refusals_go_on() {
    run(async |h: &Harness| {
        let platform = h.platform("itslearning");
        assert_eq!(withdraw_permit_key(&h.app.db, key(FIRST).kid(), true).await.unwrap(), None);
        assert_eq!(h.ask(&platform, "a", &export()).await.expect(403).reasons(), ["no_written_instruction"]);
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let answer = h.ask(&platform, "b", &export()).await.expect(503);
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(h.app.ready().await, Ok(()), "no process would do better: institutions are still served");
        assert!(set(h).await.is_empty());
        // The same question is answered once a key signs; nothing of the first try is left.
        publish_permit_key(&h.app.db, &key(NEXT)).await.unwrap();
        activate_permit_key(&h.app.db, key(NEXT).kid()).await.unwrap();
        let folder = Folder::new(h, "none");
        folder.put("2.pem", NEXT);
        let permitted = h.ask(&through(h, &folder.process(h)), "b", &export()).await.expect(201);
        assert!(permitted.headers.get("idempotency-replayed").is_none());
    })
    .await;
}

#[tokio::test]
async fn a_process_that_lacks_the_key_that_signs_is_not_ready_and_issues_nothing() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let folder = Folder::new(h, "lacking");
        let lacking = folder.process(h);
        publish_permit_key(&h.app.db, &key(LATER)).await.unwrap();
        h.advance(Duration::seconds(60));
        // Negative control: with the key that signs it is ready.
        assert_eq!(lacking.ready().await, Ok(()));
        let earlier = h.ask(&through(h, &lacking), "a", &export()).await.expect(201);
        activate_permit_key(&h.app.db, key(LATER).kid()).await.unwrap();
        assert_eq!(lacking.ready().await, Err("permit key"));
        let health = Client { router: mandate::http::health(lacking.clone()), token: None };
        assert_eq!(health.get("/readyz").await.expect(503).json(), json!({"status": "not ready", "missing": "permit key"}));
        h.ask(&through(h, &lacking), "b", &export()).await.expect(503);
        // It reads permits all the same: public halves are in the database.
        h.redeem(&through(h, &lacking), "r", &earlier.text("/id"), &earlier.text("/permit")).await.expect(201);
        folder.put("2.pem", LATER);
        assert_eq!(lacking.ready().await, Ok(()));
        let permitted = h.ask(&through(h, &lacking), "b", &export()).await.expect(201);
        assert_eq!(kid_of(&permitted.text("/permit")), key(LATER).kid());
    })
    .await;
}

#[tokio::test]
async fn the_keys_of_the_table_are_those_of_the_registrys_log() {
    run(async |h: &Harness| {
        for pem in [NEXT, LATER] {
            publish_permit_key(&h.app.db, &key(pem)).await.unwrap();
        }
        h.advance(Duration::seconds(60));
        activate_permit_key(&h.app.db, key(NEXT).kid()).await.unwrap();
        withdraw_permit_key(&h.app.db, key(NEXT).kid(), true).await.unwrap();
        let mut read = h.app.db.read(Role::Ops, "registry", LogId::REGISTRY).await.unwrap();
        let stored = mandate::registry::codes(read.conn()).await.unwrap();
        let mut rebuilt = RegistryFacts::default();
        for entry in entries(read.conn(), LogId::REGISTRY, (0, 0), 10_000, None).await.unwrap() {
            let event: Event = entry.event().unwrap();
            apply_registry(&mut rebuilt, &event);
        }
        assert_eq!(rebuilt, stored);
        let states: Vec<PermitKeyState> = list_permit_keys(&h.app.db).await.unwrap().0.iter().map(|k| k.state()).collect();
        assert_eq!(states.iter().filter(|s| **s == PermitKeyState::Active).count(), 1);
        assert_eq!(rebuilt.active_permit_key(), Some(key(LATER).kid()));
        // The database alone keeps a withdrawal: what is set once stays.
        let mut ops = mandate::db::connect(secrecy::ExposeSecret::expose_secret(&h.database.urls.urls[Role::Ops as usize])).await.unwrap();
        let undo = sqlx::query("UPDATE permit_key SET withdrawn_at = NULL WHERE withdrawn_at IS NOT NULL").execute(&mut ops).await;
        assert!(undo.unwrap_err().to_string().contains("goes forward only"));
        let second = "INSERT INTO permit_key (kid, public_key, published_at, activated_at) VALUES ('x', '{}', now(), now())";
        let second = sqlx::query(second).execute(&mut ops).await;
        assert!(second.unwrap_err().to_string().contains("permit_key_one_active"), "one key signs");
        drop(ops);
    })
    .await;
}

/// The forgeries of the vectors that can be made of a real permit, at the gate itself.
#[tokio::test]
async fn no_forged_permit_is_redeemed_and_each_attempt_is_recorded() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        let permitted = h.ask(&platform, "a", &export()).await.expect(201);
        let (id, permit) = (permitted.text("/id"), permitted.text("/permit"));
        let forgeries = forgeries(&permit);
        for (name, forged) in &forgeries {
            let refused = h.redeem(&platform, &name.replace(' ', "-"), &id, forged).await.expect(403);
            assert_eq!(refused.reasons(), ["permit_altered"], "{name}");
        }
        let seen = kari.get("/api/v1/decisions?reason=permit_altered&limit=100").await.expect(200).json();
        assert_eq!(seen["data"].as_array().unwrap().len(), forgeries.len(), "each is in the customer's log");
        // Text that no permit is made of does not reach the decision.
        for malformed in [format!(" {permit}"), format!("{permit}\n"), String::new()] {
            h.redeem(&platform, "m", &id, &malformed).await.expect(422);
        }
        // Negative control: the permit itself is redeemed.
        h.redeem(&platform, "z", &id, &permit).await.expect(201);
    })
    .await;
}

fn forgeries(permit: &str) -> Vec<(&'static str, String)> {
    let [header, payload, signature] = permit.split('.').collect::<Vec<_>>().try_into().unwrap();
    let own = Forge::of(FIRST);
    let [foreign, ..] = Forge::all();
    let with = |changes: Value| {
        let plain: Value = serde_json::from_slice(&decode(header)).unwrap();
        encode(&mandate::base::canonical(&crate::support::with(plain, changes)))
    };
    let symmetric = |secret: &[u8]| {
        let signed = format!("{}.{payload}", with(json!({"alg": "HS256"})));
        let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", encode(tag.as_ref()))
    };
    let claims = |changes: Value| {
        let plain: Value = serde_json::from_slice(&decode(payload)).unwrap();
        encode(&mandate::base::canonical(&crate::support::with(plain, changes)))
    };
    let pretty = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&decode(payload)).unwrap()).unwrap();
    vec![
        ("none", format!("{}.{payload}.", with(json!({"alg": "none"})))),
        ("none, signed", own.seal(&with(json!({"alg": "none"})), payload)),
        ("symmetric, the point", symmetric(&own.point())),
        ("symmetric, the JWK", symmetric(own.jwk.to_string().as_bytes())),
        ("another type", own.seal(&with(json!({"typ": "JWT"})), payload)),
        ("another environment", foreign.seal(&encode(&foreign.header()), payload)),
        ("another environment under our name", foreign.seal(header, payload)),
        ("a jwk in the header", foreign.seal(&with(json!({"jwk": foreign.jwk})), payload)),
        ("a jku in the header", own.seal(&with(json!({"jku": "https://mandate.test/keys"})), payload)),
        ("crit and b64", own.seal(&with(json!({"crit": ["b64"], "b64": false})), payload)),
        ("padding", format!("{header}.{payload}.{signature}==")),
        ("the other alphabet", own.seal(header, &format!("{payload}+"))),
        ("laid out for reading, signed", own.seal(header, &encode(&pretty))),
        ("aud a list, signed", own.seal(header, &claims(json!({"aud": ["itslearning"]})))),
        ("jti a list, signed", own.seal(header, &claims(json!({"jti": [permit]})))),
        ("more volume, signed", own.seal(header, &claims(json!({"volume": {"rows": 1_000_000}})))),
        ("a longer life, signed", own.seal(header, &claims(json!({"exp": 9_999_999_999_i64})))),
        ("another issuer, signed", own.seal(header, &claims(json!({"iss": "https://other.test"})))),
        ("zeros", format!("{header}.{payload}.{}", encode(&[0; 64]))),
        ("no signature", format!("{header}.{payload}.")),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{permit}.{signature}")),
    ]
}
