//! Machines (materializations): their rows and what happens to them.

mod apply;
mod row;

pub(crate) use apply::{Loss, apply, end, settle};
pub(crate) use row::{
    MachineRow, NewCheckpoint, NewMachine, NewParked, current, find, insert, insert_checkpoint,
    insert_parked, is_live, mebibytes, names, save, set_names, set_touched, supersede, touch,
};
