//! The settings of the service: the platform's sections and those of its own. `config/default.toml` documents them.

use std::ops::{Deref, DerefMut};

use berth_settings::{ConfigError, Loaded, Sources};
pub use berth_web::settings::*;

/// All settings, read and checked before the service listens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform's sections.
    pub platform: berth_web::settings::Settings,
    pub chat_model: crate::sample::ChatModelSettings, // sample
}

/// Returns the places that settings are read from, with the files of `config` built in.
pub fn sources() -> Sources {
    Sources::new(berth_settings::built_in!("../../../config"))
}

impl Settings {
    /// Reads all sections and checks the rules between them.
    ///
    /// # Errors
    ///
    /// The first setting that has the wrong type, is out of range or contradicts another.
    pub fn read(loaded: &mut Loaded) -> Result<Self, ConfigError> {
        let platform = berth_web::settings::Settings::read(loaded)?;
        Ok(Self {
            chat_model: crate::sample::ChatModelSettings::read(loaded, &platform.server)?, // sample
            platform,
        })
    }
}

impl Deref for Settings {
    type Target = berth_web::settings::Settings;

    fn deref(&self) -> &Self::Target {
        &self.platform
    }
}

impl DerefMut for Settings {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.platform
    }
}
