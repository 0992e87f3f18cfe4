//! The command line: one file per command. It protects two rules: only this folder prints, and
//! whatever goes wrong is told in lines that say what it is and what to do. No rule of the
//! service lives here.

mod bootstrap;
mod clock;
mod completions;
mod demo;
mod doctor;
mod erase;
mod failure;
mod fsck;
mod healthcheck;
mod key_file;
mod keys;
mod log_keys;
mod logging;
mod migrate;
mod openapi;
mod print;
mod restore;
mod secrets_key;
mod serve;
mod serving;
mod settings;
mod signing_key;
mod totp;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Environment};
use failure::Failure;

/// No mandate, no data: the control plane between institutions and the platforms that process
/// their data. Without a command: a private database with a demo world, served on this machine.
#[derive(Debug, Parser)]
#[command(name = "mandate", version, arg_required_else_help = false, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of every command.
#[derive(Debug, Args)]
struct Global {
    /// TOML file with settings [env: MANDATE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of the service, instead of listen.address
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of /livez, /readyz and /metrics, instead of listen.health_address
    #[arg(long, global = true, value_name = "ADDRESS")]
    health_listen: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a private database with a demo world (what happens without a command)
    Demo,
    /// Serve an installation: one login per role, migrated beforehand
    Serve,
    /// Bring a database up to this program's schema
    Migrate(migrate::Arguments),
    /// Say what is wrong with this installation, a line each
    Doctor,
    /// Print the OpenAPI document
    Openapi,
    /// Ask the running service whether it is ready; exit 0 or 1
    Healthcheck,
    /// Settings
    #[command(subcommand)]
    Config(settings::Command),
    /// Print shell completions
    Completions(completions::Arguments),
    /// Operations persons
    #[command(subcommand)]
    Ops(bootstrap::Command),
    /// The test clock of a private database
    #[command(subcommand)]
    Clock(clock::Command),
    /// The keys that sign permits
    #[command(subcommand)]
    Keys(keys::Command),
    /// The keys that sign checkpoints of the logs
    #[command(subcommand)]
    LogKeys(log_keys::Command),
    /// The key that second factors are encrypted with
    #[command(subcommand)]
    SecretsKey(secrets_key::Command),
    /// Verify a pack of evidence, without network and database; exit 0 verified, 1 tampered, 2 undecided
    Verify(verify::Arguments),
    /// Check every log against its tree, its checkpoints and the tables; exit 0 clean, 1 differs, 2 unchecked
    Fsck(fsck::Arguments),
    /// What to do after the database was restored from a backup
    #[command(subcommand)]
    Restore(restore::Command),
    /// Erase whose data refusals and ended exports were about, once their days are over
    Erase(erase::Arguments),
    /// Print a code of a demo person's second factor
    Totp(totp::Arguments),
}

/// What every command may ask for.
struct Context {
    environment: Environment,
    global: Global,
}

impl Context {
    fn config(&self) -> Result<Config, Failure> {
        let flags = [("listen.address", &self.global.listen), ("listen.health_address", &self.global.health_listen)];
        let flags: Vec<(&str, String)> = flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
        Ok(Config::load(&self.environment, self.global.config.as_deref(), &flags)?)
    }
}

/// Runs the command of this process' arguments. Exit codes: 0 done, 1 failed, 2 wrong usage or
/// settings, 3 no Postgres.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors too, with exit code 0; a closed pipe is nobody's loss.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let context = Context { environment: Environment::of_process(), global: cli.global };
    match dispatch(&context, cli.command.unwrap_or(Command::Demo)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn dispatch(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo => block_on(demo::run(context)),
        Command::Serve => block_on(serve::run(context)),
        Command::Migrate(arguments) => block_on(migrate::run(context, arguments)),
        Command::Doctor => block_on(doctor::run(context)),
        Command::Openapi => openapi::run(),
        Command::Healthcheck => healthcheck::run(context),
        Command::Config(settings::Command::Show) => settings::show(context),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Ops(command) => block_on(bootstrap::run(context, command)),
        Command::Clock(command) => block_on(clock::run(context, command)),
        Command::Keys(command) => block_on(keys::run(context, command)),
        Command::LogKeys(command) => block_on(log_keys::run(context, command)),
        Command::SecretsKey(command) => block_on(secrets_key::run(context, command)),
        Command::Totp(arguments) => block_on(totp::run(arguments)),
        Command::Erase(arguments) => block_on(erase::run(context, arguments)),
        Command::Fsck(arguments) => block_on(fsck::run(context, arguments)),
        Command::Restore(command) => block_on(restore::run(context, command)),
        Command::Verify(arguments) => verify::run(&arguments),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("no threads to run on: {error}")))?;
    let done = runtime.block_on(work);
    // A second signal ends the process at once, whatever still runs.
    runtime.shutdown_timeout(Duration::from_millis(500));
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// A kid is base64url, and one in 64 begins with a dash.
    #[test]
    fn a_kid_may_look_like_a_flag() {
        for arguments in [["withdraw", "-a_b", "--emergency"], ["withdraw", "--emergency", "-a_b"]] {
            let cli = Cli::try_parse_from(["mandate", "keys"].into_iter().chain(arguments)).unwrap();
            let Some(Command::Keys(keys::Command::Withdraw { kid, emergency })) = cli.command else { panic!("{arguments:?}") };
            assert_eq!((kid.as_str(), emergency), ("-a_b", true));
        }
        assert!(Cli::try_parse_from(["mandate", "keys", "activate", "--a"]).is_ok());
    }

    #[test]
    fn no_command_means_the_demo_and_flags_stand_anywhere() {
        let cli = Cli::try_parse_from(["mandate", "--listen", "127.0.0.1:1"]).unwrap();
        assert!(cli.command.is_none() && cli.global.listen.is_some());
        let cli = Cli::try_parse_from(["mandate", "serve", "--config", "x.toml"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Serve)) && cli.global.config.is_some());
        assert!(Cli::try_parse_from(["mandate", "sevre"]).is_err());
    }
}
