//! Chunks of all inputs, read on a thread of its own while others are worked on.
//!
//! The thread is ahead by a few chunks, which bounds the memory. So no one waits for a disk, and who
//! waits for standard input can be stopped.
//!
//! Performance note: the thread is faster than those that work, so it sleeps most of the time, and who wakes it
//! calls the system. So it is not woken for each chunk that is taken but for several together; with larger
//! blocks of what is put aside, for the same reason, the pass with every filter took 3 % less time.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};

use super::unpack::PATIENCE;
use super::{Chunk, Reader};
use crate::error::{Error, Result};
use crate::input::Input;

/// Chunks that are asked for together.
const GROUP: usize = 3;
/// Groups that wait to be worked on, at most.
const GROUPS_AHEAD: usize = 2;

/// All chunks of all files, in order.
pub struct Chunks {
    /// Bytes of all files; standard input counts as none, for no one knows.
    pub total_bytes: u64,
    /// What is read, until the thread ends.
    read: Receiver<Result<Chunk>>,
    /// Chunks to be filled again.
    spare: Sender<Chunk>,
    /// Is told that a group has been taken.
    wanted: Sender<()>,
    /// Chunks of the next group that have been taken.
    taken: usize,
    thread: Option<JoinHandle<()>>,
    /// As long as it is there, someone wants what is read.
    _interest: Arc<()>,
}

impl Chunks {
    /// Checks that every file can be read, and begins to.
    ///
    /// # Errors
    /// One cannot be, or there is no thread to be had.
    pub fn open(inputs: &[Input]) -> Result<Self> {
        let reader = Reader::open(inputs)?;
        let total_bytes = reader.total_bytes;
        let (send, read) = channel();
        let (spare, spares) = channel();
        let (wanted, wishes) = channel();
        let interest = Arc::new(());
        let interested = Arc::downgrade(&interest);
        let is_left = move || interested.strong_count() == 0;
        let thread = thread::Builder::new()
            .name("read".into())
            .spawn(move || send_all(reader, &send, &spares, &wishes, &is_left))
            .map_err(Error::io("a thread to read the input"))?;
        Ok(Self {
            total_bytes,
            read,
            spare,
            wanted,
            taken: 0,
            // Who loses interest does not wait for it: it may wait for standard input.
            thread: Some(thread),
            _interest: interest,
        })
    }

