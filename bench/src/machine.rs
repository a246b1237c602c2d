//! Start, park and wake of a machine, each beside the same done with `runsc` by hand, round after round in turn.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use helmr_e2e::{Options, Server, poll_until};
use serde_json::{Value, json};

use crate::bare::Bare;
use crate::clock::{SETTLES_WITHIN, look_again, now_us, settle, work};
use crate::figures::Samples;
use crate::results;

#[derive(Default)]
struct Measured {
    start: Samples,
    park: Samples,
    wake: Samples,
}

/// Runs `rounds` rounds and keeps the table.
pub(crate) async fn run(rounds: u32) -> Result<()> {
    let server = Server::start(Options {
        hot_window: "0ms",
        ..Options::default()
    })
    .await?;
    let image = root_image(&server)?;
    let (mut helmr, mut bare) = (Measured::default(), Measured::default());
    // The first round of each warms caches and does not count.
    for round in 0..=rounds {
        tokio::time::sleep(SETTLES_WITHIN).await;
        let by_hand = tokio::task::block_in_place(|| bare_round(&image))?;
        tokio::time::sleep(SETTLES_WITHIN).await;
        let by_helmr = helmr_round(&server)
            .await
            .with_context(|| format!("round {round}"))?;
        if round > 0 {
            for (of, [start, park, wake]) in [(&mut bare, by_hand), (&mut helmr, by_helmr)] {
                of.start.push(start);
                of.park.push(park);
                of.wake.push(wake);
            }
        }
    }
    results::keep("machine", &table(&bare, &helmr))
}

fn bare_round(image: &std::path::Path) -> Result<[f64; 3]> {
    let mut machine = Bare::new(image)?;
    let start = machine.start()?;
    // As long as the task works before it waits.
    work();
    let park = machine.park()?;
    settle();
    let wake = machine.wake()?;
    Ok([start, park, wake])
}

async fn helmr_round(server: &Server) -> Result<[f64; 3]> {
    let before: Vec<i32> = server.machines().processes();
    let called_us = now_us();
    let (session, run) = server.start_session(&json!({"task": "bench"})).await?;
    let record = poll_until("the task's first line", Duration::from_secs(30), || async {
        let answer = server
            .get(&format!("/api/v1/sessions/{session}/outputs/out"))
            .await?;
        Ok(match answer["items"][0]["data"].clone() {
            Value::Null => Err(answer.to_string()),
            data => Ok(data),
        })
    })
    .await?;
    let started_us = micros(&record["firstLineUs"])?;

    // The task works for 300 ms before it waits: time to find its sandbox.
    let processes: Vec<i32> = server
        .machines()
        .processes()
        .into_iter()
        .filter(|pid| !before.contains(pid))
        .collect();
    let gone_us = tokio::task::spawn_blocking(move || -> Result<i64> {
        let begun = Instant::now();
        for process in processes {
            await_gone(process, begun)?;
        }
        Ok(now_us())
    })
    .await??;
    let waited_us = wait_created_us(server, &run).await?;
    server.await_parked(&run).await?;
    tokio::time::sleep(SETTLES_WITHIN).await;

    let token = record["id"].as_str().context("no token")?.to_owned();
    let completed_us = now_us();
    let (status, answer) = server
        .post(
            &format!("/api/v1/tokens/{token}/complete"),
            &json!({"data": 1}),
        )
        .await?;
    if status != 200 {
        bail!("complete: {status}: {answer}");
    }
    let output = server.await_output(&run).await?;
    let woke_us = micros(&output["nextLineUs"])?;
    Ok([
        span(called_us, started_us),
        span(waited_us, gone_us),
        span(completed_us, woke_us),
    ])
}

/// When the wait was registered: with a hot window of zero that is the decision to park.
async fn wait_created_us(server: &Server, run: &str) -> Result<i64> {
    let events = server
        .get(&format!("/api/v1/runs/{run}/events?limit=200"))
        .await?;
    let event = events["items"]
        .as_array()
        .and_then(|items| items.iter().find(|event| event["kind"] == "wait.created"))
        .with_context(|| format!("no wait.created in {events}"))?;
    let at = event["at"].as_str().context("an event has no time")?;
    parse_millis(at).with_context(|| format!("not a time: {at}"))
}

/// Reads `2026-01-02T03:04:05.678Z` as microseconds since the epoch.
pub(crate) fn parse_millis(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    // Days since the epoch (Howard Hinnant's civil calendar algorithm).
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(((days * 86_400 + seconds) * 1_000 + number(20, 23)?) * 1_000)
}

/// The only one that the worker has.
pub(crate) fn root_image(server: &Server) -> Result<PathBuf> {
    fs::read_dir(server.data_dir().join("worker/images"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "erofs")
        })
        .context("the worker has no root image")
}

/// The process of the only sandbox whose command line names `needle`.
pub(crate) fn sandbox_process(needle: &str) -> Result<i32> {
    fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            command.contains(needle) && command.split('\0').any(|word| word == "boot")
        })
        .with_context(|| format!("no sandbox names {needle}"))
}

/// Waits until a process is gone; one that is dead and not yet reaped counts as gone.
pub(crate) fn await_gone(pid: i32, since: Instant) -> Result<()> {
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.trim_start().chars().next());
        if state.is_none_or(|state| "ZX".contains(state)) {
            return Ok(());
        }
        if since.elapsed() > Duration::from_secs(30) {
            bail!("process {pid} is still there after 30 s");
        }
        look_again();
    }
}

pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

fn micros(value: &Value) -> Result<i64> {
    value
        .as_i64()
        .with_context(|| format!("not a time: {value}"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "spans of seconds, in microseconds"
)]
fn span(from_us: i64, to_us: i64) -> f64 {
    (to_us - from_us) as f64 / 1_000.0
}

fn table(bare: &Measured, helmr: &Measured) -> String {
    let row = |what: &str, bare: &Samples, helmr: &Samples, goal: f64| {
        let over = helmr.median() - bare.median();
        let verdict = if over <= goal { "met" } else { "missed" };
        format!(
            "| {what} | {} | {} | {:.2} | {over:+.0} | +{goal:.0} {verdict} |\n",
            bare.summary(),
            helmr.summary(),
            helmr.median() / bare.median()
        )
    };
    format!(
        "{} rounds in turn; milliseconds, median (min–max).\n\n| | `runsc` by hand | Helmr | ratio | over | goal |\n|---|---|---|---|---|---|\n{}{}{}\n\
         *Start*: session start call to the first line of `run`, against `runsc run` to a bare Node's first line. *Park*: wait \
         registered to no process left, against pause, checkpoint, fsync, kill. *Wake*: completion call to the next line, against \
         `runsc restore` to the bare Node's next line.\n",
        helmr.start.count(),
        row("start", &bare.start, &helmr.start, 60.0),
        row("park", &bare.park, &helmr.park, 50.0),
        row("wake", &bare.wake, &helmr.wake, 50.0),
    )
}

#[cfg(test)]
mod tests {
    use super::parse_millis;

    #[test]
    fn times_of_events_read_as_microseconds_since_the_epoch() {
        assert_eq!(parse_millis("1970-01-01T00:00:00.001Z"), Some(1_000));
        assert_eq!(
            parse_millis("2026-03-01T12:00:00.500Z"),
            Some(1_772_366_400_500_000)
        );
    }
}
