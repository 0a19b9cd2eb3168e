//! Serves the runbook, `docs/troubleshooting.md`, to which alerts and the pool page link.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::debug;
use crate::Error;
use crate::app_state::AppInfo;
use crate::settings::Debug as Settings;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Runbook</title>\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
    <style>body { max-width: 860px; margin: 0 auto; padding: 20px; font: 15px/1.5 system-ui, sans-serif; }\
    :target { background: Mark; color: MarkText; } table { border-collapse: collapse; }\
    th, td { border: 1px solid GrayText; padding: 4px 10px; text-align: left; vertical-align: top; } pre { overflow-x: auto; }\
    </style></head><body><p><a href=\"db-pool\">Database connections</a></p>\n";
/// The page loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The runbook as HTML, rendered once.
#[derive(Clone, Debug)]
pub struct Runbook(String);

impl Runbook {
    /// Renders a runbook in Markdown.
    ///
    /// Each section has the anchor that GitHub gives it. Links to other files become plain text, since the service does
    /// not serve them.
    pub fn new(markdown: &str) -> Self {
        let mut page = HEAD.to_owned();
        let events: Vec<_> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
        let mut anchors = anchors(&events).into_iter();
        let mut is_shown = true;
        let events = events.into_iter().filter_map(|event| match event {
            Event::Start(Tag::Heading {
                level,
                classes,
                attrs,
                ..
            }) => {
                let id = anchors.next().map(CowStr::from);
                Some(Event::Start(Tag::Heading {
                    level,
                    id,
                    classes,
                    attrs,
                }))
            }
            Event::Start(Tag::Link { ref dest_url, .. }) => {
                is_shown = dest_url.starts_with('#') || dest_url.starts_with("https://");
                is_shown.then_some(event)
            }
            Event::End(TagEnd::Link) => is_shown.then_some(event),
            event => Some(event),
        });
        html::push_html(&mut page, events);
        Self(page + "</body></html>\n")
    }
}

/// `GET /debug/runbook`, open to those who may see `/debug/db-pool`.
///
/// # Errors
///
/// [`Error::NoRoute`] where that page is off, and where the service has given no runbook.
pub async fn runbook(
    request: HttpRequest,
    app: web::Data<AppInfo>,
    settings: web::Data<Settings>,
    runbook: Option<web::Data<Runbook>>,
) -> Result<HttpResponse, Error> {
    if let Some(challenge) = debug::challenge(&request, &app, &settings)? {
        return Ok(challenge);
    }
    let runbook = runbook.ok_or(Error::NoRoute)?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(runbook.0.clone()))
}

/// The anchor of each heading, in order: its text in lower case with hyphens.
fn anchors(events: &[Event<'_>]) -> Vec<String> {
    let mut anchors = Vec::new();
    let mut open = false;
    for event in events {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                anchors.push(String::new());
                open = true;
            }
            Event::End(TagEnd::Heading(_)) => open = false,
            Event::Text(text) | Event::Code(text) if open => {
                if let Some(anchor) = anchors.last_mut() {
                    let words = text.to_lowercase().replace(' ', "-");
                    anchor.extend(
                        words
                            .chars()
                            .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')),
                    );
                }
            }
            _ => {}
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_anchors_and_links_to_other_files_are_text() {
        let page = Runbook::new(
            "# Runbook\n\n## Too many `connections`\n\nSee [scaling](scaling.md) and [above](#waiting).\n",
        )
        .0;
        assert!(page.contains("<h2 id=\"too-many-connections\">"), "{page}");
        assert!(
            page.contains("See scaling and <a href=\"#waiting\">above</a>."),
            "{page}"
        );
    }
}
