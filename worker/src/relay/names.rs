//! What runs are called inside a machine that is a copy of another.
//!
//! Its guest was told the original's ids and goes on saying them. So what it says is read as what is meant, and what is
//! said to it is said in its own words. What in its memory is nobody's here, such as an exec that was begun in the
//! original, is not listened to.

use std::collections::BTreeMap;

use helmr_domain::RunId;
use helmr_guest_wire::Body;
use serde::{Deserialize, Serialize};

/// Of each name that is used inside: the run that is meant, or that none is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Names(BTreeMap<String, Option<RunId>>);

impl Names {
    pub(crate) fn new(names: BTreeMap<String, Option<RunId>>) -> Self {
        Self(names)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, and what is known of others beside them.
    pub(crate) fn with(mut self, others: &Self) -> Self {
        for (name, meant) in &others.0 {
            self.0.entry(name.clone()).or_insert(*meant);
        }
        self
    }

    /// Notes that nobody is meant by a name, unless somebody is.
    pub(crate) fn note_stranger(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_insert(None);
    }

    /// The id of whoever is meant by a name that is used inside.
    pub(crate) fn meant(&self, name: &str) -> Option<String> {
        match self.0.get(name) {
            None => Some(name.to_owned()),
            Some(meant) => meant.map(|run| run.to_string()),
        }
    }

    /// What the guest says, in the words of the control plane. `None` if it is about nobody here.
    pub(crate) fn heard(&self, mut body: Body) -> Option<Body> {
        if let (false, Some(id)) = (self.0.is_empty(), said_of(&mut body)) {
            *id = self.meant(id)?;
        }
        Some(body)
    }

    /// What is said to the guest, in its own words.
    pub(crate) fn say(&self, mut body: Body) -> Body {
        if let (false, Some(id)) = (self.0.is_empty(), said_to(&mut body)) {
            let meant = |run: &RunId| run.to_string() == *id;
            let inside = self
                .0
                .iter()
                .find(|(_, run)| run.as_ref().is_some_and(meant));
            if let Some((name, _)) = inside {
                id.clone_from(name);
            }
        }
        body
    }
}

fn said_of(body: &mut Body) -> Option<&mut String> {
    match body {
        Body::RunLine(frame) => Some(&mut frame.run_id),
        Body::RunOutput(frame) => Some(&mut frame.run_id),
        Body::RunExited(frame) => Some(&mut frame.run_id),
        Body::RunInputTaken(frame) => Some(&mut frame.run_id),
        Body::TerminalRests(frame) => Some(&mut frame.run_id),
        Body::StartRun(_)
        | Body::SignalRun(_)
        | Body::RunInput(_)
        | Body::ResizeTerminal(_)
        | Body::FindProcesses(_)
        | Body::ProcessesFound(_)
        | Body::Hello(_)
        | Body::Welcome(_)
        | Body::Heartbeat(_)
        | Body::StopMachine(_)
        | Body::Probe(_) => None,
    }
}

fn said_to(body: &mut Body) -> Option<&mut String> {
    match body {
        Body::RunLine(frame) => Some(&mut frame.run_id),
        Body::StartRun(frame) => Some(&mut frame.run_id),
        Body::SignalRun(frame) => Some(&mut frame.run_id),
        Body::RunInput(frame) => Some(&mut frame.run_id),
        Body::ResizeTerminal(frame) => Some(&mut frame.run_id),
        Body::RunOutput(_)
        | Body::RunExited(_)
        | Body::RunInputTaken(_)
        | Body::TerminalRests(_)
        | Body::FindProcesses(_)
        | Body::ProcessesFound(_)
        | Body::Hello(_)
        | Body::Welcome(_)
        | Body::Heartbeat(_)
        | Body::StopMachine(_)
        | Body::Probe(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use helmr_domain::Timestamp;
    use helmr_guest_wire::{RunLine, SignalRun};

    use super::*;

    fn run(number: u8) -> RunId {
        RunId::new(Timestamp::from_micros(0), [number; 10])
    }

    fn line(id: &str) -> Body {
        Body::RunLine(RunLine {
            run_id: id.to_owned(),
            ..RunLine::default()
        })
    }

    fn id_of(mut body: Body) -> Option<String> {
        said_to(&mut body).cloned()
    }

    #[test]
    fn a_copy_is_heard_as_what_it_is_and_spoken_to_as_what_it_was() {
        let (original, copy, later) = (run(1).to_string(), run(2).to_string(), run(3).to_string());
        let mut names = Names::new(BTreeMap::from([(original.clone(), Some(run(2)))]));
        names.note_stranger("exec");
        names.note_stranger(&original);
        assert_eq!(
            names.heard(line(&original)).and_then(id_of),
            Some(copy.clone())
        );
        assert_eq!(names.heard(line("exec")), None, "nobody here asked for it");
        // A run that was started in the copy was told its own id.
        assert_eq!(
            names.heard(line(&later)).and_then(id_of),
            Some(later.clone())
        );
        assert_eq!(id_of(names.say(line(&copy))), Some(original.clone()));
        assert_eq!(id_of(names.say(line(&later))), Some(later));
        let signal = Body::SignalRun(SignalRun {
            run_id: copy,
            ..SignalRun::default()
        });
        assert_eq!(id_of(names.say(signal)), Some(original));
    }

    #[test]
    fn what_is_known_of_strangers_stays_known() {
        let mut before = Names::default();
        before.note_stranger("a");
        before.note_stranger("b");
        let now = Names::new(BTreeMap::from([("a".to_owned(), Some(run(1)))]));
        let both = now.with(&before);
        assert_eq!(both.meant("a"), Some(run(1).to_string()));
        assert_eq!(both.meant("b"), None);
        assert_eq!(both.meant("c"), Some("c".to_owned()));
    }
}
