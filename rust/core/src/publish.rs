//! A directory that appears complete or not at all.
//!
//! Everything is written to `.NAME.partial` beside the target, flushed to disk, and renamed at the
//! end; an older directory is exchanged in one step, not deleted first. The lock `.NAME.lock` keeps
//! a second run out, and goes with the process however that ends.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::shard::{MANIFEST_FILE, STATE_FILE};

/// A directory in the making; what is not published is removed when it is dropped.
pub struct Draft {
    target: PathBuf,
    partial: PathBuf,
    lock: PathBuf,
    /// Held, not read: closing it releases the lock.
    _locked: File,
    /// Parents that did not exist, the innermost first.
    parents: Vec<PathBuf>,
}

impl Draft {
    /// Locks `target` and creates the directory to write to.
    ///
    /// An existing `target` is refused unless it is empty or, with `overwrite`, was published by an
    /// earlier run.
    pub fn begin(target: &Path, overwrite: bool) -> Result<Self> {
        let target = match fs::canonicalize(target) {
            Ok(real) => real,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                std::path::absolute(target).map_err(Error::io(target))?
            }
            Err(fault) => return Err(Error::io(target)(fault)),
        };
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(refused(
                &target,
                "no directory that can be replaced",
                NAME_ANOTHER,
            ));
        };
        let beside = |suffix: &str| {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(suffix);
            parent.join(hidden)
        };
        let (partial, lock) = (beside(".partial"), beside(".lock"));
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let parents: Vec<_> = parent
            .ancestors()
            .take_while(missing)
            .map(Path::to_owned)
            .collect();
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
        let draft = Self {
            _locked: acquire(&lock, &target)?,
            target,
            partial,
            lock,
            parents,
        };
        // Under the lock: no one else publishes between this look and ours.
        check_target(&draft.target, overwrite)?;
        remove_if_there(&draft.partial)?;
        fs::create_dir(&draft.partial).map_err(Error::io(&draft.partial))?;
        Ok(draft)
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes everything so far durable, then lets `seal` write the file that says it is complete,
    /// then puts the directory in its place.
    pub fn publish(self, seal: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        sync_tree(&self.partial)?;
        seal(&self.partial)?;
        sync_tree(&self.partial)?;
        if self.target.exists() {
            exchange(&self.partial, &self.target)?;
        } else {
            fs::rename(&self.partial, &self.target).map_err(Error::io(&self.target))?;
        }
        // Dropping removes what is left at `partial`: nothing, or the directory that was replaced.
        self.target.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Best effort: what stays is hidden, looks like no data set, and the next run removes it.
        let _ = fs::remove_dir_all(&self.partial);
        let _ = fs::remove_file(&self.lock);
        for parent in &self.parents {
            // Fails, as it should, if anything stands in it.
            let _ = fs::remove_dir(parent);
        }
    }
}

const NAME_ANOTHER: &str = "name another directory";

fn refused(target: &Path, problem: &str, remedy: &str) -> Error {
    Error::input(target.display().to_string(), problem, remedy)
}

fn check_target(target: &Path, overwrite: bool) -> Result<()> {
    let mut entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::NotADirectory => {
            return Err(refused(target, "a file, not a directory", NAME_ANOTHER));
        }
        Err(fault) => return Err(Error::io(target)(fault)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    if !overwrite {
        return Err(refused(
            target,
            "exists",
            "add --overwrite or name another directory",
        ));
    }
    if !(target.join(STATE_FILE).is_file() && target.join(MANIFEST_FILE).is_file()) {
        let problem = "holds files, but no prepared data to overwrite";
        return Err(refused(target, problem, NAME_ANOTHER));
    }
    Ok(())
}

/// Creates and locks the lock file.
fn acquire(lock: &Path, target: &Path) -> Result<File> {
    loop {
        let file = File::create(lock).map_err(Error::io(lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem = "another run is writing it";
                return Err(refused(
                    target,
                    problem,
                    "wait for it or name another directory",
                ));
            }
            Err(TryLockError::Error(fault)) => return Err(Error::io(lock)(fault)),
        }
        // A run that ended meanwhile removed the file that we opened: then it keeps no one out.
        if is_same_file(&file, lock) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => identity(ours) == identity(there),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same_file(_: &File, path: &Path) -> bool {
    // An open file cannot be replaced there.
    path.exists()
}

fn remove_if_there(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(Error::io(directory)(fault)),
        _ => Ok(()),
    }
}

/// Flushes a directory and all that is in it.
pub fn sync_tree(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
        let path = entry.map_err(Error::io(directory))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            sync(&path)?;
        }
    }
    sync(directory)
}

