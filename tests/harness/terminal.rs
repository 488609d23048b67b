//! What a terminal shows, and pictures of it for the documents.

use crate::browser::{Browser, Look};

/// Columns of the terminal, and the width of its picture in pixels.
const COLUMNS: usize = 100;
const WIDTH: u32 = 980;

/// Returns what a person sees after all of this was shown, as a terminal of that width shows it (ECMA-48).
pub fn seen(bytes: &str) -> String {
    let mut screen = Screen::default();
    let mut rest = bytes.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' => screen.go(screen.row + 1, 0),
            '\r' => screen.column = 0,
            '\u{1b}' => screen.control(&mut rest),
            c if c.is_control() => {}
            c => screen.put(c),
        }
    }
    let rows = screen.rows.iter().map(|row| row.iter().collect::<String>());
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

#[derive(Default)]
struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn go(&mut self, row: usize, column: usize) {
        (self.row, self.column) = (row, column);
        if self.rows.len() <= row {
            self.rows.resize(row + 1, Vec::new());
        }
    }

    fn put(&mut self, c: char) {
        if self.column == COLUMNS {
            self.go(self.row + 1, 0);
        }
        self.go(self.row, self.column);
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = c;
        self.column += 1;
    }

    /// Obeys a control sequence: cursor up (A), erase the line (K), erase below (J). Others change no text.
    fn control(&mut self, rest: &mut std::str::Chars<'_>) {
        let mut number = String::new();
        for c in rest.by_ref() {
            match c {
                '0'..='9' => number.push(c),
                '[' | ';' | '?' => {}
                'A' => {
                    let up = number.parse().unwrap_or(1);
                    return self.go(self.row.saturating_sub(up), self.column);
                }
                'K' | 'J' => {
                    self.go(self.row, self.column);
                    let kept = if number == "2" { 0 } else { self.column };
                    self.rows[self.row].truncate(kept);
                    if c == 'J' {
                        self.rows.truncate(self.row + 1);
                    }
                    return;
                }
                _ => return,
            }
        }
    }
}

/// Draws it as PNG.
pub fn picture(bytes: &str) -> Vec<u8> {
    let escaped = seen(bytes)
        .trim_end()
        .replace('&', "&amp;")
        .replace('<', "&lt;");
    let lines: Vec<String> = escaped
        .lines()
        .map(|line| match line.strip_prefix("$ ") {
            Some(typed) => format!("<b>$</b> <strong>{typed}</strong>"),
            None => line.to_owned(),
        })
        .collect();
    let page = format!(
        "<!doctype html><meta charset=utf-8><style>body{{margin:0;background:#f7f1e5}}pre{{margin:16px;padding:16px 20px;border-radius:6px;\
         background:#17110e;color:#efe6d6;font:15px/1.5 ui-monospace,'DejaVu Sans Mono',monospace;white-space:pre-wrap}}\
         b{{color:#d9861a}}strong{{font-weight:600;color:#fff}}</style><pre>{}</pre>",
        lines.join("\n")
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("terminal.html");
    fs_err::write(&file, page).expect("a page");
    let browser = Browser::start(Look {
        width: WIDTH,
        height: 400,
        is_dark: false,
        scripts: true,
    });
    browser.open(&format!("file://{}", file.display()));
    browser.fit(WIDTH);
    browser.picture()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_written_over_is_seen_as_it_was_last() {
        let long = "x".repeat(COLUMNS);
        let bytes = format!(
            "$ run\r\n\r\u{1b}[2K  one 0 %\r\u{1b}[2K  one 50 %\r\u{1b}[2K{long}next\n\u{1b}[1A\u{1b}[2K\u{1b}[1mdone\r\n"
        );
        assert_eq!(seen(&bytes), format!("$ run\n{long}\ndone\n\n"));
    }
}
