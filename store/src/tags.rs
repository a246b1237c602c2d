//! Tags, kept apart from what has them so that it is found by them.

use helmr_domain::Scope;

use crate::Result;
use crate::db::{Statement, ToValue, Tx, params};

/// Notes the tags of `subject`, of which there are ten at most, by a statement of environment, tag, subject, organization
/// and project.
pub(crate) async fn insert(
    tx: &mut Tx,
    statement: &'static Statement,
    scope: Scope,
    subject: impl ToValue + Copy,
    tags: &[String],
) -> Result<()> {
    for tag in tags {
        let bound = params![
            scope.environment,
            tag,
            subject,
            scope.organization,
            scope.project
        ];
        tx.run(statement, bound).await?;
    }
    Ok(())
}
