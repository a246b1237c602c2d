//! What the artifact store takes, and its garbage collection: see `helmr_artifacts::sweep` for why that is safe.

use helmr_api::http::storage::{Figure, Storage, Sweep};
use helmr_artifacts::sweep::{Count, Figures, Round, Step};
use helmr_artifacts::{KeySet, ManifestId};
use helmr_domain::Duration;
use helmr_store::manifests::{self, Named};
use serde_json::{Value, json};

use crate::{ApiError, Control};

/// How long nobody must have wanted something before it is set aside, and how long it then lies there.
const GRACE: Duration = Duration::from_secs(86_400);
/// Objects that are looked at in one go: what else waits for the store comes in between.
const STEPS: usize = 512;
/// How long rounds are remembered.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// Tells what the last round found.
///
/// # Errors
/// Those of the store.
pub(crate) async fn look(control: &Control) -> Result<Storage, ApiError> {
    let last = manifests::last_sweeps(&control.store, 1).await?;
    let sweep = last.first().map(view);
    Ok(Storage { last_sweep: sweep })
}

/// Runs a round. One at a time: a second one waits for the first.
///
/// # Errors
/// Those of the store; a manifest that cannot be followed ends the round before it takes anything.
pub(crate) async fn sweep(control: &Control) -> Result<Storage, ApiError> {
    let _turn = control.sweeping.lock().await;
    let at = control.moment()?;
    manifests::begin_sweep(&control.store, at).await?;
    let swept = round(control).await;
    let (failure, figures) = match &swept {
        Ok(figures) => (None, Some(write(figures))),
        Err(error) => (Some(error.message().to_owned()), None),
    };
    let now = control.moment()?.now;
    let ended = manifests::Sweep {
        started_at: at.now,
        finished_at: Some(now),
        failure,
        figures,
    };
    manifests::end_sweep(&control.store, ended, now.before(REMEMBERED)).await?;
    let figures = swept?;
    tracing::info!(
        kept_bytes = figures.kept.bytes,
        aside_bytes = figures.aside.bytes,
        removed_bytes = figures.removed.bytes,
        removed = figures.removed.objects,
        "artifact store swept"
    );
    look(control).await
}

async fn round(control: &Control) -> Result<Figures, ApiError> {
    let grace = std::time::Duration::from_micros(GRACE.as_micros().unsigned_abs());
    // Before the database is read.
    let mut round = Round::begin(&control.artifacts, grace);
    for named in manifests::named(&control.store).await? {
        let keys = keys_of(control, &named).await?;
        let id: ManifestId = named
            .manifest
            .parse()
            .map_err(|error| ApiError::internal(&error))?;
        let marked = control.artifacts.run(move |artifacts| {
            round.mark(artifacts, &keys, id)?;
            Ok::<_, helmr_artifacts::Error>(round)
        });
        round = marked.await.map_err(|error| {
            tracing::error!(manifest = named.manifest, %error, "what is named cannot be read; nothing is swept");
            ApiError::internal(&error)
        })?;
        if control.ending.is_cancelled() {
            return Err(ending());
        }
    }
    loop {
        let taken = control.artifacts.run(move |_| {
            for _ in 0..STEPS {
                if round.step()? == Step::Done {
                    return Ok((round, Step::Done));
                }
            }
            Ok::<_, helmr_artifacts::Error>((round, Step::More))
        });
        let (taken, step) = taken.await.map_err(|error| ApiError::internal(&error))?;
        if step == Step::Done {
            return Ok(taken.figures());
        }
        if control.ending.is_cancelled() {
            return Err(ending());
        }
        round = taken;
    }
}

fn ending() -> ApiError {
    ApiError::new(
        helmr_api::error::Code::ShuttingDown,
        "the server is going away; the next round begins anew",
    )
}

async fn keys_of(control: &Control, named: &Named) -> Result<KeySet, ApiError> {
    match named.environment {
        Some(environment) => Ok(control.environment(environment).await?.keys),
        None => Ok(control.installation.keys.clone()),
    }
}

fn write(figures: &Figures) -> Value {
    let count = |count: Count| json!({ "objects": count.objects, "bytes": count.bytes });
    json!({
        "kept": count(figures.kept),
        "young": count(figures.young),
        "aside": count(figures.aside),
        "restored": count(figures.restored),
        "removed": count(figures.removed),
    })
}

fn view(row: &manifests::Sweep) -> Sweep {
    let figure = |name: &str| {
        let found = row.figures.as_ref().map(|figures| &figures[name]);
        let number = |what: &str| found.and_then(|found| found[what].as_u64()).unwrap_or(0);
        Figure {
            objects: number("objects"),
            bytes: number("bytes"),
        }
    };
    Sweep {
        started_at: row.started_at.into(),
        finished_at: row.finished_at.map(Into::into),
        failure: row.failure.clone(),
        kept: figure("kept"),
        young: figure("young"),
        aside: figure("aside"),
        restored: figure("restored"),
        removed: figure("removed"),
    }
}
