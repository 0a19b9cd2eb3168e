//! Ids of new rows.

use uuid::Uuid;

/// Returns a UUIDv7 that is greater than every id this process made before, also when the system's clock is set back.
///
/// Rows that are ordered by such a key are ordered by their creation, so a list needs no second index.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_within_a_millisecond() {
        let ids: Vec<Uuid> = (0..10_000).map(|_| new_id()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later));
    }
}
