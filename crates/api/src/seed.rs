//! Rows for a developer's database, made through the services: `make seed`. A second run adds nothing.

use berth_auth::{Accounts, Error, Passwords};
use berth_database::Session;
use service::{NewUser, Services};

const PASSWORD: &str = "development";
const USERS: [(&str, &str); 2] = [
    ("ada@example.com", "Ada Lovelace"),
    ("grace@example.com", "Grace Hopper"),
];

/// Creates the rows, and returns a summary for the developer. Each password is hashed while no connection is held.
pub(crate) async fn rows(
    services: &Services,
    session: &Session,
    passwords: &Passwords,
) -> Result<String, Error> {
    let users = services.users(session);
    for (email, name) in USERS {
        let (address, name) = (email.into(), name.into());
        let new = NewUser { email: address, name };
        users.register(passwords, new, PASSWORD).await?;
        if let Some(account) = users.by_email(email).await? {
            let now = services.clock().now();
            users.set_email_verified(account.id, email, now).await?;
            crate::sample::seed(services, session, account.id).await?; // sample
        }
        session.commit().await?;
    }
    // sample begins
    let developer = users.development_account(None).await?;
    crate::sample::seed(services, session, developer.id).await?;
    // sample ends
    let [ada, grace] = USERS.map(|(email, _)| email);
    Ok(format!(
        "Users: {ada} and {grace}, with the password {PASSWORD:?}"
    ))
}
