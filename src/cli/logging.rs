//! The log and the counters of the process, from the settings. The log goes to standard error, so
//! that what a command prints can be read by a program.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use crate::config::{Log, LogFormat, LogLevel};

/// Upper bounds of the request times that are counted, seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Starts the log.
pub(super) fn start_log(log: Log) -> Result<(), Failure> {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let started =
        if json { lines.json().flatten_event(true).with_current_span(false).try_init() } else { lines.with_ansi(terminal).try_init() };
    started.map_err(|error| Failure::new(format!("the log cannot be started: {error}")))
}

/// Starts the counters.
pub(super) fn start_metrics() -> Result<PrometheusHandle, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("the counters cannot be started: {error}"));
    let builder = PrometheusBuilder::new().set_buckets(&SECONDS).map_err(|error| failed(&error))?;
    builder.install_recorder().map_err(|error| failed(&error))
}
