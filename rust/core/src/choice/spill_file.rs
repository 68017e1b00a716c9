//! A file of candidates that is written block by block, read again once, and removed.
//!
//! Threads of its own do so, and make bytes of candidates and candidates of bytes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use super::aside::Asides;
use super::frames;
use crate::background::{Background, Thread, Work, ended};

/// Blocks that may wait for a thread.
const WAITING: usize = 4;

/// A file that is whole, and the bytes of each of its blocks.
pub type Written = (File, Vec<usize>);

/// Makes the file, which must not be there, and puts blocks into it.
pub fn write(path: &Path) -> io::Result<Background<Writing>> {
    let mut options = File::options();
    let options = options.read(true).write(true).create_new(true);
    Background::begin("spill", Writing::of(options.open(path)?))
}

/// The file while blocks are put into it.
pub struct Writing {
    file: File,
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Writing {
    fn of(file: File) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            lengths: Vec::new(),
        }
    }
}

impl Work for Writing {
    type Block = Asides;
    type Made = Written;

    const WAITING: usize = WAITING;

    fn take(&mut self, block: &mut Asides) -> io::Result<()> {
        self.bytes.clear();
        frames::put(block, true, &mut self.bytes);
        self.file.write_all(&self.bytes)?;
        self.lengths.push(self.bytes.len());
        block.clear();
        Ok(())
    }

    fn finish(self) -> io::Result<Written> {
        Ok((self.file, self.lengths))
    }
}

/// The file while its blocks are read, by a thread of its own, which then removes it.
pub struct Reading {
    /// Gone when no more are wanted.
    full: Option<Receiver<Asides>>,
    /// Blocks that are done, to be filled again.
    empty: Sender<Asides>,
    thread: Thread<()>,
}

impl Reading {
    /// Begins to read a file again; `path` is where it is.
    pub fn begin((mut file, lengths): Written, path: &Path) -> io::Result<Self> {
        file.rewind()?;
        let path = path.to_owned();
        let (send, full) = mpsc::sync_channel(WAITING);
        let (empty, spares) = mpsc::channel::<Asides>();
        let read = move || {
            let mut bytes = Vec::new();
            for length in lengths {
                bytes.resize(length, 0);
                file.read_exact(&mut bytes)?;
                let mut block = spares.try_recv().unwrap_or_default();
                block.clear();
                frames::take(&bytes, true, &mut block).ok_or(io::ErrorKind::InvalidData)?;
                if send.send(block).is_err() {
                    break;
                }
            }
            drop(file);
            fs::remove_file(path)
        };
        Ok(Self {
            full: Some(full),
            empty,
            thread: Some(thread::Builder::new().name("spill".into()).spawn(read)?),
        })
    }

    /// The next block, or `None` at the end, or where it cannot be read.
    pub fn next(&mut self) -> Option<Asides> {
        self.full.as_ref()?.recv().ok()
    }

    /// Takes back a block that is done, so that its memory is used again.
    pub fn reuse(&self, block: Asides) {
        // At the end no one asks for it.
        let _ = self.empty.send(block);
    }

    /// Waits until the file is removed.
    pub fn end(mut self) -> io::Result<()> {
        ended(&mut self.thread)
    }
}

impl Drop for Reading {
    /// As for [`Background`].
    fn drop(&mut self) {
        self.full = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::aside::tests::{first, second};

    fn block(count: usize) -> Asides {
        let mut block = Asides::default();
        (0..count).for_each(|_| block.push(&first()));
        block.push(&second());
        block
    }

    fn written(path: &Path, blocks: usize) -> Written {
        let mut writing = write(path).unwrap();
        for count in 0..blocks {
            let mut block = block(count);
            writing.hand_over(&mut block).unwrap();
            assert_eq!(block.iter().count(), 0);
        }
        writing.finish().unwrap()
    }

    #[test]
    fn blocks_come_back_and_the_file_goes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("blocks");
        let mut reading = Reading::begin(written(&path, 40), &path).unwrap();
        for count in 0..40 {
            let found = reading.next().unwrap();
            assert!(found.iter().eq(block(count).iter()));
            reading.reuse(found);
        }
        assert!(reading.next().is_none());
        reading.end().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_says_something_else_is_an_error() {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("blocks");
        let cut = |(file, lengths): Written| {
            file.set_len(lengths.iter().sum::<usize>() as u64 - 1)
                .unwrap();
            (file, lengths)
        };
        let shifted = |(file, mut lengths): Written| {
            lengths[1] -= 1;
            (file, lengths)
        };
        let changes: [(&dyn Fn(Written) -> Written, _); 2] =
            [(&cut, UnexpectedEof), (&shifted, InvalidData)];
        for (change, expected) in changes {
            let written = change(written(&path, 2));
            let mut reading = Reading::begin(written, &path).unwrap();
            assert!(reading.next().is_some());
            assert!(reading.next().is_none());
            assert_eq!(reading.end().unwrap_err().kind(), expected);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut file = Background::begin("spill", Writing::of(full)).unwrap();
        // More blocks than may wait, so that one of them hears of it.
        let mut write = || (0..=2 * WAITING).try_for_each(|_| file.hand_over(&mut block(0)));
        assert_eq!(write().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(write().is_err());
        assert!(file.finish().is_err());
    }
}
