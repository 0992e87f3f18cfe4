//! `mandate` without a command: a private database with a demo world, served on this machine, with
//! logins, keys and a tour printed. Run again, it finds its data. Not for production.

use std::path::Path;

use secrecy::ExposeSecret;

use super::failure::Failure;
use super::print::{say, warn};
use super::serving::{Ending, Listeners};
use super::{Context, keys, log_keys, logging, secrets_key, serve, serving};
use crate::app::App;
use crate::config::Config;
use crate::db::server::{Options, data_home};
use crate::db::{Opened, PrivateServer};
use crate::demo::{Place, start};

/// The database of the demo world.
pub(super) const DATABASE: &str = "mandate_demo";

/// The file of the demo's permit key, in the folder for data.
pub(super) const PERMIT_KEY: &str = "permit-key.pem";

/// The file of the demo's key of the logs, in the folder for data.
pub(super) const LOG_KEY: &str = "log-key.pem";

/// The file of the demo's secrets key, in the folder for data.
pub(super) const SECRETS_KEY: &str = "secrets-key";

/// Runs the command.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let home = data_home()?;
    let mut config = context.config()?.with_home(&home);
    logging::start_log(config.log)?;
    let listeners = Listeners::bind(&config).await?;
    let ending = Ending::listen()?;
    let server = server(context, &home).await?;
    let _alone = alone(&home)?;
    warn(server.banner());
    let served = serve_on(&server, &mut config, &home, listeners, ending).await;
    let stopped = server.stop().await;
    served?;
    Ok(stopped?)
}

/// Holds the folder for this process: a second one on it would lose its database when the first ends.
fn alone(home: &Path) -> Result<std::fs::File, Failure> {
    let file = home.join("running.lock");
    let open = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&file);
    let open = open.map_err(|error| Failure::file("write", &file, &error))?;
    match open.try_lock() {
        Ok(()) => Ok(open),
        Err(_) => Err(Failure::new(format!("another process runs on {}: stop it, or set MANDATE_HOME to another folder", home.display()))),
    }
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

async fn serve_on(
    server: &PrivateServer,
    config: &mut Config,
    home: &Path,
    listeners: Listeners,
    mut ending: Ending,
) -> Result<(), Failure> {
    let base_url = listeners.base_url()?;
    // Unless it was set to another name, permits are issued by the address that people open.
    if config.permits.issuer == "http://127.0.0.1:8080" {
        config.permits.issuer.clone_from(&base_url);
    }
    // A signal before the service answers ends the process here, so that the server is stopped.
    let (app, welcome) = tokio::select! {
        prepared = prepare(server, config, home, base_url) => prepared?,
        () = ending.next() => return Ok(()),
    };
    serving::run(app, listeners, ending, || say(welcome)).await
}

/// The program on its private database, with the world in it, and what to print.
async fn prepare(server: &PrivateServer, config: &mut Config, home: &Path, base_url: String) -> Result<(App, String), Failure> {
    let Opened { urls, owner_url, created, .. } = whole(server).await?;
    if created && config.evidence.checkpoint_directory.starts_with(home) {
        // Checkpoints of a world that is no more would contradict the new one.
        std::fs::remove_dir_all(&config.evidence.checkpoint_directory).ok();
    }
    serve::make_folders(config)?;
    if log_keys::are_unset(config) {
        config.evidence.key_file = log_keys::ensure(&home.join(LOG_KEY))?;
    }
    if keys::are_unset(config) {
        config.permits.key_file = keys::ensure(&home.join(PERMIT_KEY))?;
    }
    if config.secrets.key_file.as_os_str().is_empty() {
        config.secrets.key_file = secrets_key::ensure(&home.join(SECRETS_KEY))?;
    }
    let db = serve::open(config, &urls)?;
    let faults = crate::db::guard(&db).await?;
    if !faults.is_empty() {
        return Err(Failure::all(faults));
    }
    let app = App::of(config, db, Some(logging::start_metrics()?))?;
    let mail = config.mail.directory.clone();
    let program = std::env::current_exe().map_err(|error| Failure::new(format!("the program's own path is unknown: {error}")))?;
    let welcome = start(&app, &Place { base_url, home: home.to_path_buf(), mail, owner_url, program }).await?;
    Ok((app, welcome))
}

/// The demo's database. One in which the loading of the world was broken off is made anew: half a
/// world would answer wrongly, and nothing in it is anybody's.
async fn whole(server: &PrivateServer) -> Result<Opened, Failure> {
    let opened = server.open(DATABASE, true).await?;
    let mut owner = crate::db::connect(opened.owner_url.expose_secret()).await?;
    let is_whole = crate::db::installation_at(&mut owner).await?.world_loaded;
    drop(owner);
    if opened.created || is_whole {
        return Ok(opened);
    }
    server.remove(DATABASE).await?;
    Ok(server.open(DATABASE, true).await?)
}
