//! Records as lines, with or without a signature.

use crate::record::{FlashRecord, SCHEMA};

/// Keeps a signature of something else from passing for one of a record.
pub const NAMESPACE: &str = "bakelite-flash-record";
/// Begins the last key of a signed line. No text in JSON holds it: quotation marks are escaped there.
const SIGNATURE: &str = ",\"signature\":\"";

/// A record as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The record.
    pub record: FlashRecord,
    /// What was signed, and the armoured signature. Nobody has checked it yet.
    pub signed: Option<(String, String)>,
}

/// A line is no record.
#[derive(Debug, thiserror::Error)]
#[error("line {number} is no flash record: {why}")]
pub struct LineError {
    /// Which, from 1.
    pub number: usize,
    /// Why.
    pub why: String,
}

/// Signs bytes: returns the armoured signature.
pub type Sign<'s, E> = &'s dyn Fn(&[u8]) -> Result<String, E>;

/// Writes a line. `sign` returns the armoured signature of the bytes that it is given.
pub fn write<E>(record: &FlashRecord, sign: Option<Sign<'_, E>>) -> Result<String, E> {
    let mut line = serde_json::to_string(record).expect("texts and numbers");
    if let Some(sign) = sign {
        let signature = sign(line.as_bytes())?;
        let signature = serde_json::to_string(&signature).expect("a text");
        line.pop();
        // The quotation mark is the text's own.
        line.push_str(SIGNATURE.trim_end_matches('"'));
        line.push_str(&signature);
        line.push('}');
    }
    line.push('\n');
    Ok(line)
}

/// Reads all lines, in order. Empty ones are passed over.
pub fn lines(text: &str) -> impl Iterator<Item = Result<Line, LineError>> {
    let numbered = text.lines().enumerate();
    let filled = numbered.filter(|(_, line)| !line.trim().is_empty());
    filled.map(|(index, line)| {
        read(line).map_err(|why| LineError {
            number: index + 1,
            why,
        })
    })
}

#[derive(serde::Deserialize)]
struct Version {
    schema: u32,
}

fn read(line: &str) -> Result<Line, String> {
    let text = |error: serde_json::Error| error.to_string();
    let version: Version = serde_json::from_str(line).map_err(text)?;
    if version.schema != SCHEMA {
        return Err(format!(
            "it has schema {}, and this program knows {SCHEMA}",
            version.schema
        ));
    }
    let signed = line.rfind(SIGNATURE).and_then(|at| {
        let armoured = line[at + SIGNATURE.len() - 1..].strip_suffix('}')?;
        let armoured = serde_json::from_str(armoured).ok()?;
        Some((format!("{}}}", &line[..at]), armoured))
    });
    // What is signed is what counts.
    let body = signed.as_ref().map_or(line, |(body, _)| body);
    let record = serde_json::from_str(body).map_err(text)?;
    Ok(Line { record, signed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Outcome;

    const GOLDEN: &str = include_str!("../golden/records-1.jsonl");

    #[test]
    fn the_golden_records_are_read() {
        let all: Vec<_> = lines(GOLDEN).collect();
        let good: Vec<&Line> = all.iter().flatten().collect();
        assert_eq!((all.len(), good.len()), (4, 3));
        let broken = all[2].as_ref().unwrap_err();
        assert_eq!(broken.number, 3, "the half-written line");
        assert_eq!(good[0].record.result, Outcome::Verified);
        assert_eq!(
            good[0].record.serials().collect::<Vec<_>>(),
            ["0x1234", "10000000abcdef01"]
        );
        assert!(good[0].signed.is_none());
        let (body, armoured) = good[1].signed.as_ref().unwrap();
        assert!(body.ends_with('}') && armoured.starts_with("-----BEGIN SSH SIGNATURE-----\n"));
        assert_eq!(
            good[2].record.reason.as_deref(),
            Some("it was pulled out, \"signature\":\"x")
        );
    }

    #[test]
    fn records_of_newer_programs_are_refused() {
        let newer = GOLDEN
            .lines()
            .next()
            .unwrap()
            .replace("\"schema\":1", "\"schema\":2");
        let error = lines(&newer).next().unwrap().unwrap_err();
        assert!(error.why.contains("schema 2"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_signed_is_what_is_read(reason in any::<String>(), key in any::<String>(), signs in any::<bool>()) {
            let mut record = lines(GOLDEN).next().unwrap().unwrap().record;
            record.reason = Some(reason.clone());
            record.board.insert(key, reason);
            let signature = "-----BEGIN SSH SIGNATURE-----\nx\n";
            let sign = |bytes: &[u8]| {
                assert_eq!(bytes, serde_json::to_string(&record).unwrap().as_bytes());
                Ok::<_, ()>(signature.to_owned())
            };
            let sign: Option<Sign<'_, ()>> = if signs { Some(&sign) } else { None };
            let line = write(&record, sign).unwrap();
            prop_assert_eq!(line.matches('\n').count(), 1);
            let read = lines(&line).next().unwrap().unwrap();
            prop_assert_eq!(&read.record, &record);
            let signed = signs.then(|| (serde_json::to_string(&record).unwrap(), signature.to_owned()));
            prop_assert_eq!(read.signed, signed);
        }

        #[test]
        fn any_text_is_records_or_errors(text in any::<String>()) {
            prop_assert!(lines(&text).count() <= text.lines().count());
        }
    }
}
