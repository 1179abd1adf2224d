//! JSON that is read whole or not at all: what a later version of this program wrote is refused by name, not taken for what is left
//! when the unknown is dropped.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The value that `text` is the JSON of: see [`from_value`].
///
/// Errors: as for [`from_value`].
pub fn from_json<T: Serialize + DeserializeOwned>(text: &str) -> Result<T, String> {
    from_value(serde_json::from_str(text).map_err(|e| e.to_string())?)
}

/// The value that `json` describes. A field that the value does not hold is an error, wherever it is nested; one that says nothing
/// (`null`) is none.
///
/// Errors: what is wrong, in words that follow a file's name.
pub fn from_value<T: Serialize + DeserializeOwned>(json: Value) -> Result<T, String> {
    let value = T::deserialize(&json).map_err(|e| e.to_string())?;
    let kept = serde_json::to_value(&value).map_err(|e| e.to_string())?;
    match unknown(&json, &kept) {
        Some(field) => Err(format!("the field {field:?} is unknown: written by a later version of rethink")),
        None => Ok(value),
    }
}

/// The place of a field of `json` that `kept` lacks.
fn unknown(json: &Value, kept: &Value) -> Option<String> {
    let below = |place: &str, inner: String| format!("{place}.{inner}");
    match (json, kept) {
        (Value::Object(all), Value::Object(kept)) => {
            all.iter().find_map(|(name, value)| match kept.get(name) {
                Some(kept) => unknown(value, kept).map(|inner| below(name, inner)),
                None if value.is_null() => None,
                None => Some(name.clone()),
            })
        }
        (Value::Array(all), Value::Array(kept)) => {
            let mut pairs = all.iter().zip(kept).enumerate();
            pairs.find_map(|(at, (all, kept))| unknown(all, kept).map(|inner| below(&at.to_string(), inner)))
        }
        _ => None,
    }
}
