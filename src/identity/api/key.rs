//! API keys of a customer, of a platform (the gate), and of ops (reading). Shown once; two of a name
//! may live at once, so that a key can be replaced without a gap; a revocation holds from the next
//! request on, and takes one person without step-up: stopping must not wait. Making a platform's key
//! takes two, so that a stolen account cannot make itself a platform; others outlive the session
//! that makes them, so that making one needs step-up, and the staff is told of a key of its own. A key never signs, accepts or approves.

use axum::extract::State;

use super::view::{ApiKeyView, CreatedApiKey};
use crate::app::App;
use crate::base::{ApiKeyId, Code, Error, Faults, Instant, Name, Page, Result, TypedId};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::evidence::{Actor, Event, NewEntry, Receipted, commit_one};
use crate::http::{Created, Json, OpsRole, PathId, Query};
use crate::identity::caller::{InstitutionCaller, OpsCaller};
use crate::identity::decide::key_made;
use crate::identity::model::KeyRole;
use crate::identity::notice::tell_of_key;
use crate::identity::store::{self, KeyHolder, NewKey, NormalOfKey, anyone_stepped_up, ops_stepped_up, two_persons};
use crate::identity::token;
use uuid::Uuid;

crate::request! {
    /// A key for a customer's programs.
    pub struct NewApiKey {
        /// What it is for.
        name: Name,
        /// What it may do.
        role: KeyRole,
        /// When it ends, at most 400 days from now.
        expires_at: Instant,
    }
}

crate::request! {
    /// A key for a platform.
    pub struct NewPlatformKey {
        /// What it is for.
        name: Name,
        /// When it ends, at most 400 days from now.
        expires_at: Instant,
        /// How many customers it normally asks for in an hour; as configured when absent.
        customers_per_hour: Option<u64>,
        /// How many records it normally asks for in an hour; as configured when absent.
        rows_per_hour: Option<u64>,
    }
}

crate::request! {
    /// A key for ops programs that read.
    pub struct NewProcessorKey {
        /// What it is for.
        name: Name,
        /// When it ends, at most 400 days from now.
        expires_at: Instant,
    }
}

crate::request! {
    /// An approval of a key; it says nothing more.
    pub struct NewKeyApproval {}
}

crate::request! {
    /// A revocation; it says nothing more.
    pub struct NewKeyRevocation {}
}

struct Making<'a> {
    holder: KeyHolder,
    name: &'a Name,
    role: &'a str,
    created_by: Uuid,
    expires_at: Instant,
    normal: NormalOfKey,
}

async fn make(mut tx: WriteTx, making: Making<'_>, actor: &Actor, location: &str) -> Result<Created<Receipted<CreatedApiKey>>> {
    let Making { holder, name, role, created_by, expires_at, normal } = making;
    let now = tx.now();
    let live = store::live_keys(tx.conn(), &holder, name, now).await?;
    key_made(expires_at, live, now)?;
    let id: ApiKeyId = tx.fresh();
    let (text, hash) = token::draw_key(id, tx.entropy());
    store::insert_key(&mut tx, &holder, &NewKey { id, hash, name, role, created_by, expires_at, normal }).await?;
    let view = store::key(tx.conn(), &holder, id).await?.into();
    let event = match &holder {
        KeyHolder::Customer(_) => Event::ApiKeyCreated { api_key: id, role: role.to_owned(), expires_at },
        other => {
            let surface = other.surface().word().to_owned();
            Event::ProcessorKeyCreated { api_key: id, surface, platform: other.platform().cloned(), expires_at }
        }
    };
    let receipt = commit_one(tx, NewEntry::new(holder.home(), id, actor, event)).await?;
    Ok(Created::at(format!("{location}/{id}"), Receipted { value: CreatedApiKey { key: text, view }, receipt }))
}

async fn revoke(
    mut tx: WriteTx,
    holder: &KeyHolder,
    id: ApiKeyId,
    actor: &Actor,
    location: String,
) -> Result<Created<Receipted<ApiKeyView>>> {
    store::key(tx.conn(), holder, id).await?;
    store::revoke_key(&mut tx, holder, id).await?;
    let view = store::key(tx.conn(), holder, id).await?.into();
    let event = match holder {
        KeyHolder::Customer(_) => Event::ApiKeyRevoked { api_key: id },
        _ => Event::ProcessorKeyRevoked { api_key: id },
    };
    let receipt = commit_one(tx, NewEntry::new(holder.home(), id, actor, event)).await?;
    Ok(Created::at(location, Receipted { value: view, receipt }))
}

async fn list(app: &App, holder: &KeyHolder, query: Query) -> Result<Json<Page<ApiKeyView>>> {
    let page = query.page(&format!("api-keys:{holder:?}"))?;
    let mut tx = app.db.read(holder.managed_by(), "list_keys", holder.home()).await?;
    if let KeyHolder::Platform(platform) = holder
        && !store::platform_exists(tx.conn(), platform).await?
    {
        return Err(Error::NotFound);
    }
    let rows = store::keys(tx.conn(), holder, &page).await?;
    let Page { data, next_cursor } = page.page(rows, |key| key.id.uuid());
    Ok(Json(Page { data: data.into_iter().map(ApiKeyView::from).collect(), next_cursor }))
}

