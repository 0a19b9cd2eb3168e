//! The settings of the chat model.

use crate::settings::{assert_refused, loaded, read, with_environment};

#[test]
fn a_timeout_out_of_range_stops_the_start() {
    assert_refused("chat_model.timeout", "1000", "1000", "from 0.1 to 600");
}

#[test]
fn a_timeout_above_that_of_requests_stops_the_start() {
    let slow = [
        ("APP__CHAT_MODEL__URL", "https://r.example.org/v1"),
        ("APP__CHAT_MODEL__TIMEOUT", "90"),
    ];
    let error = read(&with_environment(&slow)).unwrap_err();
    assert_eq!(error.key, "chat_model.timeout");
}

#[test]
fn the_former_section_still_works() {
    let settings = read(&with_environment(&[("APP__RESPONDER__TIMEOUT", "9")])).unwrap();
    assert_eq!(settings.chat_model.timeout.as_secs(), 9);
}

#[test]
fn the_key_is_shown_nowhere() {
    let loaded = loaded(&with_environment(&[("APP__CHAT_MODEL__KEY", "hush-key")])).unwrap();
    assert!(!loaded.to_string().contains("hush"), "{loaded}");
    assert!(!format!("{loaded:?}").contains("hush"), "{loaded:?}");
}
