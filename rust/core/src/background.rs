//! Blocks that a thread of its own works on, one after another, while the next one is filled.

use std::fmt;
use std::io;
use std::mem::replace;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

/// What is done with blocks.
pub trait Work: Send + 'static {
    /// Some of what there is to do; its memory is used again.
    type Block: Default + Send + 'static;
    /// What there is at the end.
    type Made: Send + 'static;

    /// Blocks that may wait.
    const WAITING: usize;

    /// Works on a block, and empties it.
    ///
    /// # Errors
    /// Those of the file that is written. No further block comes then.
    fn take(&mut self, block: &mut Self::Block) -> io::Result<()>;

    /// Ends it when all blocks are done.
    ///
    /// # Errors
    /// Those of the file that is written.
    fn finish(self) -> io::Result<Self::Made>;
}

/// A thread that works on blocks.
pub struct Background<W: Work> {
    /// Gone once the thread has ended.
    full: Option<SyncSender<W::Block>>,
    /// Blocks that are done, to be filled again.
    empty: Receiver<W::Block>,
    /// Blocks that were made here.
    made: usize,
    thread: Thread<W::Made>,
}

impl<W: Work> Background<W> {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn begin(name: &str, mut work: W) -> io::Result<Self> {
        let (full, blocks) = mpsc::sync_channel::<W::Block>(W::WAITING);
        let (back, empty) = mpsc::channel();
        let work_on_all = move || {
            for mut block in blocks {
                work.take(&mut block)?;
                // At the end no one asks for it.
                let _ = back.send(block);
            }
            work.finish()
        };
        Ok(Self {
            full: Some(full),
            empty,
            made: 0,
            thread: Some(
                thread::Builder::new()
                    .name(name.into())
                    .spawn(work_on_all)?,
            ),
        })
    }

    /// Takes a block, and leaves an empty one in its place; waits where too many are under way.
    ///
    /// # Errors
    /// What an earlier block met with.
    pub fn hand_over(&mut self, block: &mut W::Block) -> io::Result<()> {
        let empty = self.next();
        let block = replace(block, empty);
        match self.full.as_ref().map(|full| full.send(block)) {
            Some(Ok(())) => Ok(()),
            // It ended before its time.
            _ => self.end().map(drop),
        }
    }

    /// An empty block: no more are made than can wait, be worked on and be filled.
    fn next(&mut self) -> W::Block {
        if let Ok(block) = self.empty.try_recv() {
            return block;
        }
        if self.made > W::WAITING {
            // There is none where the thread ended before its time.
            return self.empty.recv().unwrap_or_default();
        }
        self.made += 1;
        W::Block::default()
    }

    /// Waits until all blocks are done.
    ///
    /// # Errors
    /// What one of them met with.
    pub fn finish(mut self) -> io::Result<W::Made> {
        self.end()
    }

    fn end(&mut self) -> io::Result<W::Made> {
        self.full = None;
        ended(&mut self.thread)
    }
}

impl<W: Work> Drop for Background<W> {
    /// What is left behind by an error is removed next, and no thread is to write to it then.
    fn drop(&mut self) {
        self.full = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl<W: Work> fmt::Debug for Background<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Background").finish_non_exhaustive()
    }
}

/// A thread that has not been heard of yet.
pub type Thread<T> = Option<JoinHandle<io::Result<T>>>;

/// Waits for a thread; tells what it says, or what went wrong.
pub fn ended<T>(thread: &mut Thread<T>) -> io::Result<T> {
    match thread.take().map(JoinHandle::join) {
        Some(Ok(result)) => result,
        Some(Err(panic)) => resume_unwind(panic),
        // What went wrong was told; nothing that comes after makes the file whole.
        None => Err(io::Error::other("an earlier write failed")),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Adds numbers up; 0 is a fault, and 1 a fault of its own.
    #[derive(Default)]
    struct Sum {
        sum: u32,
        ended: Arc<AtomicBool>,
    }

    impl Work for Sum {
        type Block = Vec<u32>;
        type Made = u32;

        const WAITING: usize = 1;

        fn take(&mut self, block: &mut Vec<u32>) -> io::Result<()> {
            for number in block.drain(..) {
                assert_ne!(number, 1);
                self.sum += number;
                if number == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            Ok(())
        }

        fn finish(self) -> io::Result<u32> {
            Ok(self.sum)
        }
    }

    impl Drop for Sum {
        fn drop(&mut self) {
            self.ended.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn all_blocks_are_worked_on_and_come_back() {
        let mut background = Background::begin("sum", Sum::default()).unwrap();
        let mut block = Vec::new();
        let mut places = std::collections::HashSet::new();
        for number in 2..100 {
            assert!(block.is_empty());
            block.push(number);
            places.insert(block.as_ptr());
            background.hand_over(&mut block).unwrap();
        }
        assert_eq!(background.finish().unwrap(), (2..100).sum::<u32>());
        // One is filled, one waits, and one is worked on.
        assert!(places.len() <= 3, "{} blocks", places.len());
    }

    #[test]
    fn a_fault_is_told_once_and_ends_it() {
        let mut background = Background::begin("sum", Sum::default()).unwrap();
        let mut hand_over = || (0..4).try_for_each(|_| background.hand_over(&mut vec![0]));
        assert_eq!(hand_over().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(hand_over().unwrap_err().kind(), io::ErrorKind::Other);
        assert!(background.finish().is_err());
    }

    #[test]
    fn a_panic_goes_on_in_the_caller() {
        let mut background = Background::begin("sum", Sum::default()).unwrap();
        let _ = background.hand_over(&mut vec![1]);
        assert!(catch_unwind(AssertUnwindSafe(|| background.finish())).is_err());
    }

    #[test]
    fn who_drops_it_waits_for_its_end() {
        let work = Sum::default();
        let ended = Arc::clone(&work.ended);
        let mut background = Background::begin("sum", work).unwrap();
        background.hand_over(&mut vec![2]).unwrap();
        drop(background);
        assert!(ended.load(Ordering::Relaxed));
    }
}
