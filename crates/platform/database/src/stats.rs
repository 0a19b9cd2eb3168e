//! Counters, histograms and activity of the pool.

pub(crate) mod activity;
pub(crate) mod counters;
pub(crate) mod histogram;
pub(crate) mod statement_stats;
