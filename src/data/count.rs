//! Counts as people read them, and their nouns.

/// A count, with a no-break space between its thousands from 10 000 on.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun, which gets an s unless it is one.
pub fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// The beginning of a sentence by which none of so many things can do something.
pub(crate) fn none_of(n: usize, noun: &str) -> String {
    if n == 1 { format!("The only {noun} cannot") } else { format!("None of the {} can", counted(n, noun)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_s() {
        assert_eq!(["pair", "held-out row"].map(|noun| counted(1, noun)), ["1 pair", "1 held-out row"]);
        assert_eq!([0, 2, 1000].map(|n| counted(n, "pair")), ["0 pairs", "2 pairs", "1000 pairs"]);
        assert_eq!(none_of(1, "pair"), "The only pair cannot");
        assert_eq!(none_of(30, "row"), "None of the 30 rows can");
    }

    #[test]
    fn thousands_are_set_apart_from_five_digits_on() {
        assert_eq!(
            [0, 999, 1000, 12_345, 1_234_567].map(count),
            ["0", "999", "1000", "12\u{a0}345", "1\u{a0}234\u{a0}567"]
        );
    }
}
