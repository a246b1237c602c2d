//! A run's metadata: a JSON object that its task changes.

use helmr_domain::{Event, EventKind, Refusal, limits};
use serde_json::{Map, Number, Value};

use super::{ChangeMetadata, MetadataOp, transition};
use crate::db::{Tx, params, sql};
use crate::idempotency::{self, Answer};
use crate::{Result, Store, events};

sql! {
    SET_METADATA = "UPDATE runs
        SET metadata = $2
        WHERE id = $1";
}

/// Changes a run's metadata and answers the whole of it, once for each call.
///
/// # Errors
/// `Stale`; `Refused`: `MetadataTooLarge`, `MetadataNotNumber`.
pub async fn change_metadata(store: &Store, input: ChangeMetadata) -> Result<Value> {
    store
        .write(input, |tx, input| Box::pin(change_in(tx, input)))
        .await
}

async fn change_in(tx: &mut Tx, input: &ChangeMetadata) -> Result<Value> {
    let run = transition::fenced(tx, input.fence).await?;
    if let Some(kept) = idempotency::find_call(tx, input.fence, input.call_no).await? {
        return Ok(kept.answer);
    }
    let changed = apply(run.run.metadata.clone(), &input.op)?;
    let limit_bytes = limits::RUN_METADATA_BYTES;
    if changed.to_string().len() > limit_bytes {
        return Err(Refusal::MetadataTooLarge { limit_bytes }.into());
    }
    tx.run(&SET_METADATA, params![run.run.id, changed]).await?;
    let event = tell(&input.op, &changed);
    events::append(tx, run.about(), event, input.at).await?;
    let kept = Answer {
        answer: changed,
        sealed: None,
    };
    idempotency::save_call(tx, input.fence, input.call_no, &kept, input.at).await?;
    Ok(kept.answer)
}

/// The change, and the whole unless that is long: a counter that ticks beside it would fill the disk.
fn tell(op: &MetadataOp, changed: &Value) -> Event {
    let event = Event::new(EventKind::MetadataUpdated);
    let event = match op {
        MetadataOp::Set { key, value } => event
            .with("op", "set")
            .with("key", key.as_str())
            .with("value", value.clone()),
        MetadataOp::Patch(patch) => event.with("op", "patch").with("patch", patch.clone()),
        MetadataOp::Increment { key, by } => event
            .with("op", "increment")
            .with("key", key.as_str())
            .with("by", *by)
            .with("value", changed.get(key).cloned().unwrap_or_default()),
    };
    if changed.to_string().len() > limits::EVENT_METADATA_BYTES {
        return event;
    }
    event.with("metadata", changed.clone())
}

fn apply(metadata: Value, op: &MetadataOp) -> std::result::Result<Value, Refusal> {
    let mut fields = match metadata {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    match op {
        MetadataOp::Set { key, value } => {
            fields.insert(key.clone(), value.clone());
        }
        MetadataOp::Increment { key, by } => {
            let not_number = || Refusal::MetadataNotNumber { key: key.clone() };
            let before = match fields.get(key) {
                None => 0.0,
                Some(value) => value.as_f64().ok_or_else(not_number)?,
            };
            let sum = number(before + by).ok_or_else(not_number)?;
            fields.insert(key.clone(), Value::Number(sum));
        }
        MetadataOp::Patch(patch) => {
            let mut whole = Value::Object(fields);
            merge(&mut whole, patch);
            // A patch that is no object replaces everything, which metadata cannot be.
            return match whole {
                Value::Object(_) => Ok(whole),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_) => Ok(Value::Object(Map::new())),
            };
        }
    }
    Ok(Value::Object(fields))
}

/// A JSON number as JavaScript would write it: whole ones without a fraction.
fn number(value: f64) -> Option<Number> {
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        let text = format!("{value:.0}");
        return text.parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(fields) = target {
        for (key, change) in changes {
            if change.is_null() {
                fields.remove(key);
            } else {
                merge(fields.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(before: Value, op: &MetadataOp, after: std::result::Result<Value, Refusal>) {
        assert_eq!(apply(before, op), after, "{op:?}");
    }

    #[test]
    fn a_patch_merges_and_removes() {
        let patch = MetadataOp::Patch(json!({"a": {"b": null, "c": 2}, "d": [1]}));
        let before = json!({"a": {"b": 1, "e": 1}, "f": 1});
        check(
            before,
            &patch,
            Ok(json!({"a": {"c": 2, "e": 1}, "d": [1], "f": 1})),
        );
    }

    #[test]
    fn an_increment_begins_at_zero_and_keeps_whole_numbers_whole() {
        let by = |by| MetadataOp::Increment {
            key: "n".to_owned(),
            by,
        };
        check(json!({}), &by(2.0), Ok(json!({"n": 2})));
        check(json!({"n": 2}), &by(0.5), Ok(json!({"n": 2.5})));
        check(json!({"n": -1}), &by(-1.0), Ok(json!({"n": -2})));
        let refusal = Refusal::MetadataNotNumber {
            key: "n".to_owned(),
        };
        check(json!({"n": "x"}), &by(1.0), Err(refusal));
    }
}
