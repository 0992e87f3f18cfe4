//! `mandate` without a command: a private database with a demo world, served on this machine, with
//! logins, keys and a tour printed. Run again, it finds its data. Not for production.

use std::path::Path;

use secrecy::ExposeSecret;

use super::failure::Failure;
use super::print::{say, warn};
use super::serving::Listeners;
use super::{Context, logging, permit_key, serve, serving};
use crate::app::App;
use crate::config::Config;
use crate::db::server::{Options, data_home};
use crate::db::{Opened, PrivateServer};
use crate::demo::{Place, start};

/// The database of the demo world.
pub(super) const DATABASE: &str = "mandate_demo";

/// Runs the command.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let home = data_home()?;
    let mut config = context.config()?.with_home(&home);
    logging::start_log(config.log)?;
    let listeners = Listeners::bind(&config).await?;
    let server = server(context, &home).await?;
    warn(server.banner());
    let served = with_database(&mut config, &server, &home, listeners).await;
    let stopped = server.stop().await;
    served?;
    Ok(stopped?)
}

/// The server of the private database, on which only this program's own databases are used.
pub(super) async fn server(context: &Context, home: &Path) -> Result<PrivateServer, Failure> {
    let given = context.environment.get("DATABASE_URL");
    Ok(PrivateServer::ensure(given, &cluster(home), Options { fsync: true }).await?)
}

/// The folder of the program's own cluster.
pub(super) fn cluster(home: &Path) -> std::path::PathBuf {
    home.join("postgres")
}

async fn with_database(config: &mut Config, server: &PrivateServer, home: &Path, listeners: Listeners) -> Result<(), Failure> {
    let Opened { urls, owner_url, .. } = server.open(DATABASE, true).await?;
    serve::make_folders(config)?;
    if config.permits.key_file.as_os_str().is_empty() {
        config.permits.key_file = permit_key::ensure(&home.join("permit-key.pem"))?;
    }
    let db = serve::open(config, &urls)?;
    let faults = crate::db::guard(&db).await?;
    if !faults.is_empty() {
        return Err(Failure::all(faults));
    }
    let app = App::of(config, db, Some(logging::start_metrics()?))?;
    let base_url = listeners.base_url()?;
    let mail = config.mail.directory.clone();
    let place = Place { base_url, home: home.to_path_buf(), mail, owner_url: owner_url.expose_secret().to_owned().into() };
    let welcome = start(&app, &place).await?;
    serving::run(app, listeners, || say(welcome)).await
}
