//! Under which key the stored secrets are sealed, and sealing them anew under the present one: in
//! batches, each one statement, which leaves alone what changed meanwhile. What was cut off goes on
//! when it is run again, since a secret itself says which key opens it.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::base::{Entropy, Result, SecondFactorId, TypedId as _};
use crate::db::{Db, LogId, Role};
use crate::identity::secrets_key::{SecretsKey, Under};

/// Secrets that are read at once.
const BATCH: i64 = 200;

/// How many secrets are sealed under which key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sealing {
    /// The present one.
    pub present: u64,
    /// The previous one.
    pub previous: u64,
    /// Neither.
    pub neither: u64,
}

/// Goes through all secrets that the connection sees, and seals anew those under the previous key if
/// there is something to draw nonces from.
async fn walk(conn: &mut PgConnection, key: &SecretsKey, anew: Option<&dyn Entropy>) -> Result<Sealing> {
    let mut found = Sealing::default();
    let mut after = None;
    loop {
        let rows = sqlx::query!(
            r#"SELECT id AS "id: SecondFactorId", COALESCE(person_id, ops_person_id) AS "holder!", sealed FROM second_factor
               WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2"#,
            after as Option<SecondFactorId>,
            BATCH
        )
        .fetch_all(&mut *conn)
        .await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = Some(last.id);
        let (mut ids, mut old, mut new): (Vec<Uuid>, Vec<Vec<u8>>, Vec<Vec<u8>>) = Default::default();
        for row in rows {
            match key.open_under(row.id.uuid(), row.holder, &row.sealed) {
                Some((_, Under::Present)) => found.present += 1,
                Some((secret, Under::Previous)) => {
                    found.previous += 1;
                    if let Some(entropy) = anew {
                        ids.push(row.id.uuid());
                        new.push(key.seal(row.id.uuid(), row.holder, &secret, entropy)?);
                        old.push(row.sealed);
                    }
                }
                None => found.neither += 1,
            }
        }
        if ids.is_empty() {
            continue;
        }
        sqlx::query!(
            "UPDATE second_factor f SET sealed = n.new FROM UNNEST($1::uuid[], $2::bytea[], $3::bytea[]) AS n (id, old, new) WHERE f.id = n.id AND f.sealed = n.old",
            &ids,
            &old,
            &new
        )
        .execute(&mut *conn)
        .await?;
    }
}

/// Seals everything under the present key, as the owner of the schema: no role of the service may
/// change a secret. `previous` are those that were under the previous one.
///
/// # Errors
/// When a statement fails; what was sealed anew before stays.
pub async fn reseal_secrets(conn: &mut PgConnection, key: &SecretsKey, entropy: &dyn Entropy) -> Result<Sealing> {
    walk(conn, key, Some(entropy)).await
}

/// Under which keys the secrets of both surfaces are sealed.
///
/// # Errors
/// When the database does not answer.
pub async fn sealed_secrets(db: &Db, key: &SecretsKey) -> Result<Sealing> {
    let mut read = db.read(Role::OpsRead, "sealed_secrets", LogId::PROCESSOR).await?;
    walk(read.conn(), key, None).await
}
