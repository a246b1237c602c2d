//! What a person is told when the server is ready.

use std::path::Path;

use helmr_cli::profile::Kept;
use helmr_cli::{Output, Paint};

use super::credentials::Written;

/// Everything worth saying.
#[derive(Debug)]
pub(crate) struct Greeting<'a> {
    pub(crate) url: &'a str,
    pub(crate) data: &'a Path,
    pub(crate) credentials: &'a Written,
}

impl Greeting<'_> {
    pub(crate) fn say(&self, output: &Output) {
        let style = output.note_style();
        let strong = |text: &str| style.paint(Paint::Strong, text);
        let faint = |text: &str| style.paint(Paint::Faint, text);
        output.done(&format!("Helmr is ready on {}", strong(self.url)));
        output.note(&format!("  {}  {}", faint("data   "), self.data.display()));
        output.note(&format!(
            "  {}  {}",
            faint("key    "),
            self.credentials.file.display()
        ));
        match &self.credentials.profiles {
            Some((path, Kept::Default)) => {
                output.note(&format!(
                    "  {}  {}: commands here use this server",
                    faint("profile"),
                    path.display()
                ));
            }
            Some((path, Kept::Other)) => {
                output.note(&format!(
                    "  {}  {} names another server; to use this one:",
                    faint("profile"),
                    path.display()
                ));
                self.exports(output);
            }
            None => self.exports(output),
        }
        output.note("");
        output.note(&format!("Next: {}", strong("helmr deploy PATH")));
        output.note("Ctrl-C stops: live machines are set aside first and go on at the next start.");
    }

    fn exports(&self, output: &Output) {
        output.note(&format!("    export HELMR_API_URL={}", self.url));
        output.note(&format!(
            "    export HELMR_API_KEY=$(sed -n 's/.*\"api_key\": \"\\(.*\\)\".*/\\1/p' {})",
            self.credentials.file.display()
        ));
    }
}
