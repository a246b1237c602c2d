//! Many clients that send the same request as fast as they are answered.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use reqwest::RequestBuilder;

/// Clients at the same time.
pub(super) const CLIENTS: u32 = 32;

/// How long they send.
const LASTING: Duration = Duration::from_secs(4);

/// Requests accepted in a second.
pub(super) async fn per_second(request: impl Fn() -> RequestBuilder) -> Result<f64> {
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let request = request();
        clients.spawn(async move {
            let mut accepted = 0_u32;
            while begun.elapsed() < LASTING {
                let Some(again) = request.try_clone() else {
                    bail!("a request with a stream for its body");
                };
                let answer = again.send().await?;
                if !answer.status().is_success() {
                    bail!("{}: {}", answer.status(), answer.text().await?);
                }
                answer.bytes().await?;
                accepted += 1;
            }
            Ok(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(ended) = clients.join_next().await {
        accepted += ended??;
    }
    Ok(f64::from(accepted) / begun.elapsed().as_secs_f64())
}
