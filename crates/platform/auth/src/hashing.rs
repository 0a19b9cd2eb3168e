//! The threads that hash passwords.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::Error;

/// `Retry-After` where the queue is full: a hash takes some 20 to 100 ms.
const RETRY_AFTER: Duration = Duration::from_secs(2);

type Work = Box<dyn FnOnce() + Send>;

/// A fixed number of threads with a bounded queue. They end when the last clone is dropped.
///
/// Not tokio's blocking threads: those come and go, and the allocator keeps the memory of a hash for each of them (800
/// MB in a test with 200 clients and two hashes at once).
#[derive(Clone)]
pub(crate) struct HashingThreads {
    queue: Sender<Work>,
    /// Running and waiting callers.
    places: Arc<Semaphore>,
}

impl HashingThreads {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system has no threads left.
    pub(crate) fn start(threads: usize, waiting: usize) -> Result<Self, Error> {
        let (queue, work) = channel();
        let work = Arc::new(Mutex::new(work));
        for _ in 0..threads {
            let work = work.clone();
            let started = thread::Builder::new().name("password hash".to_owned());
            let started = started.spawn(move || run(&work));
            started.map_err(|_| Error::Cryptography("start a thread for passwords"))?;
        }
        let places = Arc::new(Semaphore::new(threads + waiting));
        Ok(Self { queue, places })
    }

    /// Computes something on one of the threads.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where the queue is full.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the queue, the work is skipped. Work that has begun is done to its end and keeps its thread.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let busy = |_| Error::Busy {
            retry_after: RETRY_AFTER,
        };
        let place = self.places.clone().try_acquire_owned().map_err(busy)?;
        let (done, answer) = oneshot::channel();
        let work = move || {
            // Until the work ends, also where the caller has left.
            let _place = place;
            if !done.is_closed() {
                // A caller that has left meanwhile needs no answer.
                let _ = done.send(work());
            }
        };
        let failed = || Error::Cryptography("hash the password");
        self.queue.send(Box::new(work)).map_err(|_| failed())?;
        answer.await.map_err(|_| failed())
    }
}

fn run(queue: &Mutex<Receiver<Work>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // The caller gets an error; the thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

impl fmt::Debug for HashingThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HashingThreads").field(&self.places).finish()
    }
}
