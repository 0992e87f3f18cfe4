//! Where a storm happens: a customer with its signatory and the ops persons who can stop it, and the
//! acts of a storm as requests. An answer of 503 is tried again and counted; any other that is not
//! expected fails the test.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::judge::{Asked, Stop};
use crate::support::{ADMIN, Answer, Client, Harness, PRIVACY, SECURITY, export, instruction, with};

/// Customers with an agreement for itslearning: name, signatory, name at the platform.
const CUSTOMERS: [(&str, &str, &str); 4] = [
    ("Nordvik", "kari.solheim@nordvik.example", "site-1001-its"),
    ("Søby", "mette.holm@soby.example", "site-2002-its"),
    ("Gymnasium", "j.voss@elbtal.example", "site-3003-its"),
    ("Kantonsschule", "reto.frei@hochtal.example", "site-4004-its"),
];
const PURPOSES: [&str; 3] = ["support", "subject-access", "service-delivery"];

/// How exports are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Revocation,
    Contest,
    Suspension,
    EndOfAgreement,
    PlatformSuspension,
}

impl Way {
    pub const ALL: [Self; 5] = [Self::Revocation, Self::Contest, Self::Suspension, Self::EndOfAgreement, Self::PlatformSuspension];
    /// True if it stops one instruction, false if it stops all exports until it is undone.
    pub const fn of_one_instruction(self) -> bool {
        matches!(self, Self::Revocation | Self::Contest)
    }
}

/// How often the service said 503 in this process.
pub static BUSY: AtomicUsize = AtomicUsize::new(0);

pub struct Place {
    pub name: &'static str,
    customer: String,
    external_id: &'static str,
    person: Client,
    admin: Client,
    privacy: Client,
    security: Client,
    platform: Client,
}