/// Makes an API key of the customer.
#[utoipa::path(post, path = "/api/v1/api-keys", request_body = NewApiKey,
    responses((status = 201, body = Receipted<CreatedApiKey>, description = "Made; the key is shown this once.")))]
pub(super) async fn create_api_key(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(new): Json<NewApiKey>,
) -> Result<Created<Receipted<CreatedApiKey>>> {
    let mut tx = app.db.write(Role::App, "create_api_key", Lock::Heads, caller.log(), &[]).await?;
    let by = anyone_stepped_up(&mut tx, &caller).await?;
    let holder = KeyHolder::Customer(caller.customer());
    let (role, normal) = (new.role.word(), NormalOfKey::default());
    let making = Making { holder, name: &new.name, role, created_by: by.uuid(), expires_at: new.expires_at, normal };
    make(tx, making, &caller.actor(), "/api/v1/api-keys").await
}

/// Lists the customer's API keys.
#[utoipa::path(get, path = "/api/v1/api-keys",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<ApiKeyView>, description = "One page.")))]
pub(super) async fn list_api_keys(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<ApiKeyView>>> {
    list(&app, &KeyHolder::Customer(caller.customer()), query).await
}

/// Shows an API key of the customer.
#[utoipa::path(get, path = "/api/v1/api-keys/{api_key_id}", params(("api_key_id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 200, body = ApiKeyView, description = "The key, without its secret.")))]
pub(super) async fn get_api_key(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<ApiKeyId>,
) -> Result<Json<ApiKeyView>> {
    let mut tx = app.db.read(Role::App, "get_api_key", caller.log()).await?;
    Ok(Json(store::key(tx.conn(), &KeyHolder::Customer(caller.customer()), id).await?.into()))
}

/// Revokes an API key of the customer.
#[utoipa::path(post, path = "/api/v1/api-keys/{api_key_id}/revocations", params(("api_key_id" = ApiKeyId, Path, description = "The key.")),
    request_body = NewKeyRevocation, responses((status = 201, body = Receipted<ApiKeyView>, description = "Revoked, from the next request on.")))]
pub(super) async fn revoke_api_key(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<ApiKeyId>,
    Json(NewKeyRevocation {}): Json<NewKeyRevocation>,
) -> Result<Created<Receipted<ApiKeyView>>> {
    let tx = app.db.write(Role::App, "revoke_api_key", Lock::Heads, caller.log(), &[]).await?;
    revoke(tx, &KeyHolder::Customer(caller.customer()), id, &caller.actor(), format!("/api/v1/api-keys/{id}")).await
}

async fn processor(app: &App, name: &'static str) -> Result<WriteTx> {
    app.db.write(Role::Ops, name, Lock::Heads, LogId::PROCESSOR, &[]).await
}

/// What is normal for a new key, checked.
fn normal(new: &NewPlatformKey) -> Result<NormalOfKey> {
    let mut faults = Faults::default();
    let mut read = |field: &str, value: Option<u64>| {
        if value == Some(0) {
            faults.add_at(field, "range", "must be 1 or more");
        }
        value.and_then(|value| i64::try_from(value).ok())
    };
    let customers = read("customers_per_hour", new.customers_per_hour);
    let rows = read("rows_per_hour", new.rows_per_hour);
    faults.check()?;
    Ok(NormalOfKey { customers, rows })
}

/// Makes a key for a platform's gate.
///
/// It opens nothing until another ops person approves it.
#[utoipa::path(post, path = "/api/admin/v1/platforms/{platform}/api-keys", params(("platform" = Code, Path, description = "Its code.")),
    request_body = NewPlatformKey, responses((status = 201, body = Receipted<CreatedApiKey>, description = "Made, and not yet approved; the key is shown this once.")))]
pub(super) async fn create_platform_key(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(platform): PathId<Code>,
    Json(new): Json<NewPlatformKey>,
) -> Result<Created<Receipted<CreatedApiKey>>> {
    let by = caller.person()?;
    let normal = normal(&new)?;
    let mut tx = processor(&app, "create_platform_key").await?;
    if !store::platform_exists(tx.conn(), &platform).await? {
        return Err(Error::NotFound);
    }
    let location = format!("/api/admin/v1/platforms/{platform}/api-keys");
    let making = Making {
        holder: KeyHolder::Platform(platform),
        name: &new.name,
        role: "platform",
        created_by: by.uuid(),
        expires_at: new.expires_at,
        normal,
    };
    make(tx, making, &caller.actor(), &location).await
}

/// Approves a platform's key that another ops person made.
///
/// The key is good from the next request on.
#[utoipa::path(post, path = "/api/admin/v1/platforms/{platform}/api-keys/{api_key_id}/approvals",
    params(("platform" = Code, Path, description = "Its code."), ("api_key_id" = ApiKeyId, Path, description = "The key.")),
    request_body = NewKeyApproval, responses((status = 201, body = Receipted<ApiKeyView>, description = "Approved.")))]
