//! Loads the demo world in the order of its dates: customers, agreements by their acceptance,
//! first signatories by their 72 hours, then the people they invite. Every step is a request to a
//! route, at the world's own time; the clock goes on to the next date only.

use std::collections::BTreeMap;
use std::path::Path;

use axum::body::Body;
use axum::http::Method;
use chrono::{Duration, NaiveDate, NaiveTime, TimeZone as _};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::access::{Access, Login, PlatformKey};
use super::call::{Caller, member};
use super::persons::Persons;
use super::world::{Customer, Ops, Person, World, accepted_on, text};
use crate::app::App;
use crate::base::{Error, FixedClock, Instant, Result};
use crate::document::pdf_of_lines;

/// How long before its acceptance an agreement is prepared: longer than a first signatory's 72 hours.
const LEAD: Duration = Duration::days(5);

/// How long the staff counts as none of two, each time somebody has joined.
const STAFF_WAIT: Duration = Duration::hours(72);

/// How long before that the first of the staff join: longer than twice that, since they add the others.
const STAFF_LEAD: Duration = Duration::days(7);

struct Loader<'a> {
    app: &'a App,
    clock: &'a FixedClock,
    persons: Persons<'a>,
    logins: Vec<Login>,
}

/// An agreement that was offered and waits for its acceptance.
struct Offered {
    agreement: String,
    sha256: String,
}

/// Loads the world into a fresh private database.
///
/// `app` has the `clock`, and its mail transport writes to `mail`. People, address books and keys are
/// added at `settled`, which lies after every agreement's acceptance.
///
/// # Errors
/// When a route answers otherwise than it should.
pub async fn load(app: &App, clock: &FixedClock, mail: &Path, password: &str, settled: Instant) -> Result<Access> {
    let world = World::read()?;
    let persons = Persons::of(app, mail, password)?;
    let mut loader = Loader { app, clock, persons, logins: Vec::new() };
    let mut agreements: Vec<(Instant, &Customer, &Value)> = Vec::new();
    for customer in &world.customers {
        for agreement in &customer.agreements {
            agreements.push((start_of(accepted_on(agreement)?, customer.zone)?, customer, agreement));
        }
    }
    agreements.sort_by_key(|(at, ..)| *at);
    let first = agreements.first().map(|(at, ..)| *at).ok_or_else(|| Error::internal("the world has no agreement"))?;
    clock.set(first.plus(-LEAD - STAFF_LEAD));
    crate::app::prepare(app).await?;
    loader.ops(&world.ops).await?;
    // One agreement's lead may begin before another's acceptance; time goes forward all the same.
    let mut steps: Vec<(Instant, usize)> = (0..).zip(&agreements).flat_map(|(n, (at, ..))| [(at.plus(-LEAD), n), (*at, n)]).collect();
    steps.sort_unstable();
    let mut known: Vec<(String, String)> = Vec::new();
    let mut offered: BTreeMap<usize, Offered> = BTreeMap::new();
    for (at, n) in steps {
        clock.set(at);
        let Some((_, customer, agreement)) = agreements.get(n) else { continue };
        match offered.remove(&n) {
            None => drop(offered.insert(n, loader.offer(&mut known, customer, agreement).await?)),
            Some(waiting) => loader.accept(&known, customer, &waiting).await?,
        }
    }
    clock.set(settled);
    loader.people(&world, &known).await?;
    let keys = loader.platform_keys(&world).await?;
    crate::app::deliver_due(app).await?;
    for login in &mut loader.logins {
        login.totp_secret = loader.persons.secret(&login.email);
    }
    Ok(Access { database: String::new(), password: password.to_owned(), logins: loader.logins, keys })
}

/// The first instant of a civil day in a zone.
fn start_of(day: NaiveDate, zone: chrono_tz::Tz) -> Result<Instant> {
    let local = zone.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest();
    local.map(|t| Instant::new(t.to_utc())).ok_or_else(|| Error::internal("a day without a midnight"))
}

