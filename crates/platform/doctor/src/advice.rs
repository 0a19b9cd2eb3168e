//! What to do about each reason for which a database cannot be used.

use berth_database::Reason;
use berth_database::diagnostics::ConnectFailure;

use crate::Finding;

/// The finding for a database that could not be connected.
pub(crate) fn no_entry(failure: &ConnectFailure) -> Finding {
    let reason = failure.error.reason;
    let (says, change) = (reason, remedy(reason));
    Finding::fail("reach", format!("{says} ({})", failure.message), change)
}

fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::Full => {
            "find what holds them (pg_stat_activity, `GET /debug/db-pool`) and lower DB_INSTANCES x share, \
             or raise the pooler's limit and DB_LIMIT"
        }
        Reason::NotListening => "check host and port in DATABASE_URL, and that the server runs",
        Reason::UnknownHost => {
            "check the host name in DATABASE_URL. A name with an IPv6 address only, such as that of Supabase's \
             direct connection, is unknown in many networks: take the pooler's"
        }
        Reason::NoAnswer => {
            "check that firewalls and network policies let this machine reach the port, and that the project is \
             not paused"
        }
        Reason::BrokenOff => "check that the program at the port is PostgreSQL or its pooler",
        Reason::StartingOrStopping => {
            "wait, then run the doctor again; a pooler reports this too when its own server is down"
        }
        Reason::Credentials => {
            "check user and password in DATABASE_URL, special characters percent-encoded. Supabase's pooler wants \
             the user as postgres.<project>"
        }
        Reason::UnknownDatabase => "check the name after the last / in DATABASE_URL",
        Reason::Tls => {
            "set ?sslmode=disable if the server has no TLS; otherwise database.root_certificate must name \
             the authority that signed its certificate"
        }
        Reason::ServerError => {
            "read the text in parentheses: it is the server's or pooler's own. Such errors usually pass"
        }
        Reason::ReadOnlyServer => {
            "connect to the primary, and free disk space where the server has switched to read only"
        }
        Reason::AddressNotAllowed => {
            "allow this machine's address in the network restrictions of the database or pooler"
        }
        Reason::Settings => "remove the start-up parameters that the server does not know from DATABASE_URL",
        Reason::Banned => {
            "wait two minutes, then try with the right password: each further failure prolongs the ban"
        }
    }
}