pub(super) async fn approve_platform_key(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((platform, id)): PathId<(Code, ApiKeyId)>,
    Json(NewKeyApproval {}): Json<NewKeyApproval>,
) -> Result<Created<Receipted<ApiKeyView>>> {
    let mut tx = processor(&app, "approve_platform_key").await?;
    let holder = KeyHolder::Platform(platform.clone());
    store::key(tx.conn(), &holder, id).await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    let maker = store::maker_of_key(tx.conn(), id).await?;
    two_persons(&mut tx, maker, by).await?;
    store::approve_key(&mut tx, &platform, id, by).await?;
    let view = store::key(tx.conn(), &holder, id).await?.into();
    let location = format!("/api/admin/v1/platforms/{platform}/api-keys");
    let event = Event::ProcessorKeyApproved { api_key: id, platform };
    let receipt = commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &caller.actor(), event)).await?;
    Ok(Created::at(location, Receipted { value: view, receipt }))
}

/// Lists a platform's keys.
#[utoipa::path(get, path = "/api/admin/v1/platforms/{platform}/api-keys",
    params(("platform" = Code, Path, description = "Its code."), ("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<ApiKeyView>, description = "One page.")))]
pub(super) async fn list_platform_keys(
    State(app): State<App>,
    _: OpsCaller,
    PathId(platform): PathId<Code>,
    query: Query,
) -> Result<Json<Page<ApiKeyView>>> {
    list(&app, &KeyHolder::Platform(platform), query).await
}

/// Revokes a platform's key.
#[utoipa::path(post, path = "/api/admin/v1/platforms/{platform}/api-keys/{api_key_id}/revocations",
    params(("platform" = Code, Path, description = "Its code."), ("api_key_id" = ApiKeyId, Path, description = "The key.")),
    request_body = NewKeyRevocation, responses((status = 201, body = Receipted<ApiKeyView>, description = "Revoked, from the next request on.")))]
pub(super) async fn revoke_platform_key(
    State(app): State<App>,
    caller: OpsCaller,
    PathId((platform, id)): PathId<(Code, ApiKeyId)>,
    Json(NewKeyRevocation {}): Json<NewKeyRevocation>,
) -> Result<Created<Receipted<ApiKeyView>>> {
    let tx = processor(&app, "revoke_platform_key").await?;
    let location = format!("/api/admin/v1/platforms/{platform}/api-keys");
    revoke(tx, &KeyHolder::Platform(platform), id, &caller.actor(), location).await
}

/// Makes a key for ops programs that read, with step-up; all other staff is told.
#[utoipa::path(post, path = "/api/admin/v1/api-keys", request_body = NewProcessorKey,
    responses((status = 201, body = Receipted<CreatedApiKey>, description = "Made; the key is shown this once.")))]
pub(super) async fn create_ops_key(
    State(app): State<App>,
    caller: OpsCaller,
    Json(new): Json<NewProcessorKey>,
) -> Result<Created<Receipted<CreatedApiKey>>> {
    let mut tx = processor(&app, "create_ops_key").await?;
    let by = ops_stepped_up(&mut tx, &caller).await?;
    tell_of_key(&mut tx, by, new.expires_at).await?;
    let role = OpsRole::OpsReader.word();
    let (holder, normal) = (KeyHolder::Ops, NormalOfKey::default());
    let making = Making { holder, name: &new.name, role, created_by: by.uuid(), expires_at: new.expires_at, normal };
    make(tx, making, &caller.actor(), "/api/admin/v1/api-keys").await
}

/// Lists the keys of ops programs.
#[utoipa::path(get, path = "/api/admin/v1/api-keys",
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 100 (25)."), ("cursor" = Option<String>, Query, description = "From the page before.")),
    responses((status = 200, body = Page<ApiKeyView>, description = "One page.")))]
pub(super) async fn list_ops_keys(State(app): State<App>, _: OpsCaller, query: Query) -> Result<Json<Page<ApiKeyView>>> {
    list(&app, &KeyHolder::Ops, query).await
}

/// Revokes a key of ops programs.
#[utoipa::path(post, path = "/api/admin/v1/api-keys/{api_key_id}/revocations", params(("api_key_id" = ApiKeyId, Path, description = "The key.")),
    request_body = NewKeyRevocation, responses((status = 201, body = Receipted<ApiKeyView>, description = "Revoked, from the next request on.")))]
pub(super) async fn revoke_ops_key(
    State(app): State<App>,
    caller: OpsCaller,
    PathId(id): PathId<ApiKeyId>,
    Json(NewKeyRevocation {}): Json<NewKeyRevocation>,
) -> Result<Created<Receipted<ApiKeyView>>> {
    let tx = processor(&app, "revoke_ops_key").await?;
    revoke(tx, &KeyHolder::Ops, id, &caller.actor(), "/api/admin/v1/api-keys".to_owned()).await
}
