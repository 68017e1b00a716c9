//! Candidates put aside, on disk and in order, until it is decided which of them are kept.
//!
//! Performance note: those who work on records only add to a list in memory; threads of their own make bytes of it
//! (`frames`), write them, read them and make lists again. To hold 64 MiB in memory instead was not faster: pages
//! that are written for the first time cost as much.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::aside::{Aside, Asides};
use super::frames;
use super::spill_file::{self, Reading, Writing};
use crate::background::Background;
use crate::error::{Error, Result};

/// The file's name in the draft directory; it is removed before anything is published.
const SPILL_FILE: &str = "choice.spill";
/// Bytes from which on candidates are written, and read, together.
const BLOCK: usize = 1 << 20;

/// Where candidates are put aside.
#[derive(Debug)]
pub struct Spill {
    /// Where the file is to be; none in a dry run, which needs the lengths only.
    path: Option<PathBuf>,
    /// Made when the first block is written to it.
    file: Option<Background<Writing>>,
    /// In a dry run, the blocks that are full, without tokens.
    counted: Vec<Vec<u8>>,
    /// Candidates that are in no block yet.
    open: Asides,
    most: usize,
}

impl Spill {
    /// Nothing yet; it will go to a file in `directory`, or stay in memory where nothing is written.
    pub fn new(directory: Option<&Path>) -> Self {
        Self::of(BLOCK, directory)
    }

    fn of(most: usize, directory: Option<&Path>) -> Self {
        Self {
            path: directory.map(|directory| directory.join(SPILL_FILE)),
            file: None,
            counted: Vec::new(),
            open: Asides::default(),
            most,
        }
    }

    /// Puts a candidate aside.
    pub fn write(&mut self, aside: &Aside<'_>) -> Result<()> {
        self.open.push(aside);
        if self.open.bytes() <= self.most {
            return Ok(());
        }
        let Some(path) = &self.path else {
            let mut bytes = Vec::new();
            frames::put(&self.open, false, &mut bytes);
            self.counted.push(bytes);
            self.open.clear();
            return Ok(());
        };
        let file = match self.file.take() {
            Some(file) => file,
            None => spill_file::write(path).map_err(Error::io(path))?,
        };
        let file = self.file.insert(file);
        file.hand_over(&mut self.open).map_err(Error::io(path))
    }

    /// Takes up every candidate in order, and removes the file.
    pub fn replay(self, mut take: impl FnMut(&Aside<'_>) -> Result<()>) -> Result<()> {
        let mut take_all = |asides: &Asides| asides.iter().try_for_each(|aside| take(&aside));
        let mut asides = Asides::default();
        for bytes in self.counted {
            asides.clear();
            let taken = frames::take(&bytes, false, &mut asides);
            taken.ok_or_else(|| Error::io(SPILL_FILE)(ErrorKind::InvalidData.into()))?;
            take_all(&asides)?;
        }
        if let (Some(path), Some(file)) = (&self.path, self.file) {
            let reading = file
                .finish()
                .and_then(|written| Reading::begin(written, path));
            let mut reading = reading.map_err(Error::io(path))?;
            while let Some(asides) = reading.next() {
                take_all(&asides)?;
                reading.reuse(asides);
            }
            reading.end().map_err(Error::io(path))?;
        }
        take_all(&self.open)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::choice::aside::tests::{first, second};

    #[test]
    fn what_is_put_aside_comes_back_and_the_file_goes() {
        let root = tempfile::tempdir().unwrap();
        // In memory, on disk, the first on disk and the second in memory.
        for most in [BLOCK, 0, 250] {
            for directory in [Some(root.path()), None] {
                let mut spill = Spill::of(most, directory);
                spill.write(&first()).unwrap();
                spill.write(&second()).unwrap();
                let is_full = most < BLOCK;
                let is_on_disk = directory.is_some() && is_full;
                assert_eq!(root.path().join(SPILL_FILE).exists(), is_on_disk);
                assert_eq!(spill.open.bytes() == 0, is_full && most == 0);
                let mut count = 0;
                spill
                    .replay(|aside| {
                        let expected = [first(), second()][count];
                        // Of a full block without a directory only the number of tokens is known.
                        assert_eq!(aside.ids.len(), expected.ids.len());
                        let ids = match directory {
                            Some(_) => aside.ids,
                            None => expected.ids,
                        };
                        assert_eq!(Aside { ids, ..*aside }, expected);
                        count += 1;
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(count, 2);
                assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
            }
        }
    }

    #[test]
    fn who_stops_leaves_no_thread_behind() {
        let root = tempfile::tempdir().unwrap();
        let mut spill = Spill::of(0, Some(root.path()));
        for _ in 0..20 {
            spill.write(&first()).unwrap();
        }
        let stopped = spill.replay(|_| Err(Error::Cancelled));
        assert!(matches!(stopped, Err(Error::Cancelled)));
        // Removed by then, not some time later.
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut spill = Spill::new(None);
        spill.write(&first()).unwrap();
        spill.write(&second()).unwrap();
        let mut count = 0;
        let ended = spill.replay(|_| {
            count += 1;
            Err(Error::Cancelled)
        });
        assert!(matches!((ended, count), (Err(Error::Cancelled), 1)));
    }
}
