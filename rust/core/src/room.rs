//! Room for much that is written once, in few pages.
//!
//! Performance note: the kernel finds a page of 4 KiB at the first write into it, clears it and notes
//! it, 2 µs in all; where it may take one of 2 MiB instead it does so once for 512 of them.
#![allow(unsafe_code, reason = "advice to the kernel; see `advise`")]

/// An empty list with room for `count` items. Of the room only what is written takes memory.
pub fn room<T>(count: usize) -> Vec<T> {
    let mut room = Vec::with_capacity(count);
    advise(room.spare_capacity_mut());
    room
}

/// Lets the kernel take huge pages for this memory; it may not have them, and need not.
#[cfg(target_os = "linux")]
fn advise<T>(memory: &mut [T]) {
    use rustix::mm::{Advice, madvise};

    const PAGE: usize = 4096;
    let bytes = size_of_val(memory);
    let start = memory.as_mut_ptr().cast::<u8>();
    let skipped = start.align_offset(PAGE);
    let whole = bytes.saturating_sub(skipped) / PAGE * PAGE;
    if whole > 0 {
        // SAFETY: the pages lie in memory that is borrowed here, and the advice leaves what they hold.
        let _ = unsafe { madvise(start.add(skipped).cast(), whole, Advice::LinuxHugepage) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_memory: &mut [T]) {}
