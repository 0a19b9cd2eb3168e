//! The part of PostgreSQL's wire protocol that the limiter implements.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// More than any startup packet has; PostgreSQL itself allows 10 000 bytes.
const LONGEST_OPENING: usize = 10_000;

/// AuthenticationOk.
pub(super) const AUTHENTICATION_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";

/// A packet without a tag, with which a client opens the conversation.
#[derive(Debug)]
pub(super) enum Opening {
    Ssl,
    Gss,
    Cancel(Vec<u8>),
    Startup(Vec<u8>),
}

/// Reads one opening packet.
///
/// # Errors
///
/// When the client goes, or what it says is not PostgreSQL's protocol.
pub(super) async fn read_opening<R: AsyncRead + Unpin>(client: &mut R) -> io::Result<Opening> {
    let mut packet = vec![0; 8];
    client.read_exact(&mut packet).await?;
    let length = number(&packet) as usize;
    let code = number(&packet[4..]);
    if !(8..=LONGEST_OPENING).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    packet.resize(length, 0);
    client.read_exact(&mut packet[8..]).await?;
    Ok(match code {
        SSL_REQUEST => Opening::Ssl,
        GSS_REQUEST => Opening::Gss,
        CANCEL_REQUEST => Opening::Cancel(packet),
        _ => Opening::Startup(packet),
    })
}

/// Reads the server's messages up to and with its first ReadyForQuery.
///
/// # Errors
///
/// When the server goes or answers with an error.
pub(super) async fn read_until_ready<R: AsyncRead + Unpin>(server: &mut R) -> io::Result<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        let start = messages.len();
        messages.resize(start + 5, 0);
        server.read_exact(&mut messages[start..]).await?;
        let tag = messages[start];
        let length = number(&messages[start + 1..]) as usize;
        messages.resize(start + 1 + length.max(4), 0);
        server.read_exact(&mut messages[start + 5..]).await?;
        match tag {
            b'Z' => return Ok(messages),
            b'E' => return Err(io::ErrorKind::ConnectionRefused.into()),
            _ => {}
        }
    }
}

/// An ErrorResponse.
pub(super) fn error(severity: &str, code: &str, text: &str) -> Vec<u8> {
    let body = format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0");
    message(b'E', body.as_bytes())
}

/// A message with this tag and body.
pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("messages are short");
    [&[tag], length.to_be_bytes().as_slice(), body].concat()
}

/// The big-endian number at the start of `bytes`, which are at least four.
pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}
