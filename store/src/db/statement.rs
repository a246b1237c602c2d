//! Every statement, registered at link time, so that one test prepares them all on both engines.

use std::sync::OnceLock;

use linkme::distributed_slice;

/// A statement in PostgreSQL's form (`$1`), which SQLite gets as `?1`.
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    for_sqlite: OnceLock<String>,
}

#[distributed_slice]
pub(crate) static STATEMENTS: [&'static Statement];

impl Statement {
    pub(crate) const fn new(name: &'static str, text: &'static str) -> Self {
        Self {
            name,
            text,
            for_sqlite: OnceLock::new(),
        }
    }

    pub(crate) fn for_sqlite(&self) -> &str {
        self.for_sqlite.get_or_init(|| question_marks(self.text))
    }
}

/// Turns `$n` into `?n`, outside of quotes.
fn question_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        quoted ^= letter == '\'';
        let parameter =
            letter == '$' && !quoted && letters.peek().is_some_and(char::is_ascii_digit);
        out.push(if parameter { '?' } else { letter });
    }
    out
}

/// Names and registers statements.
macro_rules! sql {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {$(
        $(#[$doc])*
        static $name: $crate::db::Statement = $crate::db::Statement::new(
            concat!(module_path!(), "::", stringify!($name)),
            $text,
        );
        #[expect(unsafe_code, reason = "linkme collects the statements in a link section")]
        const _: () = {
            #[linkme::distributed_slice($crate::db::check::STATEMENTS)]
            static REGISTERED: &$crate::db::Statement = &$name;
        };
    )*};
}
pub(crate) use sql;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_question_marks_outside_of_quotes() {
        assert_eq!(
            question_marks("SELECT $1, '$2', a$b FROM t WHERE x = $12"),
            "SELECT ?1, '$2', a$b FROM t WHERE x = ?12"
        );
    }
}
