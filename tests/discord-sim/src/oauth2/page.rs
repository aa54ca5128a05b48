//! The pages that a person sees: whom to be, or what is wrong. Plain HTML without any script; every text is escaped.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

/// Nothing but our own pictures and style; nobody frames it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("style.css");

/// Somebody to be, and where that leads.
pub(super) struct Choice {
    pub(super) link: String,
    pub(super) name: String,
    pub(super) username: String,
    pub(super) picture: Option<String>,
}

pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/css; charset=utf-8"))
        .body(STYLE)
}

/// The page that asks whom to be.
pub(super) fn choices(scopes: &[String], choices: &[Choice]) -> HttpResponse {
    let links: String = choices.iter().map(Choice::to_html).collect();
    let scopes = escape(&scopes.join(", "));
    let body = format!(
        "<h1>Log in as</h1>\n<p>Stream Bot wants to know: {scopes}. This Discord is simulated: \
         choose who you are.</p>\n<ul>\n{links}</ul>"
    );
    page(StatusCode::OK, "Log in", &body)
}

/// The page for a request that is wrong in a way that forbids to send anybody back.
pub(super) fn error(title: &str, text: &str) -> HttpResponse {
    let body = format!("<h1>{}</h1>\n<p>{}</p>", escape(title), escape(text));
    page(StatusCode::BAD_REQUEST, title, &body)
}

impl Choice {
    fn to_html(&self) -> String {
        let (link, name) = (escape(&self.link), escape(&self.name));
        let picture = self.picture.as_ref().map_or_else(String::new, |picture| {
            format!(
                "<img src=\"{}\" alt=\"\" width=\"40\" height=\"40\">",
                escape(picture)
            )
        });
        let username = if self.username.is_empty() {
            String::new()
        } else {
            format!(" <small>{}</small>", escape(&self.username))
        };
        format!("<li><a href=\"{link}\">{picture}<span>{name}{username}</span></a></li>\n")
    }
}

fn page(status: StatusCode, title: &str, body: &str) -> HttpResponse {
    let title = escape(title);
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/oauth2/style.css\">\n</head>\n\
             <body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
        ))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_become_markup() {
        let choice = Choice {
            link: "/x?a=1&b=\"".to_owned(),
            name: "<img src=x onerror='alert(1)'>".to_owned(),
            username: String::new(),
            picture: None,
        };
        let html = choice.to_html();
        assert!(
            html.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt;"),
            "{html}"
        );
        assert!(html.contains("href=\"/x?a=1&amp;b=&quot;\""), "{html}");
    }
}
