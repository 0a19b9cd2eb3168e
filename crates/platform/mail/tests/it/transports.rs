//! Mails by SMTP with a real server, into files, and into the log.

use std::time::Duration;

use berth_jobs::Jobs;
use berth_mail::{Error, Mail, Mailer, Settings, Tls, TransportKind};
use berth_settings::Secret;
use berth_testkit::{Certificate, Encryption, SmtpOptions, SmtpServer};
use uuid::Uuid;

/// Settings for a server of the test.
fn smtp(server: &SmtpServer, tls: Tls) -> Settings {
    Settings {
        transport: TransportKind::Smtp,
        from: "Berth <noreply@example.com>".to_owned(),
        host: Some("localhost".to_owned()),
        port: server.port(),
        tls,
        root_certificate: Some(server.authority()),
        ..Settings::default()
    }
}

fn mailer(settings: &Settings) -> Mailer {
    Mailer::new(settings, Jobs::new()).unwrap()
}

fn mail() -> Mail {
    let mail = Mail::new("ada@example.com", "Grüße", ".\n.. dots, and a line of ünïcode\n").unwrap();
    mail.html("<p>Hello = <b>Ada</b></p>")
}

/// Sends the mail, and returns whether trying again is of use.
async fn refusal(settings: &Settings) -> (bool, String) {
    let error = mailer(settings)
        .transmit(Uuid::nil(), &mail())
        .await
        .expect_err("a refusal");
    (error.is_permanent(), error.to_string())
}

#[tokio::test]
async fn a_mail_arrives_with_both_parts_and_an_id_of_its_own() {
    let server = SmtpServer::start(SmtpOptions::default()).await;
    let mailer = super::transports::mailer(&smtp(&server, Tls::None));
    let id = Uuid::from_u128(7);
    mailer.transmit(id, &mail()).await.unwrap();
    mailer.transmit(id, &mail()).await.unwrap();
    let received = server.mail(1).await;
    assert_eq!(received.to, ["ada@example.com"]);
    assert_eq!(received.from, "noreply@example.com");
    assert_eq!(received.header("Subject").unwrap(), "Grüße");
    assert_eq!(received.header("Auto-Submitted").unwrap(), "auto-generated");
    assert!(received.header("Date").is_some(), "{}", received.raw);
    assert_eq!(
        received.text().unwrap().replace("\r\n", "\n"),
        ".\n.. dots, and a line of ünïcode\n"
    );
    assert_eq!(received.html().unwrap().trim(), "<p>Hello = <b>Ada</b></p>");
    let message_id = received.header("Message-ID").unwrap();
    assert!(message_id.contains(&format!("{id}@example.com")), "{message_id}");
    assert_eq!(server.mail(2).await.header("Message-ID").unwrap(), message_id);
}

#[tokio::test]
async fn a_text_adds_no_header_and_no_recipient() {
    let server = SmtpServer::start(SmtpOptions::default()).await;
    let mailer = super::transports::mailer(&smtp(&server, Tls::None));
    let subject = "Hello\r\nBcc: eve@example.com\r\n\r\nAnother body";
    let mail = Mail::new(
        "ada@example.com",
        subject,
        "text\r\n.\r\nMAIL FROM:<eve@example.com>\r\n",
    )
    .unwrap();
    mailer.transmit(Uuid::nil(), &mail).await.unwrap();
    let received = server.mail(1).await;
    assert_eq!(received.to, ["ada@example.com"]);
    assert_eq!(received.header("Bcc"), None, "{}", received.raw);
    assert!(!received.raw.contains("\nAnother body"), "{}", received.raw);
    assert_eq!(server.mails().len(), 1);
    for address in [
        "ada@example.com\r\nBcc: eve@example.com",
        "a@example.com, b@example.com",
        "ada",
        "<ada@example.com>",
        "",
    ] {
        assert!(
            matches!(Mail::new(address, "s", "t"), Err(Error::Address(_))),
            "{address:?}"
        );
    }
}

