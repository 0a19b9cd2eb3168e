//! Hooks that are called after a commit.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use super::inner::SessionInner;
use super::options::Autocommit;

type Hook = Box<dyn FnOnce() + Send>;

/// What is called once the work of a transaction is stored; dropped uncalled otherwise.
#[derive(Default)]
pub(super) struct CommitHooks(Vec<Hook>);

impl CommitHooks {
    /// Calls the hooks in the order in which they were registered. A panic of one does not reach the commit.
    pub(super) fn call(self) {
        for hook in self.0 {
            // The panic hook has logged it.
            let _ = catch_unwind(AssertUnwindSafe(hook));
        }
    }
}

impl fmt::Debug for CommitHooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("CommitHooks").field(&self.0.len()).finish()
    }
}

impl SessionInner {
    pub(super) fn after_commit(&self, hook: Hook) {
        let stored_already = self.options.autocommit == Autocommit::All && self.handles().depth == 0;
        if stored_already {
            CommitHooks(vec![hook]).call();
        } else {
            self.hooks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .0
                .push(hook);
        }
    }

    pub(super) fn take_hooks(&self) -> CommitHooks {
        std::mem::take(&mut self.hooks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
