//! The contract's limits on what people and tasks send, each checked in one place.

use std::collections::BTreeMap;

use helmr_api::error::Code;
use helmr_api::http::execs::CreateExec;
use helmr_api::http::ptys::CreatePty;
use helmr_domain::pty::Size;
use helmr_domain::{CanonicalJson, Duration, limits};
use serde_json::{Map, Value, json};

use crate::ApiError;

const TAGS: usize = 10;
const EXEC_ARGUMENTS: usize = 4_096;
/// Less than what the kernel takes with a new process.
const EXEC_BYTES: usize = 1 << 20;
const EXEC_SHORTEST: Duration = Duration::from_millis(1);
const EXEC_LONGEST: Duration = Duration::from_secs(30 * 86_400);
const PATH_CHARACTERS: usize = 4_096;
const USER_CHARACTERS: usize = 256;
const TAG_CHARACTERS: usize = 128;
pub(crate) const METADATA_BYTES: usize = 256 << 10;
pub(crate) const RECORD_BYTES: usize = 1 << 20;
pub(crate) const PAYLOAD_BYTES: usize = 4 << 20;
pub(crate) const OUTPUT_BYTES: usize = 4 << 20;
const EXTERNAL_ID_CHARACTERS: usize = 256;
const CORRELATION_ID_CHARACTERS: usize = 256;
const RECORD_KEY_BYTES: usize = 512;
const MESSAGE_CHARACTERS: usize = 2_000;
const KEEP_LAST_MOST: u32 = 1_000_000;
const KEEP_FOR_SHORTEST: Duration = Duration::from_secs(3_600);
const KEEP_FOR_LONGEST: Duration = Duration::from_secs(3_650 * 86_400);
const REASON_CHARACTERS: usize = 1_024;
const LONGEST_TOKEN: Duration = Duration::from_secs(365 * 86_400);
const LONGEST_TTL: Duration = Duration::from_secs(30 * 86_400);
/// For whom nothing else is said.
const PUBLIC_TOKEN: Duration = Duration::from_secs(86_400);
const ORIGINS: usize = 20;
const ORIGIN_BYTES: usize = 300;
const CONNECT_USUAL: Duration = Duration::from_secs(60);
const CONNECT_LONGEST: Duration = Duration::from_secs(600);
const LIST_MOST: u32 = 200;
const LIST_USUAL: u32 = 50;

fn exceeded(path: &str, message: String) -> ApiError {
    ApiError::new(Code::LimitExceeded, format!("{path}: {message}"))
        .with_details(json!({ "path": path }))
}

