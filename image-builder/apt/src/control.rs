//! Stanzas of Debian control data (deb822): `Field: value` lines, folded values, blank lines between.

/// One stanza, borrowed from its text.
#[derive(Debug, Clone, Default)]
pub struct Stanza<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

/// The text is not control data.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the control data is neither a field nor a continuation: “{text}”")]
pub struct ParseControlError {
    /// The line, counted from 1 within the text.
    pub line: usize,
    /// The line's first 80 characters.
    pub text: String,
}

impl<'a> Stanza<'a> {
    /// Returns a field's value, with folded lines as written and outer white space removed.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Returns all fields in the order they were written.
    pub fn fields(&self) -> &[(&'a str, &'a str)] {
        &self.fields
    }
}

/// Iterates over the stanzas of `text`. Lines that begin with `#` are comments.
pub fn stanzas(text: &str) -> Stanzas<'_> {
    Stanzas {
        text,
        position: 0,
        line: 0,
    }
}

/// Iterator made by [`stanzas`].
#[derive(Debug)]
pub struct Stanzas<'a> {
    text: &'a str,
    position: usize,
    line: usize,
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Result<Stanza<'a>, ParseControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut fields: Vec<(&'a str, &'a str)> = Vec::with_capacity(24);
        // Start and end of the value of the last field.
        let mut open: Option<(&'a str, usize, usize)> = None;
        let text = self.text;
        let close = |open: &mut Option<(&'a str, usize, usize)>, fields: &mut Vec<_>| {
            if let Some((name, from, to)) = open.take() {
                fields.push((name, text[from..to].trim()));
            }
        };
        while self.position < text.len() {
            let start = self.position;
            let end = text[start..]
                .find('\n')
                .map_or(text.len(), |offset| start + offset);
            self.position = end + 1;
            self.line += 1;
            let line = text[start..end].trim_end_matches('\r');
            if line.trim().is_empty() {
                close(&mut open, &mut fields);
                if fields.is_empty() {
                    continue;
                }
                return Some(Ok(Stanza { fields }));
            }
            if line.starts_with('#') {
                continue;
            }
            if line.starts_with([' ', '\t']) && open.is_some() {
                if let Some((_, _, to)) = &mut open {
                    *to = end;
                }
                continue;
            }
            close(&mut open, &mut fields);
            match line.find(':') {
                Some(colon) if colon > 0 && !line[..colon].contains([' ', '\t']) => {
                    open = Some((&line[..colon], start + colon + 1, end));
                }
                _ => {
                    let text = line.chars().take(80).collect();
                    return Some(Err(ParseControlError {
                        line: self.line,
                        text,
                    }));
                }
            }
        }
        close(&mut open, &mut fields);
        (!fields.is_empty()).then_some(Ok(Stanza { fields }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_folded_fields_and_several_stanzas() {
        let text = "\nPackage: a\nDescription: one\n two\n .\n three\n\n\n# note\nPackage: b\n";
        let all: Vec<_> = stanzas(text).collect::<Result<_, _>>().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("description"), Some("one\n two\n .\n three"));
        assert_eq!(all[1].get("Package"), Some("b"));
    }

    #[test]
    fn names_the_line_that_is_no_field() {
        let error = stanzas("Package: a\nnonsense\n")
            .next()
            .unwrap()
            .unwrap_err();
        assert_eq!(error.line, 2);
        assert!(stanzas(" leading continuation\n").next().unwrap().is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_always_ends(text: String) {
            let _count = stanzas(&text).take(10_000).count();
        }
    }
}
