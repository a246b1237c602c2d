//! Tasks and sandboxes of the promoted deployment.

use super::{Answer, Client, Error};
use crate::http::page::{Page, PageQuery};
use crate::http::tasks::{Sandbox, SandboxAnswer, Task, TaskAnswer};

impl Client {
    /// # Errors
    /// Those of the server.
    pub async fn list_tasks(&self, page: &PageQuery) -> Result<Answer<Page<Task>>, Error> {
        self.get(&["tasks"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_task(&self, id: &str) -> Result<Answer<TaskAnswer>, Error> {
        self.get(&["tasks", id]).send().await
    }

    /// # Errors
    /// Those of the server.
    pub async fn list_sandboxes(&self, page: &PageQuery) -> Result<Answer<Page<Sandbox>>, Error> {
        self.get(&["sandboxes"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_sandbox(&self, id: &str) -> Result<Answer<SandboxAnswer>, Error> {
        self.get(&["sandboxes", id]).send().await
    }
}
