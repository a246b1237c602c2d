//! Who asks, and where.

use helmr_api::http::scope::WhoAmI;

use crate::style::Style;
use crate::table::Properties;

pub(crate) fn caller(who: &WhoAmI, url: &str, origin: &str, style: Style) -> String {
    Properties::new()
        .line("server", format!("{url} (from {origin})"))
        .line(
            "organization",
            named(&who.organization.name, &who.organization.slug),
        )
        .line("project", named(&who.project.name, &who.project.slug))
        .line(
            "environment",
            named(&who.environment.name, &who.environment.slug),
        )
        .line(
            "credential",
            format!(
                "{} {} ({})",
                who.credential.kind, who.credential.name, who.credential.id
            ),
        )
        .render(style)
}

fn named(name: &str, slug: &str) -> String {
    format!("{name} ({slug})")
}
