//! The one error of calls to providers, by what the caller can do about it.
//!
//! Every layer above passes it on unchanged; nothing converts it into an enum of
//! its own. What differs between providers (statuses, codes in bodies, headers)
//! has been decided before: by [`super::judge`] and the provider's folder.

use runtime::kill_switch::Halted;

/// Why something was not learnt or done at a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Nothing was asked.
    #[error("{detail}")]
    NotSent {
        /// Why.
        why: NotSent,
        /// When it can be asked at the earliest, in milliseconds since the epoch.
        retry_at_ms: Option<u64>,
        /// In words, nothing secret among them.
        detail: String,
    },
    /// It was not done, or doing it twice does no harm: it can be asked again.
    #[error("{detail}")]
    RetryAt {
        /// What was the matter.
        cause: Cause,
        /// Not before then, if the provider says so.
        at_ms: Option<u64>,
        /// In words, nothing secret among them.
        detail: String,
    },
    /// It may have been done, and doing it twice would show.
    #[error("{detail}")]
    MayHaveLanded {
        /// What was the matter.
        cause: Cause,
        /// When the provider wants to be asked again, if it says so.
        at_ms: Option<u64>,
        /// In words, nothing secret among them.
        detail: String,
    },
    /// What it is about is not there.
    #[error("{detail}")]
    Gone {
        /// In words, nothing secret among them.
        detail: String,
    },
    /// The owner of the token has to do something.
    #[error("{detail}")]
    Unauthorised {
        /// The token is valid, but may not do this.
        is_known: bool,
        /// In words, nothing secret among them.
        detail: String,
    },
    /// It will not be done, however often it is asked for.
    #[error("{detail}")]
    Rejected {
        /// What of it.
        code: Rejection,
        /// The answer's status, if there was one.
        status: Option<u16>,
        /// In words, nothing secret among them.
        detail: String,
    },
    /// The kill switch was set before anything was sent.
    #[error("the hub is stopped: {0}")]
    KillSwitchBefore(Halted),
    /// The kill switch was set while it was under way: it may have landed.
    #[error("the hub is stopped: {0}")]
    KillSwitchUnderWay(Halted),
}

/// Why nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The circuit is open: the provider is down.
    Down,
    /// The allowance is spent.
    BudgetSpent {
        /// Only that of the call's scope (Slack's channel), not the token's.
        is_scoped: bool,
    },
    /// The deadline had passed.
    Late,
    /// There is no such connection, or it is switched off.
    NoConnection,
    /// The connection has no usable token.
    NoToken,
    /// The provider has no such thing.
    Unsupported,
    /// An id that cannot be a part of an address.
    BadId,
    /// An address or a setting is wrong: whoever runs the hub can help.
    Misconfigured,
    /// Somebody has to change something first; a stable code for programs.
    First(&'static str),
    /// Something of the hub itself failed.
    Hub,
}

/// Why something that was asked was not done, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Too many calls.
    Limit {
        /// Only in the call's scope (Slack's channel).
        is_scoped: bool,
    },
    /// The provider, or the way to it, is unwell.
    Failure,
    /// The answer is not what it should be.
    BadAnswer,
    /// The provider cannot tell whether it was done.
    CannotTell,
}

/// Why something will not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The provider's own code, if it has one.
    Refused(Option<String>),
    /// The text is too long for the provider.
    TooLong,
    /// The provider's answer cannot be used.
    BadAnswer,
    /// All attempts were in vain.
    GivenUp,
}

impl ProviderError {
    /// An answer that cannot be used.
    pub fn bad_answer(detail: impl Into<String>) -> Self {
        ProviderError::Rejected { code: Rejection::BadAnswer, status: None, detail: detail.into() }
    }

    /// What cannot be done, for good.
    pub fn rejected(detail: impl Into<String>) -> Self {
        ProviderError::Rejected { code: Rejection::Refused(None), status: None, detail: detail.into() }
    }

    /// What is not there.
    pub fn gone(detail: impl Into<String>) -> Self {
        ProviderError::Gone { detail: detail.into() }
    }

    /// What a provider does not have.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::not_sent(NotSent::Unsupported, detail)
    }

    /// Somebody has to change something first.
    pub fn first(code: &'static str, detail: impl Into<String>) -> Self {
        Self::not_sent(NotSent::First(code), detail)
    }

    /// Nothing was asked, and it makes no sense to ask again by itself.
    pub fn not_sent(why: NotSent, detail: impl Into<String>) -> Self {
        ProviderError::NotSent { why, retry_at_ms: None, detail: detail.into() }
    }

    /// Something of the hub itself failed: later it may not.
    pub fn hub(detail: impl Into<String>) -> Self {
        Self::not_sent(NotSent::Hub, detail)
    }

    /// Something was done, and the answer does not say what is needed.
    pub fn may_have_landed(detail: impl Into<String>) -> Self {
        ProviderError::MayHaveLanded { cause: Cause::BadAnswer, at_ms: None, detail: detail.into() }
    }

    /// The provider cannot tell whether something was done.
    pub fn cannot_tell(detail: impl Into<String>) -> Self {
        ProviderError::MayHaveLanded { cause: Cause::CannotTell, at_ms: None, detail: detail.into() }
    }

    /// The same error, in other words.
    pub fn map_detail(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            ProviderError::NotSent { detail, .. }
            | ProviderError::RetryAt { detail, .. }
            | ProviderError::MayHaveLanded { detail, .. }
            | ProviderError::Gone { detail }
            | ProviderError::Unauthorised { detail, .. }
            | ProviderError::Rejected { detail, .. } => *detail = reword(detail),
            ProviderError::KillSwitchBefore(_) | ProviderError::KillSwitchUnderWay(_) => {}
        }
        self
    }

    /// The same error of a call whose limit is that of its scope alone.
    pub(super) fn scoped(mut self, scoped: bool) -> Self {
        if let ProviderError::RetryAt { cause: Cause::Limit { is_scoped }, .. } = &mut self {
            *is_scoped = scoped;
        }
        self
    }
}

impl From<store::StoreError> for ProviderError {
    fn from(error: store::StoreError) -> Self {
        match error {
            error if error.can_retry() => ProviderError::hub(error.to_string()),
            error => ProviderError::first("conflict", error.to_string()),
        }
    }
}

impl From<pipeline::ports::LogError> for ProviderError {
    fn from(error: pipeline::ports::LogError) -> Self {
        ProviderError::hub(error.to_string())
    }
}
