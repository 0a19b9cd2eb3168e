//! Instances: how several processes share one limit, with PostgreSQL as their only coordinator.
//!
//! Each connection carries `application_name = <app>/<instance>`. An instance counts the others in
//! `pg_stat_activity` over connections it holds anyway, and takes its part of what may be used. The
//! reserve keeps a way in for an instance that the others have not counted yet.

use std::time::Duration;

use crate::connect::connector::quoted;
use crate::settings::{Instances, Pooler, PoolerMode, Settings, Strategy};
use berth_pool::Rotation;

/// How often an instance counts the others.
pub(crate) const COUNT_INTERVAL: Duration = Duration::from_secs(2);

/// The name of this instance in the server's activity view.
#[derive(Clone, Debug)]
pub(crate) struct InstanceName {
    prefix: String,
    name: String,
}

impl InstanceName {
    /// Makes a name for this process, where there are server sessions to carry it.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        if !settings.url.is_postgres() || settings.pooler == Pooler::Transaction {
            return None;
        }
        let prefix = format!("{}/", settings.application_name);
        // Names are cut at 63 bytes; the settings bound the application's part to 40.
        let name = format!("{prefix}{:08x}", fastrand::u32(..));
        Some(Self { prefix, name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Counts the other live instances on the same database. Needs no rights: names of other roles' sessions are public.
    pub(crate) fn count_sql(&self) -> String {
        let (prefix, name) = (quoted(&self.prefix), quoted(&self.name));
        format!(
            "SELECT count(DISTINCT application_name) FROM pg_catalog.pg_stat_activity \
             WHERE datname = current_database() AND left(application_name, length({prefix})) = {prefix} AND application_name <> {name}"
        )
    }
}

/// How the limit is divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShareBudget {
    usable: u32,
    ceiling: u32,
}

impl ShareBudget {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            usable: settings.limit.saturating_sub(settings.reserve).max(1),
            ceiling: settings.ceiling(),
        }
    }

    /// The share with which a process begins, before it has counted_at.
    pub(crate) fn first(self, settings: &Settings) -> usize {
        match settings.instances {
            Instances::Fixed(instances) => self.share(instances),
            // A new instance takes one slot, from the reserve, until it has counted the others.
            Instances::Auto
                if counts_instances(settings, settings.known_mode().unwrap_or(PoolerMode::Session)) =>
            {
                1
            }
            Instances::Auto => self.share(1),
        }
    }

    /// The share of each of so many instances, at least one.
    pub(crate) fn share(self, instances: u32) -> usize {
        let part = (self.usable / instances.max(1)).clamp(1, self.ceiling);
        usize::try_from(part).unwrap_or(usize::MAX)
    }

    /// Instances take turns where there are more of them than slots.
    pub(crate) fn rotation(self, instances: u32) -> Rotation {
        match instances > self.usable {
            true => Rotation::On,
            false => Rotation::Off,
        }
    }
}

/// Whether instances find each other in the server; fresh connections have no instance name there, and neither have
/// those that a transaction pooler shares.
pub(crate) fn counts_instances(settings: &Settings, mode: PoolerMode) -> bool {
    settings.url.is_postgres()
        && settings.instances == Instances::Auto
        && settings.strategy == Strategy::Pooled
        && mode.keeps_sessions()
}
