//! The table of a check-up.

use comfy_table::{ContentArrangement, Table, presets};
use helmr_cli::{CommandError, Context, Paint, Style};
use serde::Serialize;

/// How one requirement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    /// Machines run, but something else will not.
    Warning,
    Failed,
    /// Could not be looked at now.
    Skipped,
}

/// One requirement, as it was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    /// What was found.
    pub(crate) detail: String,
    /// What to do; always there when something fails.
    pub(crate) mend: Option<String>,
}

impl Check {
    pub(crate) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail, None)
    }

    pub(crate) fn warning(
        name: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(name, Status::Warning, detail, Some(mend.into()))
    }

    pub(crate) fn failed(
        name: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(name, Status::Failed, detail, Some(mend.into()))
    }

    pub(crate) fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Skipped, detail, None)
    }

    fn new(
        name: &'static str,
        status: Status,
        detail: impl Into<String>,
        mend: Option<String>,
    ) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
            mend,
        }
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.status != Status::Failed
    }
}

/// Everything that was looked at.
#[derive(Debug, Default)]
pub(crate) struct Report {
    checks: Vec<Check>,
}

/// The report for programs.
#[derive(Serialize)]
struct Document<'a> {
    ok: bool,
    checks: &'a [Check],
}

impl Report {
    pub(crate) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Whether nothing fails.
    pub(crate) fn is_fit(&self) -> bool {
        self.checks.iter().all(Check::is_fine)
    }

    pub(crate) fn print(&self, context: &Context) -> Result<(), CommandError> {
        let output = context.output;
        if output.is_json() {
            let document = Document {
                ok: self.is_fit(),
                checks: &self.checks,
            };
            let text = serde_json::to_string(&document)
                .map_err(|error| CommandError::failed("write the report").because(&error))?;
            return output.line(&text);
        }
        output.text(&self.table(output.style()))?;
        if self.is_fit() {
            output.done("Machines can run here.");
        } else {
            output.note("Machines cannot run here until the failed lines are mended.");
        }
        Ok(())
    }

    fn table(&self, style: Style) -> String {
        let mut grid = Table::new();
        grid.load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width());
        for check in &self.checks {
            let mut detail = check.detail.clone();
            if let Some(mend) = &check.mend {
                detail.push_str(&format!("\n→ {mend}"));
            }
            grid.add_row([sign(check.status).to_owned(), check.name.to_owned(), detail]);
        }
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut text = String::new();
        for line in grid.lines() {
            text.push_str(&painted(line.trim_end(), style));
            text.push('\n');
        }
        text
    }
}

/// A sign and a word: the colour only repeats them.
fn sign(status: Status) -> &'static str {
    match status {
        Status::Ok => "✓ ok",
        Status::Warning => "! warning",
        Status::Failed => "✗ failed",
        Status::Skipped => "– skipped",
    }
}

fn painted(line: &str, style: Style) -> String {
    let found = [
        (Status::Ok, Paint::Good),
        (Status::Warning, Paint::Waiting),
        (Status::Failed, Paint::Bad),
        (Status::Skipped, Paint::Faint),
    ]
    .into_iter()
    .find_map(|(status, paint)| Some((sign(status), line.strip_prefix(sign(status))?, paint)));
    match found {
        Some((sign, rest, paint)) => format!("{}{rest}", style.paint(paint, sign)),
        None => line.to_owned(),
    }
}

fn width() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .map(|size| size.ws_col)
        .ok()
        .filter(|columns| *columns >= 40)
        .unwrap_or(110)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_line_makes_the_host_unfit_and_says_how_to_mend_it() {
        let mut report = Report::default();
        report.add(Check::ok("kernel", "Linux 6.18"));
        report.add(Check::warning("node", "none", "install it"));
        assert!(report.is_fit());
        report.add(Check::failed("runsc", "not found", "run script/setup"));
        assert!(!report.is_fit());
        let text = report.table(Style::plain());
        assert!(
            text.contains("✓ ok")
                && text.contains("✗ failed")
                && text.contains("→ run script/setup"),
            "{text}"
        );
    }
}
