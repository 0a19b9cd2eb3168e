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
    let mut owners = vec![users.development_account(None).await?.id];
    for (email, name) in USERS {
        session.commit().await?;
        let (address, name) = (email.into(), name.into());
        let new = NewUser { email: address, name };
        users.register(passwords, new, PASSWORD).await?;
        if let Some(account) = users.by_email(email).await? {
            users
                .set_email_verified(account.id, email, services.clock().now())
                .await?;
            owners.push(account.id);
        }
    }
    for owner in owners {
        crate::sample::seed(services, session, owner).await?; // sample
    }
    let [ada, grace] = USERS.map(|(email, _)| email);
    Ok(format!(
        "Users: {ada} and {grace}, with the password {PASSWORD:?}"
    ))
}
