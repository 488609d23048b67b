//! The go/no-go sheet: findings, the questions about them, what was answered and by whom, and the decision.
//! As Markdown it can be read without any program, years later.

use std::fmt::Write as _;

use crate::journal::{Disposition, Verdict};
use crate::run::{Decision, Run};

/// Returns a decision's sheet.
pub fn markdown(version: &str, run: &Run<'_>, decision: &Decision) -> String {
    let candidate = run
        .candidates
        .iter()
        .find(|c| c.digest == decision.candidate);
    let label = candidate.map_or("?", |candidate| candidate.label.as_str());
    let verdict = match decision.verdict {
        Verdict::Go => "Go",
        Verdict::NoGo => "No-go",
    };
    let mut text = format!(
        "# {} {version}, {label}: {verdict}\n\n- Candidate: `sha256:{}`\n- Decided by: {} ({})\n- Reason: {}\n",
        run.template().release.product.name,
        decision.candidate,
        decision.by,
        decision.time.strftime("%Y-%m-%d %H:%M UTC"),
        if decision.reason.is_empty() {
            "none given"
        } else {
            &decision.reason
        },
    );
    if !decision.unknown.is_empty() {
        writeln!(text, "- Decided without: {}", decision.unknown.join(", "))
            .expect("strings take everything");
    }
    if run.findings.is_empty() {
        text.push_str("\nNobody found anything.\n");
    }
    for (name, finding) in &run.findings {
        let what = decision
            .findings
            .get(name)
            .map_or("nothing was decided", words);
        write!(
            text,
            "\n## {name}: {}\n\nFound by {}. Decision: {what}.\n\n",
            finding.title, finding.by
        )
        .expect("strings take everything");
        for (question, asked) in &run.template().release.questions {
            let answer = match finding.inputs.get(question) {
                Some((who, Some(answer))) => format!("{answer} ({who})"),
                Some((who, None)) => format!("unknown ({who})"),
                None => "not answered".into(),
            };
            writeln!(text, "- {} {answer}", asked.text).expect("strings take everything");
        }
    }
    text
}

/// Returns a disposition as people say it.
pub fn words(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::FixNow => "fix it in the next candidate",
        Disposition::Fixed => "fixed in this candidate",
        Disposition::KnownIssue => "publish with it, as a known issue",
        Disposition::Defer => "repair it in a later release",
        Disposition::NotABug => "it is as it should be",
    }
}
