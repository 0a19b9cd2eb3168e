//! The schedule: jobs that are made at the times of a cron expression, once for all instances.
//!
//! The table `job_schedules` keeps the last occurrence of each schedule. An instance that finds one due moves that time
//! forward and stores the job in one transaction; of several instances, one finds the old time there. No lock is held, and
//! no leader is elected. All times are the database's, so clocks that differ between instances do no harm.

mod task;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::{Job, JobOptions};

pub(crate) use self::task::run;

/// How late an occurrence may be before it counts as missed.
const GRACE: TimeDelta = TimeDelta::minutes(1);

/// When a job is made.
#[derive(Clone, Debug)]
pub struct Schedule {
    name: &'static str,
    cron: Cron,
    zone: Tz,
    missed: Missed,
}

/// What happens to occurrences at which no worker was running.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// The last one is made up for.
    RunOnce,
}

/// A cron expression that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the schedule {name} has an invalid cron expression: {expression}")]
pub struct InvalidSchedule {
    name: &'static str,
    expression: String,
    source: croner::errors::CronError,
}

impl Schedule {
    /// Reads a cron expression: minute, hour, day of the month, month, day of the week, in UTC; a sixth field in front is
    /// the second. The name identifies the schedule among all instances and must stay the same.
    ///
    /// # Errors
    ///
    /// The expression is not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// use berth_jobs::{Missed, Schedule};
    ///
    /// let weekday_mornings = Schedule::new("digest", "30 7 * * 1-5")?
    ///     .zone(chrono_tz::Europe::Berlin)
    ///     .missed(Missed::RunOnce);
    /// # Ok::<(), berth_jobs::InvalidSchedule>(())
    /// ```
    pub fn new(name: &'static str, expression: &str) -> Result<Self, InvalidSchedule> {
        let cron = Cron::from_str(expression).map_err(|source| InvalidSchedule {
            name,
            expression: expression.to_owned(),
            source,
        })?;
        Ok(Self {
            name,
            cron,
            zone: Tz::UTC,
            missed: Missed::default(),
        })
    }

    /// Sets the time zone of the expression. An hour that is left out in spring moves the occurrence behind it, and one
    /// that is repeated in autumn does not repeat it.
    #[must_use]
    pub fn zone(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    /// Sets what happens to occurrences at which no worker was running, or the database was away for more than a minute.
    #[must_use]
    pub fn missed(self, missed: Missed) -> Self {
        Self { missed, ..self }
    }

    /// Returns the first occurrence after a time; none if there is none any more.
    fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// Returns what is to be made at `now`, if the last occurrence that was made or left out was at `last`.
    fn due(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<Due> {
        let next = self.next(last).filter(|next| *next <= now)?;
        if next + GRACE >= now {
            return Some(Due::Run(next));
        }
        // The last of those that were missed.
        let before = (now - GRACE).with_timezone(&self.zone);
        let missed = self.cron.find_previous_occurrence(&before, false).ok();
        let missed = missed.map_or(next, |missed| missed.with_timezone(&Utc).max(next));
        Some(match self.missed {
            Missed::Skip => Due::Skip(missed),
            Missed::RunOnce => Due::Run(missed),
        })
    }
}

/// An occurrence whose time has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Due {
    Run(DateTime<Utc>),
    Skip(DateTime<Utc>),
}

/// A schedule with its job, ready to be stored.
#[derive(Clone)]
pub(crate) struct Scheduled {
    schedule: Schedule,
    job: &'static str,
    payload: String,
    options: JobOptions,
}

impl Scheduled {
    pub(crate) fn new<J: Job>(schedule: Schedule, job: &J) -> Self {
        Self {
            schedule,
            job: J::NAME,
            // One that cannot be written cannot be read: its job fails, and says so.
            payload: serde_json::to_string(job).unwrap_or_default(),
            options: job.options(),
        }
    }
}

impl fmt::Debug for Scheduled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.schedule.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn daily() -> Schedule {
        Schedule::new("daily", "0 3 * * *").unwrap()
    }

    #[test]
    fn an_occurrence_is_due_once_its_time_has_come() {
        let last = time("2026-03-01T03:00:00Z");
        assert_eq!(daily().due(last, time("2026-03-02T02:59:59Z")), None);
        let next = time("2026-03-02T03:00:00Z");
        assert_eq!(daily().due(last, next), Some(Due::Run(next)));
        assert_eq!(daily().due(next, time("2026-03-02T03:00:30Z")), None);
    }

    #[test]
    fn missed_occurrences_are_left_out_or_made_up_for_once() {
        let (last, now) = (time("2026-03-01T03:00:00Z"), time("2026-03-05T12:00:00Z"));
        let missed = time("2026-03-05T03:00:00Z");
        assert_eq!(daily().due(last, now), Some(Due::Skip(missed)));
        let once = daily().missed(Missed::RunOnce);
        assert_eq!(once.due(last, now), Some(Due::Run(missed)));
        assert_eq!(once.due(missed, now), None);
    }

    #[test]
    fn of_several_that_are_a_little_late_each_is_made() {
        let each_ten = Schedule::new("ten", "*/10 * * * * *").unwrap();
        let now = time("2026-03-01T00:00:35Z");
        let mut last = time("2026-03-01T00:00:00Z");
        let mut made = 0;
        while let Some(Due::Run(at)) = each_ten.due(last, now) {
            (last, made) = (at, made + 1);
        }
        assert_eq!(made, 3);
    }

    #[test]
    fn the_hour_of_a_zone_follows_its_daylight_saving_time() {
        let local = daily().zone(chrono_tz::Europe::Berlin);
        let winter = local.next(time("2026-03-28T00:00:00Z")).unwrap();
        let summer = local.next(time("2026-03-29T12:00:00Z")).unwrap();
        assert_eq!(winter, time("2026-03-28T02:00:00Z"));
        assert_eq!(summer, time("2026-03-30T01:00:00Z"));
    }
}
