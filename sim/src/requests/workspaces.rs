//! Workspaces, stopped and deleted.

use helmr_domain::{Moment, Refusal, WorkspaceId};
use helmr_store::workspaces::{self, End};

use crate::ready;
use crate::violation::{Checked, hold};
use crate::world::{Actor, World};

impl World<'_> {
    fn end_of(&self, workspace: WorkspaceId, force: bool, at: Moment) -> End {
        End {
            at,
            scope: self.base.scope,
            workspace,
            force,
        }
    }

    pub(super) fn stop_workspace(
        &mut self,
        workspace: WorkspaceId,
        force: bool,
        at: Moment,
    ) -> Checked<Option<Refusal>> {
        let end = self.end_of(workspace, force, at);
        let done = ready(workspaces::stop(&self.base.store, end));
        Ok(self.after(Actor::Client, done)?.err())
    }

    pub(super) fn delete_workspace(
        &mut self,
        workspace: WorkspaceId,
        force: bool,
        at: Moment,
    ) -> Checked<Option<Refusal>> {
        let end = self.end_of(workspace, force, at);
        let done = ready(workspaces::delete(&self.base.store, end));
        let refusal = self.after(Actor::Client, done)?.err();
        let mut execs = self.shadow.open.execs.iter();
        let waits = execs.any(|id| {
            let exec = self.shadow.execs.get(id);
            exec.is_some_and(|exec| exec.workspace == workspace && exec.state == "queued")
        });
        hold!(
            refusal.is_some() || !waits,
            "nothing starts in a deleted workspace",
            "an exec waits for a machine of {workspace}"
        );
        Ok(refusal)
    }
}
