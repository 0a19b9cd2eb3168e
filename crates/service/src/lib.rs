//! The rules of the application: one file a service.
//!
//! [`Services`] lives as long as the process and makes a service for each unit of work from that unit's session. A
//! service borrows the session: it cannot keep it, reach a second connection, or end it. The caller that made the
//! session ends it.
//!
//! A new service is a file here and a factory in [`Services`].

#![warn(missing_docs)]

mod account_mails;
pub mod sample; // sample
mod users;

use berth_database::Session;
use berth_jobs::{Jobs, Registry};

pub use self::users::{NewUser, UpdateUser, Users};
pub use berth_service::{Clock, Direction, Error, ExpectedVersion, FieldError, Order, Page, PageRequest};

/// Makes the services. A clone is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct Services {
    clock: Clock,
    jobs: Jobs,
    chat_model: std::sync::Arc<dyn sample::ChatModel>, // sample
}

impl Services {
    /// Makes services that read the system's clock.
    pub fn new() -> Self {
        Services {
            clock: Clock::system(),
            jobs: Jobs::new(),
            chat_model: std::sync::Arc::new(sample::OfflineChatModel), // sample
        }
    }

    /// Reads the time from another clock.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the jobs that a worker can run, and the schedule. A new kind of job is listed here.
    pub fn registry(&self) -> Registry {
        Registry::merged([
            sample::jobs(self), // sample
        ])
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Stores jobs in another queue, whose workers it wakes.
    pub fn with_jobs(mut self, jobs: Jobs) -> Self {
        self.jobs = jobs;
        self
    }

    /// Returns the service for users, which works in this session.
    pub fn users<'a>(&'a self, session: &'a Session) -> Users<'a> {
        Users::new(self, session)
    }
}

impl Default for Services {
    fn default() -> Self {
        Services::new()
    }
}
