//! Server-sent events, read from bytes as they come (HTML Living Standard, "Interpreting an event stream").
//!
//! Only what an API client needs: `event`, `data` and `id`. A reader never trusts lengths: an event has a limit.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` unless the stream says otherwise.
    pub(super) name: String,
    pub(super) data: String,
    /// The last id that the stream gave, in this event or before it.
    pub(super) id: Option<String>,
}

/// Most bytes of one event: a run's output has 4 MiB before its JSON is escaped.
const LIMIT: usize = 32 << 20;

/// Turns bytes into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// What came of a line whose end has not come yet.
    line: Vec<u8>,
    /// The last byte was a carriage return, so a line feed that follows belongs to it.
    after_return: bool,
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
}

/// An event is larger than any that the API sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Parser {
    /// Takes the next bytes and gives the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for &byte in bytes {
            let second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line_ended(&line));
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LIMIT {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    /// Forgets an unfinished event: its connection ended. The last id stays.
    pub(super) fn reset(&mut self) {
        let id = self.id.take();
        *self = Self {
            id,
            ..Self::default()
        };
    }

    fn line_ended(&mut self, line: &[u8]) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments (keep-alives), `retry` and fields of the future.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        Some(Event {
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                name
            },
            data,
            id: self.id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the text whole, and again byte by byte: both must give the same.
    fn check(text: &str, expected: &[(&str, &str, Option<&str>)]) {
        let expected: Vec<Event> = expected
            .iter()
            .map(|(name, data, id)| Event {
                name: (*name).to_owned(),
                data: (*data).to_owned(),
                id: id.map(str::to_owned),
            })
            .collect();
        assert_eq!(
            Parser::default().push(text.as_bytes()),
            Ok(expected.clone())
        );
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for byte in text.bytes() {
            events.extend(parser.push(&[byte]).unwrap_or_default());
        }
        assert_eq!(events, expected, "byte by byte");
    }

    #[test]
    fn an_event_ends_at_an_empty_line() {
        check("data: a\n\n", &[("message", "a", None)]);
        check("data: a\n", &[]);
        check(
            "event: x\ndata: a\nid: 7\n\ndata: b\n\n",
            &[("x", "a", Some("7")), ("message", "b", Some("7"))],
        );
    }

    #[test]
    fn lines_end_in_any_of_the_three_ways() {
        check(
            "data: a\r\n\r\ndata: b\r\rdata: c\n\n",
            &[
                ("message", "a", None),
                ("message", "b", None),
                ("message", "c", None),
            ],
        );
    }

    #[test]
    fn data_lines_join_and_comments_say_nothing() {
        check(
            ": keep-alive\n\ndata: a\ndata:\ndata:  b\n\n",
            &[("message", "a\n\n b", None)],
        );
        check("retry: 10\nfoo\n\n", &[]);
        check("data\n\n", &[("message", "", None)]);
    }

    #[test]
    fn text_outside_ascii_survives_any_cut() {
        check(
            "data: \u{e9}\u{1f980}\n\n",
            &[("message", "\u{e9}\u{1f980}", None)],
        );
    }

    #[test]
    fn a_lost_connection_keeps_the_id_and_drops_the_half_event() {
        let mut parser = Parser::default();
        assert_eq!(
            parser
                .push(b"id: 3\ndata: a\n\nid: 4\ndata: b")
                .map(|events| events.len()),
            Ok(1)
        );
        parser.reset();
        let events = parser.push(b"data: c\n\n").unwrap_or_default();
        assert_eq!(events.first().map(|event| event.data.as_str()), Some("c"));
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        assert!(parser.push(b"data: ").is_ok());
        assert_eq!(parser.push(&vec![b'x'; LIMIT + 1]), Err(TooLarge));
    }
}
