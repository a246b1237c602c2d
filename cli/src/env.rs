//! Every environment variable that Helmr reads, with what it means. The table in the docs is made from here.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]

use std::path::PathBuf;

/// A variable: its name, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($constant:ident = $name:literal: $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $constant: Variable = Variable { name: $name, meaning: $meaning };
        )*

        /// All of them, in the order of the docs.
        pub const ALL: &[Variable] = &[$($constant),*];
    };
}

variables! {
    API_URL = "HELMR_API_URL":
        "Address of the server, for example `http://127.0.0.1:4356`. Used together with `HELMR_API_KEY`, unless `--profile` is given.";
    API_KEY = "HELMR_API_KEY":
        "API key for the server in `HELMR_API_URL`.";
    ALLOW_PLAIN_HTTP = "HELMR_ALLOW_PLAIN_HTTP":
        "`1` lets clients send the API key unencrypted to another machine.";
    NODE = "HELMR_NODE":
        "Node program (22 or newer) with which `helmr deploy` bundles. Looked for before any other.";
    HOME = "HELMR_HOME":
        "A checkout of Helmr: `tools/runsc` and the Node of `script/setup` are looked for in it.";
    RUNSC = "HELMR_RUNSC":
        "gVisor's `runsc`. Looked for before any other.";
    LOG = "HELMR_LOG":
        "What the server logs to standard error: a level (`info`) or filters (`helmr_control=debug,info`).";
    LOG_FORMAT = "HELMR_LOG_FORMAT":
        "`json` makes the server's log one JSON document per line.";
    FAULT_KILL_AT = "HELMR_FAULT_KILL_AT":
        "For tests of crash safety: `NAME` or `NAME:N` kills the server at the N-th pass of that named point.";
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME":
        "Where `helmr/config.toml`, with the profiles, is. `~/.config` if unset.";
    XDG_DATA_HOME = "XDG_DATA_HOME":
        "Where `helmr up` keeps its data, in `helmr`, for an ordinary user. `~/.local/share` if unset.";
    XDG_CACHE_HOME = "XDG_CACHE_HOME":
        "Where `helmr deploy` unpacks the SDK that the binary carries. `~/.cache` if unset.";
    NO_COLOR = "NO_COLOR":
        "If set and not empty, nothing is printed in colour.";
    TERM = "TERM":
        "What kind of terminal this is. A PTY that `helmr` makes is told of it.";
    PATH = "PATH":
        "Where programs (`node`, `runsc`, `mkfs.erofs`, …) are looked for.";
    USER_HOME = "HOME":
        "The user's home.";
}

impl Variable {
    /// The value, unless unset or empty. What is not UTF-8 is read with replacement characters.
    #[must_use]
    pub fn text(self) -> Option<String> {
        std::env::var_os(self.name)
            .filter(|value| !value.is_empty())
            .map(|value| value.to_string_lossy().into_owned())
    }

    /// The value as a path, unless unset or empty.
    #[must_use]
    pub fn path(self) -> Option<PathBuf> {
        std::env::var_os(self.name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// Whether the value says yes.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.text()
            .is_some_and(|value| ["1", "true", "yes"].contains(&value.as_str()))
    }

    /// The folders of a value such as `PATH`.
    #[must_use]
    pub fn folders(self) -> Vec<PathBuf> {
        std::env::var_os(self.name)
            .map(|value| std::env::split_paths(&value).collect())
            .unwrap_or_default()
    }
}

/// The user's folder for one kind of files: the variable's, or the one under home.
#[must_use]
pub fn user_folder(variable: Variable, under_home: &str) -> Option<PathBuf> {
    // The XDG specification says to ignore a relative path.
    variable
        .path()
        .filter(|path| path.is_absolute())
        .or_else(|| USER_HOME.path().map(|home| home.join(under_home)))
}

/// The first executable file of this name in `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    PATH.folders()
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| {
            path.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_listed_once() {
        let mut names: Vec<_> = ALL.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
