//! What the pool counts and times.

pub(crate) mod activity;
pub(crate) mod counters;
pub(crate) mod histogram;
pub(crate) mod statement_stats;
