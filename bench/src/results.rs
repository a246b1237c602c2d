//! Keeps the latest table of each benchmark in `bench/RESULTS.md`, one section each.

use std::fs;

use anyhow::Result;
use helmr_e2e::repository;

/// Prints `body` under `title`, and gives both.
pub(crate) fn show(title: &str, body: &str) -> String {
    let section = format!("## {title}\n\n{}\n\n{}\n", machine(), body.trim());
    println(&section);
    section
}

/// Prints `body` and replaces the section `title` with it.
pub(crate) fn keep(title: &str, body: &str) -> Result<()> {
    let section = show(title, body);
    let path = repository().join("bench/RESULTS.md");
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|_| "# Results\n\nWritten by `cargo xtask bench`.\n".to_owned());
    let mut sections: Vec<String> = Vec::new();
    for part in text.split("\n## ") {
        sections.push(part.trim_end().to_owned());
    }
    let head = sections.remove(0);
    let kept = section.trim_start_matches("## ").trim_end().to_owned();
    sections.retain(|part| !part.starts_with(title));
    sections.push(kept);
    sections.sort();
    let mut out = head;
    for part in sections {
        out.push_str("\n\n## ");
        out.push_str(&part);
    }
    out.push('\n');
    Ok(fs::write(path, out)?)
}

#[expect(clippy::print_stdout, reason = "the table is this program's answer")]
fn println(text: &str) {
    println!("{text}");
}

/// The size of this machine, without its name.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory_kib: u64 = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = kernel.trim().split(['.', '-']).take(2).collect();
    format!(
        "{cpus} processors, {} GiB of memory, Linux {}.",
        memory_kib.div_ceil(1 << 20),
        kernel.join(".")
    )
}
