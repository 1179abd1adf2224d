//! A row of a run's frame, and how a run ends.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A row of a run's frame. Accuracies are fractions, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Steps taken so far.
    pub step: u32,
    /// Epochs, counted from 1; the one that the step belongs to.
    pub epoch: u32,
    /// Training loss in nats, averaged over the steps since the last row; infinite or not a number in the last row of a run that
    /// diverged.
    #[serde(serialize_with = "write_number", deserialize_with = "read_number")]
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

/// JSON has no word for what is no finite number, and has `null` written for it. As text, it is read again to the bit: a run that
/// is taken up at its end has the same rows.
fn write_number<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    match (number.is_finite(), number.is_nan()) {
        (true, _) => to.serialize_f64(*number),
        (false, true) => to.serialize_str(&format!("{sign}NaN")),
        (false, false) => to.serialize_str(&format!("{sign}inf")),
    }
}

/// What [`write_number`] writes; `null`, which checkpoints had before, is not a number.
fn read_number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number, \"NaN\", \"inf\" or null")]
    enum Written {
        Number(f64),
        Text(String),
        Nothing(()),
    }
    let text = match Written::deserialize(from)? {
        Written::Number(number) => return Ok(number),
        Written::Nothing(()) => return Ok(f64::NAN),
        Written::Text(text) => text,
    };
    let (negative, size) = text.strip_prefix('-').map_or((false, text.as_str()), |size| (true, size));
    let number = match size {
        "NaN" => f64::NAN,
        "inf" => f64::INFINITY,
        _ => return Err(serde::de::Error::custom(format!("{text:?} is neither \"NaN\" nor \"inf\""))),
    };
    Ok(if negative { -number } else { number })
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

impl StopReason {
    /// In one word, as in records.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::Fitted => "fitted",
            StopReason::Completed => "completed",
            StopReason::Diverged => "diverged",
            StopReason::Interrupted => "interrupted",
        }
    }
}
