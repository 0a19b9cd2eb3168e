//! What happens to every request on its way in and out.
//!
//! From the outside in: the span of its logs, compression, the clock, the boundary, the net under panics, the unit of work.
//! [`app`](crate::app) wraps them in this order.

mod boundary;
mod catch_unwind;
mod measure;
mod unit_of_work;

pub use self::boundary::boundary;
pub use self::catch_unwind::catch_unwind;
pub(crate) use self::measure::measure;
pub use self::unit_of_work::{UnitOfWork, unit_of_work};
