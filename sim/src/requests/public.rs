//! Public access tokens: made, revoked, and used as long as they allow anything.

use helmr_domain::stream::Direction;
use helmr_domain::{Moment, PublicTokenId, Refusal, Timestamp};
use helmr_store::idempotency::Kept;
use helmr_store::public_tokens::{self, Create, Grant, PublicToken};
use serde_json::json;

use super::{Ask, Granted, Request, idempotency};
use crate::base::INPUT;
use crate::ready;
use crate::violation::{Checked, hold};
use crate::world::{Actor, World};

impl World<'_> {
    pub(super) fn make_public(
        &mut self,
        request: &Request,
        at: Moment,
    ) -> Checked<Option<Refusal>> {
        let Ask::Public {
            grant,
            max_uses,
            expires_in,
        } = &request.ask
        else {
            return Ok(None);
        };
        let Ok(stream) = INPUT.parse() else {
            return Ok(None);
        };
        let mut hash = [7; 32];
        hash[..10].copy_from_slice(&at.seed);
        let input = Create {
            at,
            scope: self.base.scope,
            grant: match *grant {
                Granted::Token(token) => Grant::CompleteToken(token),
                Granted::Stream {
                    session,
                    correlation,
                } => Grant::Stream {
                    session,
                    direction: Direction::Input,
                    stream,
                    correlation_id: correlation.map(|number| format!("c{number}")),
                },
            },
            hash,
            allowed_origins: Vec::new(),
            expires_at: Timestamp::from_micros(at.now.as_micros() + expires_in),
            max_uses: *max_uses,
            idempotency: idempotency(request, |token: &PublicToken| json!(token.id)),
        };
        let done = ready(public_tokens::create(&self.base.store, input));
        match self.after(Actor::Client, done)? {
            Ok(kept) => {
                let fresh = matches!(kept, Kept::Fresh(_));
                self.first_under_key(request, fresh)?;
                hold!(
                    self.shadow.step.public.len() == usize::from(fresh),
                    "every accepted call has one effect",
                    "{request:?} made {:?}",
                    self.shadow.step.public
                );
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    pub(super) fn revoke(&mut self, id: PublicTokenId, at: Moment) -> Checked<Option<Refusal>> {
        let done = ready(public_tokens::revoke(
            &self.base.store,
            self.base.scope,
            id,
            at,
        ));
        let refusal = self.after(Actor::Client, done)?.err();
        hold!(
            refusal.is_some()
                || self
                    .shadow
                    .public
                    .get(&id)
                    .is_some_and(|token| token.revoked_at.is_some()),
            "what is revoked stays revoked",
            "{id}"
        );
        Ok(refusal)
    }

    /// Whether whoever asks is let in at all: what is revoked or expired is not.
    pub(super) fn is_let_in(&self, by: Option<PublicTokenId>, at: Moment) -> bool {
        let Some(by) = by else { return true };
        self.shadow.public.get(&by).is_some_and(|token| {
            let now = at.now.as_micros();
            token.revoked_at.is_none() && token.expires_at.is_none_or(|expires| expires > now)
        })
    }

    pub(super) fn is_spent(&self, by: Option<PublicTokenId>) -> bool {
        let token = by.and_then(|by| self.shadow.public.get(&by));
        token.is_some_and(|token| {
            let most = token.max_uses.and_then(|most| u64::try_from(most).ok());
            most.is_some_and(|most| token.uses >= most)
        })
    }

    /// What is newly accepted costs one use, anything else none.
    pub(super) fn check_spent(&self, by: Option<PublicTokenId>, accepted: bool) -> Checked {
        let expected: Vec<_> = by.into_iter().filter(|_| accepted).collect();
        hold!(
            self.shadow.step.spent == expected,
            "what is newly accepted costs one use",
            "{:?} were spent, not {expected:?}",
            self.shadow.step.spent
        );
        Ok(())
    }
}
