//! Advice for each reason why a connection attempt fails.

use berth_database::Reason;
use berth_database::diagnostics::ConnectFailure;

use crate::Finding;

/// The finding for a connection attempt that failed, with the answer of the server or pooler.
pub(crate) fn failed_attempt(failure: &ConnectFailure) -> Finding {
    let reason = failure.error.reason;
    let (says, change) = (reason, remedy(reason));
    Finding::fail("reach", format!("{says} ({})", failure.message), change)
}

fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::Full => {
            "find the clients that hold connections (pg_stat_activity, `GET /debug/db-pool`) and close some, or raise \
             the pooler's limit and DB_LIMIT"
        }
        Reason::NotListening => "check host and port in DATABASE_URL, and that the server is running",
        Reason::UnknownHost => {
            "check the host name in DATABASE_URL. Supabase's direct host has IPv6 addresses only, which many networks \
             do not support: use the pooler's host"
        }
        Reason::NoAnswer => {
            "check that firewalls and network policies allow this machine to reach the port, and that the project is \
             not paused"
        }
        Reason::BrokenOff => {
            "check that PostgreSQL or its pooler listens on the port, and not another program"
        }
        Reason::StartingOrStopping => {
            "wait, then run the doctor again; a pooler also reports this while its server is down"
        }
        Reason::Credentials => {
            "check user and password in DATABASE_URL; special characters must be percent-encoded. The user of \
             Supabase's pooler is postgres.<project>"
        }
        Reason::UnknownDatabase => {
            "create it with `createdb`, or correct the name after the last / in DATABASE_URL"
        }
        Reason::Tls => {
            "if the server has no TLS, add ?sslmode=disable to DATABASE_URL; otherwise set database.root_certificate \
             to the certificate of the authority that signed the server's"
        }
        Reason::ServerError => {
            "read the text in parentheses, which is the server's or pooler's own; most such errors are temporary"
        }
        Reason::ReadOnlyServer => {
            "connect to the primary; if the server is read-only because its disk is full, free disk space"
        }
        Reason::AddressNotAllowed => {
            "allow this machine's address in the network restrictions of the database or pooler"
        }
        Reason::Settings => "remove the parameters that the server does not know from DATABASE_URL",
        Reason::Banned => {
            "wait two minutes, then try again with the right password; each further failure extends the ban"
        }
    }
}
