//! Samples of one figure, in milliseconds.

/// Samples in the order they were taken.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, milliseconds: f64) {
        self.0.push(milliseconds);
    }

    /// The value below which `share` (0..=1) of the samples lie; 0 without samples.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index among at most some thousand samples"
        )]
        let index = (share * last as f64).round() as usize;
        sorted.get(index).copied().unwrap_or(0.0)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// `median (min–max)`: in whole milliseconds, and in tenths where the median has one digit.
    pub(crate) fn summary(&self) -> String {
        let digits = usize::from(self.median() < 9.95);
        format!(
            "{:.digits$} ({:.digits$}–{:.digits$})",
            self.median(),
            self.quantile(0.0),
            self.quantile(1.0)
        )
    }
}

/// Samples of the same work done by Helmr and without it.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    pub(crate) ours: Samples,
    pub(crate) theirs: Samples,
}

impl Pair {
    pub(crate) fn push(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    /// Of the medians; under 1 where Helmr is faster.
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.median() / self.theirs.median()
    }
}
