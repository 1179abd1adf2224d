//! A row of a run's frame, and how a run ends.

use serde::{Deserialize, Serialize};

/// A row of a run's frame. Accuracies are fractions, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Steps taken so far.
    pub step: u32,
    /// Epochs, counted from 1; the one that the step belongs to.
    pub epoch: u32,
    /// Training loss in nats, averaged over the steps since the last row.
    pub loss: f64,
    /// Training accuracy on the batches since the last row, each measured with the weights before its own update.
    pub batch_accuracy: f64,
    /// Accuracy on the whole training set with the weights of this moment, where it was measured.
    pub train_accuracy: Option<f64>,
    /// Accuracy on the test set with the weights of this moment, where it was measured.
    pub test_accuracy: Option<f64>,
    /// Top-5 accuracy on the whole training set, measured with `train_accuracy` on photographs.
    #[serde(default)]
    pub train_top5: Option<f64>,
    /// Top-5 accuracy on the test set, measured with `test_accuracy` on photographs.
    #[serde(default)]
    pub test_top5: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Seconds of training and evaluation so far, over all sittings.
    pub seconds: f64,
}

impl LogRow {
    /// Whether `logged` is this row as the log has it.
    pub(crate) fn is_logged_as(&self, logged: &LogRow) -> bool {
        let rounded = (self.seconds - logged.seconds).abs() <= 0.001;
        rounded && LogRow { seconds: self.seconds, ..logged.clone() } == *self
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// Every training image was right in as many epochs in a row as the configuration says, and it says to stop there.
    Fitted,
    /// All epochs were run.
    Completed,
    /// A loss, a weight or running statistic at an epoch's end, or a score in an evaluation became infinite or not a number.
    /// The accuracies are counted still, an image with a score that is not a number as wrong.
    Diverged,
    /// It was to end early ([`rethink_nn::interrupt`]), and goes on when it is asked for again. No such run is in a store.
    Interrupted,
}
