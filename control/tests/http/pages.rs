//! Every code has its page, and every page its code.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use helmr_api::error::Code;

#[test]
fn every_error_code_has_a_page_that_says_what_to_do() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    let mut pages = BTreeSet::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        pages.insert(name.unwrap_or_default());
        let text = std::fs::read_to_string(&path)?;
        assert!(
            text.contains("## What it means") && text.contains("## What to do"),
            "{}",
            path.display()
        );
    }
    let codes: BTreeSet<String> = Code::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect();
    assert_eq!(pages, codes);
    for code in Code::ALL {
        let text = std::fs::read_to_string(folder.join(format!("{}.md", code.as_str())))?;
        let status = format!("HTTP {}", code.kind().status());
        assert!(text.contains(&status), "{} lacks {status}", code.as_str());
    }
    Ok(())
}
