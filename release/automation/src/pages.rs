//! Markdown becomes a page that stands alone.

use pulldown_cmark::{Event, Options, Parser, Tag, html};

/// Returns a page. Raw HTML in the text is left out, but for comments, which are not shown anyway.
pub(crate) fn page(title: &str, markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(markdown, options)
        .filter(|event| !matches!(event, Event::Html(_) | Event::InlineHtml(_)));
    let mut body = String::new();
    html::push_html(&mut body, events);
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

const STYLE: &str = "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;\
color:#1d1512;background:#f7f1e5}h1,h2{color:#5a2e1c}table{border-collapse:collapse;display:block;overflow-x:auto}\
td,th{border:1px solid #5a2e1c55;padding:.25rem .5rem;text-align:left}code{font-size:.9em}a{color:#8a4b12}\
@media(prefers-color-scheme:dark){body{color:#efe6d6;background:#17110e}h1,h2{color:#d9861a}a{color:#d9861a}}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Returns the links of a text, each with its line.
pub(crate) fn links(markdown: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (event, range) in Parser::new(markdown).into_offset_iter() {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event {
            let line = markdown[..range.start].matches('\n').count() + 1;
            links.push((line, dest_url.into_string()));
        }
    }
    links
}
