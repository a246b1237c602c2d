//! Whether a server has an image: for the check-up of a machine.

use std::time::Duration;

use helmr_api::http::page::PageQuery;

use crate::context::Context;
use crate::style::Style;

/// A check-up does not wait for a server that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server that commands would use whether it has an image of this name.
///
/// # Errors
/// Why nobody could be asked, in words for people.
pub async fn is_there(context: &Context, name: &str) -> Result<bool, String> {
    let told = |error: crate::CommandError| {
        let text = error.render(Style::plain());
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    };
    let client = context.client().map_err(told)?;
    let looking = async {
        let mut query = PageQuery {
            limit: Some(200),
            cursor: None,
        };
        loop {
            let page = client.list_images(&query).await?.body;
            if page.items.iter().any(|image| image.name == name) {
                return Ok(true);
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return Ok(false);
            }
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(found) => found.map_err(told),
        Err(_) => Err(format!("{} does not answer", client.url())),
    }
}
