//! E-mail addresses in the one form in which they are stored and compared.

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

/// The longest address that SMTP can deliver to, in bytes (RFC 5321).
const LONGEST: usize = 254;
/// Characters that separate addresses or their parts (RFC 5322, "specials"). Quoted names are not accepted.
const SPECIAL: &str = "()<>[]:;,\\\"@";

/// Returns the form in which an address is stored and compared: lower case, its name in Unicode's form NFC, its host in
/// ASCII. So `Ada@EXÄMPLE.com` and `ada@xn--exmple-cua.com` are one account, however a keyboard composes its characters.
///
/// Text that is not an address is returned trimmed and in lower case: no account has it.
pub fn normalized_email(text: &str) -> String {
    parsed(text).unwrap_or_else(|| text.trim().to_lowercase())
}

/// The normalized address, or none for other text. Whether it exists, only a message to it can tell.
pub(crate) fn parsed(text: &str) -> Option<String> {
    let (name, host) = text.trim().rsplit_once('@')?;
    let name: String = name.nfc().flat_map(char::to_lowercase).nfc().collect();
    let is_name = name.split('.').all(|part| !part.is_empty()) && !name.chars().any(is_refused);
    let host = Uts46::new().to_ascii(
        host.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        DnsLength::Verify,
    );
    let address = format!("{name}@{}", host.ok()?);
    (is_name && address.len() <= LONGEST).then_some(address)
}

/// Characters that end an address, and those that cannot be seen, which would let two accounts look alike.
fn is_refused(c: char) -> bool {
    let is_invisible = matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    is_invisible || c.is_whitespace() || c.is_control() || SPECIAL.contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_mailbox_are_equal() {
        for (given, expected) in [
            (" Ada@Example.COM\n", "ada@example.com"),
            ("A\u{308}da@example.com", "\u{e4}da@example.com"),
            ("\u{c4}DA@example.com", "\u{e4}da@example.com"),
            ("ada@EX\u{c4}MPLE.com", "ada@xn--exmple-cua.com"),
            ("ada@xn--exmple-cua.com", "ada@xn--exmple-cua.com"),
            ("ada@example\u{3002}com", "ada@example.com"),
            ("a.b+c'd@localhost", "a.b+c'd@localhost"),
        ] {
            assert_eq!(parsed(given).as_deref(), Some(expected), "{given:?}");
            assert_eq!(normalized_email(expected), expected);
        }
    }

    #[test]
    fn what_is_not_one_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(243));
        for given in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a da@example.com",
            "ada@exa mple.com",
            "<ada@example.com>",
            "ada@example.com, ben@example.com",
            "ada@example.com\r\nBcc: ben@example.com",
            "ada@[127.0.0.1]",
            "\"ada\"@example.com",
            ".ada@example.com",
            "a..da@example.com",
            "ada.@example.com",
            "ada@-example.com",
            "ada@example..com",
            "ada@exa_mple.com",
            "a\u{200b}da@example.com",
            "ada\0@example.com",
            &long,
        ] {
            assert_eq!(parsed(given), None, "{given:?}");
        }
    }
}
