//! Numbers and bytes as text.

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// How many things of a name, which has an s where there is not one: `1 run`, `12,345 runs`.
pub fn counted(n: usize, name: &str) -> String {
    format!("{} {name}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// [`counted`] things with their verb: `1 run is`, `3 runs are`.
pub fn are(n: usize, name: &str) -> String {
    counted(n, name) + if n == 1 { " is" } else { " are" }
}

/// `every epoch`, `every 4 epochs`.
pub fn every(n: usize, name: &str) -> String {
    if n == 1 { format!("every {name}") } else { format!("every {}", counted(n, name)) }
}

/// `12345` as `12,345`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
