//! What a check found, and how it is told.

use std::fmt::Write;

use serde::Serialize;

/// How bad it is; worse ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// It runs, but not as well as it could.
    Warning,
    /// It does not run so.
    Failure,
}

impl Outcome {
    /// As it is told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failure => "failure",
        }
    }
}

/// What one check found.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) outcome: Outcome,
    /// What is so.
    pub(crate) found: String,
    /// What to do; of what is not as it should be only.
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            check,
            outcome: Outcome::Ok,
            found: found.into(),
            advice: None,
        }
    }

    pub(crate) fn warning(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            outcome: Outcome::Warning,
            advice: Some(advice.into()),
            ..Finding::ok(check, found)
        }
    }

    pub(crate) fn failure(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            outcome: Outcome::Failure,
            ..Finding::warning(check, found, advice)
        }
    }
}

/// All of it for people: a line each, and below it what to do.
pub(crate) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = findings
        .iter()
        .map(|finding| finding.check.len())
        .max()
        .unwrap_or(0);
    for Finding {
        check,
        outcome,
        found,
        advice,
    } in findings
    {
        let _ = writeln!(text, "{:<8} {check:<width$}  {found}", outcome.name());
        if let Some(advice) = advice {
            let _ = writeln!(text, "{:<8} {:<width$}  do: {advice}", "", "");
        }
    }
    let count = |outcome| {
        findings
            .iter()
            .filter(|finding| finding.outcome == outcome)
            .count()
    };
    let (failures, warnings) = (count(Outcome::Failure), count(Outcome::Warning));
    let _ = match (failures, warnings) {
        (0, 0) => writeln!(text, "\nAll is well."),
        (0, _) => writeln!(text, "\nIt runs so; {warnings} of these could be better."),
        _ => writeln!(
            text,
            "\nIt does not run so: {failures} to mend, {warnings} that could be better."
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let findings = [
            Finding::ok("port", "free"),
            Finding::warning("clock", "late", "look elsewhere"),
            Finding::failure("disk", "full", "make room"),
        ];
        let told = text(&findings);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "ok       port   free");
        assert_eq!(lines[1], "warning  clock  late");
        assert_eq!(lines[2], "                do: look elsewhere");
        assert_eq!(lines[3], "failure  disk   full");
        assert!(lines[6].contains("1 to mend, 1 that"), "{told}");
        assert!(text(&findings[..1]).ends_with("\nAll is well.\n"));
        assert!(text(&findings[..2]).contains("It runs so; 1 of"));
    }
}
