//! Lets every role log in to a private server: without a password where only the folder of the
//! socket guards it, with a derived one on a given server. It protects one rule: a login that
//! works is never touched, and one that another installation set is refused, not replaced.

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use url::Url;

use super::{OWNER, Place, PrivateError, PrivateServer, Result};
use crate::base::{Error, sha256};
use crate::db::ROLES;

impl PrivateServer {
    /// Gives a login to every role that has none, and makes the administrator a member of the
    /// owner, without which it may not make a database for it. The caller holds the setup lock.
    pub(super) async fn ensure_logins(&self, admin: &mut PgConnection) -> Result<()> {
        for role in ROLES {
            let able: bool =
                sqlx::query_scalar("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1").bind(role).fetch_one(&mut *admin).await?;
            match &self.place {
                Place::Own(_) if able => {}
                Place::Given(_) if able => self.try_login(role).await?,
                Place::Own(_) => {
                    admin.execute(AssertSqlSafe(format!("ALTER ROLE {role} LOGIN"))).await?;
                }
                Place::Given(base) => {
                    let sql = format!("ALTER ROLE {role} LOGIN PASSWORD '{}'", password(base, role));
                    admin.execute(AssertSqlSafe(sql)).await?;
                }
            }
        }
        let member: bool = sqlx::query_scalar("SELECT pg_has_role(current_user, $1, 'MEMBER')").bind(OWNER).fetch_one(&mut *admin).await?;
        if !member {
            admin.execute(AssertSqlSafe(format!("GRANT {OWNER} TO CURRENT_USER"))).await?;
        }
        Ok(())
    }

    /// Fails when the server knows another password for this role than the derived one.
    async fn try_login(&self, role: &'static str) -> Result<()> {
        match PgConnection::connect(self.address(Some(role), None).expose_secret()).await {
            Ok(connection) => Ok(connection.close().await?),
            Err(sqlx::Error::Database(error)) => match error.code().as_deref() {
                Some("28P01" | "28000") => Err(PrivateError::ForeignRole(role)),
                // Past the password; that this database is closed to the role matters to nobody.
                Some("42501") => Ok(()),
                _ => Err(PrivateError::Database(Error::internal(error))),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// The password of a role on a given server: the same for every process that has the same
/// administrative login, however it writes the server's address.
pub(super) fn password(base: &Url, role: &str) -> String {
    let named = |name: &str| base.query_pairs().filter(|(key, _)| key == name).last().map(|(_, value)| value.into_owned());
    let user = named("user").unwrap_or_else(|| base.username().to_owned());
    let secret = named("password").unwrap_or_else(|| base.password().unwrap_or_default().to_owned());
    sha256(&[b"mandate role password\0", user.as_bytes(), b"\0", secret.as_bytes(), b"\0", role.as_bytes()]).to_string()
}
