//! The load: platforms that ask, redeem and send chunks, and persons who suspend and release, each one
//! request after the other, until an answer does not come. What was acknowledged is kept with its
//! receipt, and the last request, whose outcome is not known, with its key.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Client, Harness, export, http, with};

/// Customers with an agreement for itslearning: name, name at the platform.
pub const CUSTOMERS: [(&str, &str); 4] =
    [("Nordvik", "site-1001-its"), ("Søby", "site-2002-its"), ("Gymnasium", "site-3003-its"), ("Kantonsschule", "site-4004-its")];

/// A request with the effect that it has, which is named in its entry.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which customer's log.
    pub place: usize,
    pub effect: String,
    path: String,
    token: String,
    key: String,
    body: Value,
}

/// A request that was answered, with its receipt.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub place: usize,
    pub effect: String,
    pub receipt: Value,
}

/// What a line came to.
#[derive(Debug, Default)]
pub struct Ended {
    pub acknowledged: Vec<Acknowledged>,
    pub open: Option<Sent>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Platform,
    Person { releases: bool },
}

/// Somebody who sends one request after the other.
#[derive(Debug, Clone)]
pub struct Line {
    kind: Kind,
    place: usize,
    token: String,
}

fn token(client: Client) -> String {
    client.token.unwrap()
}

impl Line {
    /// Platforms at four customers, two of them at the one that permits, and persons of two.
    /// Those persons too, whose step-up ends.
    pub async fn all(h: &Harness) -> (Vec<Self>, Vec<Person>) {
        let key = token(h.platform("itslearning"));
        let mut lines: Vec<_> = [0, 0, 1, 2, 3].map(|place| Self { kind: Kind::Platform, place, token: key.clone() }).into();
        let mut persons = Vec::new();
        for (place, email) in [(1, "mette.holm@soby.example"), (2, "j.voss@elbtal.example")] {
            let client = h.person(email).await;
            lines.push(Self { kind: Kind::Person { releases: true }, place, token: token(client.clone()) });
            persons.push((client, email));
        }
        (lines, persons)
    }

    /// Persons of one customer who only suspend.
    pub async fn suspending(h: &Harness) -> Vec<Self> {
        let token = token(h.person("mette.holm@soby.example").await);
        let line = Self { kind: Kind::Person { releases: false }, place: 1, token };
        vec![line; 3]
    }

    fn sent(&self, effect: String, path: String, body: Value) -> Sent {
        // The effect is named once only, and so is its key.
        Sent { place: self.place, key: format!("kills-{}", effect.replace(' ', "-")), effect, path, token: self.token.clone(), body }
    }

    async fn run(self, base: String, name: String) -> Ended {
        let (client, mut ended) = (http(), Ended::default());
        for number in 0.. {
            let name = format!("{name}-{number}");
            let went_on = match self.kind {
                Kind::Platform => self.export(&client, &base, &name, &mut ended).await,
                Kind::Person { releases } => self.suspend(&client, &base, &name, releases, &mut ended).await,
            };
            if went_on.is_none() {
                break;
            }
        }
        ended
    }

    async fn export(&self, client: &reqwest::Client, base: &str, name: &str, ended: &mut Ended) -> Option<()> {
        let asked_for = json!({"customer": CUSTOMERS[self.place].1, "requested_by": {"kind": "job", "ref": name}});
        let ask = self.sent(format!("ask {name}"), "/gate/v1/exports".to_owned(), with(export(), asked_for));
        let answer = ask.sent(client, base, ended).await?;
        let (Some(id), Some(permit)) = (answer["id"].as_str(), answer["permit"].as_str()) else { return Some(()) };
        let path = format!("/gate/v1/exports/{id}");
        let redeem = self.sent(format!("redeem {name}"), format!("{path}/redemptions"), json!({"permit": permit}));
        redeem.sent(client, base, ended).await?;
        let chunk = self.sent(format!("chunk {name}"), format!("{path}/chunks"), json!({"chunk_no": 1, "rows": 1}));
        chunk.sent(client, base, ended).await.map(drop)
    }

    async fn suspend(&self, client: &reqwest::Client, base: &str, name: &str, releases: bool, ended: &mut Ended) -> Option<()> {
        let suspend = self.sent(format!("suspend {name}"), "/api/v1/suspensions".to_owned(), json!({"ground": name}));
        let answer = suspend.sent(client, base, ended).await?;
        if !releases {
            return Some(());
        }
        let id = answer["id"].as_str().unwrap();
        let release = self.sent(format!("release {id}"), format!("/api/v1/suspensions/{id}/releases"), json!({}));
        release.sent(client, base, ended).await.map(drop)
    }
}

impl Sent {
    async fn sent(self, client: &reqwest::Client, base: &str, ended: &mut Ended) -> Option<Value> {
        match self.answered(client, base).await {
            Ok((acknowledged, body)) => {
                ended.acknowledged.push(acknowledged);
                Some(body)
            }
            Err(_) => {
                ended.open = Some(self);
                None
            }
        }
    }

    /// Sends it.
    ///
    /// # Errors
    /// What was answered instead, if its outcome is not known.
    pub async fn answered(&self, client: &reqwest::Client, base: &str) -> Result<(Acknowledged, Value), String> {
        let request = client.post(format!("{base}{}", self.path)).bearer_auth(&self.token).header("idempotency-key", &self.key);
        let answer = request.json(&self.body).send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        // 409 with receipts: its answer was lost with the process, and what it did stands.
        match (status, body.get("receipt").or_else(|| body.pointer("/receipts/0"))) {
            (200 | 201 | 403 | 409, Some(receipt)) => {
                let acknowledged = Acknowledged { place: self.place, effect: self.effect.clone(), receipt: receipt.clone() };
                Ok((acknowledged, body))
            }
            // 409: another try of this key is not yet known to be dead.
            (409 | 503, _) => Err(format!("{status} {body}")),
            _ => panic!("{}: {status} {body}", self.effect),
        }
    }
}

/// A person's client, and the address.
pub type Person = (Client, &'static str);

/// All lines at once.
pub struct Load(Vec<JoinHandle<Ended>>);

impl Load {
    pub fn begin(lines: &[Line], base: &str, number: usize) -> Self {
        let lines = lines.iter().cloned().enumerate();
        Self(lines.map(|(place, line)| tokio::spawn(line.run(base.to_owned(), format!("{number}-{place}")))).collect())
    }

    /// What each came to, once none of them is answered any more.
    pub async fn ended(self) -> Vec<Ended> {
        futures_util::future::join_all(self.0).await.into_iter().map(Result::unwrap).collect()
    }
}
