//! Waits: their rows and what happens to them.

mod apply;
mod copy;
mod hold;
mod row;

pub(crate) use apply::{
    apply, arm, cancel_undecided, complete_on_token, end_attempt, offer_record, park_hot,
    tell_created,
};
pub(crate) use copy::{CopyOfWait, copy};
pub(crate) use hold::{drop_wait, settle};
pub(crate) use row::{
    NewWait, WaitRow, claimed_records, find, find_call, has_undelivered, insert, of_attempt,
    undelivered,
};
