//! Machines (materializations): their rows and what happens to them.

mod apply;
mod row;

pub(crate) use apply::{Loss, apply, end, settle};
pub(crate) use row::{
    MachineRow, NewCheckpoint, NewMachine, current, find, insert, insert_checkpoint, is_live,
    mebibytes, save, touch,
};
