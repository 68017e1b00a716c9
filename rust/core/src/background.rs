//! How a thread that writes or reads a file in the background ends.

use std::io;
use std::panic::resume_unwind;
use std::thread::JoinHandle;

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
