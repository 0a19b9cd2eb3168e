//! One mail.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;

/// A mail to one recipient, as plain text and perhaps as HTML.
///
/// Addresses are parsed and headers are encoded, so no text can add a header or a recipient. `Debug` shows neither the
/// recipient nor the content.
///
/// ```
/// # fn main() -> Result<(), berth_mail::Error> {
/// use berth_mail::Mail;
///
/// let mail = Mail::new("ada@example.com", "Your invoice", "Find it at https://example.com/invoices/7.")?
///     .html("<p>Find it <a href=\"https://example.com/invoices/7\">here</a>.</p>");
/// # let _ = mail;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Deserialize, Serialize)]
pub struct Mail {
    to: Address,
    reply_to: Option<Address>,
    subject: String,
    text: String,
    html: Option<String>,
}

impl Mail {
    /// Makes a mail with plain text.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] for the recipient.
    pub fn new(to: &str, subject: impl Into<String>, text: impl Into<String>) -> Result<Self, Error> {
        Ok(Self {
            to: to.parse().map_err(Error::Address)?,
            reply_to: None,
            subject: subject.into(),
            text: text.into(),
            html: None,
        })
    }

    /// Adds the same as HTML.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Sets the address that answers go to.
    ///
    /// # Errors
    ///
    /// [`Error::Address`].
    pub fn reply_to(mut self, address: &str) -> Result<Self, Error> {
        self.reply_to = Some(address.parse().map_err(Error::Address)?);
        Ok(self)
    }

    /// Returns the mail as text, for the log of a developer's machine.
    pub(crate) fn shown(&self) -> String {
        format!("To: {}\nSubject: {}\n\n{}", self.to, self.subject, self.text)
    }

    /// Writes the message. Its `Message-ID` is made from `id`, so that a mail that is sent twice can be recognised.
    pub(crate) fn message(&self, id: Uuid, from: &Mailbox) -> Result<Message, Error> {
        let mut message = Message::builder()
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            .from(from.clone())
            .to(self.to.clone().into())
            .subject(&self.subject)
            .raw_header(automatic());
        if let Some(address) = &self.reply_to {
            message = message.reply_to(address.clone().into());
        }
        let text = SinglePart::plain(self.text.clone());
        match &self.html {
            Some(html) => {
                let html = SinglePart::html(html.clone());
                message.multipart(MultiPart::alternative().singlepart(text).singlepart(html))
            }
            None => message.singlepart(text),
        }
        .map_err(Error::Message)
    }
}

/// Keeps automatic replies from answering (RFC 3834).
fn automatic() -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    HeaderValue::new(name, "auto-generated".to_owned())
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").finish_non_exhaustive()
    }
}
