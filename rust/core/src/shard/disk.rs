//! A file on its way to the disk while more of it is being made.
//!
//! A directory is published when its files are on the disk (P7), so writing ends with a wait for it.
//! Here a thread of its own hands over block after block, past the kernel's cache where the file system
//! lets it: no copy, no pages to find, nothing left to wait for when the last byte is made.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3Default;

use crate::background::{Background, Work};

/// Bytes of a block.
const BLOCK: usize = 1 << 20;
/// What the memory, the place and the length of a direct write are multiples of, on any disk.
const ALIGNMENT: usize = 4096;
/// Where the kernel's cache is in between: bytes after which the disk is waited for.
const STEP: usize = 32 << 20;

/// Takes bytes, and hashes them.
pub struct DiskFile {
    block: Block,
    writing: Background<Sink>,
}

impl DiskFile {
    /// Creates the file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::of(Sink::create(path)?)
    }

    fn of(sink: Sink) -> io::Result<Self> {
        Ok(Self {
            block: Block::default(),
            writing: Background::begin("disk", sink)?,
        })
    }

    /// Writes what is left; returns the hash of all bytes.
    pub fn finish(mut self) -> io::Result<u128> {
        if self.block.filled > 0 {
            self.writing.hand_over(&mut self.block)?;
        }
        self.writing.finish()
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.block.take(bytes);
        if self.block.filled == BLOCK {
            self.writing.hand_over(&mut self.block)?;
        }
        Ok(count)
    }

    /// Nothing is promised before the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Memory that begins where a direct write may.
struct Block {
    memory: Box<[u8]>,
    start: usize,
    filled: usize,
}

impl Default for Block {
    fn default() -> Self {
        let memory = vec![0; BLOCK + ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self {
            memory,
            start,
            filled: 0,
        }
    }
}

impl Block {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.filled]
    }

    /// Takes as many bytes as there is room for; how many.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(BLOCK - self.filled);
        let at = self.start + self.filled;
        self.memory[at..at + count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        count
    }
}

/// The thread's end of the file.
struct Sink {
    file: File,
    hash: Xxh3Default,
    is_direct: bool,
    /// Bytes of the blocks so far.
    written: u64,
    /// Bytes in the kernel's cache.
    unflushed: usize,
}

impl Sink {
    /// Past the cache where that can be, else through it.
    fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let direct = open_direct(&options, path);
        let is_direct = direct.is_ok();
        // What keeps it from being created at all is told by the other way too.
        Ok(Self::of(direct.or_else(|_| options.open(path))?, is_direct))
    }

    fn of(file: File, is_direct: bool) -> Self {
        Self {
            file,
            hash: Xxh3Default::new(),
            is_direct,
            written: 0,
            unflushed: 0,
        }
    }

    fn write(&mut self, block: &Block) -> io::Result<()> {
        if self.is_direct && block.filled < BLOCK {
            self.go_through_cache()?;
        }
        match self.file.write_all(block.bytes()) {
            // A disk that asks for more than blocks have.
            Err(fault) if self.is_direct && fault.kind() == io::ErrorKind::InvalidInput => {
                self.go_through_cache()?;
                self.file.seek(SeekFrom::Start(self.written))?;
                self.file.write_all(block.bytes())?;
            }
            written => written?,
        }
        self.written += block.filled as u64;
        if !self.is_direct {
            self.unflushed += block.filled;
        }
        if self.unflushed >= STEP {
            self.unflushed = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn go_through_cache(&mut self) -> io::Result<()> {
        self.is_direct = false;
        set_buffered(&self.file)
    }
}

impl Work for Sink {
    type Block = Block;
    type Made = u128;

    /// The rows of a window come all at once, and are on their way while the next window is made.
    const WAITING: usize = 16;

    fn take(&mut self, block: &mut Block) -> io::Result<()> {
        self.hash.update(block.bytes());
        self.write(block)?;
        block.filled = 0;
        Ok(())
    }

    fn finish(self) -> io::Result<u128> {
        Ok(self.hash.digest128())
    }
}

#[cfg(target_os = "linux")]
fn open_direct(options: &OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    options.clone().custom_flags(flags).open(path)
}

#[cfg(target_os = "linux")]
fn set_buffered(file: &File) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(file)?;
    Ok(fcntl_setfl(file, flags - OFlags::DIRECT)?)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &OpenOptions, _: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn set_buffered(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    const LENGTHS: [usize; 6] = [0, 5, BLOCK - 1, BLOCK, 2 * BLOCK + 7, 20 * BLOCK];

    fn check(lengths: &[usize], sink: impl Fn(&Path) -> Sink) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for &length in lengths {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let mut file = DiskFile::of(sink(&path)).unwrap();
            for part in bytes.chunks(100_003) {
                file.write_all(part).unwrap();
            }
            assert_eq!(file.finish().unwrap(), xxh3_128(&bytes));
            assert!(fs::read(&path).unwrap() == bytes, "{length} bytes");
        }
    }

    #[test]
    fn what_is_written_is_there_and_hashed() {
        check(&LENGTHS, |path| Sink::create(path).unwrap());
    }

    #[test]
    fn the_same_without_direct_writes() {
        check(&LENGTHS, |path| Sink {
            unflushed: STEP - 1,
            ..Sink::of(File::create(path).unwrap(), false)
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_block_that_the_disk_refuses_goes_through_the_cache() {
        check(&LENGTHS[3..], |path| {
            let mut sink = Sink::create(path).unwrap();
            if sink.file.write(&[0]).is_ok() {
                // A file system that takes any write.
                return Sink::create(path).unwrap();
            }
            // As after a write that ended where no direct one may begin.
            sink.file.seek(SeekFrom::Start(1)).unwrap();
            sink
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told() {
        let mut file = DiskFile::create(Path::new("/dev/full")).unwrap();
        let block = vec![0; BLOCK];
        // More blocks than may wait, so that one of them hears of it.
        let mut write = || (0..=2 * Sink::WAITING).try_for_each(|_| file.write_all(&block));
        assert_eq!(write().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(write().is_err());
        assert!(file.finish().is_err());
    }
}
