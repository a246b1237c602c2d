//! Timers: rows that say when to look at their subject again. The deadline in the subject decides.

mod fire;

use helmr_domain::Timestamp;
use helmr_domain::timer::{Change, Purpose};

use crate::db::{Tx, params, sql};
use crate::{Hint, Result, Store};

pub use fire::{Fired, fire_due};

sql! {
    NEXT = "SELECT due_at
        FROM timers
        ORDER BY due_at
        LIMIT 1";

    ARM = "INSERT INTO timers (purpose, subject_id, due_at)
        VALUES ($1, $2, $3)
        ON CONFLICT (purpose, subject_id) DO UPDATE SET due_at = excluded.due_at";

    DISARM = "DELETE FROM timers
        WHERE purpose = $1 AND subject_id = $2";
}

/// When the earliest timer is due.
///
/// # Errors
/// If the database fails.
pub async fn next_due(store: &Store) -> Result<Option<Timestamp>> {
    store
        .read((), |tx, ()| {
            Box::pin(async move {
                let found = tx.find(&NEXT, &[]).await?;
                found.map(|mut row| row.take("due_at")).transpose()
            })
        })
        .await
}

pub(crate) async fn arm(
    tx: &mut Tx,
    purpose: Purpose,
    subject: &impl ToString,
    due_at: Timestamp,
) -> Result<()> {
    tx.run(&ARM, params![purpose.as_str(), subject.to_string(), due_at])
        .await?;
    tx.hint(Hint::Timers);
    Ok(())
}

pub(crate) async fn disarm(tx: &mut Tx, purpose: Purpose, subject: &impl ToString) -> Result<()> {
    tx.run(&DISARM, params![purpose.as_str(), subject.to_string()])
        .await
        .map(drop)
}

pub(crate) async fn change(tx: &mut Tx, subject: &impl ToString, change: Change) -> Result<()> {
    match change {
        Change::Arm { purpose, due_at } => arm(tx, purpose, subject, due_at).await,
        Change::Disarm(purpose) => disarm(tx, purpose, subject).await,
    }
}
