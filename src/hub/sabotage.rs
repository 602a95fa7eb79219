//! Ways to break the hub on purpose, one rule each, so that a test can prove that the simulation would notice. In what ships
//! nothing is broken: the switch has no state and every question is answered by a constant.

/// One rule of the hub, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A member goes live on what was read, whatever was appended meanwhile.
    JoinWithoutLock,
    /// A cursor is found by its offset alone.
    LocateByOffset,
    /// The feed may append an entry of another epoch.
    OtherEpochFromFeed,
    /// After a hole in the feed nothing is compared.
    NoCompareAfterSound,
    /// What a full outbox refuses is forgotten.
    DropWhenFull,
    /// A gap is told only when entries follow it.
    NoGapOnEmptyPage,
    /// What the feed brings during a read is not buffered.
    NoSyncBuffer,
    /// What the feed brings during a read is buffered without a bound.
    UnboundedSyncBuffer,
    /// A page is handed out though its member was moved while it was read.
    StalePage,
    /// After a fork the ring still holds the dead branch.
    ForkKeepsRing,
    /// Repeats after the loss of presence frames are not made.
    PresenceForgets,
}

/// Which rule is broken, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switch {
    #[cfg(test)]
    pub(crate) broken: Option<Sabotage>,
}

impl Switch {
    /// Whether this rule is broken.
    #[cfg(test)]
    pub(crate) fn breaks(self, rule: Sabotage) -> bool {
        self.broken == Some(rule)
    }

    /// Whether this rule is broken: it never is.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the switch of the tests has a state")]
    pub(crate) fn breaks(self, _rule: Sabotage) -> bool {
        false
    }
}
