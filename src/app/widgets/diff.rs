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

/// The same while the texts are being written; `done` says which of them is whole. Only as many words as both have are
/// compared: a word that the other text does not have yet is no difference.
pub(crate) fn words_so_far<'a>(a: &'a str, b: &'a str, done: [bool; 2]) -> [Vec<Piece<'a>>; 2] {
    if done == [true; 2] {
        return words(a, b);
    }
    // The last word of a text may be a part of one.
    let known = |text: &str, done: bool| split(text).len().saturating_sub(usize::from(!done));
    let n = known(a, done[0]).min(known(b, done[1]));
    let at = |text: &str| split(text).iter().take(n).map(|word| word.len()).sum::<usize>();
    let [(a, rest_of_a), (b, rest_of_b)] = [a, b].map(|text| text.split_at(at(text)));
    let [mut left, mut right] = words(a, b);
    left.push(Piece { text: rest_of_a, same: true });
    right.push(Piece { text: rest_of_b, same: true });
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
    fn texts_are_compared_as_far_as_both_are_written() {
        let (whole, begun) = ("You can not do that here, ask the support.", "You can no");
        let [a, b] = words_so_far(whole, begun, [true, false]);
        assert!(others(&a).is_empty() && others(&b).is_empty(), "the rest is on its way");
        let whole_of = |pieces: &[Piece<'_>]| pieces.iter().map(|piece| piece.text).collect::<String>();
        assert_eq!((whole_of(&a).as_str(), whole_of(&b).as_str()), (whole, begun), "nothing is left out");
        let [a, b] = words_so_far(whole, "You may do", [true, false]);
        assert_eq!((others(&a), others(&b)), (vec!["can".to_owned()], vec!["may".to_owned()]), "a word differs");
        let [a, _] = words_so_far(whole, "", [false, false]);
        assert!(others(&a).is_empty(), "the other one has not begun");
        let [a, _] = words_so_far(whole, "You can", [true, true]);
        assert_eq!(others(&a).len(), 7, "both are at their end");
    }

    #[test]
    fn long_texts_are_not_compared() {
        let long = "word ".repeat(MOST_WORDS + 1);
        let [a, b] = words(&long, "other");
        assert!(others(&a).is_empty() && others(&b).is_empty(), "too long");
    }
}
