//! Who waits for news of what: the store's hints, given to those whom they concern and to nobody else.
//!
//! One task listens to the store. A follower that waits for one stream is not woken by the records of all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helmr_domain::SessionId;
use helmr_store::Hint;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

/// What a follower waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    Of(Hint),
    /// A record of any stream of the session.
    AnyRecord(SessionId),
}

/// The followers and what they wait for. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct News(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    last_number: u64,
    by_topic: HashMap<Topic, HashMap<u64, Arc<Notify>>>,
}

impl News {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for `topics`. What comes before the first [`Subscription::news`] counts.
    pub(crate) fn subscribe(&self, topics: Vec<Topic>) -> Subscription {
        let woken = Arc::new(Notify::new());
        let mut waiting = self.lock();
        waiting.last_number += 1;
        let number = waiting.last_number;
        for topic in &topics {
            waiting
                .by_topic
                .entry(topic.clone())
                .or_default()
                .insert(number, Arc::clone(&woken));
        }
        Subscription {
            news: self.clone(),
            number,
            topics,
            woken,
        }
    }

    /// Passes the store's hints on until the server ends.
    pub(crate) async fn run(self, mut hints: broadcast::Receiver<Hint>, ending: CancellationToken) {
        loop {
            let hint = tokio::select! {
                () = ending.cancelled() => return,
                hint = hints.recv() => hint,
            };
            match hint {
                Ok(hint) => self.tell(hint),
                // Some were missed: any of them may have been anyone's.
                Err(broadcast::error::RecvError::Lagged(_)) => self.tell_all(),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn tell(&self, hint: Hint) {
        let session = match &hint {
            Hint::Records { session, .. } => Some(*session),
            Hint::Assignment(_)
            | Hint::Events(_)
            | Hint::Log(_)
            | Hint::Process(_)
            | Hint::PublicToken(_)
            | Hint::Workspace(_)
            | Hint::Timer { .. }
            | Hint::Queue => None,
        };
        let topics = [Some(Topic::Of(hint)), session.map(Topic::AnyRecord)];
        let waiting = self.lock();
        for topic in topics.iter().flatten() {
            for woken in waiting
                .by_topic
                .get(topic)
                .into_iter()
                .flat_map(HashMap::values)
            {
                woken.notify_one();
            }
        }
    }

    fn tell_all(&self) {
        for woken in self.lock().by_topic.values().flat_map(HashMap::values) {
            woken.notify_one();
        }
    }
}

/// Somebody who waits. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Subscription {
    news: News,
    number: u64,
    topics: Vec<Topic>,
    woken: Arc<Notify>,
}

impl Subscription {
    /// Returns once there was news since the last time. Cancel-safe: news is kept until it is taken here.
    pub(crate) async fn news(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = self.news.lock();
        for topic in &self.topics {
            if let Some(others) = waiting.by_topic.get_mut(topic) {
                others.remove(&self.number);
                if others.is_empty() {
                    waiting.by_topic.remove(topic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use futures_util::FutureExt as _;
    use helmr_domain::stream::Direction;
    use helmr_domain::{RunId, Timestamp};

    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId::new(Timestamp::from_micros(0), [number; 10])
    }

    fn records(number: u8) -> Hint {
        Hint::Records {
            session: session(number),
            direction: Direction::Output,
            stream: "out".parse().unwrap(),
        }
    }

    fn has_news(subscription: &Subscription) -> bool {
        subscription.news().now_or_never().is_some()
    }

    #[test]
    fn news_reaches_those_whom_it_concerns_once() {
        let news = News::default();
        let one = news.subscribe(vec![Topic::Of(records(1)), Topic::Of(Hint::Queue)]);
        let other = news.subscribe(vec![Topic::Of(records(2))]);
        let transcript = news.subscribe(vec![Topic::AnyRecord(session(1))]);
        news.tell(records(1));
        news.tell(records(1));
        assert!(has_news(&one) && !has_news(&one));
        assert!(!has_news(&other));
        assert!(has_news(&transcript));
        news.tell_all();
        assert!(has_news(&one) && has_news(&other) && has_news(&transcript));
    }

    #[test]
    fn nobody_is_remembered_who_has_gone() {
        let news = News::default();
        let run = Hint::Log(RunId::new(Timestamp::from_micros(0), [1; 10]));
        let one = news.subscribe(vec![Topic::Of(run.clone())]);
        let other = news.subscribe(vec![Topic::Of(run)]);
        drop(one);
        assert_eq!(news.lock().by_topic.len(), 1);
        drop(other);
        assert!(news.lock().by_topic.is_empty());
    }
}
