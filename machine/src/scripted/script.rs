//! What a scripted run does.

use serde::{Deserialize, Serialize};

/// One thing that a run does. It goes on with the next once it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Writes a line to the runtime's channel. `$line` stands for the line awaited last, `$data` for that line's `data`.
    Say(String),
    /// Prints text to stdout.
    Print(String),
    /// Prints text to stderr.
    PrintError(String),
    /// Waits for a line from the worker that contains this text; lines before it are dropped. The first is the init line.
    Await(String),
    /// Waits until the test opens the gate of this name. Gates belong to the driver, not to the checkpoint.
    Gate(String),
    /// Writes a file of the workspace: a path below it, and its content.
    Write(String, String),
    /// Answers each line with `{"count":N,"line":…}` and prints `line N`, until a line contains `exit`.
    Serve,
    /// Ends with this code.
    Exit(i32),
}
