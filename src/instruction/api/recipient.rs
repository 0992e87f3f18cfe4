//! The address book of recipients. An instruction takes over a recipient's value, so adding one here
//! allows nothing.

use axum::extract::State;

use super::view::receipted;
use crate::app::App;
use crate::base::{Code, Instant, Name, Note, Page, Recipient, RecipientId, Result, TypedId};
use crate::db::{Lock, Role};
use crate::evidence::Receipted;
use crate::http::{Created, ETag, Json, PathId, Query};
use crate::identity::InstitutionCaller;
use crate::instruction::store::{self, RecipientRow};

/// A recipient of the address book.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct RecipientView {
    /// Id.
    pub id: RecipientId,
    /// The legal entity's name.
    pub legal_entity: Name,
    /// Its country, ISO 3166-1 alpha-2.
    pub country: Code,
    /// What it is to the customer.
    pub role: Code,
    /// The ground of a transfer to a third country.
    pub transfer_ground: Option<Note>,
    /// When it was added.
    pub added_at: Instant,
}

fn view(row: RecipientRow) -> RecipientView {
    RecipientView {
        id: row.id,
        legal_entity: row.legal_entity,
        country: row.country,
        role: row.role,
        transfer_ground: row.transfer_ground,
        added_at: row.added_at,
    }
}

/// Lists the address book.
#[utoipa::path(get, path = "/api/v1/recipients",
    params(("limit" = Option<u32>, Query, description = "1 to 100, 25 when absent"), ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, body = Page<RecipientView>, description = "The recipients")))]
pub(super) async fn list_recipients(State(app): State<App>, caller: InstitutionCaller, query: Query) -> Result<Json<Page<RecipientView>>> {
    let customer = caller.customer();
    let page = query.page(&format!("recipients:{customer}:"))?;
    let mut tx = app.db.read(Role::App, "recipient.list", caller.log()).await?;
    let rows = store::list_recipients(tx.conn(), customer, &page).await?;
    Ok(Json(page.page(rows.into_iter().map(view).collect(), |view| view.id.uuid())))
}

/// Shows one recipient.
#[utoipa::path(get, path = "/api/v1/recipients/{recipient_id}",
    params(("recipient_id" = RecipientId, Path, description = "The recipient")),
    responses((status = 200, body = RecipientView, description = "The recipient")))]
pub(super) async fn show_recipient(
    State(app): State<App>,
    caller: InstitutionCaller,
    PathId(id): PathId<RecipientId>,
) -> Result<(ETag, Json<RecipientView>)> {
    let mut tx = app.db.read(Role::App, "recipient.show", caller.log()).await?;
    let shown = view(store::find_recipient(tx.conn(), caller.customer(), id).await?);
    Ok((ETag::of(&shown), Json(shown)))
}

/// Adds a recipient to the address book.
#[utoipa::path(post, path = "/api/v1/recipients", request_body = Recipient,
    responses((status = 201, body = Receipted<RecipientView>, description = "The recipient")))]
pub(super) async fn create_recipient(
    State(app): State<App>,
    caller: InstitutionCaller,
    Json(body): Json<Recipient>,
) -> Result<Created<Receipted<RecipientView>>> {
    let customer = caller.customer();
    let mut tx = app.db.write(Role::App, "recipient.add", Lock::Heads, caller.log(), &[]).await?;
    let (id, entries) = store::add_recipient(&mut tx, customer, &caller.actor(), &body).await?;
    let added = view(store::find_recipient(tx.conn(), customer, id).await?);
    let receipts = crate::evidence::commit(tx, entries).await?;
    Ok(Created::at(format!("/api/v1/recipients/{id}"), receipted(added, receipts)?))
}
