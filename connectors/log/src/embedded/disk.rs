//! The few things that the journal asks of a file system.
//!
//! The journal names files, never paths: a [`Disk`] is one directory. The real
//! one is [`Directory`]; [`super::faulty`] is the one that fails on purpose.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use pipeline::ports::LogError;
use rustix::fs::{FallocateFlags, fallocate};

/// One directory.
pub trait Disk: Send + Sync + 'static {
    /// The names of all files in it.
    fn list(&self) -> io::Result<Vec<String>>;
    /// An existing file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// A new, empty file; one of the same name is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing whatever had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Takes a name away; whoever has the file open keeps it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals so far survive a crash.
    fn sync(&self) -> io::Result<()>;
}

/// One open file. As with the system calls, a read or a write may do less than
/// it was asked for.
pub trait DiskFile: Send + Sync {
    /// Reads at a position; zero at the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes at a position.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;
    /// Makes everything written so far survive a crash.
    fn sync(&self) -> io::Result<()>;
    /// Reserves the room up to `length`; what was not written reads as zeros.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Its length.
    fn length(&self) -> io::Result<u64>;
}

/// Writes all of `bytes`, however many calls that takes.
pub(super) fn write_all(file: &dyn DiskFile, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                position += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads up to `length` bytes; fewer only where the file ends.
pub(super) fn read_up_to(file: &dyn DiskFile, position: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

/// A failure of the disk, as a caller of the log sees it.
pub(super) fn unavailable(what: &str, error: &io::Error) -> LogError {
    LogError::Unavailable { detail: format!("{what}: {error}") }
}

/// Keeps a directory for this process.
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is just being started
        // has a copy of it for a moment.
        let _ = self.0.unlock();
    }
}

/// A real directory.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Takes the directory for this process, creating it if needed.
    pub fn take(path: &Path) -> Result<(Directory, Lock), LogError> {
        let failed = |error| unavailable(&format!("cannot use the directory {}", path.display()), &error);
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join("LOCK")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok((Directory { path: path.to_owned() }, Lock(lock))),
            Err(TryLockError::WouldBlock) => Err(LogError::Unavailable {
                detail: format!("another hub uses this directory: {}; stop it, or choose another", path.display()),
            }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match fallocate(self, FallocateFlags::empty(), 0, length) {
            // Some file systems cannot reserve; there the length must do.
            Err(rustix::io::Errno::OPNOTSUPP) => File::set_len(self, length),
            other => Ok(other?),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
