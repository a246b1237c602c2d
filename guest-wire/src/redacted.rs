//! How frames print: without what programs say and what secrets they are given, whoever logs a frame.

use std::fmt::{Debug, Formatter, Result};

use crate::{OutputChunk, RunInput, RunLine, StartRun};

impl Debug for StartRun {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        // Everything by name, so that a field added later is thought about here.
        let Self {
            run_id,
            attempt_number,
            argv,
            env,
            cwd,
            user,
            init_line,
            takes_input,
            terminal,
        } = self;
        let names: Vec<&str> = env
            .iter()
            .filter_map(|pair| pair.split('=').next())
            .collect();
        formatter
            .debug_struct("StartRun")
            .field("run_id", run_id)
            .field("attempt_number", attempt_number)
            .field("argv", argv)
            .field("env", &names)
            .field("cwd", cwd)
            .field("user", user)
            .field("init_line_bytes", &init_line.len())
            .field("takes_input", takes_input)
            .field("terminal", terminal)
            .finish()
    }
}

impl Debug for RunLine {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let Self {
            run_id,
            attempt_number,
            line,
            cut_from_bytes,
        } = self;
        formatter
            .debug_struct("RunLine")
            .field("run_id", run_id)
            .field("attempt_number", attempt_number)
            .field("line_bytes", &line.len())
            .field("cut_from_bytes", cut_from_bytes)
            .finish()
    }
}

impl Debug for RunInput {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let Self {
            run_id,
            attempt_number,
            offset,
            data,
            end,
        } = self;
        formatter
            .debug_struct("RunInput")
            .field("run_id", run_id)
            .field("attempt_number", attempt_number)
            .field("offset", offset)
            .field("data_bytes", &data.len())
            .field("end", end)
            .finish()
    }
}

impl Debug for OutputChunk {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let Self {
            stream: _,
            offset,
            data,
        } = self;
        formatter
            .debug_struct("OutputChunk")
            .field("stream", &self.stream())
            .field("offset", offset)
            .field("data_bytes", &data.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_or_said_is_printed() {
        let start = StartRun {
            env: vec!["TOKEN=hidden".to_owned()],
            init_line: b"hidden".to_vec(),
            ..StartRun::default()
        };
        let line = RunLine {
            line: b"hidden".to_vec(),
            ..RunLine::default()
        };
        let chunk = OutputChunk {
            data: b"hidden".to_vec(),
            ..OutputChunk::default()
        };
        let printed = format!("{start:?} {line:?} {chunk:?}");
        assert!(
            printed.contains("TOKEN") && !printed.contains("hidden"),
            "{printed}"
        );
    }
}
