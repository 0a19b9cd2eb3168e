//! A mail as a job.

use std::time::Duration;

use berth_jobs::{Job, JobError, JobOptions, Work};
use serde::{Deserialize, Serialize};

use crate::{Mail, Mailer};

/// Sends a mail that [`Mailer::send`] has stored; a worker runs it with the mailer as its state.
#[derive(Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct SendMail(pub(crate) Mail);

impl Job for SendMail {
    const NAME: &'static str = "send_mail";
    type State = Mailer;

    fn options(&self) -> JobOptions {
        options()
    }

    async fn run(self, mailer: &Mailer, work: &Work) -> Result<(), JobError> {
        mailer.deliver(work, &self.0).await
    }
}

/// Returns how jobs that send mails are stored and run. An attempt has more time than the longest `mail.timeout`.
pub fn options() -> JobOptions {
    JobOptions::default().timeout(Duration::from_secs(330))
}
