//! Counts work in tests: what a text costs is asserted in steps, since a clock
//! says more about the machine than about the code.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// So many characters or pieces were looked at.
#[inline]
pub(super) fn did(steps: usize) {
    #[cfg(test)]
    STEPS.set(STEPS.get() + steps);
    #[cfg(not(test))]
    let _ = steps;
}

/// The steps that `work` takes.
#[cfg(test)]
pub(super) fn counted(work: impl FnOnce()) -> usize {
    STEPS.set(0);
    work();
    STEPS.get()
}
