//! Durable transitions per second and the latency of completing a token, over HTTP on an idle server, beside a bare durable
//! commit: one row into an SQLite file with WAL and full sync, on the same disk in the same run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use helmr_e2e::{Options, Server};
use serde_json::json;

use crate::figures::Samples;
use crate::machine::milliseconds;
use crate::results;

/// Clients that create tokens at the same time.
const CLIENTS: u32 = 32;

/// Runs `rounds` rounds of 20 commits and completions, then a few seconds of load.
pub(crate) async fn run(rounds: u32) -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let bare = Baseline::open(&server)?;
    let client = reqwest::Client::new();
    let (mut commits, mut completions) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        for _ in 0..20 {
            let commit = tokio::task::block_in_place(|| bare.commit())?;
            let token = create_token(&client, &server).await?;
            let begun = Instant::now();
            let answer = client
                .post(format!("{}/api/v1/tokens/{token}/complete", server.url()))
                .bearer_auth(server.api_key())
                .json(&json!({"data": {"approved": true}}))
                .send()
                .await?;
            if answer.status() != 200 {
                bail!("complete: {}", answer.text().await?);
            }
            answer.bytes().await?;
            let completion = milliseconds(begun);
            if round > 0 {
                commits.push(commit);
                completions.push(completion);
            }
        }
    }
    let bare_rate = tokio::task::block_in_place(|| bare.rate())?;
    let rate = transitions_per_second(&client, &server).await?;
    let goal = if completions.median() < 3.0 {
        "met"
    } else {
        "missed"
    };
    results::keep(
        "store",
        &format!(
            "| | bare durable commit | Helmr | ratio |\n|---|---|---|---|\n\
             | one after the other, p50 (p99), ms | {:.2} ({:.2}) | {:.2} ({:.2}) | {:.1} |\n\
             | per second | {bare_rate:.0} | {rate:.0} | {:.1} |\n\n\
             First row: {} token completions by HTTP on an idle server (goal p50 under 3 ms: {goal}) against single-row commits. \
             Second row: token creations by HTTP from {CLIENTS} clients against commits one after the other; each creation is one \
             transition with its event, timer and outbox.\n",
            commits.median(),
            commits.quantile(0.99),
            completions.median(),
            completions.quantile(0.99),
            completions.median() / commits.median(),
            rate / bare_rate,
            completions.count(),
        ),
    )
}

async fn create_token(client: &reqwest::Client, server: &Server) -> Result<String> {
    let answer = client
        .post(format!("{}/api/v1/tokens", server.url()))
        .bearer_auth(server.api_key())
        .json(&json!({"timeout": "1h"}))
        .send()
        .await?;
    let status = answer.status();
    let body: serde_json::Value = answer.json().await?;
    body["token"]["id"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("create a token: {status}: {body}"))
}

async fn transitions_per_second(client: &reqwest::Client, server: &Server) -> Result<f64> {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let client = client.clone();
        let (url, key) = (
            format!("{}/api/v1/tokens", server.url()),
            server.api_key().to_owned(),
        );
        tasks.spawn(async move {
            let mut made = 0_u32;
            while begun.elapsed() < Duration::from_secs(4) {
                let answer = client
                    .post(&url)
                    .bearer_auth(&key)
                    .json(&json!({"timeout": "1h"}))
                    .send()
                    .await?;
                if !answer.status().is_success() {
                    bail!("create a token: {}", answer.text().await?);
                }
                answer.bytes().await?;
                made += 1;
            }
            Ok(made)
        });
    }
    let mut made = 0;
    while let Some(ended) = tasks.join_next().await {
        made += ended??;
    }
    Ok(f64::from(made) / begun.elapsed().as_secs_f64())
}

struct Baseline(rusqlite::Connection);

impl Baseline {
    /// A database beside the server's, on the same disk.
    fn open(server: &Server) -> Result<Self> {
        let connection = rusqlite::Connection::open(server.data_dir().join("baseline.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE commits (data TEXT NOT NULL) STRICT;",
        )?;
        Ok(Self(connection))
    }

    fn commit(&self) -> Result<f64> {
        let begun = Instant::now();
        self.0
            .prepare_cached("INSERT INTO commits (data) VALUES (?1)")?
            .execute(["{\"approved\":true}"])?;
        Ok(milliseconds(begun))
    }

    fn rate(&self) -> Result<f64> {
        let begun = Instant::now();
        let mut made = 0_u32;
        while begun.elapsed() < Duration::from_secs(2) {
            self.commit()?;
            made += 1;
        }
        Ok(f64::from(made) / begun.elapsed().as_secs_f64())
    }
}
