//! `helmr whoami`: which server, which scope, which key.

use crate::context::Context;
use crate::error::CommandError;
use crate::show;

pub(super) async fn run(context: &Context) -> Result<(), CommandError> {
    let server = context.server()?;
    let client = context.client()?;
    let answer = client.who_am_i().await.map_err(|error| {
        CommandError::from(error).hint(format!("{} comes from {}", client.url(), server.origin))
    })?;
    context.output.answer(&answer, |body, style| {
        show::scope::caller(body, client.url(), &server.origin, style)
    })
}