fn sync(path: &Path) -> Result<()> {
    if cfg!(windows) && path.is_dir() {
        return Ok(()); // directories cannot be opened there
    }
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(Error::io(path))
}

/// Swaps two directories in one step where the system can.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn exchange(partial: &Path, target: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, partial, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // Some file systems cannot.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rename_aside(partial, target),
        Err(fault) => Err(Error::io(target)(fault.into())),
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn exchange(partial: &Path, target: &Path) -> Result<()> {
    rename_aside(partial, target)
}

/// Swaps in three steps; cut off between them, the old directory is at `.NAME.partial.old`.
fn rename_aside(partial: &Path, target: &Path) -> Result<()> {
    let mut aside = partial.as_os_str().to_owned();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    remove_if_there(&aside)?;
    fs::rename(target, &aside).map_err(Error::io(target))?;
    if let Err(fault) = fs::rename(partial, target) {
        fs::rename(&aside, target).map_err(Error::io(&aside))?;
        return Err(Error::io(target)(fault));
    }
    fs::rename(&aside, partial).map_err(Error::io(&aside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(draft: &Draft, name: &str) {
        fs::write(draft.path().join(name), name).unwrap();
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn publish(target: &Path, overwrite: bool, name: &str) -> Result<()> {
        let draft = Draft::begin(target, overwrite)?;
        write(&draft, name);
        write(&draft, MANIFEST_FILE);
        draft.publish(|path| fs::write(path.join(STATE_FILE), "").map_err(Error::io(path)))
    }

    #[test]
    fn nothing_is_left_of_a_draft_that_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b/prepared");
        let draft = Draft::begin(&target, false).unwrap();
        write(&draft, "data");
        drop(draft);
        assert_eq!(names(root.path()), [""; 0]);
    }

    #[test]
    fn published_data_is_replaced_only_when_asked() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("prepared");
        publish(&target, false, "first").unwrap();
        let refusal = publish(&target, false, "second").unwrap_err().to_string();
        assert!(refusal.contains("exists; add --overwrite"), "{refusal}");
        assert_eq!(names(&target), ["first", MANIFEST_FILE, STATE_FILE]);
        publish(&target, true, "second").unwrap();
        assert_eq!(names(&target), [MANIFEST_FILE, "second", STATE_FILE]);
        assert_eq!(names(root.path()), ["prepared"]);
    }

    #[test]
    fn the_fallback_exchanges_too() {
        let root = tempfile::tempdir().unwrap();
        let (partial, target) = (root.path().join(".p.partial"), root.path().join("p"));
        for (path, name) in [(&partial, "new"), (&target, "old")] {
            fs::create_dir(path).unwrap();
            fs::write(path.join(name), "").unwrap();
        }
        rename_aside(&partial, &target).unwrap();
        assert_eq!(
            (names(&target), names(&partial)),
            (vec!["new".into()], vec!["old".into()])
        );
    }

    #[test]
    fn other_peoples_files_are_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("thesis");
        fs::create_dir(&target).unwrap();
        drop(Draft::begin(&target, false).unwrap()); // empty is fine
        fs::write(target.join("chapter"), "").unwrap();
        assert!(Draft::begin(&target, true).is_err());
        assert!(Draft::begin(&target.join("chapter"), true).is_err());
        assert_eq!(names(&target), ["chapter"]);
    }

    #[test]
    fn a_second_run_is_refused_and_harms_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("prepared");
        let first = Draft::begin(&target, false).unwrap();
        write(&first, "data");
        let refusal = Draft::begin(&target, true).err().unwrap().to_string();
        assert!(refusal.contains("another run"), "{refusal}");
        assert_eq!(names(first.path()), ["data"]);
        drop(first);
        publish(&target, false, "data").unwrap();
    }

    #[test]
    fn leftovers_of_a_killed_run_are_cleared() {
        let root = tempfile::tempdir().unwrap();
        let partial = root.path().join(".prepared.partial");
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("half"), "").unwrap();
        fs::write(root.path().join(".prepared.lock"), "").unwrap();
        publish(&root.path().join("prepared"), false, "data").unwrap();
        assert_eq!(names(root.path()), ["prepared"]);
        assert!(!root.path().join("prepared/half").exists());
    }
}