impl Loader<'_> {
    async fn ops_login(&mut self, role: &str) -> Result<Caller> {
        let login = self.logins.iter().find(|l| l.customer.is_none() && l.role == role);
        let email = login.ok_or_else(|| Error::internal("the world lacks an ops role"))?.email.clone();
        self.persons.acting(&email, None).await
    }

    async fn ops(&mut self, people: &[Ops]) -> Result<()> {
        let (first, others) = people.split_first().ok_or_else(|| Error::internal("the world has no ops"))?;
        let email = first.email.parse().map_err(Error::internal)?;
        let name = first.name.parse().map_err(Error::internal)?;
        let password = SecretString::from(self.persons.password());
        crate::identity::bootstrap_ops(&self.app.db, &self.app.passwords, email, name, password).await?;
        for person in people {
            self.note(None, &person.name, &person.email, person.role.clone());
        }
        // The first person adds the second alone; those two add all others.
        let second = others.iter().find(|person| person.role == "ops_security");
        let second = second.ok_or_else(|| Error::internal("the world lacks an ops role"))?;
        self.add_staff(second).await?;
        self.persons.accept_invitation(&second.email, None).await?;
        self.clock.advance(STAFF_WAIT);
        for person in others.iter().filter(|person| person.email != second.email) {
            let id = self.add_staff(person).await?;
            let security = self.ops_login("ops_security").await?;
            security.post(&format!("/api/admin/v1/ops-people/{id}/approvals"), &json!({})).await?;
            self.persons.accept_invitation(&person.email, None).await?;
        }
        Ok(())
    }

    async fn add_staff(&mut self, person: &Ops) -> Result<String> {
        let admin = self.ops_login("ops_admin").await?;
        let body = json!({"email": person.email, "name": person.name, "role": person.role});
        let made = admin.post("/api/admin/v1/ops-people", &body).await?;
        Ok(member(&made, "id")?.to_owned())
    }

    async fn register(&mut self, customer: &Customer) -> Result<String> {
        let admin = self.ops_login("ops_admin").await?;
        let body = json!({
            "name": customer.name, "kind": customer.kind, "country": customer.country, "zone": customer.zone.name(),
            "language": customer.language, "privacy_contacts": customer.contacts.privacy, "second_contacts": customer.contacts.second,
        });
        let made = admin.post("/api/admin/v1/customers", &body).await?;
        let id = member(&made, "id")?.to_owned();
        let units: Vec<Value> =
            customer.units.iter().map(|code| json!({"code": code, "name": format!("{} {code}", customer.name)})).collect();
        admin.post(&format!("/api/admin/v1/customers/{id}/units"), &json!({"units": units})).await?;
        Ok(id)
    }

    async fn offer(&mut self, known: &mut Vec<(String, String)>, customer: &Customer, agreement: &Value) -> Result<Offered> {
        let is_new = !known.iter().any(|(key, _)| *key == customer.key);
        if is_new {
            known.push((customer.key.clone(), self.register(customer).await?));
        }
        let id = id_of(known, &customer.key)?;
        let admin = self.ops_login("ops_admin").await?;
        let path = format!("/api/admin/v1/customers/{id}");
        let pdf = pdf_of_lines(&format!("Data processing agreement: {}", customer.name), &lines(agreement));
        let document =
            admin.send(Method::POST, &format!("{path}/documents"), &[("content-type", "application/pdf")], Body::from(pdf)).await?;
        let platform = text(agreement, "platform");
        let external_id = customer.external_ids.get(platform).ok_or_else(|| Error::internal("the world lacks an external id"))?;
        let body = json!({"platform": platform, "external_id": external_id, "document": member(&document, "id")?, "parameters": parameters(agreement)});
        let prepared = admin.post(&format!("{path}/agreements"), &body).await?;
        let agreement_id = member(&prepared, "id")?;
        admin.post(&format!("{path}/agreements/{agreement_id}/offers"), &json!({})).await?;
        if is_new {
            let signatory = signatory_of(customer)?;
            let body = json!({"agreement": agreement_id, "email": signatory.email, "name": signatory.name});
            let proposed = admin.post(&format!("{path}/first-signatories"), &body).await?;
            let privacy = self.ops_login("ops_privacy").await?;
            let proposal = member(&proposed, "id")?;
            privacy.post(&format!("{path}/first-signatories/{proposal}/approvals"), &json!({})).await?;
            self.persons.accept_invitation(&signatory.email, Some(&id)).await?;
        }
        crate::app::deliver_due(self.app).await?;
        Ok(Offered { agreement: agreement_id.to_owned(), sha256: member(&document, "sha256")?.to_owned() })
    }

    async fn accept(&mut self, known: &[(String, String)], customer: &Customer, offered: &Offered) -> Result<()> {
        let id = id_of(known, &customer.key)?;
        let person = self.persons.acting(&signatory_of(customer)?.email, Some(&id)).await?;
        let acceptance = json!({"document_sha256": offered.sha256});
        person.post(&format!("/api/v1/agreements/{}/acceptances", offered.agreement), &acceptance).await?;
        crate::app::deliver_due(self.app).await?;
        Ok(())
    }

    /// Invites everybody else of every customer, the auditor included, and fills the address books.
    async fn people(&mut self, world: &World, known: &[(String, String)]) -> Result<()> {
        for customer in &world.customers {
            let id = id_of(known, &customer.key)?;
            let Some((signatory, others)) = customer.people.split_first() else { continue };
            let place = Some((id.clone(), customer.name.clone()));
            let caller = self.persons.acting(&signatory.email, Some(&id)).await?;
            self.note(place.clone(), &signatory.name, &signatory.email, format!("{}, all authority (first signatory)", signatory.role));
            for person in others {
                let authority = grants(person.authority.as_ref());
                let words = person
                    .authority
                    .as_ref()
                    .map_or_else(|| "no authority".to_owned(), |a| format!("{} for {}", a.kinds.join(", "), a.units));
                let body = json!({"email": person.email, "name": person.name, "role": person.role, "authority": authority});
                caller.post("/api/v1/people", &body).await?;
                self.note(place.clone(), &person.name, &person.email, format!("{}, {words}", person.role));
            }
            if world.auditor.customer == customer.key {
                let a = &world.auditor;
                let body = json!({"email": a.email, "name": a.name, "role": "auditor", "until_on": a.until_on, "authority": []});
                caller.post("/api/v1/people", &body).await?;
                self.note(place.clone(), &a.name, &a.email, format!("auditor until {}", a.until_on));
            }
            for r in world.recipients.iter().filter(|r| r.customer == customer.key) {
                let body = json!({"legal_entity": r.legal_entity, "country": r.country, "role": r.role});
                caller.post("/api/v1/recipients", &body).await?;
            }
            let mut invited: Vec<String> = others.iter().map(|p| p.email.clone()).collect();
            if world.auditor.customer == customer.key {
                invited.push(world.auditor.email.clone());
            }
            for email in invited {
                self.persons.accept_invitation(&email, Some(&id)).await?;
            }
        }
        Ok(())
    }

    fn note(&mut self, customer: Option<(String, String)>, name: &str, email: &str, role: String) {
        self.logins.push(Login { customer, name: name.to_owned(), email: email.to_owned(), role, totp_secret: None });
    }

    async fn platform_keys(&mut self, world: &World) -> Result<Vec<PlatformKey>> {
        let (admin, security) = (self.ops_login("ops_admin").await?, self.ops_login("ops_security").await?);
        let expires_at = self.clock_now().plus(Duration::days(395));
        let mut keys = Vec::new();
        for platform in &world.processor.platforms {
            let path = format!("/api/admin/v1/platforms/{platform}/api-keys");
            let made = admin.post(&path, &json!({"name": "demo", "expires_at": expires_at})).await?;
            security.post(&format!("{path}/{}/approvals", member(&made, "id")?), &json!({})).await?;
            keys.push(PlatformKey { platform: platform.clone(), key: member(&made, "key")?.to_owned() });
        }
        Ok(keys)
    }

    fn clock_now(&self) -> Instant {
        crate::base::Clock::now(self.clock)
    }
}

