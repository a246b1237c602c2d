//! Timers that are due.

use futures_util::{StreamExt as _, stream};
use helmr_domain::timer::{Clock, Purpose};
use helmr_domain::{Moment, run, wait as wait_domain};

use super::is_absolute;
use crate::db::{Tx, params, sql};
use crate::{Error, Hint, Result, Store, execs, runs, sessions, tokens, wait};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    pub fired: u32,
    /// There may be more that are due.
    pub more: bool,
}

sql! {
    DUE = "SELECT purpose, subject_id
        FROM timers
        WHERE absolute = $1 AND due_at <= $2
        ORDER BY due_at
        LIMIT $3";

    /// Answers no row if the timer was moved or fired meanwhile.
    TAKE = "DELETE FROM timers
        WHERE purpose = $1 AND subject_id = $2
            AND due_at <= CASE absolute WHEN 0 THEN CAST($3 AS BIGINT) ELSE CAST($4 AS BIGINT) END";
}

/// Transactions at once: they share their commits.
const AT_ONCE: usize = 256;

/// Fires up to `limit` timers of each clock that are due, each in a transaction of its own.
///
/// # Errors
/// If the database fails; those fired before stay fired.
pub async fn fire_due(store: &Store, at: Moment, limit: u32) -> Result<Fired> {
    let due = store
        .read((at, limit), |tx, input| {
            let (at, limit) = *input;
            Box::pin(async move {
                let mut due = due_of(tx, Clock::Steady, at, limit).await?;
                due.extend(due_of(tx, Clock::Wall, at, limit).await?);
                Ok(due)
            })
        })
        .await?;
    let mut fired = Fired {
        fired: 0,
        more: u32::try_from(due.len()).is_ok_and(|count| count >= limit),
    };
    let mut firing = stream::iter(due.into_iter().zip(0..))
        .map(|((purpose, subject), part)| {
            store.write((purpose, subject, at.part(part)), |tx, input| {
                Box::pin(async move {
                    let (purpose, subject, at) = input;
                    fire(tx, *purpose, subject, *at).await
                })
            })
        })
        .buffer_unordered(AT_ONCE);
    while let Some(done) = firing.next().await {
        match done {
            Ok(()) => fired.fired += 1,
            Err(error @ Error::Unavailable(_)) => return Err(error),
            // One that cannot be dealt with must not hold up the others.
            Err(error) => tracing::error!(error = %error, "a timer was not fired"),
        }
    }
    fired.more &= fired.fired > 0;
    Ok(fired)
}

async fn due_of(
    tx: &mut Tx,
    clock: Clock,
    at: Moment,
    limit: u32,
) -> Result<Vec<(Purpose, String)>> {
    let bound = params![is_absolute(clock), clock.read(at), limit];
    let found = tx.rows(&DUE, bound).await?;
    found
        .into_iter()
        .map(|mut row| {
            let purpose = row.parse("purpose", |text| text.parse().ok())?;
            Ok((purpose, row.take("subject_id")?))
        })
        .collect()
}

async fn fire(tx: &mut Tx, purpose: Purpose, subject: &str, at: Moment) -> Result<()> {
    let bound = params![purpose.as_str(), subject, at.now, at.wall];
    if tx.run(&TAKE, bound).await? == 0 {
        return Ok(());
    }
    match purpose {
        Purpose::WaitDue | Purpose::WaitTimeout => {
            if let Some(mut found) = wait::find(tx, id(subject)?).await? {
                let command = wait_domain::Command::Due;
                wait::apply(tx, &mut found, command, at).await?;
            }
        }
        Purpose::TokenTimeout => tokens::expire(tx, id(subject)?, at).await?,
        Purpose::RunTtl => tell_run(tx, subject, run::Command::ExpireTtl, at).await?,
        Purpose::RunMaxDuration => {
            tell_run(tx, subject, run::Command::ExceedDuration, at).await?;
        }
        Purpose::StopGrace => tell_run(tx, subject, run::Command::EndGrace, at).await?,
        Purpose::SessionExpiry => sessions::expire(tx, id(subject)?, at).await?,
        Purpose::ExecTimeout => execs::expire(tx, id(subject)?, at).await?,
        // Placement looks at the deadline itself.
        Purpose::RunNotBefore | Purpose::MachineNotBefore => tx.hint(Hint::Queue),
    }
    Ok(())
}

async fn tell_run(tx: &mut Tx, subject: &str, command: run::Command, at: Moment) -> Result<()> {
    if let Some(mut found) = runs::find(tx, id(subject)?).await? {
        runs::apply(tx, &mut found, command, at).await?;
    }
    Ok(())
}

fn id<Id: std::str::FromStr>(subject: &str) -> Result<Id> {
    subject.parse().map_err(|_| Error::Corrupt {
        object: "timer",
        column: "subject_id",
    })
}
