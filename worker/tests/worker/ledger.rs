//! What the control plane of a test knows, and what reports make of it.

use std::collections::{BTreeMap, HashSet};

use helmr_api::worker::{Assignment, Beside, CapturedVersion, Origin, PendingWait, RunAssignment};
use helmr_domain::{CheckpointId, RunId, Timestamp, VersionId, WaitId};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    Requested,
    Preparing,
    Live,
    Parking,
    Parked,
    Resuming,
    Stopping,
    Stopped,
    Failed,
}

/// Everything the control plane knows.
pub(crate) struct State {
    pub(crate) assignment: Assignment,
    pub(crate) machine: Machine,
    pub(crate) leased: bool,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) checkpoint: Option<CheckpointId>,
    pub(crate) version: Option<CapturedVersion>,
    pub(crate) versions: Vec<CapturedVersion>,
    /// Of each capture that was asked for: for whom it was made.
    pub(crate) asked: Vec<Vec<VersionId>>,
    /// Every report that was taken, in order: the last part of its path.
    pub(crate) log: Vec<String>,
    /// Why machines failed.
    pub(crate) failures: Vec<Value>,
    /// Reports that are refused as stale, whatever they say: the lease went elsewhere.
    pub(crate) fenced: usize,
    pub(crate) draining: bool,
    pub(crate) beats: usize,
    /// The answer to heartbeats, when they are not to be answered truly.
    pub(crate) deaf: bool,
    /// Reports that are taken but whose answer never comes.
    pub(crate) held: HashSet<String>,
    /// Reports that never arrive.
    pub(crate) blocked: HashSet<String>,
    pub(crate) lost: bool,
    /// What the image holds at the mount path, once someone has captured it.
    pub(crate) seed: Option<String>,
    /// Whatever the worker holds and does not use is over, or was lost with it.
    pub(crate) all_over: bool,
    pub(crate) all_lost: bool,
    pub(crate) beside: Vec<Beside>,
}

pub(crate) struct Run {
    pub(crate) assignment: RunAssignment,
    pub(crate) started: usize,
    pub(crate) inputs: usize,
    pub(crate) calls: BTreeMap<u64, Value>,
    pub(crate) call_posts: usize,
    pub(crate) delivered: Vec<WaitId>,
    pub(crate) finished: Option<Value>,
    pub(crate) output: BTreeMap<String, String>,
    pub(crate) entries: BTreeMap<u64, Value>,
}

impl State {
    pub(crate) fn new(assignment: Assignment, seed: Option<String>) -> Self {
        Self {
            assignment,
            machine: Machine::Requested,
            leased: false,
            runs: BTreeMap::new(),
            checkpoint: None,
            version: None,
            versions: Vec::new(),
            asked: Vec::new(),
            log: Vec::new(),
            failures: Vec::new(),
            all_over: false,
            all_lost: false,
            beside: Vec::new(),
            fenced: 0,
            draining: false,
            beats: 0,
            deaf: false,
            held: HashSet::new(),
            blocked: HashSet::new(),
            lost: false,
            seed,
        }
    }

    pub(crate) fn place(&mut self) {
        self.assignment.epoch += 1;
        self.leased = true;
        self.lost = false;
        self.assignment.machine.origin = match (self.machine, self.checkpoint, &self.version) {
            (Machine::Parked, Some(checkpoint_id), Some(version)) => Origin::Checkpoint {
                checkpoint_id,
                version_id: version.version_id,
                manifest: version.manifest.clone(),
            },
            (_, _, Some(version)) => Origin::Version {
                version_id: version.version_id,
                manifest: version.manifest.clone(),
            },
            (_, _, None) => Origin::Seed,
        };
        self.machine = match self.machine {
            Machine::Parked => Machine::Resuming,
            _ => Machine::Preparing,
        };
    }

    pub(crate) fn snapshot(&mut self) -> Assignment {
        self.assignment.revision += 1;
        Assignment {
            runs: self
                .runs
                .values()
                .filter(|run| run.finished.is_none())
                .map(|run| run.assignment.clone())
                .collect(),
            ..self.assignment.clone()
        }
    }

    fn is_busy(&self) -> bool {
        self.runs
            .values()
            .filter(|run| run.finished.is_none())
            .any(|run| run.assignment.waiting.is_none() || !run.assignment.outcomes.is_empty())
    }

    /// How often a report was taken.
    pub(crate) fn count(&self, report: &str) -> usize {
        self.log.iter().filter(|taken| *taken == report).count()
    }
}

