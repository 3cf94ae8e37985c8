//! Finds the words that two texts share: the longest common sequence of words.

/// Number of words beyond which texts are shown without colours, because they are not compared.
const MOST_WORDS: usize = 600;

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// A word with the space after it.
    pub(crate) text: &'a str,
    /// True if the other text has it too, in the same order.
    pub(crate) same: bool,
}

/// Returns both texts in pieces.
pub(crate) fn words<'a>(a: &'a str, b: &'a str) -> [Vec<Piece<'a>>; 2] {
    let (a, b): (Vec<&str>, Vec<&str>) = (split(a), split(b));
    let piece = |same: bool| move |text| Piece { text, same };
    if a.len() > MOST_WORDS || b.len() > MOST_WORDS {
        return [a.into_iter().map(piece(true)).collect(), b.into_iter().map(piece(true)).collect()];
    }
    // lengths[i][j]: length of the longest common sequence of a[i..] and b[j..].
    let mut lengths = vec![vec![0u16; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i][j] = if a[i].trim_end() == b[j].trim_end() {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut left, mut right) = (Vec::with_capacity(a.len()), Vec::with_capacity(b.len()));
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let same = i < a.len() && j < b.len() && a[i].trim_end() == b[j].trim_end();
        if same {
            left.push(Piece { text: a[i], same });
            right.push(Piece { text: b[j], same });
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && lengths[i + 1][j] >= lengths[i][j + 1]) {
            left.push(Piece { text: a[i], same });
            i += 1;
        } else {
            right.push(Piece { text: b[j], same });
            j += 1;
        }
    }
    [left, right]
}

/// Words with the space after them.
fn split(text: &str) -> Vec<&str> {
    text.split_inclusive(char::is_whitespace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(pieces: &[Piece<'_>]) -> Vec<String> {
        pieces.iter().filter(|piece| !piece.same).map(|piece| piece.text.trim_end().to_owned()).collect()
    }

    #[test]
    fn words_that_differ_are_found() {
        let [a, b] = words("You can not do that.", "Sure, you can do that.");
        assert_eq!((others(&a), others(&b)), (vec!["You".into(), "not".into()], vec!["Sure,".into(), "you".into()]));
        let whole = |pieces: &[Piece<'_>]| pieces.iter().map(|piece| piece.text).collect::<String>();
        assert_eq!((whole(&a).as_str(), whole(&b).as_str()), ("You can not do that.", "Sure, you can do that."));
    }

    #[test]
    fn equal_and_empty_texts_do_not_differ() {
        let [a, b] = words("one two", "one two");
        assert!(others(&a).is_empty() && others(&b).is_empty(), "the same");
        let [a, b] = words("", "one");
        assert_eq!((a.len(), others(&b)), (0, vec!["one".to_owned()]));
    }

    #[test]
    fn long_texts_are_not_compared() {
        let long = "word ".repeat(MOST_WORDS + 1);
        let [a, b] = words(&long, "other");
        assert!(others(&a).is_empty() && others(&b).is_empty(), "too long");
    }
}
