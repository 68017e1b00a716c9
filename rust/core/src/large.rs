//! Lists of a fixed length in large pages of memory.
//!
//! Performance note: to look at a table of megabytes the processor first looks for the page, and of pages of
//! 4 KiB it remembers too few. The tables that are asked for every piece of a text, and the list of bands of
//! `near_duplicate`, are in pages of 2 MiB therefore where the kernel has some to give: the pass with every
//! filter took 5 % less time, and without filters 3 % less. No faster by that: what is written once and read
//! in order, and prompts and sketches, of which a record needs a few.
#![allow(
    unsafe_code,
    reason = "memory that begins where a large page does is asked for by hand"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

/// Bytes of a large page.
const PAGE: usize = 2 << 20;
/// Bytes from which on a list is worth whole pages.
const WORTH: usize = PAGE / 8 * 3;

/// Items that are all written when the list is made: of zeros that the kernel gives a page is found twice, once
/// when it is read and again when something is put into it, and the second time every thread has to hear of
/// it.
///
/// ```
/// let mut list = limbeck_core::large::Large::of(7_u64, 300_000);
/// list[1] = 8;
/// assert_eq!((list.len(), list[0], list[1]), (300_000, 7, 8));
/// ```
pub struct Large<T> {
    items: NonNull<T>,
    count: usize,
    layout: Layout,
}

/// Items that a full list of `count` is to have next, `least` at least: as many as it will need if what it holds is
/// this `share` of what is to come. Where later items are known already more often than the first ones were, there is
/// room for some that never come, but for no more than `leap` of them.
pub fn grown(count: usize, least: usize, share: f64, leap: usize) -> usize {
    let expected = (count as f64 / share) as usize;
    expected.min(count + leap).max(least)
}

impl<T: Copy> Large<T> {
    /// As many of an item.
    pub fn of(item: T, count: usize) -> Self {
        let layout = layout::<T>(count);
        // SAFETY: the layout is that of a byte at least.
        let memory = unsafe { alloc(layout) };
        let Some(items) = NonNull::new(memory.cast::<T>()) else {
            handle_alloc_error(layout)
        };
        if layout.align() == PAGE {
            ask_for_large_pages(memory, layout.size());
        }
        // SAFETY: the memory is aligned for items and large enough for as many, and no one else has it.
        let places = unsafe { slice::from_raw_parts_mut(items.as_ptr().cast(), count) };
        places.fill(MaybeUninit::new(item));
        Self {
            items,
            count,
            layout,
        }
    }
}

/// That of `count` items, in whole pages where there are many.
fn layout<T>(count: usize) -> Layout {
    let items = Layout::array::<T>(count).and_then(|items| match items.size() {
        0 => Layout::from_size_align(1, items.align()),
        WORTH.. => items.align_to(PAGE).map(|pages| pages.pad_to_align()),
        _ => Ok(items),
    });
    match items {
        Ok(layout) => layout,
        Err(_) => handle_alloc_error(Layout::new::<T>()),
    }
}

/// What the kernel makes of it is its own affair.
fn ask_for_large_pages(memory: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the advice changes nothing that a program can see, and the memory is ours.
    let _ = unsafe {
        use rustix::mm::{Advice, madvise};
        madvise(memory.cast(), bytes, Advice::LinuxHugepage)
    };
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, bytes);
}

impl<T> Deref for Large<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: as many items are written, and live as long as the list.
        unsafe { slice::from_raw_parts(self.items.as_ptr(), self.count) }
    }
}

impl<T> DerefMut for Large<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and the list is borrowed by one alone.
        unsafe { slice::from_raw_parts_mut(self.items.as_ptr(), self.count) }
    }
}

impl<T> Drop for Large<T> {
    fn drop(&mut self) {
        // SAFETY: it was allocated by this layout. Items are `Copy`, so nothing else is to be dropped.
        unsafe { dealloc(self.items.as_ptr().cast(), self.layout) };
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Large<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

// SAFETY: it owns its items, as `Box<[T]>` does.
unsafe impl<T: Send> Send for Large<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Sync> Sync for Large<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_any_size_is_written_and_in_place() {
        for count in [0, 1, WORTH / 16 - 1, WORTH / 16, PAGE / 16 + 1, PAGE / 4] {
            let mut list = Large::of(7_u128, count);
            let start = list.as_ptr() as usize;
            let is_large = count * size_of::<u128>() >= WORTH;
            assert!(start.is_multiple_of(if is_large { PAGE } else { align_of::<u128>() }));
            assert!(list.len() == count && list.iter().all(|item| *item == 7));
            if let Some(last) = list.last_mut() {
                *last = 8;
                assert_eq!(list.iter().sum::<u128>(), 7 * count as u128 + 1);
            }
        }
    }

    #[test]
    fn what_is_to_come_is_made_room_for_within_bounds() {
        assert_eq!(grown(100, 150, 1.0, 1000), 150);
        assert_eq!(grown(100, 150, 0.25, 1000), 400);
        assert_eq!(grown(100, 150, 0.01, 1000), 1100);
        assert_eq!(grown(10_000, 15_000, 0.01, 1000), 15_000);
        assert_eq!(grown(100, 150, 0.0, 1000), 1100);
    }

    #[test]
    fn threads_share_a_list_and_hand_it_on() {
        let list = Large::of(1_u32, PAGE);
        let (first, second) = list.split_at(PAGE / 2);
        let sum = |part: &[u32]| part.iter().sum::<u32>();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| sum(second));
            assert_eq!(sum(first) + other.join().unwrap(), PAGE as u32);
        });
        let list = std::thread::spawn(move || list).join().unwrap();
        assert_eq!(list[PAGE - 1], 1);
    }
}
