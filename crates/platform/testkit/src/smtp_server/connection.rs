//! One connection to the SMTP server.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use mailin::response::{AUTH_OK, INVALID_CREDENTIALS, OK};
use mailin::{Action, AuthMechanism, Handler, Response, SessionBuilder};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Encryption, Received, ReceivedMail, SmtpOptions};

/// What every connection needs.
pub(super) struct Service {
    options: SmtpOptions,
    acceptor: TlsAcceptor,
    received: Arc<Received>,
}

/// A client's connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Service {
    pub(super) fn new(options: SmtpOptions, acceptor: TlsAcceptor, received: Arc<Received>) -> Self {
        Self {
            options,
            acceptor,
            received,
        }
    }

    pub(super) async fn serve(&self, socket: TcpStream, client: IpAddr) -> io::Result<()> {
        let mut session = self.sessions().build(client, self.transaction());
        let mut stream: BufReader<Box<dyn Stream>> = BufReader::new(Box::new(socket));
        if self.options.encryption == Encryption::Tls {
            stream = self.encrypt(stream).await?;
            session.tls_active();
        }
        answer(&mut stream, &session.greeting()).await?;
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).await? > 0 {
            let response = session.process(&line);
            line.clear();
            answer(&mut stream, &response).await?;
            match response.action {
                Action::Close => return Ok(()),
                Action::UpgradeTls => {
                    stream = self.encrypt(stream).await?;
                    session.tls_active();
                }
                Action::Reply | Action::NoReply => {}
            }
        }
        Ok(())
    }

    fn sessions(&self) -> SessionBuilder {
        let mut sessions = SessionBuilder::new("testkit");
        if self.options.encryption == Encryption::StartTls {
            sessions.enable_start_tls();
        }
        if self.options.login.is_some() {
            sessions.enable_auth(AuthMechanism::Plain);
        }
        sessions
    }

    async fn encrypt(&self, stream: BufReader<Box<dyn Stream>>) -> io::Result<BufReader<Box<dyn Stream>>> {
        let encrypted = self.acceptor.accept(stream.into_inner()).await?;
        Ok(BufReader::new(Box::new(encrypted)))
    }

    fn transaction(&self) -> Transaction {
        Transaction {
            received: self.received.clone(),
            login: self.options.login,
            from: String::new(),
            to: Vec::new(),
            raw: Vec::new(),
        }
    }
}

async fn answer(stream: &mut BufReader<Box<dyn Stream>>, response: &Response) -> io::Result<()> {
    stream.write_all(&response.buffer()?).await?;
    stream.flush().await
}

/// The mail that a client is sending.
struct Transaction {
    received: Arc<Received>,
    login: Option<(&'static str, &'static str)>,
    from: String,
    to: Vec<String>,
    raw: Vec<u8>,
}

impl Handler for Transaction {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        from.clone_into(&mut self.from);
        self.to.clear();
        OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        let mut state = self.received.lock();
        state.recipients += 1;
        if let Some(status) = state.refusal {
            return Response::custom(status, "Not this recipient".to_owned());
        }
        self.to.push(to.to_owned());
        OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.raw.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let raw = String::from_utf8_lossy(&std::mem::take(&mut self.raw)).into_owned();
        self.received.lock().mails.push(ReceivedMail {
            from: std::mem::take(&mut self.from),
            to: std::mem::take(&mut self.to),
            raw,
        });
        OK
    }

    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        match self.login {
            Some(login) if login == (user, password) => AUTH_OK,
            _ => INVALID_CREDENTIALS,
        }
    }
}
