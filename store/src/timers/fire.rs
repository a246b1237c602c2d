//! Timers that are due.

use helmr_domain::timer::Purpose;
use helmr_domain::{Moment, run, wait as wait_domain};

use crate::db::{Tx, params, sql};
use crate::{Error, Hint, Result, Store, runs, sessions, tokens, wait};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    pub fired: u32,
    /// There may be more that are due.
    pub more: bool,
}

sql! {
    DUE = "SELECT purpose, subject_id
        FROM timers
        WHERE due_at <= $1
        ORDER BY due_at
        LIMIT $2";

    /// Answers no row if the timer was moved or fired meanwhile.
    TAKE = "DELETE FROM timers
        WHERE purpose = $1 AND subject_id = $2 AND due_at <= $3";
}

/// Fires up to `limit` timers that are due, each in a transaction of its own.
///
/// # Errors
/// If the database fails; those fired before stay fired.
pub async fn fire_due(store: &Store, at: Moment, limit: u32) -> Result<Fired> {
    let due = store
        .read((at, limit), |tx, input| {
            let (at, limit) = *input;
            Box::pin(async move {
                let found = tx.rows(&DUE, params![at.now, limit]).await?;
                found
                    .into_iter()
                    .map(|mut row| {
                        let purpose = row.parse("purpose", |text| text.parse().ok())?;
                        Ok((purpose, row.take("subject_id")?))
                    })
                    .collect::<Result<Vec<(Purpose, String)>>>()
            })
        })
        .await?;
    let mut fired = Fired {
        fired: 0,
        more: u32::try_from(due.len()).is_ok_and(|count| count >= limit),
    };
    for ((purpose, subject), part) in due.into_iter().zip(0..) {
        let done = store
            .write((purpose, subject, at.part(part)), |tx, input| {
                Box::pin(async move {
                    let (purpose, subject, at) = input;
                    fire(tx, *purpose, subject, *at).await
                })
            })
            .await;
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

async fn fire(tx: &mut Tx, purpose: Purpose, subject: &str, at: Moment) -> Result<()> {
    let bound = params![purpose.as_str(), subject, at.now];
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