#[tokio::test]
async fn a_status_decides_whether_to_try_again() {
    let server = SmtpServer::start(SmtpOptions::default()).await;
    let settings = smtp(&server, Tls::None);
    for (status, permanent) in [(550, true), (554, true), (451, false), (421, false)] {
        server.refuse_recipients(Some(status));
        let (is_permanent, message) = refusal(&settings).await;
        assert_eq!(is_permanent, permanent, "{status}: {message}");
        assert!(message.contains(&status.to_string()), "{message}");
    }
    assert!(server.mails().is_empty());
    let away = Settings {
        port: berth_testkit::free_port(),
        ..settings
    };
    assert!(!refusal(&away).await.0, "the server may come back");
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_the_timeout() {
    let hole = berth_testkit::BlackHole::open("127.0.0.2:0").await;
    let settings = Settings {
        transport: TransportKind::Smtp,
        host: Some("127.0.0.2".to_owned()),
        port: hole.address().port(),
        tls: Tls::None,
        timeout: Duration::from_millis(200),
        ..Settings::default()
    };
    let (is_permanent, message) = refusal(&settings).await;
    assert!(!is_permanent, "{message}");
}

#[tokio::test]
async fn both_kinds_of_tls_work_with_a_login() {
    for (encryption, tls) in [
        (Encryption::StartTls, Tls::StartTls),
        (Encryption::Tls, Tls::Implicit),
    ] {
        let options = SmtpOptions {
            encryption,
            login: Some(("me", "secret")),
            ..SmtpOptions::default()
        };
        let server = SmtpServer::start(options).await;
        let mut settings = smtp(&server, tls);
        settings.user = Some("me".to_owned());
        settings.password = Some(Secret::from("secret".to_owned()));
        mailer(&settings).transmit(Uuid::nil(), &mail()).await.unwrap();
        assert_eq!(server.mail(1).await.to, ["ada@example.com"]);
        settings.password = Some(Secret::from("wrong".to_owned()));
        let (is_permanent, message) = refusal(&settings).await;
        assert!(
            !is_permanent && message.contains("535"),
            "the settings can be corrected: {message}"
        );
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    for (encryption, tls) in [
        (Encryption::StartTls, Tls::StartTls),
        (Encryption::Tls, Tls::Implicit),
    ] {
        let options = SmtpOptions {
            encryption,
            certificate: Certificate::Untrusted,
            ..SmtpOptions::default()
        };
        let server = SmtpServer::start(options).await;
        let (is_permanent, message) = refusal(&smtp(&server, tls)).await;
        assert!(!is_permanent && message.contains("certificate"), "{message}");
        assert!(server.mails().is_empty());
    }
}

#[tokio::test]
async fn no_mail_is_sent_readable_where_the_server_offers_no_tls() {
    let server = SmtpServer::start(SmtpOptions::default()).await;
    let (is_permanent, message) = refusal(&smtp(&server, Tls::StartTls)).await;
    assert!(!is_permanent, "{message}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn a_mail_becomes_one_file_however_often_it_is_sent() {
    let folder = tempfile::TempDir::new().unwrap();
    let settings = Settings {
        transport: TransportKind::File,
        folder: folder.path().join("new"),
        ..Settings::default()
    };
    let mailer = super::transports::mailer(&settings);
    for _ in 0..2 {
        mailer.transmit(Uuid::nil(), &mail()).await.unwrap();
    }
    let files: Vec<_> = std::fs::read_dir(&settings.folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files, [settings.folder.join(format!("{}.eml", Uuid::nil()))]);
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert!(text.contains("To: ada@example.com"), "{text}");
    // A file where the folder should be.
    let settings = Settings {
        folder: files[0].clone(),
        ..settings
    };
    assert!(!refusal(&settings).await.0);
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let smtp = |change: fn(&mut Settings)| {
        let mut settings = Settings {
            transport: TransportKind::Smtp,
            host: Some("mail.example.com".to_owned()),
            ..Settings::default()
        };
        change(&mut settings);
        settings.contradiction().map(|(key, _)| key)
    };
    assert_eq!(smtp(|_| {}), None);
    assert_eq!(smtp(|settings| settings.host = None), Some("mail.host"));
    assert_eq!(
        smtp(|settings| settings.user = Some("me".to_owned())),
        Some("mail.password")
    );
    assert_eq!(
        smtp(|settings| settings.password = Some(Secret::from("secret".to_owned()))),
        Some("mail.user")
    );
    assert_eq!(
        smtp(|settings| {
            (settings.user, settings.password) =
                (Some("me".to_owned()), Some(Secret::from("secret".to_owned())));
            settings.tls = Tls::None;
        }),
        Some("mail.tls")
    );
}
