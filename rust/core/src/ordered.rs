//! Work spread over threads, results in the order in which it was handed out.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Result;

/// Where items come from and where they go; both happen on the calling thread, in order.
pub trait Flow {
    /// What is worked on; it carries its own result.
    type Item: Send;

    /// The next item, or `None` at the end.
    fn next(&mut self) -> Result<Option<Self::Item>>;

    /// Takes an item that is done.
    fn accept(&mut self, item: Self::Item) -> Result<()>;
}

/// Runs all items of `flow` through `work` on `threads` threads, the caller's among them.
///
/// Each thread makes a state of its own. At most [`most_under_way`] items are, which bounds the
/// memory. After an error no further item is begun. A panic in `work` goes on in the caller.
pub fn run<F: Flow, S>(
    flow: &mut F,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &mut F::Item) + Sync,
) -> Result<()> {
    let desk = Desk::default();
    std::thread::scope(|scope| {
        let _closing = Closing(&desk);
        for _ in 1..threads {
            scope.spawn(|| {
                let mut state = state();
                while let Some(task) = desk.take() {
                    desk.finish(task, |item| work(&mut state, item));
                }
            });
        }
        let mut state = state();
        let mut handed_out = 0;
        let mut accepted = 0;
        let mut ended = false;
        loop {
            while !ended && handed_out - accepted < most_under_way(threads) {
                match flow.next()? {
                    Some(item) => desk.add((handed_out, item)),
                    None => {
                        ended = true;
                        break;
                    }
                }
                handed_out += 1;
            }
            if accepted == handed_out {
                return Ok(());
            }
            match desk.next_step(accepted) {
                Step::Accept(Ok(item)) => {
                    flow.accept(item)?;
                    accepted += 1;
                }
                Step::Accept(Err(panic)) => resume_unwind(panic),
                Step::Help(task) => desk.finish(task, |item| work(&mut state, item)),
            }
        }
    })
}

/// Items that are handed out and not yet accepted, at most.
///
/// Accepting one may take as long as working on dozens, when a window of rows is written, and until
/// then the other threads live on what they were given. A thread alone takes one after the other,
/// while it is in its cache.
pub fn most_under_way(threads: usize) -> u64 {
    match threads {
        1 => 1,
        _ => 32 + 4 * threads as u64,
    }
}

type Task<T> = (u64, T);
type Done<T> = Result<T, Box<dyn Any + Send>>;

enum Step<T> {
    Accept(Done<T>),
    Help(Task<T>),
}

struct Papers<T> {
    todo: VecDeque<Task<T>>,
    done: BTreeMap<u64, Done<T>>,
    closed: bool,
}

/// The desk over which items go to the workers and come back.
struct Desk<T> {
    papers: Mutex<Papers<T>>,
    more_to_do: Condvar,
    more_done: Condvar,
}

impl<T> Default for Desk<T> {
    fn default() -> Self {
        let papers = Papers {
            todo: VecDeque::new(),
            done: BTreeMap::new(),
            closed: false,
        };
        Self {
            papers: Mutex::new(papers),
            more_to_do: Condvar::new(),
            more_done: Condvar::new(),
        }
    }
}

impl<T> Desk<T> {
    /// No one panics while holding the lock, so it cannot be poisoned.
    fn papers(&self) -> MutexGuard<'_, Papers<T>> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, task: Task<T>) {
        self.papers().todo.push_back(task);
        self.more_to_do.notify_one();
    }

    /// Waits for a task; `None` when there will be no more.
    fn take(&self) -> Option<Task<T>> {
        let mut papers = self.papers();
        loop {
            if papers.closed {
                return None;
            }
            if let Some(task) = papers.todo.pop_front() {
                return Some(task);
            }
            papers = self
                .more_to_do
                .wait(papers)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, (number, mut item): Task<T>, work: impl FnOnce(&mut T)) {
        let done = catch_unwind(AssertUnwindSafe(|| {
            work(&mut item);
            item
        }));
        self.papers().done.insert(number, done);
        self.more_done.notify_one();
    }

    /// What the caller does next: accept item `number`, else lend a hand, else wait for it.
    fn next_step(&self, number: u64) -> Step<T> {
        let mut papers = self.papers();
        loop {
            if let Some(done) = papers.done.remove(&number) {
                return Step::Accept(done);
            }
            if let Some(task) = papers.todo.pop_front() {
                return Step::Help(task);
            }
            papers = self
                .more_done
                .wait(papers)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Sends the workers home, however the caller leaves.
struct Closing<'a, T>(&'a Desk<T>);

impl<T> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        self.0.papers().closed = true;
        self.0.more_to_do.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    struct Numbers {
        next: u64,
        end: u64,
        refuse: u64,
        seen: Vec<u64>,
    }

    impl Flow for Numbers {
        type Item = u64;

        fn next(&mut self) -> Result<Option<u64>> {
            self.next += 1;
            Ok((self.next <= self.end).then_some(self.next - 1))
        }

        fn accept(&mut self, item: u64) -> Result<()> {
            if self.seen.len() as u64 == self.refuse {
                return Err(Error::Cancelled);
            }
            self.seen.push(item);
            Ok(())
        }
    }

    fn numbers(end: u64, refuse: u64) -> Numbers {
        Numbers {
            next: 0,
            end,
            refuse,
            seen: Vec::new(),
        }
    }

    /// Later items are quicker, so threads finish out of order.
    fn square(_: &mut (), item: &mut u64) {
        std::thread::sleep(std::time::Duration::from_micros((97 - *item % 97) * 3));
        *item *= *item;
    }

    #[test]
    fn results_keep_their_order_on_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let mut flow = numbers(300, u64::MAX);
            run(&mut flow, threads, || (), square).unwrap();
            let expected: Vec<_> = (0..300).map(|number| number * number).collect();
            assert_eq!(flow.seen, expected);
        }
    }

    #[test]
    fn an_error_ends_it() {
        for threads in [1, 3] {
            let mut flow = numbers(1_000_000, 5);
            let result = run(&mut flow, threads, || (), square);
            assert!(matches!(result, Err(Error::Cancelled)));
            assert!(flow.next <= 5 + most_under_way(threads) + 1);
        }
    }

    #[test]
    #[should_panic(expected = "seven")]
    fn a_panic_reaches_the_caller() {
        let work = |(): &mut (), item: &mut u64| assert!(*item != 7, "seven");
        let _ = run(&mut numbers(100, u64::MAX), 3, || (), work);
    }
}
