//! Waits: their rows and what happens to them.

mod apply;
mod hold;
mod row;

pub(crate) use apply::{
    apply, cancel_undecided, complete_on_token, end_attempt, offer_record, park_hot,
};
pub(crate) use hold::{drop_wait, settle};
pub(crate) use row::{
    NewWait, WaitRow, claimed_records, find, find_call, has_undelivered, insert, undelivered,
};
