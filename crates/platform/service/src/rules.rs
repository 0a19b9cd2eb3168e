//! Rules that garde lacks, for use as `#[garde(custom(no_nul))]`.

use sea_orm::prelude::Decimal;

/// Refuses text with a NUL character, which PostgreSQL cannot store.
///
/// # Errors
///
/// The broken rule, for the client.
pub fn no_nul(text: &str, _: &()) -> garde::Result {
    match text.contains('\0') {
        true => Err(garde::Error::new("must not contain the character NUL")),
        false => Ok(()),
    }
}

/// Accepts one e-mail address; [`normalized_email`](crate::normalized_email) is the form to store.
///
/// # Errors
///
/// The broken rule, for the client.
pub fn email_address(text: &str, _: &()) -> garde::Result {
    match crate::email::parsed(text) {
        Some(_) => Ok(()),
        None => Err(garde::Error::new("must be an e-mail address")),
    }
}

/// Returns a rule for decimal numbers: at most `precision` digits, of which `scale` are behind the point, as the column has.
///
/// For use as `#[garde(custom(decimal(12, 2)))]`. PostgreSQL would round what has more digits behind the point.
pub fn decimal(precision: u32, scale: u32) -> impl Fn(&Decimal, &()) -> garde::Result {
    move |number, _| {
        let number = number.normalize();
        let limit = 10_i128.checked_pow(precision - scale);
        let fits = number.scale() <= scale
            && limit
                .is_none_or(|limit| i128::try_from(number.trunc().abs()).is_ok_and(|whole| whole < limit));
        match fits {
            true => Ok(()),
            false => Err(garde::Error::new(format!(
                "must have at most {} digits before the point and {scale} behind it",
                precision - scale
            ))),
        }
    }
}

/// Refuses text that consists of white space; the empty text is left to a rule about length.
///
/// # Errors
///
/// The broken rule, for the client.
pub fn not_blank(text: &str, _: &()) -> garde::Result {
    match text.is_empty() || text.chars().any(|c| !c.is_whitespace()) {
        true => Ok(()),
        false => Err(garde::Error::new("must not be blank")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_no_more_digits_than_its_column() {
        let fits = |precision, scale, number: &str| {
            let number = number.parse().expect("a number");
            decimal(precision, scale)(&number, &()).is_ok()
        };
        for number in ["0", "-999.99", "999.990", "0.01"] {
            assert!(fits(5, 2, number), "{number}");
        }
        for number in ["1000", "-1000", "0.001"] {
            assert!(!fits(5, 2, number), "{number}");
        }
        assert!(fits(2, 2, "0.99") && !fits(2, 2, "1"));
        assert!(fits(28, 0, "9999999999999999999999999999"));
    }
}
