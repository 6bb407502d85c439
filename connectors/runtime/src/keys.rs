//! The hub's own keys: from the configuration, else made once and kept in the
//! data directory, readable by its owner alone.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::{
    config::Config,
    identity::random_hex,
    sealing::{Seal, new_key},
    supervisor::Failure,
};

/// HS256 is as strong as its key, up to this.
const JWT_SECRET_BYTES: usize = 32;

/// What the hub signs and seals with.
pub struct Keys {
    /// What tokens are signed with.
    pub jwt_secret: Vec<u8>,
    /// What secrets are sealed with.
    pub seal: Seal,
}

impl Keys {
    /// The keys of a configuration.
    pub fn load(config: &Config) -> Result<Keys, Failure> {
        let (auth, directory) = (&config.auth, &config.data_dir);
        let shared = !config.store.url.is_empty() || !config.kafka.brokers.is_empty();
        if shared && (auth.jwt_secret.is_empty() || auth.encryption_key.is_empty()) {
            let directory = directory.display();
            tracing::warn!(%directory, "JWT_SECRET or ENCRYPTION_KEY is not set: other processes need those of this directory");
        }
        let jwt_secret = match auth.jwt_secret.as_str() {
            "" => kept(directory, "jwt.key", || random_hex() + &random_hex())?,
            given => given.to_owned(),
        };
        if jwt_secret.len() < JWT_SECRET_BYTES {
            tracing::warn!("JWT_SECRET is shorter than {JWT_SECRET_BYTES} bytes: it can be guessed");
        }
        let encryption_key = match auth.encryption_key.as_str() {
            "" => kept(directory, "encryption.key", new_key)?,
            given => given.to_owned(),
        };
        let seal = Seal::new(&encryption_key).map_err(|error| format!("ENCRYPTION_KEY: {error}"))?;
        Ok(Keys { jwt_secret: jwt_secret.into_bytes(), seal })
    }
}

/// What a file holds. Where there is none it is made whole under another name
/// and then linked, so that of two processes both use the same.
fn kept(directory: &Path, name: &str, make: impl FnOnce() -> String) -> Result<String, Failure> {
    let path = directory.join(name);
    if !path.exists() {
        std::fs::create_dir_all(directory)?;
        let draft = directory.join(format!("{name}.{}", random_hex()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(make().as_bytes())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, &path);
        std::fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
            // Its name must outlive a power cut as well: what it sealed does.
            _ => File::open(directory)?.sync_all()?,
        }
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_for_their_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::load(None, []).expect("the defaults");
        config.data_dir = folder.path().join("data");
        let first = Keys::load(&config).expect("made");
        let second = Keys::load(&config).expect("read");
        assert_eq!(first.jwt_secret, second.jwt_secret);
        let sealed = first.seal.seal("t", "c", "hush");
        assert_eq!(second.seal.open("t", "c", &sealed).as_deref(), Some("hush"));
        let files: Vec<_> = std::fs::read_dir(&config.data_dir).expect("a folder").flatten().collect();
        assert_eq!(files.len(), 2);
        for file in files {
            assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        }
        config.auth.encryption_key = "no key".to_owned();
        let error = Keys::load(&config).err().expect("refused").to_string();
        assert!(error.contains("ENCRYPTION_KEY") && !error.contains("no key"), "{error}");
    }
}
