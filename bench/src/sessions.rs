//! Sessions beside a peer on the same disk in the same run: durable calls, steps, and waits that somebody outside ends. And
//! what only Helmr has: a start in a warm machine, and the cost of a hundred thousand waiting runs.

mod helmr;
mod load;
mod peer;
mod waiting;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::figures::Samples;
use crate::results;

/// The same work done by either system.
#[derive(Default)]
struct Common {
    /// Durable calls accepted in a second, from many clients.
    rate: Samples,
    /// One such call until it is seen at its other end.
    call: Samples,
    /// The first ten durable steps of one task.
    steps: Samples,
    /// Ten steps of it once its process is warm.
    warm_steps: Samples,
    /// A wait's end, told from outside, until the next line.
    awaken: Samples,
}

/// Runs `rounds` rounds of each and keeps the table.
pub(crate) async fn run(rounds: u32) -> Result<()> {
    let mut helmr = helmr::Helmr::start().await?;
    let mut peer = peer::Peer::start(helmr.directory()).await?;
    let (mut ours, mut theirs) = (Common::default(), Common::default());
    // The first round of each warms caches and does not count.
    for round in 0..=rounds {
        let counts = round > 0;
        helmr.round(&mut ours, counts).await?;
        peer.round(&mut theirs, counts).await?;
    }
    for round in 0..=3 {
        let (here, there) = (helmr.rate().await?, peer.rate().await?);
        if round > 0 {
            ours.rate.push(here);
            theirs.rate.push(there);
        }
    }
    peer.end().await?;
    let alone = helmr.alone();
    results::keep("sessions", &table(&ours, &theirs, &alone))?;
    // The longest part.
    keep_waiting(&mut helmr).await
}

/// Measures what waiting runs cost, alone.
pub(crate) async fn waiting() -> Result<()> {
    keep_waiting(&mut helmr::Helmr::start().await?).await
}

async fn keep_waiting(helmr: &mut helmr::Helmr) -> Result<()> {
    let cost = waiting::measure(helmr).await?;
    let body = format!("| Helmr alone | |\n|---|---|\n{}", idle(&cost));
    results::keep("waiting", &body)
}

/// What has no counterpart.
struct Alone {
    warm_start: Samples,
    leased: Samples,
}

fn table(ours: &Common, theirs: &Common, alone: &Alone) -> String {
    let verdict = |ahead: bool| if ahead { "ahead" } else { "behind" };
    let row = |what: &str, ours: &Samples, theirs: &Samples| {
        format!(
            "| {what} | {:.2} ({:.2}) | {:.2} ({:.2}) | {:.2} | {} |\n",
            ours.median(),
            ours.quantile(0.99),
            theirs.median(),
            theirs.quantile(0.99),
            ours.median() / theirs.median(),
            verdict(ours.median() < theirs.median())
        )
    };
    let (here, there) = (ours.rate.median(), theirs.rate.median());
    let goal = if here >= 5_000.0 { "met" } else { "missed" };
    format!(
        "{} rounds in turn; milliseconds, p50 (p99).\n\n| | Helmr | Restate | ratio | |\n|---|---|---|---|---|\n\
         | durable calls accepted, per second | {here:.0} | {there:.0} | {:.2} | {} |\n{}{}{}{}\n\
         *Calls*: records appended to a session's input against one-way calls, from {} clients (goal 5,000 per second: {goal}). \
         *One call*: append until a follower has the record, against a call until its answer. *Ten steps*: output records \
         appended by a sandboxed task against `run` steps of a handler, the first ten and those from the 31st on; the task's \
         process is a fresh one, the handler's is there already. *Wait*: token completed, or awakeable resolved, until the \
         next line; the machine is live.\n\n\
         | Helmr alone | |\n|---|---|\n\
         | session start to first line, machine warm, ms | {} |\n| run queued until leased, ms | {} |\n",
        ours.steps.count(),
        here / there,
        verdict(here > there),
        row("one call to its other end", &ours.call, &theirs.call),
        row("ten steps, the first", &ours.steps, &theirs.steps),
        row("ten steps, warm", &ours.warm_steps, &theirs.warm_steps),
        row("a wait ended from outside", &ours.awaken, &theirs.awaken),
        load::CLIENTS,
        alone.warm_start.summary(),
        alone.leased.summary(),
    )
}

/// Reads microseconds as milliseconds.
fn millis(us: &Value) -> Result<f64> {
    Ok(us.as_f64().with_context(|| format!("not a time: {us}"))? / 1_000.0)
}

fn idle(cost: &waiting::Cost) -> String {
    format!(
        "| idle with {} waiting runs | {:.2} % of a core, {:.0} MiB resident |\n\
         | {} of them due at one instant: until the last is told, ms | {:.0} |\n",
        cost.runs,
        cost.cpu_percent,
        cost.resident_mib,
        waiting::TOGETHER,
        cost.together_ms
    )
}
