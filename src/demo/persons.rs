//! The persons of the demo world, acting through the routes as people do: they accept what was
//! mailed to them, enrol a second factor and keep its secret, log in, and step up with it.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use serde_json::{Value, json};

use super::call::{Caller, member};
use crate::app::App;
use crate::base::{Error, Instant, Result};
use crate::identity::TotpSecret;

/// A person's second factor, and the last time step that was used.
struct Factor {
    secret: TotpSecret,
    last: i64,
}

/// Everybody who acts while the world is loaded.
pub struct Persons<'a> {
    app: &'a App,
    router: Router,
    mail: &'a Path,
    password: String,
    factors: BTreeMap<String, Factor>,
    /// Sessions with step-up, and when they were made: one lasts while the clock stands still.
    sessions: BTreeMap<(String, Option<String>), (Instant, Caller)>,
}

impl<'a> Persons<'a> {
    /// Nobody yet, on the routes of a program whose mail is written to `mail`.
    ///
    /// # Errors
    /// When the route table has a fault.
    pub fn of(app: &'a App, mail: &'a Path, password: &str) -> Result<Self> {
        let router = crate::app::router(app.clone())?;
        let password = password.to_owned();
        Ok(Self { app, router, mail, password, factors: BTreeMap::new(), sessions: BTreeMap::new() })
    }

    /// The one password of all.
    pub fn password(&self) -> String {
        self.password.clone()
    }

    /// The secret of a person's second factor, in base 32.
    pub fn secret(&self, email: &str) -> Option<String> {
        self.factors.get(email).map(|factor| factor.secret.base32())
    }

    fn nobody(&self) -> Caller {
        Caller::nobody(self.router.clone())
    }

    fn now(&self) -> Instant {
        self.app.db.clock().now()
    }

    /// Delivers what waits, and sets the password by the invitation that came by mail. The person
    /// enrols a second factor at once, needed yet or not.
    pub async fn accept_invitation(&mut self, email: &str, customer: Option<&str>) -> Result<()> {
        crate::app::deliver_due(self.app).await?;
        let token = super::mailbox::invitation(self.mail, email)?;
        let body = json!({"token": token, "password": self.password});
        self.nobody().post(&format!("{}/invitation-acceptances", surface(customer)), &body).await?;
        self.acting(email, customer).await?;
        crate::app::deliver_due(self.app).await?;
        Ok(())
    }

    /// A person with a session that is stepped up, at one customer or as ops.
    pub async fn acting(&mut self, email: &str, customer: Option<&str>) -> Result<Caller> {
        let key = (email.to_owned(), customer.map(str::to_owned));
        let now = self.now();
        if let Some((made_at, caller)) = self.sessions.get(&key)
            && *made_at == now
        {
            return Ok(caller.clone());
        }
        let mut body = json!({"email": email, "password": self.password});
        let asked = customer.is_none() && self.factors.contains_key(email);
        for (name, value) in [("customer", customer.map(str::to_owned)), ("code", asked.then(|| self.code(email)).transpose()?)] {
            if let (Some(value), Some(members)) = (value, body.as_object_mut()) {
                members.insert(name.to_owned(), Value::from(value));
            }
        }
        let session = self.nobody().post(&format!("{}/sessions", surface(customer)), &body).await?;
        let caller = self.nobody().with(member(&session, "token")?);
        let path = format!("{}/sessions/{}", surface(customer), member(&session, "id")?);
        if !self.factors.contains_key(email) {
            self.enrol(&caller, &path, email).await?;
        } else {
            let body = json!({"password": self.password, "code": self.code(email)?});
            caller.post(&format!("{path}/step-ups"), &body).await?;
        }
        self.sessions.insert(key, (now, caller.clone()));
        Ok(caller)
    }

    async fn enrol(&mut self, caller: &Caller, session: &str, email: &str) -> Result<()> {
        let begun = caller.post(&format!("{session}/second-factors"), &json!({})).await?;
        let uri = member(&begun, "otpauth_uri")?;
        let secret = super::secret_of(uri)?;
        let now = self.now();
        let factor = Factor { secret, last: crate::identity::step_at(now) };
        let path = format!("{session}/second-factors/{}/confirmations", member(&begun, "id")?);
        caller.post(&path, &json!({"password": self.password, "code": factor.secret.code(factor.last)})).await?;
        self.factors.insert(email.to_owned(), factor);
        Ok(())
    }

    /// A code that was not used yet. One that is not accepted yet fails where it is sent.
    fn code(&mut self, email: &str) -> Result<String> {
        let now = self.now();
        let factor = self.factors.get_mut(email).ok_or_else(|| Error::internal("a person without a second factor"))?;
        let (code, _) = factor.secret.unused(now, factor.last);
        factor.last = (factor.last + 1).max(crate::identity::step_at(now));
        Ok(code)
    }
}

const fn surface(customer: Option<&str>) -> &'static str {
    if customer.is_some() { "/api/v1" } else { "/api/admin/v1" }
}
