//! The artifact store, and which versions are kept.

use helmr_api::http::storage::{Figure, Retention, Storage};

use super::when;
use crate::moment::size;
use crate::style::Style;
use crate::table::Properties;

pub(crate) fn one(storage: &Storage, style: Style) -> String {
    let Some(sweep) = &storage.last_sweep else {
        return "Nothing was swept yet: the first round comes ten minutes after the start, or with `helmr storage sweep`.\n"
            .to_owned();
    };
    let figure = |figure: Figure| format!("{} in {} objects", size(figure.bytes), figure.objects);
    let before = Figure {
        objects: sweep.kept.objects + sweep.aside.objects + sweep.removed.objects,
        bytes: sweep.kept.bytes + sweep.aside.bytes + sweep.removed.bytes,
    };
    let after = Figure {
        objects: sweep.kept.objects + sweep.aside.objects,
        bytes: sweep.kept.bytes + sweep.aside.bytes,
    };
    Properties::new()
        .line("swept", when(sweep.started_at))
        .maybe("failed", sweep.failure.as_deref())
        .line("before", figure(before))
        .line("after", figure(after))
        .line("in use", figure(sweep.kept))
        .line("unused, young", figure(sweep.young))
        .line("set aside", figure(sweep.aside))
        .line("put back", figure(sweep.restored))
        .line("removed", figure(sweep.removed))
        .render(style)
}

pub(crate) fn retention(retention: &Retention, style: Style) -> String {
    Properties::new()
        .line("keeps the last", retention.keep_last.to_string())
        .line("keeps for", retention.keep_for.0.to_string())
        .render(style)
}
