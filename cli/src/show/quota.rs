//! Quotas.

use helmr_api::http::quotas::{Quota, Quotas};

use crate::moment;
use crate::style::Style;
use crate::table::Table;

pub(crate) fn all(quotas: &Quotas, style: Style) -> String {
    let mut table = Table::new(["QUOTA", "USED", "LIMIT"]);
    let number = |count: u64| count.to_string();
    for (name, quota, shown) in [
        ("workspaces", quotas.workspaces, number as fn(u64) -> String),
        ("version bytes", quotas.version_bytes, moment::size),
        ("machines", quotas.machines, number),
    ] {
        let Quota { limit, used } = quota;
        table.row([
            name.to_owned(),
            shown(used),
            limit.map_or_else(|| "none".to_owned(), shown),
        ]);
    }
    table.render(style)
}
