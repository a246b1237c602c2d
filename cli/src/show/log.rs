//! What a run printed and logged.

use base64::Engine as _;
use helmr_api::http::runs::{Encoding, LogItem};
use serde_json::Value;

use super::compact;
use crate::error::CommandError;
use crate::style::{Paint, Style};

/// The bytes of an item, as the run printed them.
pub(crate) fn bytes(item: &LogItem) -> Result<Vec<u8>, CommandError> {
    match item.encoding {
        Encoding::Utf8 => Ok(item.data.clone().into_bytes()),
        Encoding::Base64 => base64::engine::general_purpose::STANDARD
            .decode(&item.data)
            .map_err(|error| CommandError::failed("read the server's answer").because(&error)),
    }
}

/// `2026-06-01T00:00:00.250Z  INFO   reading the code  files=3`.
pub(crate) fn entry(item: &LogItem, style: Style) -> String {
    let level = item.level.as_deref().unwrap_or("info");
    let paint = match level {
        "error" => Paint::Bad,
        "warn" => Paint::Waiting,
        "debug" => Paint::Faint,
        _ => Paint::Note,
    };
    let at = style.paint(Paint::Faint, &item.at.to_string());
    let level = style.paint(paint, &format!("{:<5}", level.to_uppercase()));
    let mut line = format!("{at}  {level}  {}", item.data);
    if let Some(Value::Object(fields)) = &item.fields {
        for (name, value) in fields {
            line.push_str(&format!(
                "  {}",
                style.paint(Paint::Faint, &format!("{name}={}", compact(value)))
            ));
        }
    }
    line
}