impl State {
    fn fence(&mut self, body: &Value) -> Result<(), &'static str> {
        if self.leased && !self.lost && body["epoch"] == json!(self.assignment.epoch) {
            return Ok(());
        }
        self.fenced += 1;
        Err("stale_lease")
    }

    pub(crate) fn take_machine(&mut self, what: &str, body: &Value) -> Result<(), &'static str> {
        self.fence(body)?;
        let draining = body["draining"] == true;
        match what {
            "live" | "unparked" => self.machine = Machine::Live,
            "parking" if self.is_busy() => return Err("machine_busy"),
            "parked" if self.machine != Machine::Parking && !draining => {
                return Err("invalid_state");
            }
            "parking" => self.machine = Machine::Parking,
            "parked" => {
                self.machine = Machine::Parked;
                self.leased = false;
                self.checkpoint = serde_json::from_value(body["checkpoint_id"].clone()).ok();
                self.keep_version(&body["version"]);
            }
            "stopping" if self.runs.values().any(|run| run.finished.is_none()) => {
                return Err("machine_busy");
            }
            "stopping" => self.machine = Machine::Stopping,
            "stopped" => {
                self.machine = Machine::Stopped;
                self.leased = false;
                self.keep_version(&body["version"]);
            }
            "failed" => {
                self.failures.push(body.clone());
                self.leased = false;
                self.keep_version(&body["version"]);
                self.machine = if body["checkpoint_kept"] == true {
                    Machine::Parked
                } else {
                    Machine::Failed
                };
            }
            "version" => {
                self.keep_version(&body["version"]);
                let asked: Vec<VersionId> =
                    serde_json::from_value(body["asked"].clone()).unwrap_or_default();
                if !asked.is_empty() {
                    self.asked.push(asked);
                }
            }
            _ => return Err("route_not_found"),
        }
        self.log.push(what.to_owned());
        Ok(())
    }

    fn keep_version(&mut self, version: &Value) {
        if let Ok(version) = serde_json::from_value::<CapturedVersion>(version.clone()) {
            if self.version.as_ref() != Some(&version) {
                self.versions.push(version.clone());
            }
            self.version = Some(version);
        }
    }

    pub(crate) fn take_run(
        &mut self,
        run_id: RunId,
        what: &str,
        body: &Value,
    ) -> Result<Option<Value>, &'static str> {
        self.fence(body)?;
        let run = self.runs.get_mut(&run_id).ok_or("run_not_found")?;
        if body["attempt_number"] != json!(run.assignment.attempt_number) {
            return Err("stale_lease");
        }
        self.log.push(what.to_owned());
        let mut answer = None;
        match what {
            "input" => {
                run.inputs += 1;
                answer = Some(json!({
                    "init": {"type": "init", "run": run_id},
                    "argv": ["runtime.mjs"],
                    "env": ["SECRET=hunter2"],
                }));
            }
            "started" => {
                run.started += 1;
                run.assignment.started = true;
            }
            "calls" => answer = Some(run.call(body)),
            "delivered" => {
                let wait_id: WaitId = serde_json::from_value(body["wait_id"].clone()).unwrap();
                if !run.delivered.contains(&wait_id) {
                    run.delivered.push(wait_id);
                }
                run.assignment
                    .outcomes
                    .retain(|outcome| outcome.wait_id != wait_id);
                if run
                    .assignment
                    .waiting
                    .as_ref()
                    .is_some_and(|wait| wait.wait_id == wait_id)
                {
                    run.assignment.waiting = None;
                }
            }
            "output" => run.print(body),
            "finished" => {
                run.finished.get_or_insert_with(|| body.clone());
            }
            _ => return Err("route_not_found"),
        }
        Ok(answer)
    }
}

impl Run {
    pub(crate) fn new(assignment: RunAssignment) -> Self {
        Self {
            assignment,
            started: 0,
            inputs: 0,
            calls: BTreeMap::new(),
            call_posts: 0,
            delivered: Vec::new(),
            finished: None,
            output: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }

    fn call(&mut self, body: &Value) -> Value {
        self.call_posts += 1;
        let call_no = body["call_no"].as_u64().unwrap();
        if let Some(answer) = self.calls.get(&call_no) {
            return answer.clone();
        }
        let answer = match body["op"].as_str().unwrap() {
            "wait" if self.assignment.waiting.is_some() => {
                json!({"state": "refused", "code": "concurrent_wait", "message": "no", "details": null})
            }
            "wait" => {
                let mut random = [0; 10];
                random[9] = u8::try_from(call_no).unwrap();
                let wait_id = WaitId::new(Timestamp::from_micros(now_us()), random);
                let hot_window_ms = body["args"]["hot_window_ms"].as_u64().unwrap_or(0);
                self.assignment.waiting = Some(PendingWait {
                    wait_id,
                    call_no,
                    hot_window_ms,
                    idle_for_ms: 0,
                });
                json!({"state": "waiting", "wait_id": wait_id, "hot_window_ms": hot_window_ms, "blocking": true})
            }
            "refuse" => {
                json!({"state": "refused", "code": "nope", "message": "no", "details": null})
            }
            _ => json!({"state": "answered", "answer": {"of": call_no, "args": body["args"]}}),
        };
        self.calls.insert(call_no, answer.clone());
        answer
    }

    fn print(&mut self, body: &Value) {
        use base64::Engine as _;
        for segment in body["segments"].as_array().unwrap() {
            let stream = segment["stream"].as_str().unwrap().to_owned();
            let text = self.output.entry(stream).or_default();
            let data = base64::engine::general_purpose::STANDARD
                .decode(segment["data"].as_str().unwrap())
                .unwrap();
            let offset = usize::try_from(segment["offset"].as_u64().unwrap()).unwrap();
            assert!(offset <= text.len(), "output is missing");
            let known = text.len() - offset;
            if known < data.len() {
                text.push_str(&String::from_utf8_lossy(&data[known..]));
            }
        }
        for entry in body["entries"].as_array().unwrap() {
            self.entries
                .insert(entry["index"].as_u64().unwrap(), entry.clone());
        }
    }
}

pub(crate) fn now_us() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_micros()).unwrap()
}