/// Sends until the answer is another than 503; its first sending, so that no ask looks later than it was.
async fn answered(send: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..200 {
        let answer = send().await;
        if answer.status != 503 {
            return answer;
        }
        BUSY.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("503 for ever");
}

async fn post(client: &Client, path: &str, body: Value) -> Answer {
    answered(async || client.post(path, &body).await).await.expect(201)
}

impl Place {
    pub async fn all(h: &Harness) -> Vec<Self> {
        let (admin, privacy, security) = (h.person(ADMIN).await, h.person(PRIVACY).await, h.person(SECURITY).await);
        let mut places = Vec::new();
        for (name, email, external_id) in CUSTOMERS {
            places.push(Self {
                name,
                customer: h.customer(name),
                external_id,
                person: h.person(email).await,
                admin: admin.clone(),
                privacy: privacy.clone(),
                security: security.clone(),
                platform: h.platform("itslearning"),
            });
        }
        places
    }

    /// Signs an instruction that covers the request with this number, and no other request.
    pub async fn signed(&self, h: &Harness, number: usize) -> String {
        let covered = json!({"purposes": [PURPOSES[number % 3]], "data_categories": ["identity"], "recipients": [recipient(number)]});
        let body = with(instruction(), covered);
        let id = post(&self.person, "/api/v1/instructions", body).await.text("/id");
        answered(async || h.sign(&self.person, &id, 1).await).await.expect(201);
        id
    }

    /// Asks for the export with this number.
    pub async fn ask(&self, subject: &str, number: usize, key: &str) -> (Asked, Answer) {
        let body = json!({"customer": self.external_id, "purpose": PURPOSES[number % 3], "data_categories": ["identity"],
            "subjects": [{"kind": "whole"}], "recipient": recipient(number)});
        self.decided(subject, "/gate/v1/exports", key, &with(export(), body)).await
    }

    /// Redeems a permit.
    pub async fn redeem(&self, subject: &str, permitted: &Answer, key: &str) -> Asked {
        let path = format!("/gate/v1/exports/{}/redemptions", permitted.text("/id"));
        self.decided(subject, &path, key, &json!({"permit": permitted.text("/permit")})).await.0
    }

    async fn decided(&self, subject: &str, path: &str, key: &str, body: &Value) -> (Asked, Answer) {
        let sent = Instant::now();
        let answer = answered(async || self.platform.post_with(path, &[("idempotency-key", key)], body).await).await;
        let permitted = answer.status == 201;
        assert!(permitted || answer.status == 403, "{}: {}", answer.status, answer.json());
        let index = answer.text("/receipt/index").parse().unwrap();
        (Asked { subject: subject.to_owned(), sent, answered: Instant::now(), index, permitted }, answer)
    }

    /// Stops the subject; gives what undoes it, too.
    pub async fn stop(&self, way: Way, subject: &str, agreement: &str) -> (Stop, String) {
        let (client, path, body) = match way {
            Way::Revocation => (&self.person, format!("/api/v1/instructions/{subject}/revocations"), json!({})),
            Way::Contest => {
                let path = format!("/api/admin/v1/customers/{}/instructions/{subject}/contests", self.customer);
                (&self.privacy, path, json!({"version": 1, "ground": "GDPR Art. 6"}))
            }
            Way::Suspension => (&self.person, "/api/v1/suspensions".to_owned(), json!({"ground": "x"})),
            Way::EndOfAgreement => (&self.person, format!("/api/v1/agreements/{agreement}/terminations"), json!({})),
            Way::PlatformSuspension => (&self.security, PLATFORM.to_owned(), json!({"ground": "x"})),
        };
        let answer = post(client, &path, body).await;
        let index = (way != Way::PlatformSuspension).then(|| answer.text("/receipt/index").parse().unwrap());
        (Stop { subject: subject.to_owned(), answered: Instant::now(), index, released: None }, answer.text("/id"))
    }

    /// Undoes a stop of all exports; gives when that was sent and its index.
    pub async fn release(&self, way: Way, stopped: &str, agreement: &mut String) -> (Instant, Option<u64>) {
        let sent = Instant::now();
        let answer = match way {
            Way::Suspension => post(&self.person, &format!("/api/v1/suspensions/{stopped}/releases"), json!({})).await,
            Way::EndOfAgreement => {
                let accepted = self.agreed_again(agreement).await;
                *agreement = accepted.text("/id");
                accepted
            }
            _ => {
                post(&self.security, &format!("{PLATFORM}/{stopped}/releases"), json!({})).await;
                post(&self.admin, &format!("{PLATFORM}/{stopped}/releases"), json!({})).await;
                return (sent, None);
            }
        };
        (sent, Some(answer.text("/receipt/index").parse().unwrap()))
    }

    /// The agreement for the platform that is in force.
    pub async fn agreement(&self) -> String {
        let all = self.person.get("/api/v1/agreements?limit=100").await.expect(200).json();
        let found = all["data"].as_array().unwrap().iter().find(|a| a["platform"] == "itslearning" && a["state"] == "in_force");
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Prepares, offers and accepts the same again.
    async fn agreed_again(&self, ended: &str) -> Answer {
        let old = self.person.get(&format!("/api/v1/agreements/{ended}")).await.expect(200).json();
        let path = format!("/api/admin/v1/customers/{}/agreements", self.customer);
        let body = json!({"platform": "itslearning", "external_id": self.external_id, "document": old["document"], "parameters": old["parameters"]});
        let id = post(&self.admin, &path, body).await.text("/id");
        post(&self.admin, &format!("{path}/{id}/offers"), json!({})).await;
        post(&self.person, &format!("/api/v1/agreements/{id}/acceptances"), json!({"document_sha256": old["document_sha256"]})).await
    }
}

const PLATFORM: &str = "/api/admin/v1/platforms/itslearning/suspensions";

fn recipient(number: usize) -> Value {
    json!({"legal_entity": format!("Recipient {number}"), "country": "NO", "role": "vendor"})
}
