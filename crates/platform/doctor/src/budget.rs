//! Checks that all instances together stay within the limit.

use berth_database::{Instances, Pooler, Settings, Strategy, diagnostics};

use crate::Finding;

/// Compares the instances' shares and the reserve with the limit.
pub(crate) fn finding(settings: &Settings) -> Finding {
    match settings.instances {
        Instances::Fixed(instances) => fixed(settings, instances),
        Instances::Auto if counts(settings) => counted(settings),
        Instances::Auto => Finding::warn(
            "budget",
            "DB_INSTANCES is auto, but instances cannot count each other here, so each uses the whole share",
            "set DB_INSTANCES to the largest number that runs at once, deploys included",
        ),
    }
}

/// Checks the limit for a deploy, while one more instance runs.
pub(crate) fn overlap(settings: &Settings) -> Finding {
    let Instances::Fixed(instances) = settings.instances else {
        return Finding::pass(
            "deploy",
            "during a deploy a new instance uses the reserve until the others have released connections",
        );
    };
    let most = taken(settings, instances, instances.saturating_add(1));
    let says = format!(
        "with one more instance during a deploy, up to {most} of {} connections are used",
        settings.limit
    );
    if most <= u64::from(settings.limit) {
        Finding::pass("deploy", says)
    } else {
        Finding::warn(
            "deploy",
            format!(
                "{says}: the new instance gets no connection until an old one stops, and its requests wait"
            ),
            format!(
                "set DB_INSTANCES={}, or stop an old instance before the new one starts",
                instances + 1
            ),
        )
    }
}

fn fixed(settings: &Settings, instances: u32) -> Finding {
    let (share, reserve, limit) = (
        diagnostics::share(settings, instances),
        settings.reserve,
        settings.limit,
    );
    let sum = taken(settings, instances, instances) + u64::from(reserve);
    let says = format!("instances ({instances}) x share ({share}) + reserve ({reserve}) = {sum} of {limit}");
    if sum <= u64::from(limit) {
        return Finding::pass("budget", says);
    }
    let most = limit - reserve.min(limit - 1);
    Finding::fail(
        "budget",
        format!("{says}: each instance needs at least one connection"),
        format!("run at most {most} instances, or raise the limit at the provider and in DB_LIMIT"),
    )
}

fn counted(settings: &Settings) -> Finding {
    let usable = settings.limit.saturating_sub(settings.reserve).max(1);
    let shares = [1, 2, 4, 8].into_iter().filter(|instances| *instances <= usable);
    let shares = shares.map(|instances| match instances {
        1 => format!("{} as the only instance", diagnostics::share(settings, 1)),
        _ => format!(
            "{} with {instances} instances",
            diagnostics::share(settings, instances)
        ),
    });
    let shares = shares.collect::<Vec<_>>().join(", ");
    Finding::pass(
        "budget",
        format!(
            "all instances share {} of {} connections, each at most {shares}; {} reserved",
            usable, settings.limit, settings.reserve
        ),
    )
}

/// The connections of `running` instances that are configured for `configured`.
fn taken(settings: &Settings, configured: u32, running: u32) -> u64 {
    diagnostics::share(settings, configured) as u64 * u64::from(running)
}

fn counts(settings: &Settings) -> bool {
    settings.strategy == Strategy::Pooled && settings.pooler != Pooler::Transaction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    fn settings(instances: u32) -> Settings {
        Settings {
            instances: Instances::Fixed(instances),
            ..Settings::for_url("postgres://me@localhost/app").unwrap()
        }
    }

    #[test]
    fn shares_and_reserve_add_up() {
        for (instances, sum) in [
            (1, "instances (1) x share (5) + reserve (2) = 7 of 15"),
            (4, "instances (4) x share (3) + reserve (2) = 14 of 15"),
        ] {
            let finding = finding(&settings(instances));
            assert_eq!((finding.level, finding.says.as_str()), (Level::Pass, sum));
        }
    }

    #[test]
    fn more_instances_than_slots_are_too_many() {
        let finding = finding(&settings(14));
        assert_eq!(finding.level, Level::Fail);
        assert_eq!(
            finding.change.unwrap().split(',').next(),
            Some("run at most 13 instances")
        );
    }

    #[test]
    fn a_deploy_may_use_the_reserve_and_no_more() {
        assert_eq!(overlap(&settings(4)).level, Level::Pass);
        // 13 / 3 = 4 for each, and four of them at once are 16.
        let finding = overlap(&settings(3));
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.change.unwrap().starts_with("set DB_INSTANCES=4"));
    }

    #[test]
    fn fresh_connections_cannot_be_counted() {
        let settings = Settings {
            strategy: Strategy::Fresh,
            ..Settings::for_url("postgres://me@localhost/app").unwrap()
        };
        assert_eq!(finding(&settings).level, Level::Warn);
    }
}
