//! The next request of some client, drawn from what there is.

use helmr_domain::{PublicTokenId, RunId, SessionId, TokenId, WorkspaceId};

use super::{Ask, Granted, Request};
use crate::dice::Dice;
use crate::plan::SECOND;
use crate::world::World;

/// What there is to ask about.
struct There {
    sessions: Vec<SessionId>,
    tokens: Vec<TokenId>,
    runs: Vec<RunId>,
    workspaces: Vec<WorkspaceId>,
}

fn recent<Id: Copy>(dice: &mut Dice, from: &[Id]) -> Option<Id> {
    let newest = from.len().saturating_sub(4);
    dice.pick(&from[newest..]).copied()
}

fn number(dice: &mut Dice) -> u8 {
    u8::from(dice.roll(2) == 0)
}

fn start(dice: &mut Dice, workspaces: &[WorkspaceId]) -> Ask {
    Ask::Start {
        task: dice.index(4),
        external: (dice.roll(3) == 0).then(|| number(dice)),
        payload: u8::from(dice.roll(4) == 0),
        workspace: if dice.roll(4) == 0 {
            dice.pick(workspaces).copied()
        } else {
            None
        },
        expires_in: (dice.roll(6) == 0).then(|| dice.span(SECOND, 30 * SECOND)),
        max_duration: (dice.roll(4) == 0).then(|| dice.span(2 * SECOND, 10 * SECOND)),
        concurrency_key: (dice.roll(4) == 0).then(|| number(dice)),
        priority: (dice.roll(4) == 0).then(|| dice.span(-1, 1)),
    }
}

impl World<'_> {
    pub(crate) fn draw_request(&mut self) -> Request {
        self.nonces += 1;
        let nonce = self.nonces;
        let there = There {
            sessions: self.shadow.sessions.keys().copied().collect(),
            tokens: self.shadow.tokens.keys().copied().collect(),
            runs: self.shadow.runs.keys().copied().collect(),
            workspaces: self.shadow.workspaces.keys().copied().collect(),
        };
        let key = match self.dice.roll(4) {
            0 => None,
            // Someone uses a key twice.
            1 if self.dice.roll(4) == 0 => Some(self.dice.roll(3)),
            _ => Some(nonce + 100),
        };
        let ask = match self.dice.pick(&there.sessions).copied() {
            Some(session) => self.draw_ask(session, &there),
            None => start(&mut self.dice, &there.workspaces),
        };
        Request { nonce, key, ask }
    }

    fn draw_ask(&mut self, session: SessionId, there: &There) -> Ask {
        match self.dice.roll(34) {
            0..=4 => return start(&mut self.dice, &there.workspaces),
            20..=28 => {
                if let Some(ask) = self.draw_exec(&there.workspaces) {
                    return ask;
                }
            }
            29..=31 => {
                if let Some(ask) = self.draw_public(session, there) {
                    return ask;
                }
            }
            32 => {
                if let Some(workspace) = self.dice.pick(&there.workspaces).copied() {
                    let force = self.dice.roll(2) == 0;
                    return if self.dice.roll(3) == 0 {
                        Ask::DeleteWorkspace { workspace, force }
                    } else {
                        Ask::StopWorkspace { workspace, force }
                    };
                }
            }
            _ => {}
        }
        let by = self.draw_user();
        let dice = &mut self.dice;
        match dice.roll(16) {
            5..=10 => match recent(dice, &there.tokens) {
                Some(token) => Ask::Complete {
                    token,
                    data: u8::from(dice.roll(4) == 0),
                    by: by.filter(|by| self.allows_token(*by, token)),
                },
                None => self.draw_send(session, by),
            },
            11 => match recent(dice, &there.tokens) {
                Some(token) => Ask::CancelToken(token),
                None => Ask::Close(session),
            },
            12 => match dice.pick(&there.runs) {
                Some(run) => Ask::CancelRun(*run),
                None => Ask::Close(session),
            },
            13 => match dice.pick(&there.runs) {
                Some(run) => Ask::Retry(*run),
                None => Ask::Close(session),
            },
            14 if dice.roll(2) == 0 => Ask::CancelSession(session),
            15 => Ask::Close(session),
            _ => self.draw_send(session, by),
        }
    }

    fn draw_send(&mut self, session: SessionId, by: Option<PublicTokenId>) -> Ask {
        let dice = &mut self.dice;
        let correlation = (dice.roll(2) == 0).then(|| number(dice));
        let record_key = (dice.roll(3) == 0).then(|| number(dice));
        // Whoever holds a public access token sends where it allows, under its correlation id.
        let granted = by.and_then(|by| Some((by, self.shadow.public.get(&by)?)));
        if let Some((by, token)) = granted
            && let Some(session) = token.session
        {
            let correlation = match token.correlation.as_deref() {
                Some("c0") => Some(0),
                Some(_) => Some(1),
                None => correlation,
            };
            return Ask::Send {
                session,
                correlation,
                record_key,
                by: Some(by),
            };
        }
        Ask::Send {
            session,
            correlation,
            record_key,
            by: None,
        }
    }

    /// A public access token with which someone asks.
    fn draw_user(&mut self) -> Option<PublicTokenId> {
        if self.dice.roll(2) == 0 {
            return None;
        }
        let made: Vec<_> = self.shadow.public.keys().copied().collect();
        self.dice.pick(&made).copied()
    }

    fn allows_token(&self, by: PublicTokenId, token: TokenId) -> bool {
        let found = self.shadow.public.get(&by);
        found.is_some_and(|found| found.token == Some(token))
    }

    fn draw_public(&mut self, session: SessionId, there: &There) -> Option<Ask> {
        if self.dice.roll(4) == 0 {
            let made: Vec<_> = self.shadow.public.keys().copied().collect();
            return self.dice.pick(&made).copied().map(Ask::Revoke);
        }
        let grant = if self.dice.roll(3) == 0 {
            Granted::Token(recent(&mut self.dice, &there.tokens)?)
        } else {
            Granted::Stream {
                session,
                correlation: (self.dice.roll(3) == 0).then(|| number(&mut self.dice)),
            }
        };
        Some(Ask::Public {
            grant,
            max_uses: (self.dice.roll(3) > 0).then(|| 1 + self.dice.roll(2)),
            expires_in: self.dice.span(SECOND, 60 * SECOND),
        })
    }

    fn draw_exec(&mut self, workspaces: &[WorkspaceId]) -> Option<Ask> {
        let open: Vec<_> = self.shadow.open.execs.iter().copied().collect();
        let dice = &mut self.dice;
        if !open.is_empty() && dice.roll(3) > 0 {
            let exec = *dice.pick(&open)?;
            let there = self.shadow.execs.get(&exec)?;
            if dice.roll(4) == 0 {
                let signal = *dice.pick(&[2, 9, 15])?;
                return Some(Ask::Signal { exec, signal });
            }
            let (end, size) = match dice.roll(6) {
                // Out of step, or more than may wait.
                0 => (there.stdin_end.saturating_sub(dice.roll(50_000)), 60_000),
                1 => (there.stdin_end + dice.roll(2), 3 << 20),
                _ => (there.stdin_end, 1 + dice.roll(100_000)),
            };
            return Some(Ask::Input {
                exec,
                offset: end,
                size,
                close: dice.roll(3) == 0,
            });
        }
        Some(Ask::Exec {
            workspace: *dice.pick(workspaces)?,
            timeout: (dice.roll(3) == 0).then(|| dice.span(SECOND, 20 * SECOND)),
            stdin: dice.roll(2) == 0,
        })
    }
}