    /// What comes next, or `None` at the end of the last file.
    ///
    /// # Errors
    /// What is wrong with a file, behind all chunks before; or what `waiting` says, which is called where
    /// reading takes long.
    pub fn next(&mut self, waiting: &mut dyn FnMut() -> Result<()>) -> Result<Option<Chunk>> {
        loop {
            match self.read.recv_timeout(PATIENCE) {
                Ok(read) => {
                    self.taken += 1;
                    if self.taken == GROUP {
                        self.taken = 0;
                        // At the end no one asks.
                        let _ = self.wanted.send(());
                    }
                    return read.map(Some);
                }
                Err(RecvTimeoutError::Timeout) => waiting()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => resume_unwind(panic),
            _ => Ok(None),
        }
    }

    /// Takes back a chunk that is done, so that its memory is used again.
    pub fn reuse(&self, chunk: Chunk) {
        // No one takes it at the end; then it is just dropped.
        let _ = self.spare.send(chunk);
    }
}

/// Sends chunks until the files, or the interest in them, end.
fn send_all(
    mut reader: Reader,
    send: &Sender<Result<Chunk>>,
    spares: &Receiver<Chunk>,
    wishes: &Receiver<()>,
    is_left: &dyn Fn() -> bool,
) {
    let mut waiting = || match is_left() {
        true => Err(Error::Cancelled),
        false => Ok(()),
    };
    let mut ahead = 0;
    loop {
        if ahead == GROUPS_AHEAD * GROUP {
            let Ok(()) = wishes.recv() else { return };
            ahead -= GROUP;
        }
        ahead += 1;
        let mut chunk = spares.try_recv().unwrap_or_default();
        let read = match reader.next(&mut chunk, &mut waiting) {
            Ok(true) => Ok(chunk),
            Ok(false) => return,
            Err(fault) => Err(fault),
        };
        let is_fault = read.is_err();
        if send.send(read).is_err() || is_fault {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn inputs(texts: &[&[u8]]) -> (tempfile::TempDir, Vec<Input>) {
        let directory = tempfile::tempdir().unwrap();
        let inputs = texts.iter().enumerate().map(|(number, text)| {
            let path = directory.path().join(number.to_string());
            fs::write(&path, text).unwrap();
            Input::of(path.to_str().unwrap())
        });
        let inputs = inputs.collect();
        (directory, inputs)
    }

    fn lines(count: usize) -> Vec<u8> {
        let line =
            |number| format!("{{\"question\": \"{number}\", \"answer\": \"a\"}}\n").into_bytes();
        (0..count).flat_map(line).collect()
    }

    #[test]
    fn all_is_read_in_order_and_memory_is_used_again() {
        let texts = [lines(90_000), lines(3), lines(40_000)];
        let (_directory, inputs) = inputs(&texts.each_ref().map(|text| &**text));
        let mut chunks = Chunks::open(&inputs).unwrap();
        assert_eq!(chunks.total_bytes, texts.concat().len() as u64);
        let mut found = vec![Vec::new(); 3];
        let mut places = Vec::new();
        while let Some(chunk) = chunks.next(&mut || Ok(())).unwrap() {
            found[chunk.source].extend_from_slice(chunk.lines.as_bytes());
            places.push(chunk.lines.as_bytes().as_ptr());
            chunks.reuse(chunk);
        }
        assert!(found == texts);
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert!(
            places.len() < count,
            "{count} chunks, each in memory of its own"
        );
    }

    #[test]
    fn no_more_is_read_ahead_than_there_is_room_for() {
        let (_directory, inputs) = inputs(&[&lines(200_000)]);
        let mut chunks = Chunks::open(&inputs).unwrap();
        let ahead = |chunks: &Chunks| {
            // Who is slower has read less.
            thread::sleep(Duration::from_millis(200));
            chunks.read.try_iter().count()
        };
        // They are not taken in the usual way, so none is asked for.
        let mut count = ahead(&chunks) + ahead(&chunks);
        assert!(count <= GROUPS_AHEAD * GROUP);
        chunks.wanted.send(()).unwrap();
        count += ahead(&chunks);
        assert!(count <= (GROUPS_AHEAD + 1) * GROUP);
        chunks.wanted.send(()).unwrap();
        for _ in 0..2 * GROUP {
            assert!(chunks.next(&mut || Ok(())).unwrap().is_some());
        }
    }

    #[test]
    fn a_fault_comes_behind_what_is_before_it() {
        let (_directory, inputs) = inputs(&[&lines(9), b"PK\x03\x04...", &lines(9)]);
        let mut chunks = Chunks::open(&inputs).unwrap();
        assert!(chunks.next(&mut || Ok(())).unwrap().is_some());
        let fault = chunks.next(&mut || Ok(())).unwrap_err().to_string();
        assert!(fault.contains("a zip archive"), "{fault}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_waits_may_stop() {
        use std::os::fd::AsRawFd;
        let (silent, _writer) = std::io::pipe().unwrap();
        let path = format!("/dev/fd/{}", silent.as_raw_fd());
        let mut chunks = Chunks::open(&[Input::of(&path)]).unwrap();
        let mut times = 0;
        let stopped = chunks.next(&mut || {
            times += 1;
            if times < 2 {
                Ok(())
            } else {
                Err(Error::Cancelled)
            }
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(times, 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_stops_is_not_read_for_any_longer() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        use std::time::Instant;
        let (silent, mut writer) = std::io::pipe().unwrap();
        // Where packed data begins, the thread that reads does not wait for it itself.
        writer.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]).unwrap();
        let path = format!("/dev/fd/{}", silent.as_raw_fd());
        let mut chunks = Chunks::open(&[Input::of(&path)]).unwrap();
        let thread = chunks.thread.take().unwrap();
        drop(chunks);
        let start = Instant::now();
        while !thread.is_finished() && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(thread.is_finished());
    }
}
