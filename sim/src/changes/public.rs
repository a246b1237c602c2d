//! What may become of a public access token.

use crate::row::PublicToken;
use crate::shadow::{Clocks, Shadow};
use crate::violation::{Checked, hold};

pub(crate) fn token(shadow: &mut Shadow, new: PublicToken, now: Clocks) -> Checked {
    let most = new.max_uses.and_then(|most| u64::try_from(most).ok());
    hold!(
        most.is_none_or(|most| new.uses <= most),
        "uses are never exceeded",
        "{new:?}"
    );
    match shadow.public.get(&new.id) {
        Some(old) if *old == new => return Ok(()),
        Some(old) => {
            hold!(
                new.uses == old.uses || new.uses == old.uses + 1,
                "a use is spent once",
                "{old:?} became {new:?}"
            );
            let usable =
                old.revoked_at.is_none() && old.expires_at.is_none_or(|at| at > now.steady);
            hold!(
                new.uses == old.uses || usable,
                "what is revoked or expired allows nothing",
                "{old:?} became {new:?} at {now:?}"
            );
            hold!(
                old.revoked_at.is_none() || old.revoked_at == new.revoked_at,
                "what is revoked stays revoked",
                "{old:?} became {new:?}"
            );
            if new.uses != old.uses {
                shadow.step.spent.push(new.id);
                if Some(new.uses) == most {
                    shadow.reached.insert("a public access token is used up");
                }
            }
        }
        None => shadow.step.public.push(new.id),
    }
    shadow.step.changed = true;
    shadow.public.insert(new.id, new);
    Ok(())
}