fn text(path: &str, value: Option<&str>, most: usize) -> Result<(), ApiError> {
    match value {
        Some("") => Err(exceeded(path, "must not be empty".to_owned())),
        Some(value) if value.chars().count() > most => {
            Err(exceeded(path, format!("has more than {most} characters")))
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn external_id(value: Option<&str>) -> Result<(), ApiError> {
    text("external_id", value, EXTERNAL_ID_CHARACTERS)
}

pub(crate) fn correlation_id(value: Option<&str>) -> Result<(), ApiError> {
    text("correlation_id", value, CORRELATION_ID_CHARACTERS)
}

pub(crate) fn record_key(value: Option<&str>) -> Result<(), ApiError> {
    text("idempotency_key", value, RECORD_KEY_BYTES)
}

pub(crate) fn reason(value: Option<&str>) -> Result<(), ApiError> {
    text("reason", value, REASON_CHARACTERS)
}

/// What people say of a version.
pub(crate) fn message(value: Option<&str>) -> Result<(), ApiError> {
    text("message", value, MESSAGE_CHARACTERS)
}

/// What a command may be given.
pub(crate) fn exec(exec: &CreateExec) -> Result<(), ApiError> {
    process(&Process {
        command: Some(&exec.command),
        env: &exec.env,
        cwd: exec.cwd.as_deref(),
        user: exec.user.as_deref(),
    })?;
    match exec.timeout {
        Some(span) if span.0 < EXEC_SHORTEST || span.0 > EXEC_LONGEST => Err(exceeded(
            "timeout",
            "is less than 1 ms or more than 30 days".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}

/// What a PTY may be given, and its size.
pub(crate) fn pty(pty: &CreatePty) -> Result<Size, ApiError> {
    process(&Process {
        command: pty.command.as_deref(),
        env: &pty.env,
        cwd: pty.cwd.as_deref(),
        user: pty.user.as_deref(),
    })?;
    let (cols, rows) = (Size::USUAL.cols(), Size::USUAL.rows());
    terminal(pty.cols.unwrap_or(cols), pty.rows.unwrap_or(rows))
}

/// The size of a terminal.
pub(crate) fn terminal(cols: u16, rows: u16) -> Result<Size, ApiError> {
    let path = if Size::new(cols, Size::USUAL.rows()).is_none() {
        "cols"
    } else {
        "rows"
    };
    Size::new(cols, rows)
        .ok_or_else(|| exceeded(path, format!("is not between 1 and {}", Size::LARGEST)))
}

/// What a process is started with.
struct Process<'a> {
    /// `None`: a login shell.
    command: Option<&'a [String]>,
    env: &'a BTreeMap<String, String>,
    cwd: Option<&'a str>,
    user: Option<&'a str>,
}

fn process(process: &Process<'_>) -> Result<(), ApiError> {
    let command = process.command.unwrap_or_default();
    let arguments: usize = command.iter().map(String::len).sum();
    if process.command.is_some() && command.first().is_none_or(String::is_empty) {
        return Err(exceeded("command", "names no program".to_owned()));
    }
    if command.len() > EXEC_ARGUMENTS || arguments > EXEC_BYTES {
        let message = format!("has more than {EXEC_ARGUMENTS} arguments or {EXEC_BYTES} bytes");
        return Err(exceeded("command", message));
    }
    let variables: usize = process
        .env
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if process.env.len() > EXEC_ARGUMENTS || variables > EXEC_BYTES {
        let message = format!("has more than {EXEC_ARGUMENTS} variables or {EXEC_BYTES} bytes");
        return Err(exceeded("env", message));
    }
    let no_name = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
    if let Some(name) = process.env.keys().find(no_name) {
        return Err(exceeded("env", format!("`{name}` cannot name a variable")));
    }
    let texts = command.iter().chain(process.env.values());
    let texts = texts.map(String::as_str).chain(process.cwd);
    if texts.chain(process.user).any(|text| text.contains('\0')) {
        return Err(exceeded("command", "holds a NUL character".to_owned()));
    }
    text("cwd", process.cwd, PATH_CHARACTERS)?;
    text("user", process.user, USER_CHARACTERS)
}

pub(crate) fn tags(tags: &[String]) -> Result<(), ApiError> {
    if tags.len() > TAGS {
        return Err(exceeded("tags", format!("has more than {TAGS} tags")));
    }
    for (at, tag) in tags.iter().enumerate() {
        text(&format!("tags[{at}]"), Some(tag), TAG_CHARACTERS)?;
    }
    Ok(())
}

/// What tells the runs of a queue apart.
pub(crate) fn concurrency_key(key: Option<&str>) -> Result<(), ApiError> {
    if key == Some("") {
        return Err(exceeded("concurrency_key", "is empty".to_owned()));
    }
    text("concurrency_key", key, TAG_CHARACTERS)
}

pub(crate) fn metadata(metadata: &Map<String, Value>) -> Result<CanonicalJson, ApiError> {
    let text = canonical("metadata", &Value::Object(metadata.clone()))?;
    if text.as_str().len() > METADATA_BYTES {
        return Err(too_large(
            Code::MetadataTooLarge,
            "metadata",
            METADATA_BYTES,
        ));
    }
    Ok(text)
}

/// The data of a record or of a token completion.
pub(crate) fn record(data: &Value) -> Result<CanonicalJson, ApiError> {
    let text = canonical("data", data)?;
    if text.as_str().len() > RECORD_BYTES {
        return Err(too_large(Code::RecordTooLarge, "data", RECORD_BYTES));
    }
    Ok(text)
}

pub(crate) fn payload(payload: &Value) -> Result<CanonicalJson, ApiError> {
    let text = canonical("payload", payload)?;
    if text.as_str().len() > PAYLOAD_BYTES {
        return Err(too_large(
            Code::PayloadTooLarge,
            "the payload",
            PAYLOAD_BYTES,
        ));
    }
    Ok(text)
}

fn canonical(path: &str, value: &Value) -> Result<CanonicalJson, ApiError> {
    CanonicalJson::try_from(value).map_err(|error| {
        ApiError::new(Code::InvalidBody, format!("{path}: {error}"))
            .with_details(json!({ "path": path }))
    })
}

/// The refusal of something over its limit, which it names.
pub(crate) fn too_large(code: Code, what: &str, limit: usize) -> ApiError {
    ApiError::new(
        code,
        format!("{what} is larger than its limit of {}", size(limit)),
    )
    .with_details(json!({ "limit_bytes": limit }))
}

/// A limit as people write it.
fn size(bytes: usize) -> String {
    match (bytes % (1 << 20), bytes % (1 << 10)) {
        (0, _) => format!("{} MiB", bytes >> 20),
        (_, 0) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

pub(crate) fn max_duration(seconds: Option<u64>) -> Result<Option<Duration>, ApiError> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    let span = Duration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    if span < limits::MAX_DURATION_SHORTEST || span > limits::MAX_DURATION_LONGEST {
        return Err(ApiError::new(
            Code::MaxDurationOutOfRange,
            "max_duration_seconds must be between 5 and 86400",
        )
        .with_details(json!({ "path": "max_duration_seconds" })));
    }
    Ok(Some(span))
}

pub(crate) fn ttl(ttl: Duration) -> Result<Duration, ApiError> {
    if ttl == Duration::ZERO || ttl > LONGEST_TTL {
        return Err(exceeded(
            "ttl",
            "must be more than nothing and at most 30d".to_owned(),
        ));
    }
    Ok(ttl)
}

/// How long a workspace's machine stays when nothing runs in it. Nothing: it stops at once.
pub(crate) fn auto_stop_after(span: Duration) -> Result<Duration, ApiError> {
    if span > limits::AUTO_STOP_LONGEST {
        return Err(exceeded(
            "auto_stop_after",
            "must be at most 30d".to_owned(),
        ));
    }
    Ok(span)
}

/// How many versions an environment keeps of each workspace.
pub(crate) fn keep_last(count: u32) -> Result<(), ApiError> {
    if (1..=KEEP_LAST_MOST).contains(&count) {
        return Ok(());
    }
    let message = format!("must be between 1 and {KEEP_LAST_MOST}");
    Err(exceeded("keep_last", message))
}

/// How long an environment keeps all versions.
pub(crate) fn keep_for(span: Duration) -> Result<(), ApiError> {
    if span >= KEEP_FOR_SHORTEST && span <= KEEP_FOR_LONGEST {
        return Ok(());
    }
    Err(exceeded(
        "keep_for",
        "must be between an hour and 3650d".to_owned(),
    ))
}

/// For how long somebody waits for a machine.
pub(crate) fn connect_timeout(timeout: Option<Duration>) -> Result<std::time::Duration, ApiError> {
    let timeout = timeout.unwrap_or(CONNECT_USUAL);
    if timeout > CONNECT_LONGEST {
        return Err(exceeded("timeout", "must be at most 10m".to_owned()));
    }
    Ok(std::time::Duration::from_micros(
        u64::try_from(timeout.as_micros()).unwrap_or(0),
    ))
}

pub(crate) fn token_timeout(timeout: Option<Duration>) -> Result<Duration, ApiError> {
    let timeout = timeout.unwrap_or(limits::TOKEN_TIMEOUT);
    if timeout == Duration::ZERO || timeout > LONGEST_TOKEN {
        return Err(exceeded(
            "timeout",
            "must be more than nothing and at most 365d".to_owned(),
        ));
    }
    Ok(timeout)
}

/// How long a public access token is valid.
pub(crate) fn public_token_span(span: Option<Duration>) -> Result<Duration, ApiError> {
    let span = span.unwrap_or(PUBLIC_TOKEN);
    if span == Duration::ZERO || span > LONGEST_TOKEN {
        return Err(exceeded(
            "expires_in",
            "must be more than nothing and at most 365d".to_owned(),
        ));
    }
    Ok(span)
}

/// How often a public access token may be used. One that `reads` has no uses to count.
pub(crate) fn max_uses(asked: Option<u32>, reads: bool) -> Result<Option<u64>, ApiError> {
    match asked {
        None => Ok(None),
        Some(_) if reads => Err(exceeded(
            "max_uses",
            "reading spends no uses: leave it out for an output stream".to_owned(),
        )),
        Some(0) => Err(exceeded("max_uses", "must be at least 1".to_owned())),
        Some(uses) => Ok(Some(u64::from(uses))),
    }
}

/// Origins as browsers send them: scheme, host and maybe a port, in lower case.
pub(crate) fn origins(origins: Vec<String>) -> Result<Vec<String>, ApiError> {
    if origins.len() > ORIGINS {
        return Err(exceeded(
            "allowed_origins",
            format!("has more than {ORIGINS} origins"),
        ));
    }
    for (at, origin) in origins.iter().enumerate() {
        if !is_origin(origin) {
            return Err(exceeded(
                &format!("allowed_origins[{at}]"),
                format!(
                    "`{}` is not an origin like https://app.example.com",
                    origin.chars().take(100).collect::<String>()
                ),
            ));
        }
    }
    Ok(origins)
}

/// The fetch standard's serialised origin: what stands in a browser's `Origin` header, to the byte.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let host = uri.host().unwrap_or_default();
    text.len() <= ORIGIN_BYTES
        && text.is_ascii()
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
        && !host.is_empty()
        // No user, path, query or fragment, and no port that a browser leaves out.
        && match uri.port_u16() {
            Some(port) => port != usual && authority == format!("{host}:{port}"),
            None => authority == host,
        }
}

pub(crate) fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    match asked {
        None => Ok(LIST_USUAL),
        Some(limit) if (1..=LIST_MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(exceeded(
            "limit",
            format!("must be between 1 and {LIST_MOST}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn limits_hold_at_their_edge() {
        assert!(tags(&vec!["t".repeat(128); 10]).is_ok());
        assert!(tags(&vec!["t".to_owned(); 11]).is_err());
        assert!(tags(&["t".repeat(129)]).is_err() && tags(&[String::new()]).is_err());
        assert!(external_id(Some(&"\u{e9}".repeat(256))).is_ok());
        assert!(external_id(Some(&"x".repeat(257))).is_err());
        assert!(max_duration(Some(5)).is_ok() && max_duration(Some(86_400)).is_ok());
        assert!(max_duration(Some(4)).is_err() && max_duration(Some(86_401)).is_err());
        assert_eq!(token_timeout(None).unwrap(), limits::TOKEN_TIMEOUT);
        assert!(token_timeout(Some(Duration::ZERO)).is_err());
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "https://[::1]:4443",
        ] {
            assert!(origins(vec![good.to_owned()]).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://me@app.example.com",
            "https://app.example.com?x",
            "https://app.example.com:",
            "ftp://app.example.com",
        ] {
            let error = origins(vec![bad.to_owned()]).unwrap_err();
            assert_eq!(error.code(), Code::LimitExceeded, "{bad}");
            assert_eq!(error.details().unwrap()["path"], "allowed_origins[0]");
        }
        assert!(origins(vec!["https://a.example".to_owned(); 20]).is_ok());
        assert!(origins(vec!["https://a.example".to_owned(); 21]).is_err());
    }

    #[test]
    fn uses_are_counted_where_something_is_accepted() {
        assert_eq!(max_uses(Some(3), false).unwrap(), Some(3));
        assert!(max_uses(Some(0), false).is_err() && max_uses(Some(1), true).is_err());
        assert!(max_uses(None, true).is_ok());
        assert_eq!(
            public_token_span(None).unwrap(),
            Duration::from_secs(86_400)
        );
        assert!(public_token_span(Some(Duration::ZERO)).is_err());
        assert!(public_token_span(Some(Duration::from_secs(366 * 86_400))).is_err());
    }

    #[test]
    fn records_are_bounded_by_their_canonical_size() {
        // Two quotes and the text.
        assert!(record(&json!("x".repeat(RECORD_BYTES - 2))).is_ok());
        let error = record(&json!("x".repeat(RECORD_BYTES - 1))).unwrap_err();
        assert_eq!(error.code(), Code::RecordTooLarge);
        assert_eq!(error.details().unwrap()["limit_bytes"], RECORD_BYTES);
        assert!(error.message().ends_with("1 MiB"), "{error}");
    }
}