fn signatory_of(customer: &Customer) -> Result<&Person> {
    customer.people.first().ok_or_else(|| Error::internal("a customer without people"))
}

fn id_of(known: &[(String, String)], key: &str) -> Result<String> {
    known.iter().find(|(k, _)| k == key).map(|(_, id)| id.clone()).ok_or_else(|| Error::internal("a customer before its agreement"))
}

fn grants(authority: Option<&super::world::Authority>) -> Vec<Value> {
    let Some(authority) = authority else { return Vec::new() };
    let grant = |kind: &String| match &authority.units {
        Value::Array(units) => json!({"kind": kind, "units": units}),
        _ => json!({"kind": kind}),
    };
    authority.kinds.iter().map(grant).collect()
}

/// The parameters of an agreement: what the world says, less what is not a parameter.
fn parameters(agreement: &Value) -> Value {
    let mut parameters = agreement.clone();
    if let Some(members) = parameters.as_object_mut() {
        for name in ["platform", "accepted_on", "document"] {
            members.remove(name);
        }
    }
    parameters
}

/// The lines of the agreement's PDF: one per parameter.
fn lines(agreement: &Value) -> Vec<String> {
    let members = agreement.as_object().into_iter().flatten();
    members.filter(|(name, _)| *name != "document").map(|(name, value)| format!("{name}: {value}")).collect()
}
