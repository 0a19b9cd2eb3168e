//! Applies and reverts the schema's migrations; run it before a new release starts.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let built_in = berth_settings::built_in!("../../config");
    berth_migrate::command::main(migration::Migrator, built_in).await
}
