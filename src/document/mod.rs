//! Documents: the original bytes of what was written, stored once per customer under their SHA-256
//! and never changed. What is served is what was received, always as an attachment; the type is
//! by content, and a claim that differs from it is refused (`api.md` 18).

mod api;
mod media;
mod pdf;
mod spool;
mod store;
mod view;

pub use api::routes;
pub use media::MediaType;
pub use pdf::of_lines as pdf_of_lines;
pub use store::{PART, document_by_id, document_part, store_bytes, whole_document};
pub use view::DocumentView;
