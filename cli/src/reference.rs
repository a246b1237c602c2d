//! The reference pages that are made from the code: every command with its options, every variable.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::env;

/// The page of the whole command line.
#[must_use]
pub fn commands(tree: &Command) -> String {
    let mut tree = tree.clone().term_width(100);
    tree.build();
    let mut page = "<!-- Made by `cargo xtask codegen`. -->\n\n# Command line\n\n".to_owned();
    page.push_str(concat!(
        "Data goes to standard output, everything else to standard error. With `--json` standard output holds the ",
        "server's answer.\n\n| exit code | meaning |\n|---|---|\n| 0 | it worked |\n| 1 | it failed |\n| 2 | the command line ",
        "or a value in it is not right |\n| 3 | no key, or not a good enough one |\n| 4 | not found |\n| 5 | conflict |\n",
        "| 124 | timed out |\n",
    ));
    let name = tree.get_name().to_owned();
    section(&mut page, &tree, &name);
    page
}

/// The page of the environment variables.
#[must_use]
pub fn variables() -> String {
    let mut page = concat!(
        "<!-- Made by `cargo xtask codegen`. -->\n\n# Environment variables\n\n",
        "| variable | meaning |\n|---|---|\n"
    )
    .to_owned();
    for variable in env::ALL {
        let _ = writeln!(
            page,
            "| `{}` | {} |",
            variable.name,
            variable.meaning.replace('|', "\\|")
        );
    }
    page
}

fn section(page: &mut String, command: &Command, path: &str) {
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let _ = write!(page, "\n## `{path}`\n\n{about}.\n");
    if let Some(more) = command.get_long_about() {
        let more = more.to_string();
        if more != about {
            let _ = write!(
                page,
                "\n{}\n",
                more.strip_prefix(&about).unwrap_or(&more).trim()
            );
        }
    }
    let own = |argument: &&Arg| !argument.is_global_set() || path == "helmr";
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(own)
        .filter(|argument| {
            !argument.is_hide_set() && argument.get_id() != "help" && argument.get_id() != "version"
        })
        .collect();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let _ = write!(page, "\n```\n{usage}\n```\n");
    if !arguments.is_empty() {
        page.push_str("\n| argument | meaning |\n|---|---|\n");
    }
    for argument in arguments {
        let _ = writeln!(page, "| `{}` | {} |", spelled(argument), meaning(argument));
    }
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        if inner.get_name() != "help" {
            section(page, inner, &format!("{path} {}", inner.get_name()));
        }
    }
}

/// `-f, --follow`, `--limit <N>`, `<RUN>`.
fn spelled(argument: &Arg) -> String {
    let mut names = Vec::new();
    names.extend(argument.get_short().map(|short| format!("-{short}")));
    names.extend(argument.get_long().map(|long| format!("--{long}")));
    let mut text = names.join(", ");
    if argument.get_action().takes_values() {
        let values = argument.get_value_names().unwrap_or_default();
        let values: Vec<String> = values.iter().map(|value| format!("<{value}>")).collect();
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{}", values.join(" "));
    }
    text.replace('|', "\\|")
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|choice| !choice.is_hide_set())
        .map(|choice| format!("`{}`", choice.get_name()))
        .collect();
    if !choices.is_empty() && argument.get_action().takes_values() {
        let _ = write!(text, ": {}", choices.join(", "));
    }
    let defaults: Vec<String> = argument
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() && argument.get_action().takes_values() {
        let _ = write!(text, " (default {})", defaults.join(", "));
    }
    text.replace('|', "\\|").replace('\n', " ")
}
