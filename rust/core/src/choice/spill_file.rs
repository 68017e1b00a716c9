//! A file that is written block by block, read again once, and removed.
//!
//! Threads of its own do so, so that no one waits for the kernel's copies: the pass with every filter is three
//! per cent faster (medians of 14 processes in turns, one thread that works).

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};

use crate::background::{Thread, ended};

/// Blocks that may wait for a thread.
const WAITING: usize = 4;

/// A file that is whole, and the bytes of each of its blocks.
pub type Written = (File, Vec<usize>);

/// The file while blocks are put into it, by a thread of its own.
#[derive(Debug)]
pub struct Writing {
    /// Gone when there are no more.
    full: Option<SyncSender<Vec<u8>>>,
    /// Blocks that are written, to be filled again.
    empty: Receiver<Vec<u8>>,
    thread: Thread<Written>,
}

impl Writing {
    /// Makes the file, which must not be there.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true);
        Self::of(options.open(path)?)
    }

    fn of(mut file: File) -> io::Result<Self> {
        let (full, blocks) = mpsc::sync_channel::<Vec<u8>>(WAITING);
        let (spare, empty) = mpsc::channel();
        let write = move || {
            let mut lengths = Vec::new();
            for mut block in blocks {
                file.write_all(&block)?;
                lengths.push(block.len());
                block.clear();
                // At the end no one asks for it.
                let _ = spare.send(block);
            }
            Ok((file, lengths))
        };
        Ok(Self {
            full: Some(full),
            empty,
            thread: Some(thread::Builder::new().name("spill".into()).spawn(write)?),
        })
    }

    /// Takes a block, and leaves an empty one in its place.
    pub fn hand_over(&mut self, block: &mut Vec<u8>) -> io::Result<()> {
        let empty = self.empty.try_recv().unwrap_or_default();
        let block = std::mem::replace(block, empty);
        match self.full.as_ref().map(|full| full.send(block)) {
            Some(Ok(())) => Ok(()),
            // It ended before its time.
            _ => ended(&mut self.thread).map(drop),
        }
    }

    /// Waits for the thread.
    pub fn end(mut self) -> io::Result<Written> {
        self.full = None;
        ended(&mut self.thread)
    }
}

impl Drop for Writing {
    /// What is left behind by an error is removed next, and no thread is to write to it then.
    fn drop(&mut self) {
        self.full = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The file while its blocks are read, by a thread of its own, which then removes it.
pub struct Reading {
    /// Gone when no more are wanted.
    full: Option<Receiver<Vec<u8>>>,
    /// Blocks that are done, to be filled again.
    empty: Sender<Vec<u8>>,
    thread: Thread<()>,
}

impl Reading {
    /// Begins to read a file again; `path` is where it is.
    pub fn begin((mut file, lengths): Written, path: &Path) -> io::Result<Self> {
        file.rewind()?;
        let path = path.to_owned();
        let (send, full) = mpsc::sync_channel(WAITING);
        let (empty, spares) = mpsc::channel::<Vec<u8>>();
        let read = move || {
            for length in lengths {
                let mut block = spares.try_recv().unwrap_or_default();
                block.resize(length, 0);
                file.read_exact(&mut block)?;
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
    pub fn next(&mut self) -> Option<Vec<u8>> {
        self.full.as_ref()?.recv().ok()
    }

    /// Takes back a block that is done, so that its memory is used again.
    pub fn reuse(&self, block: Vec<u8>) {
        // At the end no one asks for it.
        let _ = self.empty.send(block);
    }

    /// Waits until the file is removed.
    pub fn end(mut self) -> io::Result<()> {
        ended(&mut self.thread)
    }
}

impl Drop for Reading {
    /// As for [`Writing`].
    fn drop(&mut self) {
        self.full = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path, blocks: &[Vec<u8>]) -> Written {
        let mut writing = Writing::begin(path).unwrap();
        for block in blocks {
            let mut block = block.clone();
            writing.hand_over(&mut block).unwrap();
            assert!(block.is_empty());
        }
        writing.end().unwrap()
    }

    #[test]
    fn blocks_come_back_and_the_file_goes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("blocks");
        let blocks: Vec<_> = (1..40_u8)
            .map(|length| vec![length; length.into()])
            .collect();
        let mut reading = Reading::begin(written(&path, &blocks), &path).unwrap();
        for block in &blocks {
            let found = reading.next().unwrap();
            assert_eq!(&found, block);
            reading.reuse(found);
        }
        assert_eq!(reading.next(), None);
        reading.end().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("blocks");
        let (file, lengths) = written(&path, &[vec![1; 9], vec![2; 9]]);
        file.set_len(17).unwrap();
        let mut reading = Reading::begin((file, lengths), &path).unwrap();
        assert_eq!(reading.next(), Some(vec![1; 9]));
        assert_eq!(reading.next(), None);
        let fault = reading.end().unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut file = Writing::of(full).unwrap();
        // More blocks than may wait, so that one of them hears of it.
        let mut write = || (0..=2 * WAITING).try_for_each(|_| file.hand_over(&mut vec![0; 9]));
        assert_eq!(write().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(write().is_err());
        assert!(file.end().is_err());
    }
}
