//! What upstream said lately.

use std::collections::HashMap;
use std::time::Duration;

use base::Instant;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};

/// At most so many answers are kept; when full, those that are over go, then any.
const MAX_ANSWERS: usize = 10_000;

/// No answer is kept longer.
const MAX_SECONDS: u32 = 30;

/// What was asked: name, type, and whether for DNSSEC.
pub(crate) type Asked = (Name, RecordType, bool);

/// Answers of upstream by question.
#[derive(Debug, Default)]
pub(crate) struct Cache(HashMap<Asked, (Message, Instant, Instant)>);

impl Cache {
    /// The answer, with the time that it has left.
    pub(crate) fn get(&self, asked: &Asked, now: Instant) -> Option<Message> {
        let (message, since, until) = self.0.get(asked)?;
        if now >= *until {
            return None;
        }
        let age = u32::try_from(now.duration_since(*since).as_secs()).unwrap_or(u32::MAX);
        let mut message = message.clone();
        for record in message.answers.iter_mut().chain(&mut message.authorities).chain(&mut message.additionals) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(message)
    }

    /// Keeps an answer as long as its records allow.
    pub(crate) fn put(&mut self, asked: Asked, message: &Message, now: Instant) {
        let seconds = lifetime_seconds(message);
        if seconds == 0 {
            return;
        }
        if self.0.len() >= MAX_ANSWERS {
            self.0.retain(|_, (_, _, until)| now < *until);
        }
        if self.0.len() >= MAX_ANSWERS
            && let Some(any) = self.0.keys().next().cloned()
        {
            self.0.remove(&any);
        }
        self.0.insert(asked, (message.clone(), now, now + Duration::from_secs(seconds.into())));
    }
}

/// The shortest TTL; without an answer, what the SOA says about names that are not there (RFC 2308). Failures and cut
/// answers are not kept.
fn lifetime_seconds(message: &Message) -> u32 {
    use hickory_proto::op::ResponseCode::{NXDomain, NoError};
    if message.metadata.truncation || !matches!(message.metadata.response_code, NoError | NXDomain) {
        return 0;
    }
    if !message.answers.is_empty() {
        return message.answers.iter().map(|record| record.ttl).min().unwrap_or(0).min(MAX_SECONDS);
    }
    let negative = message.authorities.iter().filter_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    negative.min().unwrap_or(0).min(MAX_SECONDS)
}
